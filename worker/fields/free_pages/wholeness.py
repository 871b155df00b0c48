"""Tell whether a number on a page without a form is one whole number: no part of one, and not two of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.fields.cutting.segmentation import InkPart, ink_parts
from worker.fields.free_pages.glyphs import is_inside
from worker.fields.locating.number_lines import Number, gaps_of
from worker.imaging.binarization import Mask
from worker.imaging.pieces import find_pieces
from worker.values import Box, Extent

DIGIT_LIKE = 0.25
"""Ink of no number that is this high, of the digits beside it, may be one of them."""

BESIDE, CONTINUES, OVER_A_RULE = 0.5, 1.5, 0.35
"""How near ink, other numbers, and those behind a printed rule may belong to a number, in heights of digits."""

COVERED = 0.4
"""A stroke that went with a rule is this long, in heights of digits; where strokes cross rules, less is dark."""

APART = 1.2
"""Numbers on one line that are further apart than so many heights are two, where digits stand close: a number whose
digits touch in groups was cut at gaps of 0.83 to 1.1, and each piece was sure."""

GOES_ON, LEADS_AWAY, TOUCHES = 1.0, 0.5, 0.5
"""An underline that reaches so many heights further than a number stands under more than that. A shorter line that
touches only the side of a number joins it to the next, as the tail of a 2 does."""

WIDER, WIDE, WIDEST = 1.4, 0.5, 1.0
"""A gap so many times as wide as the usual one, and this many heights, may stand between two numbers; and any wider one
than digits are high. docs/lab-notebook/free-pages.md has the measurements."""

STACKED, AS_HIGH = 0.3, 1.6
"""Two glyphs are pieces of one digit if they part, or overlap, by less than this share of the lower one's height, and
both together are at most so many times as high as the page's median glyph."""

FLAT, LEAST_DASH, LONGEST_DASH = 1.6, 0.12, 1.5
"""A dash is so many times as wide as high; its length, in heights of digits."""

NEAR_DASH, DASH_LEVEL = 1.0, (0.2, 0.85)
"""How near a dash stands to what it belongs to, and where its middle lies between the digits' tops and feet."""

LEAST_MARK = 0.05
"""Ink beside a number is longer than this, in its heights: points of a thin pen are as small."""

LEVEL_ENDS, FEWEST_ENDS, UNLIKE_STARTS = 0.2, 4, 1.0
"""A column of right-aligned numbers has so many ends this level, and starts that are further apart, in heights."""

NEAR_END, RUNS_ON, MOST_LINES = 0.2, 1.0, 8
"""A line that was taken out ends so near a glyph, and runs on so far from it, in the glyph's heights: the glyph may be
the end of a brace, a bracket or an arrow."""

FEWEST_GAPS = 3
"""From so many gaps on, the usual one of a number or a page is known."""


def box_of(number: Number) -> Box:
    """Return the upright box around a number."""
    extents = [glyph.extent for glyph in number]
    left, top = min(e.left for e in extents), min(e.top for e in extents)
    return Box(left, top, max(e.right for e in extents) - left, max(e.bottom for e in extents) - top)


@dataclass(frozen=True, slots=True, eq=False)
class Surroundings:
    """What a number of a page stands among.

    ``others`` are the page's other numbers, ``over_a_rule`` those of them that a printed rule parts from it. ``loose``
    is ink of no number, ``marks`` those pieces of it that are no remains of rules, ``on_rules`` pieces like points that
    went with them, ``underlines`` lines under numbers, ``covered`` ink like a pen's that went with the rules. In the
    ``dark`` nobody looked for ink.
    ``usual_gap`` and ``wide_gap`` are the page's median gap between digits and one wider than nine in ten, in their
    height; ``shape`` is (height, width) of the image on which all lie.
    """

    others: Sequence[Number]
    over_a_rule: Sequence[Number]
    loose: Sequence[InkPart]
    marks: Sequence[InkPart]
    on_rules: Sequence[InkPart]
    underlines: Sequence[InkPart]
    covered: Mask
    dark: Mask
    usual_gap: float
    wide_gap: float
    shape: tuple[int, ...]


def usual_gaps(numbers: Sequence[Number]) -> tuple[float, float]:
    """Return the median gap between the digits of a page's numbers and the widest of nine in ten, in digit heights.

    Where few are seen, the first is a usual one, and the second so wide that numbers nearby may be one.
    """
    gaps = np.concatenate([np.zeros(0), *(gaps_of(number) for number in numbers)])
    if len(gaps) < FEWEST_GAPS:
        return OVER_A_RULE, CONTINUES / WIDER
    return float(np.median(gaps)), float(np.percentile(gaps, 90))


def find_pieces_of_digits(numbers: Sequence[Number]) -> list[Number]:
    """Return the numbers with a glyph right above or below another, both no higher than a digit of the page.

    An 8 in two loops that do not touch was sure to be two zeros.
    """
    glyphs = [glyph for number in numbers for glyph in number]
    if not glyphs:
        return []
    left, top, right, bottom = np.array([glyph.extent for glyph in glyphs]).T
    height, usual = bottom - top, float(np.median(bottom - top))
    lower = np.minimum(height[:, None], height)
    over = np.minimum(right[:, None], right) - np.maximum(left[:, None], left)
    gap = np.maximum(top[:, None], top) - np.minimum(bottom[:, None], bottom)
    both = np.maximum(bottom[:, None], bottom) - np.minimum(top[:, None], top)
    near = (over > 0) & (np.abs(gap) < STACKED * lower) & (both < AS_HIGH * usual)
    pieces = {glyph for glyph, is_near in zip(glyphs, near.any(axis=1), strict=True) if is_near}
    return [number for number in numbers if any(glyph in pieces for glyph in number)]


def may_be_part(number: Number, around: Surroundings) -> bool:
    """Tell whether ink, another number or the rim is so near that it may hold more of a number."""
    box = box_of(number)
    x, _, w, h = box
    beside = [part for part in around.loose if lies_beside(part, box)]
    if any(part.height >= DIGIT_LIKE * h or not is_inside(part, around.shape) for part in beside):
        return True
    if any(_is_dash_beside(mark, box) for mark in around.marks):
        return True
    if any(x - BESIDE * h < point.x and point.right < x + w and lies_beside(point, box) for point in around.on_rules):
        return True
    gap = max(around.usual_gap, float(gaps_of(number).max(initial=0.0)))
    if min(x, around.shape[1] - x - w) < gap * h:
        return True  # a digit more at such a gap would lie off the image
    if _reaches_dark(box, gap * h, around.dark):
        return True
    if any(_reaches_further(line, number) for line in around.underlines):
        return True
    if any(_continues(other, number, OVER_A_RULE) for other in around.over_a_rule):
        return True
    if _covered_stroke(number, around.covered):
        return True
    reach = max(APART, WIDER * max(gap, around.wide_gap))
    return any(_continues(other, number, reach) for other in around.others)


def may_be_two(number: Number, usual: float) -> bool:
    """Tell whether one of a number's gaps is so much wider than usual that it may part two numbers.

    ``usual`` is the page's usual gap between digits, in their height.
    """
    gaps = gaps_of(number)
    if not len(gaps) or gaps.max() < WIDE:
        return False
    if gaps.max() > WIDEST:
        return True
    others = np.delete(gaps, gaps.argmax())
    own = float(np.median(others)) if len(others) >= FEWEST_GAPS - 1 else usual
    return bool(gaps.max() > WIDER * own)


def crosses_a_column(number: Number, others: Sequence[Number]) -> bool:
    """Tell whether a gap of a number lies where a column of other numbers ends: it may be one of them, and another.

    Two columns were read as one number where the rules between them did not show.
    """
    if len(number) < 2 or len(others) < FEWEST_ENDS:
        return False
    boxes = np.array([box_of(other) for other in others])
    height = float(np.median([glyph.extent.height for glyph in number]))
    ends = boxes[:, 0] + boxes[:, 2]
    for glyph in number[:-1]:
        starts = boxes[np.abs(ends - glyph.extent.right) < LEVEL_ENDS * height, 0]
        if len(starts) >= FEWEST_ENDS and np.ptp(starts) > UNLIKE_STARTS * height:
            return True
    return False


def ends_of_lines(numbers: Sequence[Number], gone: Mask) -> list[Number]:
    """Return the numbers with a glyph in which a straight line ends: the tip of a brace was sure to be a 1.

    ``gone`` is the ink that was taken out as rules. A rule that runs through a glyph is crossed by it, and one at its
    foot is an underline. Of ruled paper there are ``MOST_LINES`` pieces and more, which end anywhere.
    """
    if not gone.any():
        return []
    left, top, width, height = find_pieces(gone).stats[1:, :4].T
    lines = np.stack([left, top, left + width, top + height], axis=1)
    is_upright = lines[:, 3] - lines[:, 1] > lines[:, 2] - lines[:, 0]
    few = [some if len(some) < MOST_LINES else some[:0] for some in (lines[is_upright], lines[~is_upright])]
    return [number for number in numbers if any(_ends_a_line(glyph.extent, *few) for glyph in number)]


def _ends_a_line(glyph: Extent, uprights: NDArray[np.int64], flats: NDArray[np.int64]) -> bool:
    near, far = NEAR_END * glyph.height, RUNS_ON * glyph.height
    left, top, right, bottom = uprights.T
    over = (left < glyph.right + near) & (right > glyph.left - near)
    down = over & (top > glyph.top) & (top < glyph.bottom + near) & (bottom > glyph.bottom + far)
    up = over & (bottom < glyph.bottom) & (bottom > glyph.top - near) & (top < glyph.top - far)
    inside = (left < glyph.right) & (right > glyph.left)
    if (down | up).any() and not ((down & inside).any() and (up & inside).any()):
        return True
    left, top, right, bottom = flats.T
    beside = (top >= glyph.top - near) & (bottom < glyph.middle[1])
    rightward = beside & (left > glyph.left) & (left < glyph.right + near) & (right > glyph.right + far)
    leftward = beside & (right < glyph.right) & (right > glyph.left - near) & (left < glyph.left - far)
    return bool(rightward.any() != leftward.any())


def lies_beside(part: InkPart, box: Box) -> bool:
    """Tell whether ink of no number lies within a number's box, or right before or behind it on its line."""
    x, y, w, h = box
    if part.x >= x + w + BESIDE * h or part.right <= x - BESIDE * h:
        return False
    level = part.y + part.height / 2
    shared = min(y + h, part.bottom) - max(y, part.y)
    beside = max(part.width, part.height) >= LEAST_MARK * h and (y - 0.1 * h < level < y + 1.2 * h or shared > 0.5 * h)
    return beside and _has_ink_near(part, box)


def _is_dash_beside(part: InkPart, box: Box) -> bool:
    """Tell whether ink may be a minus sign before a number, or a dash that joins it to another one."""
    x, y, w, h = box
    flat = part.width >= FLAT * part.height and LEAST_DASH * h <= part.width <= LONGEST_DASH * h
    level = (part.y + part.height / 2 - y) / h
    off = max(x - part.right, part.x - x - w)
    return flat and DASH_LEVEL[0] < level < DASH_LEVEL[1] and -0.2 * h < off < NEAR_DASH * h


def _has_ink_near(part: InkPart, box: Box) -> bool:
    """Tell whether a part has ink close to a box: the edge of a sheet runs around all, and is far from most of it."""
    left, right = box.x - BESIDE * box.h - part.x, box.x + box.w + BESIDE * box.h - part.x
    top, bottom = box.y - 0.1 * box.h - part.y, box.y + 1.2 * box.h - part.y
    rows, columns = slice(max(0, int(top)), max(0, int(bottom) + 1)), slice(max(0, int(left)), max(0, int(right) + 1))
    return bool(part.mask[rows, columns].any())


def _reaches_dark(box: Box, gap: float, dark: Mask) -> bool:
    """Tell whether one digit more, a ``gap`` beside a number, would lie where nobody looked for ink."""
    x, y, w, h = box
    beside = dark[max(0, int(y)) : int(y + h) + 1, max(0, int(x - gap - h / 2)) : int(x + w + gap + h / 2) + 1]
    return bool(beside.any())


def _covered_stroke(number: Number, covered: Mask) -> bool:
    """Tell whether a stroke like a digit's went with a rule in a number, or right beside it."""
    x, y, w, h = box_of(number)
    near = covered[max(0, int(y)) : int(y + h) + 1, max(0, int(x - h)) : int(x + w + h) + 1]
    return any(max(part.width, part.height) >= COVERED * h for part in ink_parts(near)) if near.any() else False


def _reaches_further(line: InkPart, number: Number) -> bool:
    """Tell whether a line under a number also runs under what stands beside it, or leads there from its side."""
    x, y, w, h = box_of(number)
    if not y + 0.5 * h < line.y + line.height / 2 < y + 1.7 * h:
        return False
    shared = min(x + w, line.right) - max(x, line.x)
    further = max(x - line.x, line.right - x - w)
    if shared > 0.5 * w:
        return further > GOES_ON * h
    return shared > -TOUCHES * h and further > LEADS_AWAY * h


def _continues(other: Number, number: Number, reach: float) -> bool:
    """Tell whether another number stands so close on the same line that both may be one."""
    x, y, w, h = box_of(number)
    x2, y2, w2, h2 = box_of(other)
    shared = min(y + h, y2 + h2) - max(y, y2)
    return shared > 0.5 * min(h, h2) and max(x2 - x - w, x - x2 - w2) < reach * (h + h2) / 2
