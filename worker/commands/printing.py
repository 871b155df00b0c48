"""Lines for people and programs: a table in a terminal, JSON lines, or CSV that no spreadsheet runs."""

from __future__ import annotations

import csv
import io
import itertools
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import unquote

import click
from pydantic import BaseModel

from worker.errors import IcrError

Line = dict[str, Any]

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")
"""What makes a spreadsheet take a cell for a formula (OWASP, CSV Injection)."""

_STYLE = {"accepted": "green", "review": "yellow", "blank": "dim"}


def print_lines(lines: Iterable[Line], output: str, *, shown: list[str], limit: int | None = None) -> None:
    """Print lines as a table of the columns ``shown``, as JSON lines or as CSV, at most ``limit`` of them."""
    iterator = iter(lines)
    wanted = itertools.islice(iterator, limit)
    if output == "table":
        _print_table(list(wanted), shown, more=next(iterator, None) is not None if limit else False)
    else:
        write_lines(wanted, output, None)


def write_lines(lines: Iterable[Line | BaseModel], output: str, path: Path | None) -> None:
    """Write lines as ``jsonl`` or ``csv`` to a file, or to standard output, as they come."""
    try:
        if path is None:
            _write(lines, output, sys.stdout)
            sys.stdout.flush()
            return
        with path.open("w", encoding="utf-8", newline="") as target:
            _write(lines, output, target)
    except BrokenPipeError:  # the reader, as `head`, has seen enough
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:
        raise IcrError(f"cannot write {path or 'to standard output'}: {error.strerror}") from error


def defuse(cell: object) -> object:
    """Return a CSV cell that no spreadsheet takes for a formula: such text gets a leading apostrophe."""
    text = json.dumps(cell, ensure_ascii=False) if isinstance(cell, list | tuple | dict) else cell
    return "'" + text if isinstance(text, str) and text.startswith(_FORMULA_STARTS) else text


def _write(lines: Iterable[Line | BaseModel], output: str, target: TextIO) -> None:
    for text in _csv(lines) if output == "csv" else map(_json, lines):
        target.write(text)


def _json(line: Line | BaseModel) -> str:
    if isinstance(line, BaseModel):
        return line.model_dump_json() + "\n"
    return json.dumps(line, ensure_ascii=False) + "\n"


def _csv(lines: Iterable[Any]) -> Iterator[str]:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")  # RFC 4180
    for number, line in enumerate(lines):
        if number == 0:
            writer.writerow(line)
        writer.writerow([defuse(cell) for cell in line.values()])
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()


def _print_table(lines: list[Line], shown: list[str], *, more: bool) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if not lines:
        click.echo("nothing there")
        return
    table = Table(*(name.replace("_", " ") for name in shown), box=box.SIMPLE_HEAD)
    for line in lines:
        # Text, not markup: a reference may hold what looks like it.
        cells = [Text(_harmless(_cell(line, name))) for name in shown]
        table.add_row(*cells, style="red" if line.get("error") else _STYLE.get(line["status"]))
    Console().print(table)
    if more:
        click.echo(f"the first {len(lines)} lines; for more: --limit, or --format jsonl", err=True)


def _cell(line: Line, name: str) -> str:
    if name == "file":
        return unquote(str(line["source"] or "")).rpartition("/")[2]
    if name == "why":
        return line["error"] or line.get("doubt") or "; ".join(line["reasons"] or [])
    value = line[name]
    if name == "field_id" and value is None and "page_id" in line:
        return f"page {line['page_id']}"
    if name == "page":
        return str(value + 1)
    if isinstance(value, float):
        return f"{value:.3f}"
    return "" if value is None else str(value)


def _harmless(text: str) -> str:
    """Replace what a terminal obeys, as escape codes and marks that turn the line round."""
    return "".join(char if char.isprintable() else "\ufffd" for char in text)
