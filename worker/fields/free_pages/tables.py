"""Find the printed rows of cells and the tables of a page without a form: a field for each row, or for each cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from worker.fields.cutting.segmentation import InkPart, ink_parts, segment_field
from worker.fields.free_pages.crops import cut_numbers, describe_field
from worker.fields.free_pages.glyphs import find_glyphs, other_ink
from worker.fields.free_pages.sketch import FEWEST_RULES, LONG_RULE, Sketch, long_rules, turn_sketch
from worker.fields.free_pages.turning import choose_turn, digit_likeness
from worker.fields.locating.cell_ink import segment_cells
from worker.fields.locating.cells import (
    CellRow,
    are_stacked,
    dividers_of,
    find_cell_rows,
    goes_on,
    margin_px,
    runs_on_across,
    straighten_row,
)
from worker.fields.locating.number_lines import Glyph, Number, group_numbers
from worker.imaging.binarization import Mask
from worker.values import Box, Extent, FieldCrop, Page, Recognizers

_FEWEST_CELLS = 5
"""Cells in a row that make a page a form."""

_SQUARE = 0.15
"""Largest difference of a square's width from its height, as a share of the height, because photos are askew."""

_PIECE = 0.2
"""Pieces of ink this long, in heights of a table's cells, may be what is left of a digit."""

_AS_HIGH = 0.6
"""The same in heights of the digits that were found, where that is less."""

_STROKE_INSIDE = 0.03
"""Share of a cell that a stroke in it covers at least."""

TABLE_RULE_PX = 5
"""Thickness of a table's rules, painted over where its cells were found."""


_FEWEST_LABELS, _LIKE_PRINT = 3, 0.6
"""So many cells of a column, all with ink below this share of the other columns' digits, hold printed labels."""

_OVER_A_RULE_PX = 4
"""Ink of no digit that is this wide and ends at a rule is a stroke that crosses it; remains of print are narrower."""


@dataclass(frozen=True, slots=True, eq=False)
class Form:
    """A page's printed rows and tables on ``sketch``, and their fields.

    ``no_fields`` are the ink of a table's columns of printed words, and numbers beside its cells, those of a row that
    was not found, too. ``is_squared`` tells of squared paper, on which people write anywhere.
    """

    sketch: Sketch
    fields: tuple[FieldCrop, ...] = ()
    rows: tuple[CellRow, ...] = ()
    no_fields: tuple[Number, ...] = ()
    is_squared: bool = False


def find_printed_rows(page: Page, sketch: Sketch, recognizers: Recognizers | None) -> Form:
    """Find the printed rows of cells of a page, turned so that their digits look most like digits."""
    if recognizers is None:
        return _cell_rows(page, sketch)
    forms = [_cell_rows(page, turn_sketch(sketch, turns)) for turns in (0, 1)]
    # upside down, rows are rows as well
    forms += [_cell_rows(page, turn_sketch(sketch, k + 2)) if forms[k].fields else forms[k] for k in (0, 1)]
    if any(form.is_squared for form in forms) or not any(form.fields for form in forms):
        return Form(sketch)
    likeness = np.array([_likeness(form.fields, recognizers) for form in forms])
    if not likeness.any():
        return next(form for form in forms if form.fields)  # blank
    turn = choose_turn(likeness, lambda turns: forms[turns].fields, recognizers)
    form = forms[turn.quarters] if forms[turn.quarters].fields else next(form for form in forms if form.fields)
    return replace(form, fields=say_which_way(form.fields, turn.is_sure))


def say_which_way(fields: Sequence[FieldCrop], upright: bool) -> tuple[FieldCrop, ...]:
    """Return the fields, each saying whether it is sure which way up the page lies: 6 and 9 turn into each other."""
    return tuple(fields) if upright else tuple(replace(field, upright=False) for field in fields)


def _cell_rows(page: Page, sketch: Sketch) -> Form:
    """Return the fields of a page's printed rows: one of each row that stands alone, one of each cell of a table."""
    found = find_cell_rows(sketch.ink)
    rows = [row for row in found if row.count >= _FEWEST_CELLS]
    if rows and _is_lattice(found, sketch.ink) and (_are_square(rows) or not _hold_writing(rows, sketch)):
        return Form(sketch, is_squared=True)
    stacked = [row for row in rows if runs_on_across(row, sketch.ink) or _lies_on_another(row, rows)]
    alone = [_row_field(page, sketch, row, n) for n, row in enumerate((r for r in rows if r not in stacked), start=1)]
    if not rows:
        return Form(sketch)
    in_table, others = _table_fields(page, sketch, stacked)
    return Form(sketch, (*alone, *in_table), tuple(rows), tuple(others))


def _lies_on_another(row: CellRow, rows: Sequence[CellRow]) -> bool:
    return any(other is not row and are_stacked([row, other]) for other in rows)


def _outside_of(rows: list[CellRow], glyphs: list[Glyph]) -> list[Glyph]:
    """Return the glyphs whose middles lie in no row of cells."""
    return [glyph for glyph in glyphs if not any(row.holds(*glyph.extent.middle) for row in rows)]


def _table_fields(page: Page, sketch: Sketch, rows: list[CellRow]) -> tuple[tuple[FieldCrop, ...], list[Number]]:
    """Return a field for each cell of a table that holds ink, named by its row and column: ``r3c2``.

    Columns of printed words are no fields: what stands in their cells comes apart, with what stands beside the table.
    """
    if not rows:
        return (), []
    bare = sketch.bare.copy()
    for row in rows:
        tops, bottoms = dividers_of(row)
        rules = [*np.stack([tops, bottoms], axis=1), tops[[0, -1]], bottoms[[0, -1]]]
        cv2.polylines(bare, [np.rint(rule).astype(np.int32) for rule in rules], False, 0, TABLE_RULE_PX)
    sketch = replace(sketch, bare=bare)
    glyphs = find_glyphs(sketch.grey, sketch.background, sketch.bare)
    cells = _by_cell(rows, glyphs)
    outside = group_numbers(_outside_of(rows, glyphs))
    taken = [part for glyph in glyphs for part in glyph.parts]
    least = _PIECE * float(np.median([row.height for row in rows]))
    if glyphs:  # in high cells, small digits
        least = min(least, _AS_HIGH * float(np.median([glyph.extent.height for glyph in glyphs])))
    loose = [p for p in ink_parts(other_ink(sketch.bare, taken)) if max(p.width, p.height) >= least]
    broken = {
        place: pieces for place, pieces in _by_cell(rows, [Glyph((p,)) for p in loose]).items() if place not in cells
    }
    cut = [cells[place] for place in _by_cell(rows, [Glyph((p,)) for p in loose]) if place in cells]
    cut += [number for number in cells.values() if any(_cells_at_rule(glyph.extent, rows) for glyph in number)]
    strokes = [p for p in ink_parts(other_ink(sketch.bare, taken)) if p.width >= _OVER_A_RULE_PX]
    cut += [cells[place] for stroke in strokes for place in _cells_at_rule(_extent_of(stroke), rows) if place in cells]
    cells |= broken
    labels = [cells.pop(place) for place in _printed_places(cells)]
    named = [(f"r{r}c{c}", cells[r, c]) for r, c in sorted(cells)]
    around = [number for row in outside for number in row]
    return cut_numbers(page, sketch, named, [*broken.values(), *cut], around), [*labels, *around]


def _printed_places(cells: Mapping[tuple[int, int], Number]) -> list[tuple[int, int]]:
    """Return the cells of columns whose ink is all so much lower than the other columns' digits that it is print."""
    heights = {place: max(glyph.extent.height for glyph in number) for place, number in cells.items()}
    columns = {column for _, column in cells}
    found = []
    for column in columns:
        own = {place: h for place, h in heights.items() if place[1] == column}
        others = [h for place, h in heights.items() if place[1] != column]
        if min(len(own), len(others)) >= _FEWEST_LABELS and max(own.values()) < _LIKE_PRINT * np.median(others):
            found += list(own)
    return found


def _cells_at_rule(ink: Extent, rows: Sequence[CellRow]) -> list[tuple[int, int]]:
    """Return the two cells beside the upright rule that ink stands against; what lies over the rule was cut off.

    Cells are a row and a column, both counted from 1.
    """
    x, y = ink.middle
    for r, row in enumerate(rows, start=1):
        if row.holds(x, y):
            along = (row.corners[1] - row.corners[0]) / row.width
            ends = np.array([[ink.left, y], [ink.right, y]])
            places = (ends - row.corners[0]) @ along / (row.width / row.count)
            off = np.abs(places - np.rint(places)) * row.width / row.count
            rule = int(np.rint(places[off.argmin()]))
            return [(r, rule), (r, rule + 1)] if off.min() <= TABLE_RULE_PX else []
    return []


def _extent_of(part: InkPart) -> Extent:
    return Extent(part.x, part.y, part.right, part.bottom)


def _by_cell(rows: list[CellRow], glyphs: list[Glyph]) -> dict[tuple[int, int], Number]:
    """Return the glyphs of each cell of a table, by its row and column, both counted from 1, from left to right."""
    cells: dict[tuple[int, int], Number] = {}
    for glyph in sorted(glyphs, key=lambda g: g.extent.left):
        x, y = glyph.extent.middle
        for r, row in enumerate(rows, start=1):
            if row.holds(x, y):
                along = (np.array([x, y]) - row.corners[0]) @ (row.corners[1] - row.corners[0]) / row.width**2
                cells.setdefault((r, int(np.clip(along * row.count, 0, row.count - 1)) + 1), []).append(glyph)
    return cells


def _is_lattice(rows: list[CellRow], ink: Mask) -> bool:
    """Tell whether rows of cells lie on each other, or the page is ruled both ways: squared paper, or a table."""
    if are_stacked(rows):
        return True
    rules = long_rules(ink, share=LONG_RULE)
    upright = sum(rule.upright for rule in rules)
    return min(upright, len(rules) - upright) >= FEWEST_RULES


def _are_square(rows: list[CellRow]) -> bool:
    return bool(abs(np.median([row.width / row.count / row.height for row in rows]) - 1) < _SQUARE)


def _hold_writing(rows: list[CellRow], sketch: Sketch) -> bool:
    """Tell whether cells hold most of a page's writing, or there is none."""
    middles = [glyph.extent.middle for glyph in find_glyphs(sketch.grey, sketch.background, sketch.bare)]
    return 2 * sum(any(row.holds(x, y) for row in rows) for x, y in middles) >= len(middles)


def _likeness(rows: Sequence[FieldCrop], recognizers: Recognizers) -> float:
    """Return how much the ink in cells looks like digits, from 0 to 1; 0 where all are blank."""
    cells = [
        cell for row in rows for cell in (segment_cells(row, row.spec.cells) if row.spec.cells else segment_field(row))
    ]
    inks = [cell.ink for cell in cells if cell is not None]
    return float(digit_likeness(inks, recognizers).mean()) if inks else 0.0


def _row_field(page: Page, sketch: Sketch, row: CellRow, number: int) -> FieldCrop:
    """Cut a printed row of cells out of the page, upright."""
    corners = cv2.perspectiveTransform(row.corners[None], sketch.page_from_sketch)[0]
    low, high = corners.min(axis=0), corners.max(axis=0)
    box_px = Box(float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1]))
    spec = describe_field(page, f"line{number}_1", box_px).model_copy(update={"layout": "cells", "cells": row.count})
    whole = FieldCrop(spec, page.grey, box_px, np.eye(3))
    upright = straighten_row(whole, CellRow(np.asarray(corners, np.float64), row.count))
    return replace(upright, complete=not (goes_on(row, sketch.ink) or _has_ink_beyond(row, sketch)))


def _has_ink_beyond(row: CellRow, sketch: Sketch) -> bool:
    """Tell whether ink stands where one more cell of a row would be, or nobody could see any.

    A digit may hide the cell's print.
    """
    ink = sketch.ink
    step = (row.corners[1] - row.corners[0]) / row.count
    for (top, bottom), way in (((0, 3), -step), ((1, 2), step)):
        across = row.corners[bottom] - row.corners[top]
        corner = row.corners[top] + 0.15 * way + 0.15 * across
        inside = np.array([corner, corner + 0.7 * way, corner + 0.7 * (way + across), corner + 0.7 * across])
        cell = np.asarray(cv2.fillConvexPoly(np.zeros_like(ink), np.rint(inside).astype(np.int32), 1), np.uint8)
        if (sketch.dark & cell).any() or (ink & cell).sum() > _STROKE_INSIDE * max(1, int(cell.sum())):
            return True
    return False


def paint_out_rows(ink: Mask, rows: Sequence[CellRow]) -> Mask:
    """Return the ink without rows of cells and what reaches a little out of them."""
    bare = ink.copy()
    for row in rows:
        middle = row.corners.mean(axis=0)
        margin = margin_px(row) / np.maximum(1.0, np.abs(row.corners - middle))
        cv2.fillConvexPoly(bare, np.rint(middle + (row.corners - middle) * (1 + margin)).astype(np.int32), 0)
    return bare
