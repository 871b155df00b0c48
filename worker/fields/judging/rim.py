"""Tell a lone digit that the rim of a roomy crop cuts: it may be a part of writing that goes on outside."""

from __future__ import annotations

import numpy as np

from worker.fields.line_reader.transcription import Transcript

NEAR_RIM_PX = 1.5
"""Pixels of the crop between a digit and the rim that still count as none."""
ROOMY = 2.0
"""Widths, or heights, of the digit from which a crop has room for it anywhere else: a close crop cuts nothing."""


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
