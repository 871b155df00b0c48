"""MkDocs hook: writes the schema reference from the pydantic models in ``schemas/`` while the site is built."""

from __future__ import annotations

import json
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page
from pydantic import BaseModel

from schemas.form_template import FormTemplate
from schemas.reading import PageOut, StoredPage
from schemas.scan_job import ScanJob

PAGE = "reference/schemas.md"
MARKER = "<!-- generated: {} -->"
MODELS: dict[str, type[BaseModel]] = {
    "scan-job": ScanJob,
    "form-template": FormTemplate,
    "reading": PageOut,
    "stored-reading": StoredPage,
}


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001  # MkDocs names them
    """Replace each marker of the schema page by the tables of its model."""
    if page.file.src_uri != PAGE:
        return markdown
    for name, model in MODELS.items():
        marker = MARKER.format(name)
        if marker not in markdown:
            raise ValueError(f"{PAGE} lacks {marker}")
        markdown = markdown.replace(marker, describe_model(model))
    return markdown


def describe_model(model: type[BaseModel]) -> str:
    """Return a table of properties for a model and each model within it, and its JSON Schema."""
    schema = model.model_json_schema()
    tables = [_describe_object(schema)]
    for name, inner in schema.get("$defs", {}).items():
        if inner.get("type") == "object":
            tables.append(f"**`{name}`**\n\n{_describe_object(inner)}")
    whole = "\n".join("    " + line for line in json.dumps(schema, indent=2).splitlines())
    return "\n\n".join(tables) + f'\n\n??? note "JSON Schema"\n\n    ```json\n{whole}\n    ```\n'


def _describe_object(schema: dict[str, Any]) -> str:
    required = schema.get("required", [])
    rows = [
        f"| `{name}` | {_describe_type(part)} | {_default(name, part, required)} | {part.get('description', '')} |"
        for name, part in schema.get("properties", {}).items()
    ]
    about = schema.get("description", "").replace("``", "`")
    return "\n".join([about, "", "| property | type | default | meaning |", "|---|---|---|---|", *rows])


def _default(name: str, part: dict[str, Any], required: list[str]) -> str:
    return "*required*" if name in required else f"`{json.dumps(part.get('default'))}`"


def _describe_type(part: dict[str, Any]) -> str:
    """Return a short name of a property's type, as Markdown for a table's cell."""
    if "$ref" in part:
        return f"`{part['$ref'].rpartition('/')[2]}`"
    if "const" in part:
        return f"`{json.dumps(part['const'])}`"
    if "enum" in part:
        return ", ".join(f"`{json.dumps(value)}`" for value in part["enum"])
    for union in ("anyOf", "oneOf"):
        if union in part:
            return " or ".join(_describe_type(each) for each in part[union])
    if part.get("type") == "array":
        items = part.get("items")
        return f"list of {_describe_type(items)}" if items else "list"
    limits = [f"{word} {part[key]}" for key, word in _LIMITS.items() if key in part]
    pattern = f" matching `{part['pattern']}`" if "pattern" in part else ""
    return str(part.get("format") or part.get("type", "any")) + (f" ({', '.join(limits)})" if limits else "") + pattern


_LIMITS = {
    "minimum": "at least",
    "maximum": "at most",
    "exclusiveMinimum": "more than",
    "minLength": "shortest",
    "maxLength": "longest",
}
