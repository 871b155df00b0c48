"""Lines drawn under numbers and rings drawn around them, taken out so that the digits they join stand by themselves."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.fields.cutting.segmentation import InkPart, ink_parts
from worker.imaging.binarization import Mask, stroke_width
from worker.imaging.line_removal import find_rules, remove_rules

LEAST_UNDERLINE = 0.7
"""An underline runs along this share of what it joins."""
LEAST_BREADTH = 1.2
"""What is joined by an underline is this many times as wide as high: the base of a 2 is none."""
LEAST_JOINED, OVERHANG = 0.4, 0.1
"""In heights of what it joins: what is left of two digits without their line, and how far it reaches beyond one."""
LOWER_PART = 0.5
"""An underline lies below this share of the height of what it joins."""
ROUND = 0.7
"""This share of a ring's ink, with what touches it, lies along its convex hull."""
RING_STROKES = 2.5
"""How deep inside of its hull a ring's line lies, in strokes: rings are drawn quickly."""
MOST_RING_INK = 0.4
"""A ring fills no more of its box than this."""

LEAST_HELD, BENT = 0.3, 0.5
"""What a ring holds reaches so far, in the ring's narrower side, and lies off a straight line by so many strokes."""
SECTORS, CLOSED = 36, 0.95
"""A closed line shows in this share of so many directions from its middle."""


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
            if not _joins_digits(mask, kept):
                continue
            found[part.place] &= ~mask | kept
    return found


def _joins_digits(mask: Mask, kept: Mask) -> bool:
    """Tell whether a line that was taken out of a piece of ink had joined digits, or reaches further than one digit.

    The foot of a wide 2 or 3 and the bar of a 4 belong to one digit, which they reach beyond on one side at most.
    """
    height = mask.shape[0]
    pieces = ink_parts(kept)
    if sum(part.height >= LEAST_JOINED * height for part in pieces) > 1:
        return True
    line = np.flatnonzero((mask & ~kept).any(axis=0))
    left, right = min((part.x for part in pieces), default=0), max((part.right for part in pieces), default=0)
    reach = OVERHANG * height
    return bool(len(line)) and left - line[0] >= reach and line[-1] + 1 - right >= reach


def take_out_rings(ink: Mask, *, smallest: float) -> Mask:
    """Return the ink without thin rings that stand around other ink of a digit's height; what touches a ring stays."""
    parts = [part for part in ink_parts(ink) if part.height >= smallest]
    found = ink.copy()
    for ring in parts:
        hollow = ring.mask.sum() < MOST_RING_INK * ring.width * ring.height
        within = [other for other in parts if _lies_within(other, ring)] if hollow else []
        if within:
            found[ring.place] &= 1 - _line_around(ring, within)
    return found


def _lies_within(other: InkPart, ring: InkPart) -> bool:
    """Tell whether a part lies in the box of another and fills a good part of it, whichever way the page is turned."""
    fills_it = max(other.width, other.height) >= 0.3 * min(ring.width, ring.height)
    return fills_it and ring.surrounds(other)


def _line_around(ring: InkPart, within: list[InkPart]) -> Mask:
    """Return the line of a ring, closed or broken: its ink along its convex hull.

    Nothing if most of its ink lies elsewhere, or if no other part lies wholly inside of that line: a slanted 4 has its
    neighbour in its box, too.
    """
    depth = _depth(ring.mask)
    deep = RING_STROKES * stroke_width(ring.mask)
    line = (ring.mask > 0) & (depth <= deep)
    held = any(_depths_of(other, ring, depth).min() > deep / 2 for other in within)
    found = line if held and line.sum() > ROUND * ring.mask.sum() else np.zeros_like(line)
    return np.asarray(found, np.uint8)


def _depth(ink: Mask) -> NDArray[np.float32]:
    """Return how deep in the convex hull of ink each pixel lies."""
    hull = cv2.fillConvexPoly(np.zeros_like(np.pad(ink, 1)), cv2.convexHull(cv2.findNonZero(ink)) + 1, 1)
    return np.asarray(cv2.distanceTransform(hull, cv2.DIST_L2, 3)[1:-1, 1:-1], np.float32)


def is_ring_with_ink(ink: Mask) -> bool:
    """Tell whether one piece of ink is a closed line with more inside than a slash: a ring that is joined to a digit.

    Such a ring was sure to be a zero. A slashed zero holds a straight line, and the digits with loops are open to a
    side.
    """
    depth = _depth(ink)
    deep = RING_STROKES * stroke_width(ink)
    line = np.argwhere((ink > 0) & (depth <= deep)) - np.array(ink.shape) / 2
    sectors = np.floor((np.arctan2(line[:, 0], line[:, 1]) + np.pi) / (2 * np.pi) * SECTORS)
    inside = ink_parts(np.asarray((ink > 0) & (depth > deep), np.uint8))
    held = max(inside, key=lambda part: int(part.mask.sum()), default=None)
    if held is None or len(np.unique(sectors.clip(0, SECTORS - 1))) < CLOSED * SECTORS:
        return False
    points = np.argwhere(held.mask)
    if max(held.width, held.height) < LEAST_HELD * min(ink.shape) or len(points) < SECTORS:
        return False
    across = float(np.sqrt(max(0.0, np.linalg.eigvalsh(np.cov(points.T)).min())))
    return across > BENT * stroke_width(ink)


def _depths_of(other: InkPart, ring: InkPart, depth: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return how deep in the hull of a ring each pixel of another part lies."""
    y, x = other.y - ring.y, other.x - ring.x
    return depth[y : y + other.height, x : x + other.width][other.mask > 0]
