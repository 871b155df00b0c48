"""CSV for spreadsheets: flat lines as they come, counted from 1, and no cell that anything runs."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from worker.system.harmless import make_harmless

ResultLine = dict[str, Any]

_STARTS = r"[=+@\-\uff1d\uff0b\uff0d\uff20]"
"""What a formula starts with; signs of full width count as well."""
_FORMULA = re.compile(
    r"(?!-[0-9]+(?:[.,][0-9]+)*(?:\Z|[;,]))"  # a negative number is none
    rf"(?:\A(?=\s*{_STARTS})|(?<=[;,])(?={_STARTS}))"  # a spreadsheet may be set to another separator than ours
)
"""Where a spreadsheet takes a cell, or a part of one, for a formula (OWASP, CSV Injection)."""


def csv_lines(lines: Iterable[Any]) -> Iterator[str]:
    """Yield lines of like keys as CSV, the keys first."""
    buffer = io.StringIO()
    writer = None
    for line in lines:
        if writer is None:
            writer = csv.DictWriter(buffer, list(line), lineterminator="\r\n")  # RFC 4180
            writer.writeheader()
        writer.writerow({name: defuse(cell) for name, cell in _count_from_1(line).items()})
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()


def defuse(cell: object) -> object:
    """Return a CSV cell that no spreadsheet takes for a formula and no terminal obeys.

    What would be a formula gets an apostrophe before it.
    """
    text = json.dumps(cell, ensure_ascii=False) if isinstance(cell, list | tuple | dict) else cell
    return _FORMULA.sub(lambda found: f"{found[0]}'", make_harmless(text)) if isinstance(text, str) else text


def _count_from_1(line: ResultLine) -> ResultLine:
    """Count the page and the digit of a line as people do: CSV is what they open in a spreadsheet."""
    counted = {name: line[name] + 1 for name in ("page", "position") if line.get(name) is not None}
    return {**line, **counted}
