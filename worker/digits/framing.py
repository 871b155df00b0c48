"""Bring the ink of a digit to the frame in which altered digits are looked for: at the size that it has in its line."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

FRAME = 32
"""Height and width of a framed digit, pixels."""
LONGER_SIDE = 28
"""The longer side of the ink within it, pixels: the height of a digit in its line."""
SOLID = 110
"""Ink above this, of 255, is of a stroke."""
LEAST_BESIDE = 0.5
"""Share of a smaller piece's height that lies beside the largest one; others are print, or rows above and below."""

Ink = NDArray[np.uint8]


def frame_digits(inks: Iterable[Ink], whole: Iterable[bool] = itertools.repeat(False)) -> Ink:
    """Return the ink of digits, (h, w) uint8 each, white on black and cut close, as (N, 32, 32) uint8 in the middle.

    Pieces above and below the largest one are left out; they are not looked for in a digit that is ``whole``.
    """
    framed = [_frame(ink if one else _without_other_rows(ink)) for ink, one in zip(inks, whole, strict=False)]
    return np.stack(framed) if framed else np.zeros((0, FRAME, FRAME), np.uint8)


def _without_other_rows(ink: Ink) -> Ink:
    solid = (ink > SOLID).view(np.uint8)
    count, pieces, stats, _ = cv2.connectedComponentsWithStats(solid, connectivity=8, ltype=cv2.CV_16U)
    if count <= 2:
        return ink
    tops, heights = stats[:, cv2.CC_STAT_TOP], stats[:, cv2.CC_STAT_HEIGHT]
    main = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    beside = np.minimum(tops + heights, tops[main] + heights[main]) - np.maximum(tops, tops[main])
    is_gone = beside < LEAST_BESIDE * heights
    is_gone[0] = False
    if not is_gone.any():
        return ink
    gone = is_gone[pieces]
    around = cv2.dilate(gone.view(np.uint8), np.ones((3, 3), np.uint8)) > 0
    stays = ~gone & (solid > 0)
    x, y, w, h = cv2.boundingRect(stays.view(np.uint8))
    return np.where(around & ~stays, 0, ink)[y : y + h, x : x + w].astype(np.uint8)


def _frame(ink: Ink) -> Ink:
    height, width = ink.shape
    scale = LONGER_SIDE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    scaled = ink if size == (width, height) else cv2.resize(ink, size, interpolation=method)
    frame = np.zeros((FRAME, FRAME), np.uint8)
    x, y = (FRAME - size[0]) // 2, (FRAME - size[1]) // 2
    frame[y : y + size[1], x : x + size[0]] = scaled
    return frame
