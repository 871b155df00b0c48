"""Tell whether a number on a page without a form is one whole number: no part of one, and not two of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from worker.fields.cutting.segmentation import InkPart
from worker.fields.free_pages.glyphs import is_inside
from worker.fields.locating.number_lines import Number, gaps_of
from worker.values import Box

DIGIT_LIKE = 0.25
"""Ink of no number that is this high, of the digits beside it, may be one of them."""

BESIDE, CONTINUES = 0.5, 0.35
"""How near ink and other numbers are that may belong to a number, in heights of its digits."""

WIDER, WIDE, WIDEST = 1.4, 0.5, 1.0
"""A gap so many times as wide as the usual one, and this many heights, may stand between two numbers; and any wider one
than digits are high. docs/lab-notebook/free-pages.md has the measurements."""

FEWEST_GAPS = 3
"""From so many gaps on, the usual one of a number or a page is known."""


def box_of(number: Number) -> Box:
    """Return the upright box around a number."""
    left, top = (min(g.box[k] for g in number) for k in (0, 1))
    right, bottom = (max(g.box[k] for g in number) for k in (2, 3))
    return Box(left, top, right - left, bottom - top)


def usual_gap(numbers: Sequence[Number]) -> float:
    """Return the median gap between the digits of a page's numbers, in heights of digits; a usual one if few are."""
    gaps = np.concatenate([np.zeros(0), *(gaps_of(number) for number in numbers)])
    return float(np.median(gaps)) if len(gaps) >= FEWEST_GAPS else CONTINUES


def may_be_part(
    number: Number, others: Sequence[Number], loose: Sequence[InkPart], shape: tuple[int, ...], usual: float
) -> bool:
    """Tell whether ink, another number or the rim is so near that it may hold more of a number.

    Parameters
    ----------
    number : Number
        What is asked about.
    others : sequence of Number
        The page's other numbers.
    loose : sequence of InkPart
        Ink of no number that lies beside this one.
    shape : tuple of int
        Height and width of the image that they lie on.
    usual : float
        The page's usual gap between digits, in their height.
    """
    height = box_of(number).h
    if any(part.height >= DIGIT_LIKE * height or not is_inside(part, shape) for part in loose):
        return True
    gap = max(usual, float(gaps_of(number).max(initial=0.0)))
    x, _, w, h = box_of(number)
    if min(x, shape[1] - x - w) < gap * h:
        return True  # a digit more at such a gap would lie off the image
    return any(_continues(other, number, max(CONTINUES, WIDER * gap)) for other in others)


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


def lies_beside(part: InkPart, number: Number) -> bool:
    """Tell whether ink of no number lies within a number, or right before or behind it on its line."""
    x, y, w, h = box_of(number)
    level = part.y + part.height / 2
    near = part.x < x + w + BESIDE * h and part.right > x - BESIDE * h
    shared = min(y + h, part.y + part.height) - max(y, part.y)
    beside = max(part.width, part.height) >= 0.08 * h and (y - 0.1 * h < level < y + 1.2 * h or shared > 0.5 * h)
    return near and beside and _has_ink_near(part, box_of(number))


def _has_ink_near(part: InkPart, box: Box) -> bool:
    """Tell whether a part has ink close to a box: the edge of a sheet runs around all, and is far from most of it."""
    left, right = box.x - BESIDE * box.h - part.x, box.x + box.w + BESIDE * box.h - part.x
    top, bottom = box.y - 0.1 * box.h - part.y, box.y + 1.2 * box.h - part.y
    rows, columns = slice(max(0, int(top)), max(0, int(bottom) + 1)), slice(max(0, int(left)), max(0, int(right) + 1))
    return bool(part.mask[rows, columns].any())


def _continues(other: Number, number: Number, reach: float) -> bool:
    """Tell whether another number stands so close on the same line that both may be one."""
    x, y, w, h = box_of(number)
    x2, y2, w2, h2 = box_of(other)
    shared = min(y + h, y2 + h2) - max(y, y2)
    return shared > 0.5 * min(h, h2) and max(x2 - x - w, x - x2 - w2) < reach * min(h, h2)
