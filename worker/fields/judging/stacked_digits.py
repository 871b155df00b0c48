"""Tell digits above others: two rows in one box, or a small digit put in above a number.

Readers of a line may take the upper row alone, and pass over what is small.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from worker.fields.line_reader.transcription import Transcript
from worker.values import Box

AS_HIGH = 0.35
"""Least height of two pieces of ink right above each other that may both be digits, in that of the box of one digit."""
OVER, APART = 0.4, 0.9
"""They share so much of the narrower one's width; the lower one begins below so much of the upper one's height."""
WHOLE = 0.7
"""From this share of the other digits' height on, each of two pieces is a digit, and not half of one."""
BROKEN = 0.8
"""The lower of both heights is at least so much of the other: digits in pieces break unevenly."""
TALL, NEAR = 0.7, 1.2
"""In heights of a digit: what is higher is one, and how far beside a small piece it tells where the row's top lies."""
SMALL, LEAST_WIDTH, UPRIGHT, SPECK = (0.25, 0.7), 0.06, 0.8, 0.12
"""Height of a digit put in above others, its least width and least height in its widths: the bar of a 5 is flat. Lower
pieces than the last count as specks."""
FOOT, BESIDE = (-0.6, 0.3), 0.2
"""Where its foot lies below the row's top, and how far it stands out beyond the row."""
MOST_PUT_IN = 2
"""More pieces above a row, and one that is too flat or too low, are a label or the line above. Of 578 accepted fields
of the development halves one has so few; of 32 numbers with a small digit above them 23 were accepted without it."""


def holds_digit_above(seen: Transcript) -> bool:
    """Tell whether one or two small digits may be put in above a number, wholly within the crop."""
    boxes, (x, y, w, h) = seen.digit_boxes, seen.line.pieces.T
    if len(boxes) < 2:
        return False
    high, middle = statistics.median(box.h for box in boxes), x + w / 2
    small = h <= TALL * high
    above = small & (h >= SPECK * high) & (y > 1) & (x > boxes[0].x - BESIDE * high)
    above &= x + w < boxes[-1].x + boxes[-1].w + BESIDE * high
    for i in np.flatnonzero(above):
        near = ~small & (np.abs(middle - middle[i]) < NEAR * high)
        foot = (y[i] + h[i] - np.median(y[near])) / high if near.any() else np.inf
        above[i] = FOOT[0] <= foot <= FOOT[1]
    put_in = above & (h >= SMALL[0] * high) & (h <= SMALL[1] * high) & (h >= UPRIGHT * w) & (w >= LEAST_WIDTH * high)
    return bool(0 < put_in.sum() <= MOST_PUT_IN and above.sum() <= MOST_PUT_IN + 1)


def holds_two_rows(seen: Transcript) -> bool:
    """Tell whether the boxes of half of the digits hold two pieces of ink right above each other, or one two digits.

    Some of many are broken digits: of 130 amounts on real checks that were accepted six had one or two. But pieces that
    are as high as the other digits are two of them: `44` above `1865` was accepted as 1865.
    """
    boxes, pieces = seen.digit_boxes, seen.line.pieces
    stacks = [box for box in boxes if _is_stack(box, pieces)]
    if len(stacks) >= max(min(2, len(seen.cuts)), len(seen.cuts) / 2, 1):
        return True
    return any(_is_stack(box, pieces[pieces[:, 3] >= WHOLE * _median_of_others(boxes, box)]) for box in stacks)


def _median_of_others(boxes: Sequence[Box], box: Box) -> float:
    return statistics.median([other.h for other in boxes if other is not box] or [box.h])


def _is_stack(box: Box, pieces: NDArray[np.float64]) -> bool:
    x, y, w, h = pieces.T
    inside = (x + w / 2 > box.x) & (x + w / 2 < box.x + box.w) & (y + h / 2 > box.y) & (y + h / 2 < box.y + box.h)
    own = pieces[inside & (h >= AS_HIGH * box.h)]
    return any(_stand_on_each_other(upper, lower) for upper in own for lower in own)


def _stand_on_each_other(upper: NDArray[np.float64], lower: NDArray[np.float64]) -> bool:
    shared = min(upper[0] + upper[2], lower[0] + lower[2]) - max(upper[0], lower[0])
    heights = sorted((upper[3], lower[3]))
    below = lower[1] >= upper[1] + APART * upper[3]
    return bool(below and shared >= OVER * min(upper[2], lower[2]) and heights[0] >= BROKEN * heights[1])
