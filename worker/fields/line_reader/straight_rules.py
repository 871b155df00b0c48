"""Find the ruled lines and frames of a crop by their long straight runs, and tell them from the strokes of digits."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.imaging.pieces import find_pieces
from worker.values import Box

LONGEST_STROKE, LONGEST_STEM, WIDEST_DIGIT = 1.1, 0.9, 1.5
"""In heights of a digit: how long its flat and its upright strokes are, and how wide it is. A rule is longer."""
FRAME, SIDE = 0.8, 0.15
"""Share of its sides that a frame has, and share of its size that lies along a side."""
LEAST_SIDE, NEAR_CORNER = 0.35, 3
"""Least height of a frame's side, in heights of the crop, and pixels by which its ends may miss those of two rules."""
LEAST_HELD = 0.12
"""In heights of the crop: writing of that height stands beside a frame's sides. Pencil in a black frame is not seen
before the frame is gone; without its sides nothing would be."""


def find_straight_rules(mask: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """Return the ruled lines and frames of a crop's ink, (h, w) of 0 and 1; None without any."""
    runs = _straight_runs(mask)
    return None if runs is None else _leave_strokes(runs, mask)


def open_mask(mask: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8] | None:
    """Return the places of a mask that hold a rectangle of ``size``, (h, w); None without any."""
    kernel = np.ones(size, np.uint8)
    eroded = cv2.erode(mask, kernel)
    return np.asarray(cv2.dilate(eroded, kernel), np.uint8) if cv2.countNonZero(eroded) else None


def _straight_runs(mask: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """Return the long straight runs of a mask, ruled lines and frames; None without any."""
    height, width = mask.shape
    flat_run = int(max(20, min(0.6 * height, 0.5 * width)))
    upright_run = int(max(12, (0.93 if width > height else 0.35) * height))
    flat, upright = open_mask(mask, (1, flat_run)), open_mask(mask, (upright_run, 1))
    if flat is None:
        return upright
    thicker = np.asarray(cv2.dilate(flat, np.ones((3, 1), np.uint8)), np.uint8)
    runs = thicker if upright is None else np.asarray(cv2.bitwise_or(thicker, upright), np.uint8)
    sides = _sides_between(flat, mask)
    if sides is None:
        return runs
    framed = np.asarray(cv2.bitwise_or(runs, sides), np.uint8)
    held = find_pieces(cv2.subtract(mask, framed)).stats[1:, cv2.CC_STAT_HEIGHT]
    return framed if held.max(initial=0) >= LEAST_HELD * height else runs


def _sides_between(flat: NDArray[np.uint8], mask: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """Return the uprights from the end of one flat rule to that of another: sides of a frame with paper around it."""
    rules = find_pieces(flat).stats[1:, :4]
    upright = open_mask(mask, (max(12, int(LEAST_SIDE * len(mask))), 1)) if len(rules) > 1 else None
    if upright is None:
        return None
    labels, stats, _ = find_pieces(upright)
    sides = [i for i, box in enumerate(stats[1:, :4], start=1) if _joins_ends(box, rules)]
    if not sides:
        return None
    return np.asarray(cv2.dilate(np.isin(labels, sides).view(np.uint8), np.ones((1, 3), np.uint8)), np.uint8)


def _joins_ends(upright: NDArray[np.int32], rules: NDArray[np.int32]) -> bool:
    """Tell whether both ends of an upright lie at ends of flat rules."""
    x, y, w, h = upright.tolist()
    left, top, width, height = rules.T
    at_end = np.minimum(np.abs(left - x), np.abs(left + width - x - w)) <= NEAR_CORNER
    level, reach = top + height / 2, NEAR_CORNER + height / 2
    return all(bool((at_end & (np.abs(level - end) <= reach)).any()) for end in (y, y + h))


def _leave_strokes(rules: NDArray[np.uint8], mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the rules of a mask without the straight strokes of digits: the bar of a 7, the stem of a 9, a 2's foot.

    A stroke is shorter than the ink that it joins is high, or is part of a piece that is no frame and reaches no rim.
    """
    labels, stats, _ = find_pieces(rules)
    others, boxes, _ = find_pieces(cv2.subtract(mask, rules))
    wholes, sizes, _ = find_pieces(mask)
    tops, feet = boxes[:, cv2.CC_STAT_TOP], boxes[:, cv2.CC_STAT_TOP] + boxes[:, cv2.CC_STAT_HEIGHT]
    strokes = []
    for i, (x, y, w, h) in enumerate(stats[1:, :4].tolist(), start=1):
        around = others[max(0, y - 1) : y + h + 1, max(0, x - 1) : x + w + 1]
        joined = np.unique(around[around > 0])
        if not len(joined):
            continue
        high = max(y + h, feet[joined].max()) - min(y, tops[joined].min())
        is_short = w <= LONGEST_STROKE * high and h <= LONGEST_STEM * high
        rule = labels[y : y + h, x : x + w] == i
        whole = Box(*sizes[wholes[y : y + h, x : x + w][rule].max(), :4].tolist())
        if is_short or (_may_be_digit(whole, mask.shape) and not _is_frame(rule, whole)):
            strokes.append(i)
    return np.where(np.isin(labels, strokes), 0, rules).astype(np.uint8) if strokes else rules


def _may_be_digit(piece: Box, shape: tuple[int, ...]) -> bool:
    """Tell whether a piece of ink reaches no rim of its crop and is not too wide for a digit."""
    inside = piece.x > 0 and piece.y > 0 and piece.x + piece.w < shape[1] and piece.y + piece.h < shape[0]
    return inside and piece.w <= WIDEST_DIGIT * piece.h


def _is_frame(rule: NDArray[np.bool_], piece: Box) -> bool:
    """Tell whether straight runs, cut to their box, make three sides of the piece of ink that they are part of."""
    if rule.shape[1] < FRAME * piece.w or rule.shape[0] < FRAME * piece.h:
        return False
    across, down = max(1, round(SIDE * rule.shape[1])), max(1, round(SIDE * rule.shape[0]))
    sides = (rule[:, :across].any(1), rule[:, -across:].any(1), rule[:down].any(0), rule[-down:].any(0))
    return sum(bool(side.mean() >= FRAME) for side in sides) >= 3
