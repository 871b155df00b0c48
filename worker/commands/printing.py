"""Lines for people and programs: a table in a terminal, JSON lines, or CSV that no spreadsheet runs."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from pydantic import BaseModel

from worker.commands.saying import say
from worker.errors import IcrError
from worker.output.csv_lines import csv_lines
from worker.output.tables import TableRow, print_table
from worker.system.harmless import make_json_harmless
from worker.system.whole_files import written_whole

ResultLine = dict[str, Any]

TABLE_LIMIT = 200
"""A terminal needs no more lines, and a table is drawn only when all of it is known."""

SCAN_COLUMN = 1
"""Where tables name the file, which gives way on a narrow terminal."""


@dataclass(frozen=True, slots=True)
class TableShape:
    """How lines become a table: its headings, and the rows of one line, given the line before it."""

    headings: Sequence[str]
    rows_of: Callable[[ResultLine, ResultLine | None], Iterable[TableRow]]


def print_lines(lines: Iterable[ResultLine], output: str, *, shape: TableShape, limit: int | None = None) -> None:
    """Print lines as a table, as JSON lines or as CSV, at most ``limit`` of them."""
    iterator = iter(lines)
    if output != "table":
        write_lines(itertools.islice(iterator, limit), output, None)
        return
    wanted = list(itertools.islice(iterator, limit or TABLE_LIMIT))
    if not wanted:
        say("nothing there")
        return
    pairs = zip(wanted, [None, *wanted], strict=False)
    rows = [row for line, last in pairs for row in shape.rows_of(line, last)]
    print_table(shape.headings, rows, gives_way=SCAN_COLUMN)
    if next(iterator, None) is not None:
        say(f"the first {len(wanted)} lines; for more: --limit, or --format jsonl", err=True)


def write_lines(lines: Iterable[ResultLine | BaseModel], output: str, path: Path | None) -> None:
    """Write lines as ``jsonl`` or ``csv`` to a file, or to standard output, as they come."""
    with open_output(path) as target:
        for text in csv_lines(lines) if output == "csv" else map(_json, lines):
            target.write(text)


@contextmanager
def open_output(path: Path | None, *, encoding: str = "utf-8") -> Iterator[TextIO]:
    """Open a file that appears when it is whole, or standard output for None, whose encoding is the terminal's.

    Raises
    ------
    IcrError
        If it cannot be written; says why.
    """
    try:
        if path is None:
            yield sys.stdout
            sys.stdout.flush()
            return
        with written_whole(path) as place, place.open("w", encoding=encoding, newline="") as target:
            yield target
    except BrokenPipeError:  # the reader, as `head`, has seen enough
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:
        raise IcrError(f"cannot write {path or 'to standard output'}: {error.strerror}") from error


def _json(line: ResultLine | BaseModel) -> str:
    if isinstance(line, BaseModel):
        return make_json_harmless(line.model_dump_json()) + "\n"
    return make_json_harmless(json.dumps(line, ensure_ascii=False)) + "\n"
