"""Tell a digit that is two: where two rows are written in one box, readers of a line may take the upper one's alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from worker.fields.line_reader.transcription import Transcript
from worker.values import Box

AS_HIGH = 0.35
"""Least height of two pieces of ink right above each other that may both be digits, in that of the box of one digit."""
OVER, APART = 0.4, 0.9
"""They share so much of the narrower one's width; the lower one begins below so much of the upper one's height."""
BROKEN = 0.8
"""The lower of both heights is at least so much of the other: digits in pieces break unevenly."""


def holds_two_rows(seen: Transcript) -> bool:
    """Tell whether the boxes of half of the digits hold two pieces of ink right above each other.

    Some of many are broken digits: of 130 amounts on real checks that were accepted six had one or two.
    """
    stacks = sum(_is_stack(box, seen.line.pieces) for box in seen.digit_boxes)
    return stacks >= max(min(2, len(seen.cuts)), len(seen.cuts) / 2, 1)


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
