"""What is wrong with a template file, and where in its JSON text: pydantic names a place by keys, people by lines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from json.decoder import scanstring  # type: ignore[attr-defined]
from pathlib import Path

from pydantic import ValidationError

from schemas.mistakes import JsonPath, list_mistakes
from worker.errors import TemplateProblem


def list_problems(file: Path, text: str, error: ValidationError) -> Iterator[TemplateProblem]:
    """Yield every mistake that pydantic found in the JSON ``text`` of a template file."""
    raw = json.loads(text)
    for mistake in list_mistakes(error, raw):
        loc, words = mistake.path, mistake.words
        if mistake.kind == "extra_forbidden":
            words = f"unknown key {loc[-1]!r}"
        elif mistake.kind == "missing" and words == "is missing":
            words = f"{loc[-1]!r} is missing"
            loc = loc[:-1]
        path = (*loc, *mistake.inside)
        yield TemplateProblem(file, f"{_spell(loc, raw)}: {words}" if loc else words, line_of(text, path), path)


def _spell(loc: JsonPath, raw: object) -> str:
    """('fields', 3, 'box_mm', 2) -> 'field f07, box_mm[2]'."""
    if len(loc) >= 2 and loc[0] == "fields" and isinstance(loc[1], int) and isinstance(raw, dict):
        entry = raw["fields"][loc[1]]
        name = entry.get("name", loc[1] + 1) if isinstance(entry, dict) else loc[1] + 1
        rest = _spell(loc[2:], None)
        return f"field {name}" + (f", {rest}" if rest else "")
    spelled = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc)
    return spelled.removeprefix(".")


def line_of(text: str, path: JsonPath) -> int:
    """Return the line, counted from 1, on which the value at a place of a JSON text begins."""
    return text.count("\n", 0, _offset_of(text, path)) + 1


def _offset_of(text: str, path: JsonPath) -> int:
    """Where in a JSON text the value of a place begins; as near as the text goes."""
    decoder = json.JSONDecoder()
    at = _skip(text, 0)
    for part in path:
        if text[at] not in "{[" or (text[at] == "{") != isinstance(part, str):
            return at
        inside, index = _skip(text, at + 1), 0
        while text[inside] not in "}]":
            key: int | str = index
            start = inside
            if text[at] == "{":
                key, inside = scanstring(text, inside + 1)
                inside = _skip(text, _skip(text, inside) + 1)
            if key == part:
                at = inside
                break
            _, inside = decoder.raw_decode(text, inside)
            inside = _skip(text, inside)
            inside = _skip(text, inside + 1) if text[inside] == "," else inside
            index += 1
        else:
            return start if index else at
    return at


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at
