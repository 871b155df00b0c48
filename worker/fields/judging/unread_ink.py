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
BAR_WIDTHS, BAR_HEIGHTS, BAR_ENDS = (0.055, 0.4), (0.75, 1.35), 0.3
"""In heights of a digit: the width and height of a bar that may be a 1, and how far its ends lie from those of the
digit beside it. Dividers are thinner or longer."""

LEAST_RINGED = 0.3
"""In heights of a ring: what stands in it is no speck, and no dot of a zero."""


def is_ring_around_ink(seen: Transcript) -> bool:
    """Tell whether a lone 0 is a ring around a smaller piece of ink: a 7 in a ring had been accepted as 0.

    In a 0 of a longer number stands what broke off its neighbour; a slash is joined to its zero.
    """
    if seen.text != "0" or not len(seen.line.pieces):
        return False
    (box,), (x, y, w, h) = seen.digit_boxes, seen.line.pieces.T
    own = (x + w / 2 > box.x) & (x + w / 2 < box.x + box.w) & (y + h / 2 > box.y) & (y + h / 2 < box.y + box.h)
    ring = int(np.where(own, h, 0).argmax())
    inside = (x > x[ring]) & (y > y[ring]) & (x + w < x[ring] + w[ring]) & (y + h < y[ring] + h[ring])
    return bool((own & inside & (h >= LEAST_RINGED * h[ring])).any())


def passes_over_bar(seen: Transcript) -> bool:
    """Tell whether a bar like a 1 stands in a line, in no symbol's columns: readers take straight 1s for dividers.

    `19819` with such 1s had been accepted as 989; of 578 accepted fields of the development halves two have a bar. A
    slash that was read may be cut short of its bar.
    """
    if not seen.cuts or any("/" in marks for marks in seen.gap_marks):
        return False
    boxes, (x, y, w, h) = seen.digit_boxes, seen.line.pieces.T
    high, middle = statistics.median(box.h for box in boxes), x + w / 2
    is_bar = (w >= BAR_WIDTHS[0] * high) & (w <= BAR_WIDTHS[1] * high)
    is_bar &= (h >= BAR_HEIGHTS[0] * high) & (h <= BAR_HEIGHTS[1] * high)
    for box in (*boxes, *seen.mark_boxes):
        is_bar &= (middle < box.x - 1) | (middle > box.x + box.w + 1)
    if not is_bar.any():
        return False
    away = np.abs(np.array([box.x + box.w / 2 for box in boxes])[:, None] - middle)
    top = np.array([box.y for box in boxes])[away.argmin(axis=0)]
    ends = np.maximum(np.abs(y - top), np.abs(y + h - top - high))
    return bool((is_bar & (ends < BAR_ENDS * high)).any())


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
