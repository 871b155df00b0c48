"""Tables for people: numbers and verdicts are whole at any width, in a file and in a pipe too."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from worker.system.harmless import make_harmless

STYLES = {"accepted": "green", "review": "yellow", "blank": "dim", "not_read": "dim", "failed": "red", "dead": "red"}
"""The colour of a row by its verdict."""

LEAST_WIDTH = 8
"""Columns of the terminal that are left to a cell that gives way."""

_GAP = "  "


@dataclass(frozen=True, slots=True)
class TableRow:
    """One row: its cells, and notes that each take a line of their own below it."""

    cells: tuple[str, ...]
    notes: tuple[str, ...] = ()
    style: str | None = None


def print_table(headings: Sequence[str], rows: Sequence[TableRow], *, gives_way: int | None = None) -> None:
    """Print a table to standard output; only the column ``gives_way`` is shortened where a terminal is too narrow.

    A line that is still too long is left to the terminal to wrap: nothing else is cut. A file and a pipe have no width,
    unless ``COLUMNS`` says so.
    """
    from rich.cells import cell_len
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    lines = [TableRow(tuple(headings), style="bold"), *(_make_harmless(row) for row in rows)]
    widths = [max(map(cell_len, column)) for column in zip(*(line.cells for line in lines), strict=True)]
    if gives_way is not None and (console.is_terminal or "COLUMNS" in os.environ):
        excess = sum(widths) + len(_GAP) * (len(widths) - 1) - console.width
        widths[gives_way] = max(widths[gives_way] - max(0, excess), min(LEAST_WIDTH, widths[gives_way]))
    for line in lines:
        cells = [_fit(cell, width) for cell, width in zip(line.cells, widths, strict=True)]
        console.print(Text(_GAP.join(cells).rstrip(), style=line.style or ""), soft_wrap=True)
        for note in line.notes:
            console.print(Text(f"    {note}", style=line.style or ""), soft_wrap=True)


def print_note(text: str, style: str = "") -> None:
    """Print a line that stands by itself, whole."""
    from rich.console import Console
    from rich.text import Text

    Console(highlight=False).print(Text(make_harmless(text), style=style), soft_wrap=True)


def format_confidence(confidence: float) -> str:
    """Return a confidence with as many decimals as the database's and the JSON's readers see."""
    return f"{confidence:.5f}"


def show_confidence(confidence: float, status: str) -> str:
    """Return the confidence of a field as a table shows it; text that is not read has none."""
    return "" if status == "not_read" else format_confidence(confidence)


def _fit(cell: str, width: int) -> str:
    """Pad a cell; of one that is too long the end stays, which tells the scans of one folder apart."""
    from rich.cells import cell_len, set_cell_size

    if cell_len(cell) <= width:
        return set_cell_size(cell, width)
    while cell_len(cell) > width - 1:
        cell = cell[1:]
    return set_cell_size("…" + cell, width)


def _make_harmless(row: TableRow) -> TableRow:
    return TableRow(tuple(map(make_harmless, row.cells)), tuple(map(make_harmless, row.notes)), row.style)
