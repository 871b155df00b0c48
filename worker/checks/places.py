"""Find the amount, date and number of a check by the currency sign, the lines of ink, and their usual places."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from worker.checks.finding import Check
from worker.imaging.binarization import Mask, flatten_background, ink_mask
from worker.imaging.currency_signs import tell_sign
from worker.imaging.line_removal import find_rules, remove_rules
from worker.imaging.pieces import find_pieces
from worker.values import Box


class FieldPlace(NamedTuple):
    """A box on the flat check, in its pixels; ``by_sign`` tells that its currency sign was found, not only its place.

    ``other_sign`` is one of another currency that stands there instead.
    """

    box: Box
    by_sign: bool = False
    other_sign: str = ""


class Zone(NamedTuple):
    """The part of a check where a field is looked for, as shares of the check's width and height."""

    left: float
    top: float
    right: float
    bottom: float


_TALL_SHARE = 0.55
"""Ink lower than this share of a line's tallest parts is its label, or a mark."""
_LONE_GAP = 0.5
"""Ink before a gap wider than this share of the line's height stands apart from an amount."""
_RIM = 0.012
"""Ink nearer to the rim of the check than this share of its width belongs to the rim."""


class CheckInk(NamedTuple):
    """The ink of a check without its ruled lines: the mask, and the (N, 4) boxes of its connected parts."""

    mask: Mask
    boxes: NDArray[np.int32]


def find_ink(check: Check) -> CheckInk:
    """Return the ink of a check without its ruled lines and specks."""
    flat = flatten_background(check.grey)
    ink = ink_mask(flat)
    height, width = ink.shape
    rules = find_rules(ink, flat_length=0.08 * width, upright_length=height)
    _, mask = remove_rules(flat, ink, rules)
    stats = find_pieces(mask).stats
    boxes = stats[1:, :4]
    right, bottom = boxes[:, 0] + boxes[:, 2], boxes[:, 1] + boxes[:, 3]
    rim = _RIM * width
    inside = (boxes[:, 0] > rim) & (boxes[:, 1] > rim) & (right < width - rim) & (bottom < height - rim)
    sized = (boxes[:, 3] >= 0.012 * height) & (boxes[:, 3] < 0.25 * height) & (stats[1:, 4] >= 12)
    return CheckInk(mask, np.asarray(boxes[inside & sized], np.int32))


def find_sign(ink: CheckInk, zone: Zone, sign: str) -> Box | None:
    """Return the box of the printed currency sign in a zone, or None where nothing looks like it, or more like another.

    A 5 looks like a dollar sign: what is likest to any sign in the whole zone is taken for it.
    """
    found = max(_find_signs(ink, zone), default=None)
    return found[2] if found and found[1] == sign else None


def find_other_sign(ink: CheckInk, zone: Zone, sign: str) -> str:
    """Return the sign of another currency that a zone shows, or ''."""
    found = max(_find_signs(ink, zone), default=None)
    return found[1] if found and found[1] != sign else ""


def _find_signs(ink: CheckInk, zone: Zone) -> list[tuple[float, str, Box]]:
    """Return what looks like a currency sign in a zone: how much, which, and where."""
    height = ink.mask.shape[0]
    boxes = _within(ink, zone)
    sized = (boxes[:, 3] > 0.03 * height) & (boxes[:, 3] < 0.14 * height) & (boxes[:, 2] < 1.2 * boxes[:, 3])
    found = []
    for x, y, w, h in boxes[sized].tolist():
        told = tell_sign(ink.mask[y : y + h, x : x + w] * np.uint8(255))
        if told is not None:
            found.append((told.likeness, told.sign, Box(x, y, w, h)))
    return found


def find_amount(ink: CheckInk, zone: Zone, sign: str) -> FieldPlace | None:
    """Return where the courtesy amount stands: right of its currency sign, else its line in the usual zone."""
    height, width = ink.mask.shape
    found = find_sign(ink, zone, sign)
    if found is None:
        line = find_line(ink, zone)
        other = find_other_sign(ink, zone, sign)
        return FieldPlace(_without_lone_start(ink, line), other_sign=other) if line else None
    beside = Zone(
        (found.x + found.w) / width,
        (found.y - 0.6 * found.h) / height,
        min(zone.right, (found.x + 14 * found.h) / width),
        (found.y + 1.7 * found.h) / height,
    )
    line = find_line(ink, beside)
    return FieldPlace(line, by_sign=True) if line else None


def _without_lone_start(ink: CheckInk, line: Box) -> Box:
    """Leave out ink that stands alone before a line: a currency sign too worn to be recognized, or a label's end."""
    boxes = ink.boxes[_inside(ink.boxes, line)]
    order = boxes[np.argsort(boxes[:, 0])]
    reached = np.maximum.accumulate(order[:, 0] + order[:, 2])
    gaps = order[1:, 0] - reached[:-1]
    lone = np.flatnonzero((gaps > _LONE_GAP * line.h) & (reached[:-1] - line.x < 1.2 * line.h))
    if not len(lone):
        return line
    left = float(order[lone[-1] + 1, 0])
    return Box(left, line.y, line.x + line.w - left, line.h)


def _inside(boxes: NDArray[np.int32], line: Box) -> NDArray[np.bool_]:
    middles = boxes[:, :2] + boxes[:, 2:] / 2
    low, high = (line.x, line.y), (line.x + line.w, line.y + line.h)
    return np.asarray(((middles >= low) & (middles <= high)).all(axis=1))


def find_line(ink: CheckInk, zone: Zone) -> Box | None:
    """Return the box of the line of writing with the most ink in a zone, without its small print."""
    boxes = _within(ink, zone)
    if not len(boxes):
        return None
    tall = boxes[boxes[:, 3] >= _TALL_SHARE * np.percentile(boxes[:, 3], 90)]
    middles = tall[:, 1] + tall[:, 3] / 2
    reach = 0.6 * float(np.median(tall[:, 3]))
    weights = tall[:, 2] * tall[:, 3]
    votes = [float(weights[np.abs(middles - m) < reach].sum()) for m in middles]
    line = tall[np.abs(middles - middles[int(np.argmax(votes))]) < reach]
    low, high = line[:, :2].min(axis=0), (line[:, :2] + line[:, 2:]).max(axis=0)
    return Box(*(float(v) for v in (*low, *(high - low))))


def _within(ink: CheckInk, zone: Zone) -> NDArray[np.int32]:
    """Return the boxes whose middle lies in a zone."""
    height, width = ink.mask.shape
    x, y = ink.boxes[:, 0] + ink.boxes[:, 2] / 2, ink.boxes[:, 1] + ink.boxes[:, 3] / 2
    across = (x >= zone.left * width) & (x <= zone.right * width)
    return np.asarray(ink.boxes[across & (y >= zone.top * height) & (y <= zone.bottom * height)], np.int32)
