"""Find what was not read in a line: strokes as high as its digits that belong to no digit and no mark."""

from __future__ import annotations

import statistics

import cv2
import numpy as np

from worker.fields.line_reader.alignment import INK
from worker.fields.line_reader.transcription import Transcript
from worker.imaging.pieces import find_pieces

WIDEST = 1.5
"""Largest width of a stroke in heights of a digit; wider ink is a rule or a pattern."""


def tallest_unread_stroke(seen: Transcript) -> float:
    """Return the height of the tallest stroke in no symbol's box, in heights of the median digit; 0 without any.

    A stroke from the top of the line to its bottom is the side of a frame.
    """
    if not seen.cuts:
        return 0.0
    unread = (seen.line.image > INK).astype(np.uint8)
    rows = len(unread)
    for cut in (*seen.cuts, *seen.marks):
        x, y, right, bottom = (round(v) for v in (cut.box.x, cut.box.y, cut.box.x + cut.box.w, cut.box.y + cut.box.h))
        unread[max(0, y) : bottom, max(0, x) : right] = 0
    if not unread.any():
        return 0.0
    stats = find_pieces(unread).stats
    height = float(statistics.median(cut.box.h for cut in seen.cuts))
    heights, widths = stats[1:, cv2.CC_STAT_HEIGHT], stats[1:, cv2.CC_STAT_WIDTH]
    strokes = heights[(heights < rows - 1) & (widths < WIDEST * height)]
    return float(strokes.max()) / height if len(strokes) else 0.0
