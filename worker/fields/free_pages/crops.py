"""Cut numbers out of a page without a form, each with what may belong to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from schemas.form_template import FieldSpec
from worker.fields.cutting.segmentation import InkPart, ink_parts
from worker.fields.free_pages.glyphs import as_dark_as, other_ink
from worker.fields.free_pages.sketch import Sketch
from worker.fields.free_pages.wholeness import (
    Surroundings,
    box_of,
    crosses_a_column,
    find_pieces_of_digits,
    lies_beside,
    may_be_part,
    may_be_two,
    usual_gaps,
)
from worker.fields.locating.extraction import bounding_box_px
from worker.fields.locating.joined_ink import is_ring_with_ink
from worker.fields.locating.number_lines import Number
from worker.imaging.binarization import Mask, divide_by_background
from worker.imaging.pieces import find_pieces
from worker.values import Box, FieldCrop, Grey, Page, freeze

TALLEST_DIGIT_PX = 160
"""Crops are reduced so that digits have at most this height; no reader looks closer."""

_MARGIN_SHARE = 0.35

_SHARED = 0.3
"""Of the narrower one's width: two digits of a number that climbs lie less over each other."""

_LONG_RULE = 5.0
"""Ink like a pen's along a rule is the rule's own from this length on, in heights of digits: it was printed as dark."""

_POINT = 0.07
"""Least thickness of a point on a rule, in heights of digits; remains of rules are thinner."""


def cut_numbers(
    page: Page,
    sketch: Sketch,
    named: Sequence[tuple[str, Number]],
    strange: Sequence[Number],
    outside: Sequence[Number] | None = None,
    left_out: Sequence[Number] = (),
) -> tuple[FieldCrop, ...]:
    """Cut numbers out of the page; what touches or continues one comes with it, and is said to be left over.

    What is ``strange`` looks like no digits. With ``outside`` the numbers stand in the cells of a table, whose rules
    part them, and those of ``outside`` around it. What was ``left_out`` is in no field, and may be more of a number.
    """
    numbers = [number for _, number in named]
    sketch = replace(sketch, covered=_strokes_on_rules(sketch.covered, numbers))
    taken = [part for number in (*numbers, *(outside or ())) for glyph in number for part in glyph.parts]
    loose = [part for part in ink_parts(other_ink(sketch.bare, taken)) if part.width >= 3 or part.height >= 3]
    marks = _marks(sketch, taken, loose)
    on_rules = _points_on_rules(sketch, taken)
    lines = [*_underlines(sketch, numbers), *(part for part in loose if part.width > 3 * part.height)]
    usual, wide = usual_gaps(numbers)
    rings = np.asarray(cv2.dilate(sketch.rings, np.ones((3, 3), np.uint8)), np.uint8)
    doubtful = [*strange, *find_pieces_of_digits(numbers), *_ringed_together(rings, numbers)]
    doubtful += [number for number in numbers if _is_ringed(number) or _touches_ring(rings, number)]
    fields = []
    for name, number in named:
        neighbours = [other for other in numbers if other is not number]
        others, over_a_rule = ([*neighbours, *left_out], []) if outside is None else (outside, neighbours)
        around = Surroundings(
            others,
            over_a_rule,
            loose,
            marks,
            on_rules,
            lines,
            sketch.covered,
            sketch.dark,
            usual,
            wide,
            sketch.bare.shape,
        )
        is_part = sketch.hides_strokes or number in doubtful or may_be_part(number, around)
        crop = _number_field(page, sketch, number, name, _small_beside(marks, number))
        is_single = outside is not None or not (may_be_two(number, usual) or crosses_a_column(number, neighbours))
        fields.append(replace(crop, complete=not is_part, single=is_single))
    return tuple(fields)


def _ringed_together(rings: Mask, numbers: Sequence[Number]) -> list[Number]:
    """Return the numbers that stand in one ring with another: a ring is drawn around one number."""
    middles = [(box.x + box.w / 2, box.y + box.h / 2) for box in map(box_of, numbers)]
    found: list[Number] = []
    for ring in ink_parts(rings):
        held = [
            number
            for number, (x, y) in zip(numbers, middles, strict=True)
            if ring.x < x < ring.right and ring.y < y < ring.bottom
        ]
        found += held if len(held) > 1 else []
    return found


def _touches_ring(rings: Mask, number: Number) -> bool:
    """Tell whether a digit touches what was taken out as ``rings``: some of its ink may have gone with it."""
    return any((rings[part.place] & part.mask).any() for glyph in number for part in glyph.parts)


def _is_ringed(number: Number) -> bool:
    return any(is_ring_with_ink(part.mask) for glyph in number for part in glyph.parts)


def _underlines(sketch: Sketch, numbers: Sequence[Number]) -> list[InkPart]:
    """Return the lines under numbers, each whole again where digits had crossed it."""
    if not numbers:
        return []
    reach = max(3, round(float(np.median([box_of(number).h for number in numbers])))) | 1
    thick = cv2.dilate(sketch.underlines, np.ones((3, 1), np.uint8))
    return ink_parts(np.asarray(cv2.morphologyEx(thick, cv2.MORPH_CLOSE, np.ones((1, reach), np.uint8)), np.uint8))


def _marks(sketch: Sketch, taken: Sequence[InkPart], loose: Sequence[InkPart]) -> list[InkPart]:
    """Return the ink of no number that may be marks: where a page has rules, no remains of these.

    Remains touch what was taken out and are thin, or are much paler than the pen.
    """
    gone = np.asarray(sketch.ink & (1 - sketch.bare), np.uint8)
    if not gone.any():
        return list(loose)
    near = np.asarray(cv2.dilate(gone, np.ones((3, 3), np.uint8)), np.uint8)
    thick = _POINT * float(np.median([part.height for part in taken])) if taken else np.inf

    def stands_apart(part: InkPart) -> bool:
        return min(part.width, part.height) >= thick or not (near[part.place] & part.mask).any()

    apart = [part for part in loose if stands_apart(part)]
    return as_dark_as(taken, apart, sketch.grey, sketch.background)


def _strokes_on_rules(covered: Mask, numbers: Sequence[Number]) -> Mask:
    """Return the pen's ink that went with rules, without rules that are as dark as the pen along their whole course."""
    if not numbers or not covered.any():
        return covered
    usual = float(np.median([box_of(number).h for number in numbers]))
    labels, stats, _ = find_pieces(covered)
    is_short = stats[:, 2:4].max(axis=1) < _LONG_RULE * usual
    is_short[0] = False
    return np.asarray(is_short[labels], np.uint8)


def _points_on_rules(sketch: Sketch, taken: Sequence[InkPart]) -> list[InkPart]:
    """Return the thick pieces of what went with rules and touch no stroke: points are written on the line."""
    if not taken or not sketch.covered.any():
        return []
    thick = _POINT * float(np.median([part.height for part in taken]))
    strokes = np.asarray(cv2.dilate(sketch.bare, np.ones((3, 3), np.uint8)), np.uint8)
    pieces = [part for part in ink_parts(sketch.covered) if min(part.width, part.height) >= max(3.0, thick)]
    return [part for part in pieces if not (strokes[part.place] & part.mask).any()]


def _small_beside(marks: Sequence[InkPart], number: Number) -> list[InkPart]:
    """Return the small ink beside a number, which is cut with it."""
    box = box_of(number)
    return [part for part in marks if max(part.width, part.height) < 2 * box.h and lies_beside(part, box)]


def _number_field(page: Page, sketch: Sketch, number: Number, name: str, beside: Sequence[InkPart]) -> FieldCrop:
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
    others = _warped(other_ink(sketch.ink & ~sketch.covered, parts), sketch_from_crop, size)
    grey = np.where(cv2.dilate(others, np.ones((5, 5), np.uint8)) > 0, np.uint8(255), flat)
    box = Box(margin * scale, margin * scale, extent[0] * scale, extent[1] * scale)
    box_px = bounding_box_px(box, page_from_crop)
    return FieldCrop(describe_field(page, name, box_px), freeze(grey), box_px, page_from_crop)


def _directions(number: Number) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return unit vectors along a number and down its digits; two digits count as tilted if steep.

    Two glyphs one over the other are pieces of one digit: an open 4 was cut out on its side, and accepted as 1.
    """
    boxes = np.array([g.extent for g in number])
    x, y = (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2
    in_pieces = len(boxes) == 2 and boxes[0, 2] - boxes[1, 0] > _SHARED * (boxes[:, 2] - boxes[:, 0]).min()
    slope = float(np.polyfit(x, y, 1)[0]) if np.ptp(x) > 1 and not in_pieces else 0.0
    angle = np.arctan(slope) if abs(slope) > (0.03 if len(number) > 2 else 0.35) else 0.0
    return np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])


def _warped(image: Grey, image_from_crop: NDArray[np.float64], size: tuple[int, ...]) -> Grey:
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpPerspective(image, image_from_crop, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(warped, np.uint8)


def describe_field(page: Page, name: str, box_px: Box) -> FieldSpec:
    """Describe a found field; millimetres by the page's resolution, 300 dpi where it has none."""
    mm = 25.4 / (page.dpi or 300.0)
    x, y, w, h = (float(np.clip(v * mm, 0, 5000)) for v in box_px)
    return FieldSpec(name=name, box_mm=(x, y, max(w, 0.1), max(h, 0.1)))
