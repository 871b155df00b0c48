"""Judge tick boxes (ticked, empty or doubtful) by the ink inside the box, without the form's own print.

The limits come from drawn ticks, crosses and stray dots (``tests/unit/test_tick_boxes.py``), not from real sheets.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from worker.doubts import Doubt, DoubtKind
from worker.fields.locating.extraction import inner_box_px
from worker.imaging.pieces import find_pieces
from worker.values import FieldCrop, RawReading

TICKED_TEXT = "x"
SURE, UNSURE = 0.999, 0.5
"""Confidences of a clear box and of a doubtful one; they are not calibrated."""
LEAST_CONTRAST = 0.12
"""Least share by which ink is darker than its paper."""
SPECK_REACH, TICK_REACH = 0.2, 0.4
"""Shares of the box's sides: no piece of an empty box reaches so far, and the largest of a tick does."""
SPECK_SHARE, FULL_SHARE = 0.015, 0.5
"""Shares of the box's area that ink covers: less in an empty box; more is a box blackened to undo its tick."""


def read_tick_box(crop: FieldCrop) -> RawReading:
    """Return ``x`` for a tick, a blank for an empty box, and a doubt if it is not certainly either."""
    reach, share = _measure_ink(crop)
    if reach < SPECK_REACH and share < SPECK_SHARE:
        return RawReading("", SURE, crop.box_px, blank=True, registration=crop.registration)
    ticked = RawReading(TICKED_TEXT, SURE, crop.box_px, registration=crop.registration)
    if reach >= TICK_REACH and share <= FULL_SHARE:
        return ticked
    return replace(ticked, confidence=UNSURE, doubts=(Doubt(DoubtKind.UNSURE_TICK, found=share),))


def _measure_ink(crop: FieldCrop) -> tuple[float, float]:
    """Return how far the largest piece of ink reaches across the box, and how much of the box is ink; shares of 1."""
    x, y, w, h = inner_box_px(crop).rounded()
    inside = crop.grey[max(0, y) : y + h, max(0, x) : x + w]
    paper = float(np.percentile(crop.grey, 75))
    darkest = float(np.percentile(inside, 1)) if inside.size else paper
    if paper - darkest < LEAST_CONTRAST * paper:
        return 0.0, 0.0
    ink = (inside < (paper + darkest) / 2).astype(np.uint8)
    stats = find_pieces(ink).stats
    if len(stats) == 1:
        return 0.0, 0.0
    across = stats[1:, cv2.CC_STAT_WIDTH] / ink.shape[1]
    down = stats[1:, cv2.CC_STAT_HEIGHT] / ink.shape[0]
    return float(np.maximum(across, down).max()), float(ink.mean())
