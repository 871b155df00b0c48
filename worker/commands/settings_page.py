"""The page of all settings, ``docs/reference/configuration.md``, written from the settings themselves.

``python -m worker.commands.settings_page > docs/reference/configuration.md``
"""

from __future__ import annotations

import re
import types
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import SecretStr

from worker.settings import Settings

_HEAD = """# Configuration

Every setting is an environment variable. `icr doctor` finds unknown names and wrong values.
This page is written by `make docs` from `worker/settings.py`, and a test holds the two equal.

| setting | what it does | kind | default |
|---|---|---|---|
"""

_KINDS = {
    Path: "folder",
    str: "text",
    re.Pattern[str]: "regular expression",
    SecretStr: "secret text",
    int: "whole number",
    float: "number",
    bool: "true or false",
}


def describe_settings() -> str:
    """Return the page as Markdown, one line a setting."""
    lines = []
    for name, field in Settings.model_fields.items():
        default = "" if field.default in (None, "") else f"`{field.default}`"
        about = (field.description or "").replace("|", "\\|")
        lines.append(f"| `ICR_{name.upper()}` | {about} | {_kind(field.annotation)} | {default} |")
    return _HEAD + "\n".join(lines) + "\n"


def _kind(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(annotation))
    if get_origin(annotation) in (Union, types.UnionType):
        return " or ".join(_kind(kind) for kind in get_args(annotation) if kind is not type(None))
    return _KINDS[annotation]


if __name__ == "__main__":
    print(describe_settings(), end="")
