"""Find the numbers on a page without a form by their ink, in reading order, whichever way the page lies.

Fields are named ``line<row>_<number>``, both counted from 1. A page that shows printed rows of cells counts as a form,
and only its rows are fields. Everything else is free writing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.digits.normalization import normalize_digits
from worker.doubts import Doubt, DoubtKind
from worker.fields.cutting.segmentation import InkPart, ink_parts
from worker.fields.free_pages.crops import cut_numbers
from worker.fields.free_pages.glyphs import (
    THICK,
    find_glyphs,
    glyph_ink,
    is_inside,
    is_thin,
    like_the_darkest,
    other_ink,
    thickness,
)
from worker.fields.free_pages.sketch import (
    SMALLEST_SHARE,
    Sketch,
    ink_in_the_dark,
    ink_in_the_glare,
    sketch_page,
    turn_sketch,
)
from worker.fields.free_pages.tables import TABLE_RULE_PX, Form, find_printed_rows, paint_out_rows, say_which_way
from worker.fields.free_pages.turning import NUMBERS_READ, Turn, choose_turn, digit_likeness
from worker.fields.free_pages.wholeness import box_of, ends_of_lines
from worker.fields.locating.extraction import bounding_box_px
from worker.fields.locating.handwriting import STRANGE, Strangeness, looks_written, may_be_number, without_print
from worker.fields.locating.number_lines import Glyph, Number, group_numbers
from worker.imaging.line_removal import Rule, find_rules
from worker.imaging.pieces import find_pieces
from worker.imaging.polarity import darken_ink
from worker.values import NOT_A_DIGIT, FieldCrop, Page, Recognizers

_AS_HIGH = 0.6
"""Ink in no number that has this share of the glyphs' usual height is named in the page's doubt."""

_NEAR_PIECES = 0.15
"""Pieces of ink that are no further apart, in heights of the glyphs, may be one digit."""

_DRAWING = 12
"""Ink so many times as high as the glyphs is a drawing or a shadow; rings that touch each other are lower."""

_PIECE, _STRUCK, _TALL_LINE = 0.15, 1.6, 1.5
"""In heights of the glyphs: least height of half a digit that a line cuts, largest one of a number that is struck out,
and of a line that may be a 1."""

_TALL_RULE, _COLUMN = 2.0, 1.5
"""Least length of a rule between columns, and their least width, in heights of the page's digits."""

_RIM_TO_RIM = 0.95
"""Share of the page's height along which rules of squared paper run."""

_GLYPHS_FOR_TURN = 48

_LIKER_ACROSS = 0.05
"""How much more glyphs look like digits at right angles to a table's rows where both ways are read."""

_LIKE_DIGITS, _FEWEST_LOWER = 0.8, 3
"""Ink much lower than the page's glyphs is writing, too, where this share of it and so many pieces look like digits.

Beside a logo, a picture or large writing it was from 0.9 on, of print beside large digits 0 to 0.6.
"""

_TOWERING = 2.5
"""A number so many times as high as the page's digits may be a drawing: a ring is like a 0, a brace like a 1."""


@dataclass(frozen=True, slots=True, eq=False)
class FreeWriting:
    """What is written on a page without a form: its fields in reading order, and doubts of the page itself."""

    fields: tuple[FieldCrop, ...] = ()
    doubts: tuple[Doubt, ...] = ()


def find_free_writing(page: Page, recognizers: Recognizers | None = None) -> FreeWriting:
    """Find the numbers on a page without a form, and what may be writing and is in no field.

    With ``recognizers`` the page may lie at any quarter turn: the turn under which its numbers read best is taken; and
    print is left out. Light ink on dark paper is read as its negative.
    """
    if min(page.grey.shape) < 8:
        return FreeWriting()
    page = replace(page, grey=darken_ink(page.grey))
    sketch = sketch_page(page)
    form = find_printed_rows(page, sketch, recognizers)
    glyphs = find_glyphs(sketch.grey, sketch.background, sketch.bare)
    if form.fields and not (recognizers and glyphs and _lies_across(page, sketch, form, glyphs, recognizers)):
        outside = replace(form.sketch, bare=paint_out_rows(form.sketch.bare, form.rows))
        glyphs = find_glyphs(outside.grey, outside.background, outside.bare)
        found = _group_glyphs(outside, glyphs, recognizers)
        beside = [*(n for row in found.rows for n in row), *found.left_out, *form.no_fields]
        beside += _overlooked(outside, glyphs) + _in_the_dark(outside) + _in_the_glare(outside, glyphs)
        return FreeWriting(form.fields, _doubt_places(outside, beside))
    glyphs = _with_lower_ones(sketch, glyphs, recognizers)
    turn = _find_turn(page, sketch, glyphs, recognizers) if recognizers and glyphs else Turn()
    if turn.quarters:
        sketch = turn_sketch(sketch, turn.quarters)
        glyphs = find_glyphs(sketch.grey, sketch.background, sketch.bare)
        glyphs = _with_lower_ones(sketch, glyphs, recognizers)
    found = _group_glyphs(sketch, glyphs, recognizers)
    rows, apart = _split_at_columns(found.rows, sketch)
    named = [(f"line{r}_{n}", number) for r, row in enumerate(rows, 1) for n, number in enumerate(row, 1)]
    lost = _overlooked(sketch, glyphs) + _rings_around_nothing(sketch, glyphs) + _upright_lines(sketch, glyphs)
    left_out = found.left_out + lost + _in_the_glare(sketch, glyphs)
    gone = np.asarray(sketch.ink & (1 - sketch.bare) & (1 - sketch.rings), np.uint8)
    doubtful = found.strange + apart + _towering(rows) + ends_of_lines([number for _, number in named], gone)
    fields = cut_numbers(page, sketch, named, doubtful, left_out=left_out)
    return FreeWriting(say_which_way(fields, turn.is_sure), _doubt_places(sketch, left_out + _in_the_dark(sketch)))


def _with_lower_ones(sketch: Sketch, glyphs: list[Glyph], recognizers: Recognizers | None) -> list[Glyph]:
    """Return the glyphs, and the digits over which they tower: a picture or large writing told how high glyphs are."""
    if not glyphs or recognizers is None:
        return glyphs
    rest = other_ink(sketch.bare, [part for glyph in glyphs for part in glyph.parts])
    least, smallest = min(glyph.parts[0].height for glyph in glyphs), SMALLEST_SHARE * max(rest.shape)
    if cv2.countNonZero(rest) < _FEWEST_LOWER * smallest:
        return glyphs
    heights = find_pieces(rest).stats[1:, cv2.CC_STAT_HEIGHT]
    if ((heights >= smallest) & (heights < least)).sum() < _FEWEST_LOWER:
        return glyphs
    lower = find_glyphs(sketch.grey, sketch.background, rest, below=least)
    digits = sum(strange < STRANGE for strange in _strangeness(sketch, lower, recognizers).values()) if lower else 0
    return [*glyphs, *lower] if digits >= max(_FEWEST_LOWER, _LIKE_DIGITS * len(lower)) else glyphs


def _in_the_dark(sketch: Sketch) -> list[Number]:
    return [[Glyph((part,))] for part in ink_in_the_dark(sketch)]


def _in_the_glare(sketch: Sketch, glyphs: list[Glyph]) -> list[Number]:
    bleached = ink_in_the_glare(sketch)
    if not bleached:
        return []
    rest = other_ink(np.ones_like(sketch.ink), [part for glyph in glyphs for part in glyph.parts])
    return [[Glyph((part,))] for part in bleached if rest[part.place][part.mask > 0].all()]


class _Grouped(NamedTuple):
    """The glyphs of a page as ``rows`` of numbers; ``strange`` ones look like no digits, ``left_out`` is in no row."""

    rows: list[list[Number]]
    strange: list[Number]
    left_out: list[Number]


def _group_glyphs(sketch: Sketch, glyphs: list[Glyph], recognizers: Recognizers | None) -> _Grouped:
    """Group glyphs into rows of numbers, without print.

    What is no larger than the print around it is print. Of what looks like no digits, on a page without print, digits
    that touch or are joined stay: they are read, and never accepted.
    """
    if not glyphs or recognizers is None:
        return _Grouped(group_numbers(glyphs), [], [])
    strangeness = _strangeness(sketch, glyphs, recognizers)
    blobs = [g for g, strange in strangeness.items() if strange > STRANGE and thickness(g.parts[0]) > THICK]
    strangeness = {g: strange for g, strange in strangeness.items() if g not in blobs}
    handwriting = without_print(strangeness)
    printed = [g for g in strangeness if g not in set(handwriting)]
    rows = group_numbers(handwriting)
    strange = [n for row in rows for n in row if not looks_written(n, strangeness)]
    left_out = strange if printed else [n for n in strange if not may_be_number(n)]
    kept = [[n for n in row if n not in left_out] for row in rows]
    lines_of_print = [[g for number in row for g in number] for row in group_numbers(printed)]
    doubtful = [*left_out, *lines_of_print, *([blob] for blob in blobs)]
    return _Grouped([row for row in kept if row], [n for n in strange if n not in left_out], doubtful)


def _towering(rows: list[list[Number]]) -> list[Number]:
    numbers = [number for row in rows for number in row]
    if not numbers:
        return []
    usual = float(np.median([glyph.extent.height for number in numbers for glyph in number]))
    return [number for number in numbers if max(glyph.extent.height for glyph in number) > _TOWERING * usual]


def _split_at_columns(rows: list[list[Number]], sketch: Sketch) -> tuple[list[list[Number]], list[Number]]:
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
    steps = steps[steps > TABLE_RULE_PX]  # the pieces of one rule lie on one line
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
        (left, left_y), (right, right_y) = a.extent.middle, b.extent.middle
        y = (left_y + right_y) / 2
        if any(rule.start <= y <= rule.end and left < rule.across(y) < right for rule in uprights):
            parts.append([b])
        else:
            parts[-1].append(b)
    return parts


def _overlooked(sketch: Sketch, glyphs: list[Glyph]) -> list[Number]:
    """Return ink as high and as dark as the page's glyphs that is none of them: ink that was too broad, or joined."""
    if not glyphs:
        return []
    taken = [part for glyph in glyphs for part in glyph.parts]
    usual = float(np.median([part.height for part in taken]))
    rest = other_ink(sketch.bare, taken)
    long = 2 * max(3, round(usual))
    runs = np.zeros_like(rest)
    for size in ((1, long), (long, 1)):
        np.maximum(
            runs, np.asarray(cv2.morphologyEx(rest, cv2.MORPH_OPEN, np.ones(size, np.uint8)), np.uint8), out=runs
        )
    # pieces of rules join what is written on them
    rest = np.where(np.asarray(cv2.dilate(runs, np.ones((3, 3), np.uint8)), np.uint8) > 0, np.uint8(0), rest)
    together = round(_NEAR_PIECES * usual) | 1  # a digit in pieces is one again
    square = np.ones((together, together), np.uint8)
    rest = np.asarray(cv2.morphologyEx(np.asarray(rest, np.uint8), cv2.MORPH_CLOSE, square), np.uint8)
    pieces = ink_parts(rest)
    others = [
        part
        for part in [*pieces, *_struck(sketch, taken, pieces, usual)]
        if _AS_HIGH * usual <= part.height < _DRAWING * usual and (is_inside(part, rest.shape) or is_thin(part))
    ]
    alike = like_the_darkest([*taken, *others], sketch.grey, sketch.background) if others else []
    return [[Glyph((part,))] for part in others if part in alike]


def _struck(sketch: Sketch, taken: list[InkPart], pieces: list[InkPart], usual: float) -> list[InkPart]:
    """Return wide ink whose digits a line through them cuts into ``pieces`` that are too low to be told as digits."""
    low = [part for part in pieces if _PIECE * usual <= part.height < _AS_HIGH * usual]
    wide = [p for p in ink_parts(other_ink(sketch.bare, taken)) if p.width > p.height and p.height < _STRUCK * usual]
    return [part for part in wide if _is_cut_through(part, low, usual)]


def _is_cut_through(part: InkPart, pieces: list[InkPart], usual: float) -> bool:
    """Tell whether pieces of a part lie above and below each other, as halves of digits do."""
    within = (p for p in pieces if part.x <= p.x and p.right <= part.right)
    own = [p for p in within if part.y <= p.y and p.bottom <= part.bottom]
    return bool(own) and max(p.bottom for p in own) - min(p.y for p in own) >= _AS_HIGH * usual


def _upright_lines(sketch: Sketch, glyphs: list[Glyph]) -> list[Number]:
    """Return lines as high as the glyphs that were taken out as underlines: on a page on its side, a 1 on its foot."""
    heights = [glyph.parts[0].height for glyph in glyphs]
    if not heights:
        return []
    usual = float(np.median(heights))
    lines = ink_parts(sketch.underlines)
    return [[Glyph((p,))] for p in lines if _AS_HIGH * usual <= p.height < _TALL_LINE * usual and p.width < p.height]


def _rings_around_nothing(sketch: Sketch, glyphs: list[Glyph]) -> list[Number]:
    """Return what was taken out as rings and stands around no glyph: joined digits can be as round as a ring."""
    around = np.asarray(cv2.dilate(sketch.rings, np.ones((3, 3), np.uint8)), np.uint8)
    middles = [glyph.extent.middle for glyph in glyphs]
    return [
        [Glyph((ring,))]
        for ring in ink_parts(around)
        if not any(ring.x < x < ring.right and ring.y < y < ring.bottom for x, y in middles)
    ]


def _doubt_places(sketch: Sketch, left_out: list[Number]) -> tuple[Doubt, ...]:
    """Return the doubt of a page whose ink may be writing, and is in no field."""
    boxes = [bounding_box_px(box_of(number), sketch.page_from_sketch).rounded() for number in left_out]
    return (Doubt(DoubtKind.WRITING_IN_NO_FIELD, places_px=tuple(boxes)),) if boxes else ()


def _strangeness(sketch: Sketch, glyphs: list[Glyph], recognizers: Recognizers) -> Strangeness:
    inks = [glyph_ink(sketch, glyph) for glyph in glyphs]
    answers = recognizers.classify_digits(normalize_digits(inks))
    return dict(zip(glyphs, answers[:, NOT_A_DIGIT].tolist(), strict=True))


def _lies_across(page: Page, sketch: Sketch, form: Form, glyphs: list[Glyph], recognizers: Recognizers) -> bool:
    """Tell whether a table's numbers surely read at right angles to its rows: its columns were taken for rows.

    Cells much wider than high are no row of cells, but on its side their column is one.
    """
    side = int(form.sketch.page_from_sketch[0, 0] == 0)
    likeness = _turned_likeness(sketch, glyphs, recognizers)
    if likeness[1 - side :: 2].max() < likeness[side::2].max() + _LIKER_ACROSS:
        return False
    turn = _find_turn(page, sketch, glyphs, recognizers)
    return turn.is_sure and turn.quarters % 2 != side


def _find_turn(page: Page, sketch: Sketch, glyphs: list[Glyph], recognizers: Recognizers) -> Turn:
    likeness = _turned_likeness(sketch, glyphs, recognizers)
    return choose_turn(likeness, lambda turns: _cut_turned(page, sketch, turns), recognizers)


def _turned_likeness(sketch: Sketch, glyphs: list[Glyph], recognizers: Recognizers) -> NDArray[np.float64]:
    """Return (4,) how much a page's largest glyphs look like digits after so many quarter turns."""
    largest = sorted(glyphs, key=lambda g: -g.parts[0].height)[:_GLYPHS_FOR_TURN]
    inks = [glyph_ink(sketch, glyph) for glyph in largest]
    turned = [np.ascontiguousarray(np.rot90(ink, turns)) for turns in range(4) for ink in inks]
    return np.asarray(digit_likeness(turned, recognizers).reshape(4, -1).mean(axis=1), np.float64)


def _cut_turned(page: Page, sketch: Sketch, turns: int) -> tuple[FieldCrop, ...]:
    """Cut the numbers out of a page that is turned by quarters counter-clockwise."""
    sketch = turn_sketch(sketch, turns)
    rows = group_numbers(find_glyphs(sketch.grey, sketch.background, sketch.bare))
    longest = sorted((number for row in rows for number in row), key=lambda number: -len(number))[:NUMBERS_READ]
    return cut_numbers(page, sketch, [(f"n{k}", number) for k, number in enumerate(longest)], [])
