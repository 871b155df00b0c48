"""Tell digits that the rim of a crop cuts: what is read may be a part of writing that goes on outside."""

from __future__ import annotations

import statistics

import numpy as np
from numpy.typing import NDArray

from worker.fields.line_reader.transcription import Transcript
from worker.values import Box

NEAR_RIM_PX = 1.5
"""Pixels of the crop between a digit and the rim that still count as none."""
ROOMY = 2.0
"""Widths, or heights, of the digit from which a crop has room for it anywhere else: a close crop cuts nothing."""
LEAST_PIECE, MOST_PIECE, THINNEST = 0.12, 1.1, 0.03
"""In heights of a digit: the height of what is left of a digit beyond the rim, and its least width."""
FARTHEST = 0.8
"""In heights of a digit: how far beside the first or the last digit another begins."""
ROWS, LOWEST, AROUND = (-0.25, 1.2), 0.65, (-0.6, 1.6)
"""In heights of the digit beside it, from its top: where such a piece lies, how low it begins, for what is only at the
foot may be a point; and in which rows pieces at the rim are counted."""
MOST_PIECES = 2
"""More pieces at one side are a broken frame or a pattern. Of 578 accepted fields of the development halves 5 have one
or two that may be a digit's; of 44 numbers that were accepted without the tenth of a digit that was left, 28."""


def is_next_cut(seen: Transcript) -> bool:
    """Tell whether another digit may stand beside the first or the last one, of which the rim left but a sliver."""
    height, width = seen.crop.grey.shape
    if not seen.cuts or height > width:
        return False
    boxes, pieces = seen.digit_boxes, seen.line.pieces
    high = statistics.median(box.h for box in boxes)
    mirrored = pieces * (-1, 1, 1, 1) + (width, 0, 0, 0) - pieces[:, [2]] * (1, 0, 0, 0)
    last = boxes[-1]._replace(x=width - boxes[-1].x - boxes[-1].w)
    marks = [(box.x, box.x + box.w) for box in seen.mark_boxes]
    return _is_cut_before(pieces, boxes[0], high, marks) or _is_cut_before(
        mirrored, last, high, [(width - right, width - left) for left, right in marks]
    )


def _is_cut_before(pieces: NDArray[np.float64], digit: Box, high: float, marks: list[tuple[float, float]]) -> bool:
    """Tell whether the left rim cuts what may be a digit before the first one; pieces are in pixels from that rim."""
    x, y, w, h = pieces.T
    across, down = x + w / 2, y + h / 2
    own = (across > digit.x - 1) & (across < digit.x + digit.w + 1) & (down > digit.y - 1)
    own &= down < digit.y + digit.h + 1
    if not own.any():
        return False
    main = int(np.where(own, h, 0).argmax())
    top, foot = (y - digit.y) / high, (y + h - digit.y) / high
    gap = (x[main] - x - w) / high
    at_rim = (x < NEAR_RIM_PX) & (top > AROUND[0]) & (foot < AROUND[1])
    at_rim[main] = False
    if at_rim.sum() > MOST_PIECES:
        return False
    for left, right in marks:
        at_rim &= (across < left) | (across > right)
    fits = (
        (h >= LEAST_PIECE * high) & (h <= MOST_PIECE * high) & (w >= THINNEST * high) & (gap >= 0) & (gap <= FARTHEST)
    )
    return bool((at_rim & fits & (top >= ROWS[0]) & (foot <= ROWS[1]) & (top <= LOWEST)).any())


def is_cut_by_rim(seen: Transcript) -> bool:
    """Tell whether the only digit of a level crop stands at a rim, although the crop is twice as large as it that way.

    A letter of a neighbour that reached into an empty box had been accepted as a 6.
    """
    height, width = seen.crop.grey.shape
    if len(seen.digits) != 1 or height > width:
        return False
    box = seen.digits[0].box_px
    corners = np.array([[box.x, box.y, 1.0], [box.x + box.w, box.y + box.h, 1.0]])
    (left, top), (right, bottom) = (corners @ np.linalg.inv(seen.crop.page_from_crop).T)[:, :2]
    at_side = left < NEAR_RIM_PX or right > width - NEAR_RIM_PX
    at_end = top < NEAR_RIM_PX or bottom > height - NEAR_RIM_PX
    return bool((at_side and width > ROOMY * (right - left)) or (at_end and height > ROOMY * (bottom - top)))
