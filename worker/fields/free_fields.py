"""Find the numbers on a page without a form by their ink, in reading order, whichever way the page lies.

Fields are named ``line<row>_<number>``, both counted from 1. A page that shows printed rows of cells counts as a form,
and only its rows are fields. Everything else is free writing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from schemas.form_template import FieldSpec
from worker.digits.normalization import normalize_digits
from worker.doubts import Doubt, DoubtKind
from worker.fields.cutting.segmentation import InkPart, digit_height, ink_parts, segment_field
from worker.fields.locating.cells import CellRow, are_stacked, find_cell_rows, segment_cells, straighten_row
from worker.fields.locating.extraction import bounding_box_px
from worker.fields.locating.handwriting import STRANGE, Strangeness, looks_written, may_be_number, without_print
from worker.fields.locating.joined_ink import take_out_rings, take_out_underlines
from worker.fields.locating.number_lines import Glyph, Number, group_numbers
from worker.imaging.binarization import Mask, divide_by_background, estimate_background, ink_mask
from worker.imaging.line_removal import Rule, find_rules, remove_rules
from worker.imaging.polarity import darken_ink
from worker.values import NOT_A_DIGIT, Box, FieldCrop, Grey, Page, Recognizers, freeze

WORKING_PX = 1400
"""Longer side of the image that is searched for writing; crops are cut from the page itself."""

TALLEST_DIGIT_PX = 160
"""Crops are reduced so that digits have at most this height; no reader looks closer."""

_FEWEST_CELLS = 5
"""Cells in a row that make a page a form."""

_SQUARE = 0.15
"""Largest difference of a square's width from its height, as a share of the height, because photos are askew."""

_SMALLEST_SHARE = 0.012
"""Least height of a digit as a share of the page's longer side: 3.5 mm on A4."""

_WIDEST_HIDDEN = 0.02
"""Widest bottom of a digit that a rule may hide, as a share of the page's longer side."""

_NARROWEST_HIDDEN_PX, _BILEVEL_SHARE = 6, 0.98
"""The same in pixels on 1-bit pages, whose squares are as black as ink: what lies between two strokes there is a rule.

A page is 1-bit if this share of it is black or white.
"""

_LONG_RULE, _FEWEST_RULES = 0.3, 3
"""Least length of a long rule as a share of a page's side, and how many in one direction make ruled paper."""

_LOW_SHARE = 0.45
"""Parts lower than this share of the usual digit are strokes or marks, not digits."""

_FAINT_SHARE = 0.45
"""Parts with less than this share of the usual contrast are shadows, folds and show-through."""

_TURN_MARGIN = 0.08
"""How much likelier digits must look when turned before a page is turned."""

_BLOB, _THICK = 0.9, 0.6
"""Thickness, as a share of its narrower side, of a part that is no stroke, and of one that may be a broad pen's 6."""

_DIGIT_LIKE = 0.25
"""Ink of no number that is this high, of the digits beside it, may be one of them."""

_AS_HIGH = 0.6
"""Ink in no number that has this share of the glyphs' usual height is named in the page's doubt."""

_BESIDE, _CONTINUES = 0.5, 0.35
"""How near ink and other numbers are that may belong to a number, in heights of its digits."""

_PIECE = 0.2
"""Pieces of ink this long, in heights of a table's cells, may be what is left of a digit."""

_TALL_RULE, _COLUMN = 2.0, 1.5
"""Least length of a rule between columns, and their least width, in heights of the page's digits."""

_RIM_TO_RIM = 0.95
"""Share of the page's height along which rules of squared paper run."""

_TABLE_RULE_PX = 5
"""Thickness of a table's rules, painted over where its cells were found."""

_THIN = 0.3
"""Strokes are thinner than this share of the height of what they belong to."""

_SURELY_DIGITS = 0.9
"""Likeness of a form's digits from which no other way up is tried; on their side, those of a table reached 0.79."""

_GLYPHS_FOR_TURN = 48
_MARGIN_SHARE = 0.35


@dataclass(frozen=True, slots=True, eq=False)
class _Sketch:
    """A page reduced for looking: ``page_from_sketch`` leads from its pixels to the page's.

    ``bare`` is its ``ink`` without rules, underlines and rings around numbers. ``hides_strokes`` is set where it was
    squared in the ink's own black, so that a stroke along a rule went with it.
    """

    grey: Grey
    background: Grey
    ink: Mask
    bare: Mask
    page_from_sketch: NDArray[np.float64]
    hides_strokes: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class FreeWriting:
    """What is written on a page without a form: its fields in reading order, and doubts of the page itself."""

    fields: tuple[FieldCrop, ...] = ()
    doubts: tuple[Doubt, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class _Form:
    """A page's printed rows and tables: their fields, and the glyphs that stand outside of them on ``sketch``."""

    sketch: _Sketch
    fields: tuple[FieldCrop, ...] = ()
    outside: tuple[Glyph, ...] = ()


def find_free_fields(page: Page, recognizers: Recognizers | None = None) -> list[FieldCrop]:
    """Find the numbers on a page without a form, in reading order; empty where there is no writing."""
    return list(find_free_writing(page, recognizers).fields)


def find_free_writing(page: Page, recognizers: Recognizers | None = None) -> FreeWriting:
    """Find the numbers on a page without a form, and what may be writing and is in no field.

    With ``recognizers`` the page may lie at any quarter turn: the turn under which the glyphs look most like
    digits is taken, the page's own unless another is clearly better; and print is left out. Light ink on dark paper
    is read as its negative.
    """
    if min(page.grey.shape) < 8:
        return FreeWriting()
    page = replace(page, grey=darken_ink(page.grey))
    sketch = _sketch(page)
    form = _upright_rows(page, sketch, recognizers)
    if form.fields:
        rows, _, left_out = _numbers(form.sketch, list(form.outside), recognizers)
        return FreeWriting(form.fields, _doubt_places(form.sketch, [*(n for row in rows for n in row), *left_out]))
    glyphs = find_glyphs(sketch.grey, sketch.background, sketch.bare)
    turns, upright = _best_turn(sketch, glyphs, recognizers) if recognizers and glyphs else (0, True)
    if turns:
        sketch = _turned(sketch, turns)
        glyphs = find_glyphs(sketch.grey, sketch.background, sketch.bare)
    rows, strange, left_out = _numbers(sketch, glyphs, recognizers)
    rows, apart = _split_at_columns(rows, sketch)
    strange = [*strange, *apart]
    named = [(f"line{r}_{n}", number) for r, row in enumerate(rows, 1) for n, number in enumerate(row, 1)]
    left_out += _overlooked(sketch, glyphs)
    fields = _number_fields(page, sketch, named, strange)
    return FreeWriting(_say_which_way(fields, upright), _doubt_places(sketch, left_out))


def _numbers(
    sketch: _Sketch, glyphs: list[Glyph], recognizers: Recognizers | None
) -> tuple[list[list[Number]], list[Number], list[Number]]:
    """Group glyphs into rows of numbers; return also those that look like no digits, and what is in no row.

    What is no larger than the print around it is print. Of what looks like no digits, on a page without print, digits
    that touch or are joined stay: they are read, and never accepted.
    """
    if not glyphs or recognizers is None:
        return group_numbers(glyphs), [], []
    strangeness = _strangeness(sketch, glyphs, recognizers)
    blobs = [g for g, strange in strangeness.items() if strange > STRANGE and _thickness(g.parts[0]) > _THICK]
    strangeness = {g: strange for g, strange in strangeness.items() if g not in blobs}
    handwriting = without_print(strangeness)
    printed = [g for g in strangeness if g not in set(handwriting)]
    rows = group_numbers(handwriting)
    strange = [n for row in rows for n in row if not looks_written(n, strangeness)]
    left_out = strange if printed else [n for n in strange if not may_be_number(n)]
    kept = [[n for n in row if n not in left_out] for row in rows]
    lines_of_print = [[g for number in row for g in number] for row in group_numbers(printed)]
    doubtful = [*left_out, *lines_of_print, *([blob] for blob in blobs)]
    return [row for row in kept if row], [n for n in strange if n not in left_out], doubtful


def _split_at_columns(rows: list[list[Number]], sketch: _Sketch) -> tuple[list[list[Number]], list[Number]]:
    """Split numbers where an upright rule stands between two glyphs; return the rows, and what a rule stands in.

    Rules nearer to each other than digits need are squares, which numbers cross. Where rules run from rim to rim the
    page may be squared paper with large squares or one large table: numbers stay whole there.
    """
    heights = [glyph.parts[0].height for row in rows for number in row for glyph in number]
    if not heights:
        return rows, []
    usual = float(np.median(heights))
    rules = find_rules(sketch.ink, flat_length=float(max(sketch.ink.shape)), upright_length=_TALL_RULE * usual)
    uprights = sorted((rule for rule in rules if rule.upright), key=lambda rule: rule.offset)
    steps = np.diff([rule.offset for rule in uprights])
    steps = steps[steps > _TABLE_RULE_PX]  # the pieces of one rule lie on one line
    if not uprights or (len(steps) and np.median(steps) < _COLUMN * usual):
        return rows, []
    pieces = [[(number, _split(number, uprights)) for number in row] for row in rows]
    if np.median([rule.length for rule in uprights]) > _RIM_TO_RIM * len(sketch.ink):
        return rows, [number for row in pieces for number, parts in row if len(parts) > 1]
    apart = [piece for row in pieces for _, parts in row if len(parts) > 1 for piece in parts]
    return [[piece for _, parts in row for piece in parts] for row in pieces], apart


def _split(number: Number, uprights: list[Rule]) -> list[Number]:
    parts = [number[:1]]
    for a, b in pairwise(number):
        left, right = ((g.box[0] + g.box[2]) / 2 for g in (a, b))
        y = (a.box[1] + a.box[3] + b.box[1] + b.box[3]) / 4
        if any(rule.start <= y <= rule.end and left < rule.across(y) < right for rule in uprights):
            parts.append([b])
        else:
            parts[-1].append(b)
    return parts


def _overlooked(sketch: _Sketch, glyphs: list[Glyph]) -> list[Number]:
    """Return ink as high and as dark as the page's glyphs that is none of them: ink that was too broad, or joined."""
    if not glyphs:
        return []
    taken = [part for glyph in glyphs for part in glyph.parts]
    usual = float(np.median([part.height for part in taken]))
    rest = _other_ink(sketch.bare, taken)
    long = 2 * max(3, round(usual))
    runs = np.zeros_like(rest)
    for size in ((1, long), (long, 1)):
        np.maximum(
            runs, np.asarray(cv2.morphologyEx(rest, cv2.MORPH_OPEN, np.ones(size, np.uint8)), np.uint8), out=runs
        )
    # pieces of rules join what is written on them
    rest = np.where(np.asarray(cv2.dilate(runs, np.ones((3, 3), np.uint8)), np.uint8) > 0, np.uint8(0), rest)
    others = [
        part
        for part in ink_parts(np.asarray(rest, np.uint8))
        if _AS_HIGH * usual <= part.height < 4 * usual and (_is_inside(part, rest.shape) or _is_thin(part))
    ]
    alike = _like_the_darkest([*taken, *others], sketch.grey, sketch.background) if others else []
    return [[Glyph((part,))] for part in others if part in alike]


def _doubt_places(sketch: _Sketch, left_out: list[Number]) -> tuple[Doubt, ...]:
    """Return the doubt of a page whose ink may be writing, and is in no field."""
    boxes = [bounding_box_px(_box_of(number), sketch.page_from_sketch).rounded() for number in left_out]
    return (Doubt(DoubtKind.WRITING_IN_NO_FIELD, places_px=tuple(boxes)),) if boxes else ()


def _box_of(number: Number) -> Box:
    left, top = (min(g.box[k] for g in number) for k in (0, 1))
    right, bottom = (max(g.box[k] for g in number) for k in (2, 3))
    return Box(left, top, right - left, bottom - top)


def _strangeness(sketch: _Sketch, glyphs: list[Glyph], recognizers: Recognizers) -> Strangeness:
    inks = [_glyph_ink(sketch, glyph) for glyph in glyphs]
    answers = recognizers.classify_digits(normalize_digits(inks))
    return dict(zip(glyphs, answers[:, NOT_A_DIGIT].tolist(), strict=True))


def _upright_rows(page: Page, sketch: _Sketch, recognizers: Recognizers | None) -> _Form:
    """Find the printed rows of cells of a page, turned so that their digits look most like digits."""
    if recognizers is None:
        return _cell_rows(page, sketch)
    found: list[tuple[float, _Form]] = []
    for turns in (0, 2, 1, 3):
        form = _cell_rows(page, _turned(sketch, turns))
        if form.fields:
            found.append((_likeness(form.fields, recognizers) - (_TURN_MARGIN if turns else 0.0), form))
        if turns == 2 and max((likeness for likeness, _ in found), default=0.0) > _SURELY_DIGITS:
            break  # lying on its side, a table's digits are no digits
    if not found:
        return _Form(sketch)
    (best, form), *others = sorted(found, key=lambda one: -one[0])
    upright = best == 0 or all(best - other > _TURN_MARGIN for other, _ in others)
    return replace(form, fields=_say_which_way(form.fields, upright))


def _say_which_way(fields: Sequence[FieldCrop], upright: bool) -> tuple[FieldCrop, ...]:
    """Return the fields, each saying whether it is sure which way up the page lies: 6 and 9 turn into each other."""
    return tuple(fields) if upright else tuple(replace(field, upright=False) for field in fields)


def _cell_rows(page: Page, sketch: _Sketch) -> _Form:
    """Return the fields of a page's printed rows: one of each row that stands alone, one of each cell of a table."""
    found = find_cell_rows(sketch.ink)
    rows = [row for row in found if row.count >= _FEWEST_CELLS]
    if rows and _is_lattice(found, sketch.ink) and (_are_square(rows) or not _hold_writing(rows, sketch)):
        return _Form(sketch)  # squared paper, on which people write anywhere
    stacked = [row for row in rows if any(other is not row and are_stacked([row, other]) for other in rows)]
    alone = [_row_field(page, sketch, row, n) for n, row in enumerate((r for r in rows if r not in stacked), start=1)]
    outside = _outside_of(found, find_glyphs(sketch.grey, sketch.background, sketch.bare)) if rows else []
    return _Form(sketch, (*alone, *_table_fields(page, sketch, stacked)), tuple(outside))


def _outside_of(rows: list[CellRow], glyphs: list[Glyph]) -> list[Glyph]:
    """Return the glyphs whose middles lie in no row of cells."""
    middles = [((g.box[0] + g.box[2]) / 2, (g.box[1] + g.box[3]) / 2) for g in glyphs]
    return [g for g, (x, y) in zip(glyphs, middles, strict=True) if not any(row.holds(x, y) for row in rows)]


def _table_fields(page: Page, sketch: _Sketch, rows: list[CellRow]) -> tuple[FieldCrop, ...]:
    """Return a field for each cell of a table that holds ink, named by its row and column: ``r3c2``."""
    if not rows:
        return ()
    bare = sketch.bare.copy()
    for row in rows:
        ends = np.linspace(0, 1, row.count + 1)[:, None]
        left_top, right_top, right_bottom, left_bottom = row.corners
        tops, bottoms = left_top + ends * (right_top - left_top), left_bottom + ends * (right_bottom - left_bottom)
        rules = [*np.stack([tops, bottoms], axis=1), tops[[0, -1]], bottoms[[0, -1]]]
        cv2.polylines(bare, [np.rint(rule).astype(np.int32) for rule in rules], False, 0, _TABLE_RULE_PX)
    sketch = replace(sketch, bare=bare)
    glyphs = find_glyphs(sketch.grey, sketch.background, sketch.bare)
    cells = _by_cell(rows, glyphs)
    taken = [part for glyph in glyphs for part in glyph.parts]
    least = _PIECE * float(np.median([row.height for row in rows]))
    loose = [p for p in ink_parts(_other_ink(sketch.bare, taken)) if max(p.width, p.height) >= least]
    broken = {
        place: pieces for place, pieces in _by_cell(rows, [Glyph((p,)) for p in loose]).items() if place not in cells
    }
    cells |= broken
    named = [(f"r{r}c{c}", cells[r, c]) for r, c in sorted(cells)]
    return _number_fields(page, sketch, named, list(broken.values()))


def _by_cell(rows: list[CellRow], glyphs: list[Glyph]) -> dict[tuple[int, int], Number]:
    """Return the glyphs of each cell of a table, by its row and column, both counted from 1, from left to right."""
    cells: dict[tuple[int, int], Number] = {}
    for glyph in sorted(glyphs, key=lambda g: g.box[0]):
        x, y = (glyph.box[0] + glyph.box[2]) / 2, (glyph.box[1] + glyph.box[3]) / 2
        for r, row in enumerate(rows, start=1):
            if row.holds(x, y):
                along = (np.array([x, y]) - row.corners[0]) @ (row.corners[1] - row.corners[0]) / row.width**2
                cells.setdefault((r, int(np.clip(along * row.count, 0, row.count - 1)) + 1), []).append(glyph)
    return cells


def _is_lattice(rows: list[CellRow], ink: Mask) -> bool:
    """Tell whether rows of cells lie on each other, or the page is ruled both ways: squared paper, or a table."""
    if are_stacked(rows):
        return True
    rules = _long_rules(ink, share=_LONG_RULE)
    upright = sum(rule.upright for rule in rules)
    return min(upright, len(rules) - upright) >= _FEWEST_RULES


def _are_square(rows: list[CellRow]) -> bool:
    return bool(abs(np.median([row.width / row.count / row.height for row in rows]) - 1) < _SQUARE)


def _hold_writing(rows: list[CellRow], sketch: _Sketch) -> bool:
    """Tell whether cells hold most of a page's writing, or there is none."""
    boxes = [glyph.box for glyph in find_glyphs(sketch.grey, sketch.background, sketch.bare)]
    middles = [((x + x2) / 2, (y + y2) / 2) for x, y, x2, y2 in boxes]
    return 2 * sum(any(row.holds(x, y) for row in rows) for x, y in middles) >= len(boxes)


def _likeness(rows: Sequence[FieldCrop], recognizers: Recognizers) -> float:
    """Return how much the ink in cells looks like digits, from 0 to 1; 0 where all are blank."""
    cells = [
        cell for row in rows for cell in (segment_cells(row, row.spec.cells) if row.spec.cells else segment_field(row))
    ]
    inks = [cell.ink for cell in cells if cell is not None]
    return float(digit_likeness(inks, recognizers).mean()) if inks else 0.0


def digit_likeness(inks: list[NDArray[np.uint8]], recognizers: Recognizers) -> NDArray[np.float32]:
    """Return (N,) the probability of the likeliest digit of each image, white ink on black."""
    answers = recognizers.classify_digits(normalize_digits(inks))
    return np.asarray(answers[:, :NOT_A_DIGIT].max(axis=1), np.float32)


def find_glyphs(grey: Grey, background: Grey, ink: Mask) -> list[Glyph]:
    """Find the ink that may be digits: strokes of like size, pen and darkness, away from the image's rim.

    ``ink`` has no rules.
    """
    parts = [p for p in ink_parts(ink) if max(p.width, p.height) >= 3]
    smallest = max(6.0, _SMALLEST_SHARE * max(ink.shape))
    bodies = [p for p in parts if p.height >= smallest and _is_written(p, ink.shape)]
    bodies = _like_the_darkest(bodies, grey, background)
    if not bodies:
        return []
    usual = digit_height(bodies)
    tall = [p for p in bodies if p.height >= _LOW_SHARE * usual]
    low = [p for p in parts if p.height < _LOW_SHARE * usual and p.height >= 0.05 * usual]
    return [Glyph((p, *(m for m in low if _belongs(m, p)))) for p in tall]


def _sketch(page: Page) -> _Sketch:
    scale = min(1.0, WORKING_PX / max(page.grey.shape))
    size = (max(1, round(page.grey.shape[1] * scale)), max(1, round(page.grey.shape[0] * scale)))
    grey = np.asarray(cv2.resize(page.grey, size, interpolation=cv2.INTER_AREA), np.uint8)
    background = estimate_background(grey)
    ink = ink_mask(divide_by_background(grey, background))
    smallest, hidden = _SMALLEST_SHARE * max(ink.shape), round(_WIDEST_HIDDEN * max(ink.shape))
    bilevel = np.isin(page.grey[::7, ::7], (0, 255)).mean() > _BILEVEL_SHARE
    rules = _long_rules(ink, share=_LONG_RULE) if bilevel else []
    squared = min(sum(rule.upright for rule in rules), sum(not rule.upright for rule in rules)) >= _FEWEST_RULES
    bare = _without_rules(grey, ink, _NARROWEST_HIDDEN_PX if squared else hidden)
    bare = take_out_underlines(bare, smallest=smallest, hidden=hidden)
    return _Sketch(
        grey, background, ink, take_out_rings(bare, smallest=smallest), np.diag([1 / scale, 1 / scale, 1.0]), squared
    )


def _turned(sketch: _Sketch, turns: int) -> _Sketch:
    """Turn a sketch counter-clockwise by quarter turns."""
    height, width = sketch.ink.shape
    back = {
        0: [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
        1: [[0, -1, width - 1], [1, 0, 0], [0, 0, 1]],
        2: [[-1, 0, width - 1], [0, -1, height - 1], [0, 0, 1]],
        3: [[0, 1, 0], [-1, 0, height - 1], [0, 0, 1]],
    }[turns]
    grey, background, ink, bare = (
        np.ascontiguousarray(np.rot90(a, turns)) for a in (sketch.grey, sketch.background, sketch.ink, sketch.bare)
    )
    turned = sketch.page_from_sketch @ np.array(back, np.float64)
    return _Sketch(grey, background, ink, bare, turned, sketch.hides_strokes)


def _best_turn(sketch: _Sketch, glyphs: list[Glyph], recognizers: Recognizers) -> tuple[int, bool]:
    """Return how many quarter turns counter-clockwise make glyphs look most like digits, and whether that is sure."""
    largest = sorted(glyphs, key=lambda g: -g.parts[0].height)[:_GLYPHS_FOR_TURN]
    inks = [_glyph_ink(sketch, glyph) for glyph in largest]
    turned = [np.ascontiguousarray(np.rot90(ink, turns)) for turns in range(4) for ink in inks]
    scores = digit_likeness(turned, recognizers).reshape(4, -1).mean(axis=1)
    best = int(np.argmax(scores))
    turns = best if scores[best] > scores[0] + _TURN_MARGIN else 0
    return turns, bool(scores[turns] - np.delete(scores, turns).max() > _TURN_MARGIN)


def _glyph_ink(sketch: _Sketch, glyph: Glyph) -> NDArray[np.uint8]:
    """Return a glyph as white ink on black."""
    left, top, right, bottom = (int(v) for v in glyph.box)
    window = np.zeros((bottom - top, right - left), np.uint8)
    for part in glyph.parts:
        rows, columns = _place(part, left, top)
        window[rows, columns] |= part.mask
    flat = divide_by_background(sketch.grey[top:bottom, left:right], sketch.background[top:bottom, left:right])
    return np.asarray((255 - flat) * window, np.uint8)


def _place(part: InkPart, left: int, top: int) -> tuple[slice, slice]:
    y, x = part.y - top, part.x - left
    return slice(y, y + part.height), slice(x, x + part.width)


def _without_rules(grey: Grey, ink: Mask, hidden: int) -> Mask:
    """Take the lines of ruled and squared paper out of the ink; they hide bottoms of ``hidden`` pixels at most."""
    height, width = ink.shape
    _, _, stats, _ = cv2.connectedComponentsWithStats(ink, connectivity=8)
    wide = stats[1:, cv2.CC_STAT_WIDTH] > _LONG_RULE * width
    high = stats[1:, cv2.CC_STAT_HEIGHT] > _LONG_RULE * height
    if not (wide | high).any():
        return ink
    rules = _long_rules(ink, share=_LONG_RULE)
    ink = remove_rules(grey, ink, rules, longest_hidden=hidden)[1]
    if len(rules) >= _FEWEST_RULES:  # ruled paper: the remains of its rules are shorter
        ink = remove_rules(grey, ink, _long_rules(ink, share=_LONG_RULE / 3), longest_hidden=hidden)[1]
    return ink


def _long_rules(ink: Mask, *, share: float) -> list[Rule]:
    """Return the rules that run along such a share of the page."""
    height, width = ink.shape
    return find_rules(ink, flat_length=share * width, upright_length=share * height)


def _is_written(part: InkPart, shape: tuple[int, ...]) -> bool:
    """Tell strokes from blobs, from ink that reaches over the rim of the image, and from ink that is far too wide."""
    if max(shape) > 300 and not _is_inside(part, shape):
        return False
    if part.width > 4 * part.height:
        return False
    return _thickness(part) < _BLOB


def _is_inside(part: InkPart, shape: tuple[int, ...]) -> bool:
    """Tell whether a part keeps away from the image's rim, which shadows, tables and hands reach over."""
    height, width = shape
    return part.x > 1 and part.y > 1 and part.right < width - 1 and part.y + part.height < height - 1


def _is_thin(part: InkPart) -> bool:
    """Tell strokes, as of a number that a rule joins to the rim, from a shadow."""
    return 2 * float(cv2.distanceTransform(np.pad(part.mask, 1), cv2.DIST_L2, 3).max()) < _THIN * part.height


def _thickness(part: InkPart) -> float:
    """Return the width of a part's thickest place as a share of its narrower side; 0 for a plain stroke like a 1."""
    narrow, long = sorted((part.width, part.height))
    if narrow < 0.4 * long:
        return 0.0
    return 2 * float(cv2.distanceTransform(np.pad(part.mask, 1), cv2.DIST_L2, 3).max()) / narrow


def _like_the_darkest(parts: list[InkPart], grey: Grey, background: Grey) -> list[InkPart]:
    """Leave out parts that are much fainter than most."""
    if not parts:
        return []
    contrast = []
    for p in parts:
        rows, columns = _place(p, 0, 0)
        inside = p.mask > 0
        paper = background[rows, columns][inside].astype(np.float32)
        contrast.append(float(np.mean(1 - grey[rows, columns][inside] / np.maximum(paper, 1))))
    weights = np.array([p.height * p.mask.sum() ** 0.5 for p in parts])
    order = np.argsort(contrast)
    total = np.cumsum(weights[order])
    usual = contrast[int(order[np.searchsorted(total, 0.6 * total[-1])])]
    return [p for p, c in zip(parts, contrast, strict=True) if c >= _FAINT_SHARE * usual]


def _belongs(mark: InkPart, body: InkPart) -> bool:
    """Tell a detached stroke of a digit (the flag of a 5, the bar of a 7) from a point or comma."""
    shared = min(mark.right, body.right) - max(mark.x, body.x)
    gap = max(mark.y - body.y - body.height, body.y - mark.y - mark.height)
    low = mark.y > body.y + 0.75 * body.height
    return shared > 0.6 * mark.width and gap < 0.25 * body.height and not low


def _number_fields(
    page: Page, sketch: _Sketch, named: Sequence[tuple[str, Number]], strange: Sequence[Number]
) -> tuple[FieldCrop, ...]:
    """Cut numbers out of the page; what touches or continues one comes with it, and is said to be left over.

    Ink beside a number that reaches the image's rim may be its next digit, cut off there.
    """
    taken = [part for _, number in named for glyph in number for part in glyph.parts]
    loose = [part for part in ink_parts(_other_ink(sketch.bare, taken)) if part.width >= 3 or part.height >= 3]
    fields = []
    for name, number in named:
        beside = [part for part in loose if _lies_beside(part, number)]
        others = [n for _, n in named if n is not number]
        height = _box_of(number).h
        whole = all(part.height < _DIGIT_LIKE * height and _is_inside(part, sketch.bare.shape) for part in beside)
        whole &= (
            not sketch.hides_strokes
            and number not in strange
            and not any(_continues(other, number) for other in others)
        )
        small = [part for part in beside if max(part.width, part.height) < 2 * height]
        crop = _number_field(page, sketch, number, name, small if (sketch.ink == sketch.bare).all() else [])
        fields.append(crop if whole else replace(crop, complete=False))
    return tuple(fields)


def _lies_beside(part: InkPart, number: Number) -> bool:
    """Tell whether ink of no number lies within a number, or right before or behind it on its line."""
    x, y, w, h = _box_of(number)
    level = part.y + part.height / 2
    near = part.x < x + w + _BESIDE * h and part.right > x - _BESIDE * h
    shared = min(y + h, part.y + part.height) - max(y, part.y)
    beside = max(part.width, part.height) >= 0.08 * h and (y - 0.1 * h < level < y + 1.2 * h or shared > 0.5 * h)
    return near and beside and _has_ink_near(part, _box_of(number))


def _has_ink_near(part: InkPart, box: Box) -> bool:
    """Tell whether a part has ink close to a box: the edge of a sheet runs around all, and is far from most of it."""
    left, right = box.x - _BESIDE * box.h - part.x, box.x + box.w + _BESIDE * box.h - part.x
    top, bottom = box.y - 0.1 * box.h - part.y, box.y + 1.2 * box.h - part.y
    rows, columns = slice(max(0, int(top)), max(0, int(bottom) + 1)), slice(max(0, int(left)), max(0, int(right) + 1))
    return bool(part.mask[rows, columns].any())


def _continues(other: Number, number: Number) -> bool:
    """Tell whether another number stands so close on the same line that both may be one."""
    x, y, w, h = _box_of(number)
    x2, y2, w2, h2 = _box_of(other)
    shared = min(y + h, y2 + h2) - max(y, y2)
    return shared > 0.5 * min(h, h2) and max(x2 - x - w, x - x2 - w2) < _CONTINUES * min(h, h2)


def _number_field(page: Page, sketch: _Sketch, number: Number, name: str, beside: Sequence[InkPart]) -> FieldCrop:
    """Cut one number with the ink beside it out of the page, upright, on white paper, all other ink painted over."""
    parts = [*(p for g in number for p in g.parts), *beside]
    along, down = _directions(number)
    points = np.concatenate([np.argwhere(p.mask)[:, ::-1] + (p.x, p.y) for p in parts]).astype(np.float64)
    corner = np.array([(points @ along).min(), (points @ down).min()])
    extent = np.array([(points @ along).max(), (points @ down).max()]) - corner + 1
    page_scale = float(np.abs(sketch.page_from_sketch[:2, :2]).max())
    scale = float(np.clip(TALLEST_DIGIT_PX / extent[1], 1.0, page_scale))
    margin = _MARGIN_SHARE * extent[1]
    size = tuple(int(v) for v in np.ceil((extent + 2 * margin) * scale))
    origin = np.column_stack([along, down]) @ (corner - margin)
    sketch_from_crop = np.eye(3)
    sketch_from_crop[:2] = np.column_stack([along / scale, down / scale, origin])
    page_from_crop = sketch.page_from_sketch @ sketch_from_crop
    background = _warped(sketch.background, sketch_from_crop, size)
    source = (page.grey, page_from_crop) if scale > 1 else (sketch.grey, sketch_from_crop)
    flat = divide_by_background(_warped(*source, size), background)
    others = _warped(_other_ink(sketch.ink, parts), sketch_from_crop, size)
    grey = np.where(cv2.dilate(others, np.ones((5, 5), np.uint8)) > 0, np.uint8(255), flat)
    freeze(grey)
    box = Box(margin * scale, margin * scale, extent[0] * scale, extent[1] * scale)
    box_px = bounding_box_px(box, page_from_crop)
    return FieldCrop(_spec(page, name, box_px), grey, box_px, page_from_crop)


def _directions(number: Number) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return unit vectors along a number and down its digits; two digits count as tilted if steep."""
    boxes = np.array([g.box for g in number])
    x, y = (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2
    slope = float(np.polyfit(x, y, 1)[0]) if np.ptp(x) > 1 else 0.0
    angle = np.arctan(slope) if abs(slope) > (0.03 if len(number) > 2 else 0.35) else 0.0
    return np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])


def _other_ink(ink: Mask, own: list[InkPart]) -> Mask:
    """Return the ink that is not of these parts."""
    others = ink.copy()
    for part in own:
        others[_place(part, 0, 0)] &= 1 - part.mask
    return others


def _warped(image: Grey, image_from_crop: NDArray[np.float64], size: tuple[int, ...]) -> Grey:
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpPerspective(image, image_from_crop, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(warped, np.uint8)


def _row_field(page: Page, sketch: _Sketch, row: CellRow, number: int) -> FieldCrop:
    """Cut a printed row of cells out of the page, upright."""
    corners = cv2.perspectiveTransform(row.corners[None], sketch.page_from_sketch)[0]
    low, high = corners.min(axis=0), corners.max(axis=0)
    box_px = Box(float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1]))
    spec = _spec(page, f"line{number}_1", box_px).model_copy(update={"layout": "cells", "cells": row.count})
    whole = FieldCrop(spec, page.grey, box_px, np.eye(3))
    return straighten_row(whole, CellRow(np.asarray(corners, np.float64), row.count))


def _spec(page: Page, name: str, box_px: Box) -> FieldSpec:
    """Describe a found field; millimetres by the page's resolution, 300 dpi where it has none."""
    mm = 25.4 / (page.dpi or 300.0)
    x, y, w, h = (float(np.clip(v * mm, 0, 5000)) for v in box_px)
    return FieldSpec(name=name, box_mm=(x, y, max(w, 0.1), max(h, 0.1)))
