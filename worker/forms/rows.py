"""Write a drafted table as repeated rows, so that a person corrects one row instead of all."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import numpy as np

from schemas.form_template import FieldSpec, RepeatedRows
from worker.forms.labels import place_in_tables
from worker.forms.layout import PrintedTable

FEWEST_ROWS = 3
OFF_PITCH_MM = 0.5
"""Largest distance of a row from its place in even steps; a form is read within 1 mm."""


def fold_rows(
    fields: Sequence[FieldSpec], tables: Sequence[PrintedTable]
) -> tuple[tuple[FieldSpec, ...], tuple[RepeatedRows, ...]]:
    """Return the fields that stay single, and the rows of tables that are alike and evenly spaced as repeated rows.

    A row of sums under them has fewer fields, and stays single. So does a table whose rows have labels, because the
    label of a field tells its row.
    """
    places = place_in_tables(fields, tables)
    folded: list[RepeatedRows] = []
    gone: set[str] = set()
    for number in range(len(tables)):
        by_row: dict[int, dict[int, FieldSpec]] = {}
        for field in fields:
            if field.name in places and places[field.name][0] == number:
                _, row, column = places[field.name]
                by_row.setdefault(row, {})[column] = field
        alike = _longest_run([by_row[row] for row in sorted(by_row)])
        rows = _repeat(alike, f"row{number + 1}_" if len(tables) > 1 else "row")
        if rows is not None:
            folded.append(rows)
            gone.update(field.name for row in alike for field in row.values())
    return tuple(field for field in fields if field.name not in gone), tuple(folded)


def _longest_run(rows: Sequence[dict[int, FieldSpec]]) -> list[dict[int, FieldSpec]]:
    """Return the longest run of rows that have the same columns with the same labels."""
    runs = [list(run) for _, run in groupby(rows, lambda row: sorted((at, field.label) for at, field in row.items()))]
    return max(runs, key=len, default=[])


def _repeat(rows: Sequence[dict[int, FieldSpec]], name: str) -> RepeatedRows | None:
    """Return rows of the same columns at an even pitch as one; None if they are few, or unevenly spaced."""
    if len(rows) < FEWEST_ROWS:
        return None
    tops = np.array([min(field.box_mm[1] for field in row.values()) for row in rows])
    pitch_mm = (tops[-1] - tops[0]) / (len(rows) - 1)
    if np.abs(tops - tops[0] - pitch_mm * np.arange(len(rows))).max() > OFF_PITCH_MM:
        return None
    fields = tuple(
        field.model_copy(update={"name": field.name.rpartition(".")[2] if field.label else f"c{column}"})
        for column, field in rows[0].items()
    )
    return RepeatedRows(name=name, count=len(rows), pitch_mm=round(float(pitch_mm), 3), fields=fields)
