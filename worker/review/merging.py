"""Fields that repeat down the page become repeated rows, and repeated rows become fields again."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from itertools import cycle, pairwise
from typing import Any

from pydantic import ValidationError

from schemas.form_template import OVERLAP_ALLOWED_MM, FieldSpec, RepeatedRows
from schemas.mistakes import list_mistakes
from worker.errors import DifferentRowsError

Template = dict[str, Any]
"""A template as it stands in the browser, finished or not."""

OFF_PITCH, OFF_MM = 0.15, 1.5
"""Largest distance of an edge from its place, in pitches and in mm, for boxes that were drawn by hand."""

_MAY_DIFFER = {"name", "label", "box_mm", "print"}
"""What may differ from row to row; the first row's name, box and print stand for all."""
_OF_A_ROW = re.compile(r"(?P<rows>[A-Za-z][A-Za-z0-9_-]*?)1\.(?P<field>.+)")
"""The name of a field of a first row, as ``row1.amount``."""
_NUMBER_BEHIND = re.compile(r"(?<=[A-Za-z])[._-]?\d+$")


def merge_into_rows(template: Template, chosen: Collection[int]) -> Template:
    """Return the template with chosen single fields, by their positions in ``fields``, as repeated rows.

    The fields of the first row stand for all. The pitch is the mean, and no edge of the other boxes moves by more
    than ``OFF_PITCH`` and ``OFF_MM`` allow. Rules across fields go on naming the same boxes.

    Raises
    ------
    DifferentRowsError
        The fields are no rows of the same columns at an even pitch; says why.
    """
    fields = _read_list(template, "fields")
    if not all(0 <= at < len(fields) for at in chosen):
        raise DifferentRowsError("the selected fields are no longer there")
    picked = [(fields[at], _read_field(fields[at])) for at in sorted(set(chosen))]
    grid = _find_grid([field for _, field in picked])
    pitch_mm = _find_pitch(grid)
    _refuse_different(grid)
    raw_of = {field.name: raw for raw, field in picked}
    rows_name, names = _name_rows(template, [field.name for field in grid[0]])
    columns = zip(names, zip(*grid, strict=True), strict=True)
    first = [_shared(raw_of[column[0].name], name, column) for name, column in columns]
    new = {"count": len(grid), "pitch_mm": pitch_mm, "fields": first}
    renamed = {
        field.name: f"{rows_name}{number}.{name}"
        for number, row in enumerate(grid, 1)
        for field, name in zip(row, names, strict=True)
    }
    rows = [*_read_list(template, "rows"), new if rows_name == "row" else {"name": rows_name, **new}]
    merged = {**template, "fields": [raw for at, raw in enumerate(fields) if at not in set(chosen)], "rows": rows}
    return {**merged, "rules": _rename(template["rules"], renamed)} if "rules" in template else merged


def split_rows(template: Template, number: int) -> Template:
    """Return the template with the repeated rows at a position of ``rows`` as single fields of the same names.

    Raises
    ------
    DifferentRowsError
        There are no such rows, or they hold a mistake.
    """
    rows = _read_list(template, "rows")
    if not 0 <= number < len(rows):
        raise DifferentRowsError("these rows are no longer there")
    try:
        unrolled = RepeatedRows.model_validate(rows[number]).unrolled()
    except ValidationError as error:
        raise DifferentRowsError(f"these rows hold a mistake: {_first_mistake(error)}") from error
    single = [
        {**raw, "name": field.name, "box_mm": list(field.box_mm)}
        for field, raw in zip(unrolled, cycle(rows[number]["fields"]), strict=False)
    ]
    return {
        **template,
        "fields": [*_read_list(template, "fields"), *single],
        "rows": [other for at, other in enumerate(rows) if at != number],
    }


def _read_list(template: Template, key: str) -> list[dict[str, Any]]:
    found = template.get(key) or []
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise DifferentRowsError(f"'{key}' of the template must be a list")
    return found


def _read_field(raw: dict[str, Any]) -> FieldSpec:
    try:
        return FieldSpec.model_validate(raw)
    except ValidationError as error:
        raise DifferentRowsError(f"{raw.get('name')} holds a mistake: {_first_mistake(error)}") from error


def _first_mistake(error: ValidationError) -> str:
    return str(list_mistakes(error)[0])


def _find_grid(fields: Sequence[FieldSpec]) -> list[list[FieldSpec]]:
    """Return the fields row by row from the top, each row from the left; every row has every column."""
    if len({field.name for field in fields}) < len(fields):
        raise DifferentRowsError("two of the fields have the same name")
    columns = _group([(field.box_mm[0], field.box_mm[2]) for field in fields])
    lines = _group([(field.box_mm[1], field.box_mm[3]) for field in fields])
    cells: dict[tuple[int, int], FieldSpec] = {}
    for place, field in zip(zip(lines, columns, strict=True), fields, strict=True):
        if place in cells:
            raise DifferentRowsError(f"{cells[place].name} and {field.name} overlap")
        cells[place] = field
    if not lines or max(lines) == 0:
        raise DifferentRowsError("select the fields of two rows or more")
    for line in range(max(lines) + 1):
        for column in range(max(columns) + 1):
            if (line, column) not in cells:
                above = next(
                    field for (_, there), field in sorted(cells.items(), key=lambda c: c[0]) if there == column
                )
                raise DifferentRowsError(f"row {line + 1} has no field in the column of {above.name}")
    return [[cells[line, column] for column in range(max(columns) + 1)] for line in range(max(lines) + 1)]


def _group(spans: Sequence[tuple[float, float]]) -> list[int]:
    """Return a number for each span (start, length): spans share one where a middle lies in those before it."""
    order = sorted(range(len(spans)), key=lambda i: spans[i][0] + spans[i][1] / 2)
    numbers, number, end = [0] * len(spans), -1, float("-inf")
    for i in order:
        start, length = spans[i]
        if start + length / 2 >= end:
            number, end = number + 1, start + length
        end = max(end, start + length)
        numbers[i] = number
    return numbers


def _find_pitch(grid: list[list[FieldSpec]]) -> float:
    """Return the distance of the rows, in mm, after every box was found in its place."""
    first, last = grid[0], grid[-1]
    drops = [below.box_mm[1] - above.box_mm[1] for above, below in zip(first, last, strict=True)]
    pitch_mm = sum(drops) / len(drops) / (len(grid) - 1)
    most_mm = min(OFF_PITCH * pitch_mm, OFF_MM)
    for number, row in enumerate(grid):
        for above, field in zip(first, row, strict=True):
            (x, y, w, h), (x0, y0, w0, h0) = field.box_mm, above.box_mm
            if abs(y - y0 - number * pitch_mm) > most_mm:
                steps = ", ".join(f"{below[0].box_mm[1] - upper[0].box_mm[1]:g}" for upper, below in pairwise(grid))
                raise DifferentRowsError(f"the rows are not evenly spaced at {field.name}: {steps} mm apart")
            if max(abs(x - x0), abs(x + w - x0 - w0), abs(h - h0)) > most_mm:
                raise DifferentRowsError(f"{field.name} is not in line with {above.name}, or not of its size")
    tallest = max(first, key=lambda field: field.box_mm[3])
    if tallest.box_mm[3] > pitch_mm + OVERLAP_ALLOWED_MM:
        raise DifferentRowsError(f"the rows overlap: {tallest.name} is higher than their distance of {pitch_mm:g} mm")
    return round(pitch_mm, 3)


def _refuse_different(grid: list[list[FieldSpec]]) -> None:
    """Refuse a field that holds something else than the first of its column."""
    for row in grid[1:]:
        for first, field in zip(grid[0], row, strict=True):
            differ = [
                key
                for key in FieldSpec.model_fields
                if key not in _MAY_DIFFER and getattr(first, key) != getattr(field, key)
            ]
            if differ:
                raise DifferentRowsError(f"{field.name} and {first.name} differ in {', '.join(differ)}")


def _name_rows(template: Template, first: list[str]) -> tuple[str, list[str]]:
    """Return a name for the rows that no others have, and the names of their fields without the row's number."""
    parts = [_OF_A_ROW.fullmatch(name) for name in first]
    plain = [part["field"] if part else name for part, name in zip(parts, first, strict=True)]
    short = [_NUMBER_BEHIND.sub("", name) for name in plain]
    names = next(tried for tried in (short, plain, first) if len(set(tried)) == len(tried))
    before = {part["rows"] if part else "row" for part in parts}
    wanted = before.pop() if len(before) == 1 else "row"
    taken = {str(rows.get("name", "row")) for rows in _read_list(template, "rows")}
    tries = (wanted, *(f"{wanted}{number}_" for number in range(2, len(taken) + 3)))
    return next(name for name in tries if name not in taken), names


def _shared(raw: dict[str, Any], name: str, column: Sequence[FieldSpec]) -> dict[str, Any]:
    """Return the first field of a column as that of all rows; a label that tells the row is left out."""
    shared = {**raw, "name": name}
    if len({field.label for field in column}) > 1:
        shared.pop("label", None)
    return shared


def _rename(rules: Any, names: dict[str, str]) -> Any:
    """Return rules across fields with the new names of their fields."""
    if isinstance(rules, dict):
        return {key: value if key == "rule" else _rename(value, names) for key, value in rules.items()}
    if isinstance(rules, list):
        return [_rename(one, names) for one in rules]
    return names.get(rules, rules) if isinstance(rules, str) else rules
