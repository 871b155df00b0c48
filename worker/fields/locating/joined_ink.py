"""Lines drawn under numbers and rings drawn around them, taken out so that the digits they join stand by themselves."""

from __future__ import annotations

import cv2
import numpy as np

from worker.fields.cutting.segmentation import InkPart, ink_parts
from worker.imaging.binarization import Mask
from worker.imaging.line_removal import find_rules, remove_rules

LEAST_UNDERLINE = 0.7
"""An underline runs along this share of what it joins."""
LEAST_BREADTH = 1.2
"""What is joined by an underline is this many times as wide as high: the base of a 2 is none."""
LOWER_PART = 0.5
"""An underline lies below this share of the height of what it joins."""
MOST_RING_INK = 0.25
"""A ring fills no more of its box than this."""


def take_out_underlines(ink: Mask, *, smallest: float, hidden: int) -> Mask:
    """Return the ink without the straight lines that join digits from below.

    ``smallest`` is the least height of a digit, ``hidden`` the widest bottom of one that a line may hide, in pixels.
    """
    found = ink.copy()
    for part in ink_parts(ink):
        if part.height < smallest or part.width < LEAST_BREADTH * part.height:
            continue
        mask = np.ascontiguousarray(part.mask)
        rules = find_rules(mask, flat_length=LEAST_UNDERLINE * part.width, upright_length=np.inf)
        rules = [rule for rule in rules if rule.across(part.width / 2) > LOWER_PART * part.height]
        if rules:
            kept = remove_rules(np.asarray(255 - 255 * mask, np.uint8), mask, rules, longest_hidden=hidden)[1]
            found[part.y : part.y + part.height, part.x : part.right] &= ~mask | kept
    return found


def take_out_rings(ink: Mask, *, smallest: float) -> Mask:
    """Return the ink without thin rings that stand around other ink of a digit's height."""
    parts = [part for part in ink_parts(ink) if part.height >= smallest]
    found = ink.copy()
    for ring in parts:
        hollow = ring.mask.sum() < MOST_RING_INK * ring.width * ring.height
        if hollow and ring.height > 1.2 * smallest and any(_holds(ring, other) for other in parts):
            found[ring.y : ring.y + ring.height, ring.x : ring.right] &= 1 - ring.mask
    return found


def _holds(ring: InkPart, other: InkPart) -> bool:
    """Tell whether a closed line runs around all of another part, which fills a good part of its height."""
    if other is ring or other.height < 0.3 * ring.height:
        return False
    inside = ring.x < other.x and other.right < ring.right and ring.y < other.y
    if not inside or other.y + other.height >= ring.y + ring.height:
        return False
    contours, _ = cv2.findContours(np.pad(ring.mask, 1), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    filled = cv2.drawContours(np.zeros_like(np.pad(ring.mask, 1)), contours, -1, 1, cv2.FILLED)
    middle = other.y + other.height // 2 - ring.y + 1, other.x + other.width // 2 - ring.x + 1
    return bool(filled[middle])
