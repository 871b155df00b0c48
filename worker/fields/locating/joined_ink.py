"""Lines drawn under numbers and rings drawn around them, taken out so that the digits they join stand by themselves."""

from __future__ import annotations

import cv2
import numpy as np

from worker.fields.cutting.segmentation import InkPart, ink_parts
from worker.imaging.binarization import Mask, stroke_width
from worker.imaging.line_removal import find_rules, remove_rules

LEAST_UNDERLINE = 0.7
"""An underline runs along this share of what it joins."""
LEAST_BREADTH = 1.2
"""What is joined by an underline is this many times as wide as high: the base of a 2 is none."""
LOWER_PART = 0.5
"""An underline lies below this share of the height of what it joins."""
ROUND = 0.7
"""This share of a ring's ink, with what touches it, lies along its convex hull."""
RING_STROKES = 2.5
"""How deep inside of its hull a ring's line lies, in strokes: rings are drawn quickly."""
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
    """Return the ink without thin rings that stand around other ink of a digit's height; what touches a ring stays."""
    parts = [part for part in ink_parts(ink) if part.height >= smallest]
    found = ink.copy()
    for ring in parts:
        hollow = ring.mask.sum() < MOST_RING_INK * ring.width * ring.height
        if hollow and ring.height > 1.2 * smallest and any(_lies_within(other, ring) for other in parts):
            line = _outline_of(ring)
            found[ring.y : ring.y + ring.height, ring.x : ring.right] &= 1 - line
    return found


def _lies_within(other: InkPart, ring: InkPart) -> bool:
    """Tell whether a part lies in the box of another and fills a good part of its height."""
    if other is ring or other.height < 0.3 * ring.height:
        return False
    within = ring.x < other.x and other.right < ring.right
    return within and ring.y < other.y and other.y + other.height < ring.y + ring.height


def _outline_of(ring: InkPart) -> Mask:
    """Return the line of a ring, closed or broken: its ink along its convex hull; nothing if most lies elsewhere."""
    points = cv2.findNonZero(ring.mask)
    hull = cv2.fillConvexPoly(np.zeros_like(np.pad(ring.mask, 1)), cv2.convexHull(points) + 1, 1)
    depth = cv2.distanceTransform(hull, cv2.DIST_L2, 3)[1:-1, 1:-1]
    line = (ring.mask > 0) & (depth <= RING_STROKES * stroke_width(ring.mask))
    mostly = line.sum() > ROUND * ring.mask.sum()
    return np.asarray(line if mostly else np.zeros_like(line), np.uint8)
