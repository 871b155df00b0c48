"""A form's own printed lines taken out of a field's crop: only where the template says that there are lines.

What looks like a frame but is not in the template stays: it may be a 1.
"""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.imaging.binarization import Mask
from worker.imaging.geometry import Array
from worker.imaging.line_removal import Rule
from worker.values import Box, Grey

SEARCH_MM = 0.7
"""How far a line may lie from where registration puts it; registered lines lie within 0.3 mm."""
THICKEST_MM = 1.2
PAPER_MM = 1.8
"""Side of the square that strokes and lines are closed over with: wider than any of them."""
FAINTEST_INK, INK_SHARE = 20.0, 0.35
SAMPLED = 4
"""Every so many pixels along a line are looked at."""
LEAST_SEEN = 0.5
"""A line is taken for print where at least this share of its length shows ink."""


def remove_form(grey: Grey, strokes: Iterable[tuple[Array, Array]], inner: Box, px_per_mm: float) -> Grey:
    """Return the crop with the form's lines, and what lies outside of the field, painted over as paper.

    Parameters
    ----------
    grey
        (h, w) uint8, 0 = ink.
    strokes
        Start and end (x, y) of the template's lines, in crop pixels.
    inner
        The field's own box in crop pixels.
    px_per_mm
        Resolution of the crop.
    """
    paper = _estimate_paper(grey, px_per_mm)
    darkness = np.asarray(cv2.subtract(paper, grey), np.uint8)
    ink = (darkness > max(FAINTEST_INK, INK_SHARE * float(darkness.max()))).astype(np.uint8)
    rules = [r for start, end in strokes if (r := _find_line(ink, start, end, px_per_mm)) is not None]
    erased = np.zeros_like(ink)
    for rule in rules:
        if rule.upright:
            erased.T[:] |= _mark_line(np.ascontiguousarray(ink.T), rule)
        else:
            erased |= _mark_line(ink, rule)
    erased |= _mark_strangers(np.where(erased > 0, np.uint8(0), ink), inner)
    return np.where(erased > 0, paper, grey)


def _estimate_paper(grey: Grey, px_per_mm: float) -> Grey:
    """Close over strokes and lines: what is left is paper, with its shades."""
    side = round(PAPER_MM * px_per_mm) | 1
    closed = cv2.morphologyEx(grey, cv2.MORPH_CLOSE, np.ones((side, side), np.uint8), borderType=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.blur(closed, (5, 5)), np.uint8)


def _mark_line(ink: Mask, rule: Rule) -> Mask:
    """Mark a flat line's band with its grey rim, less the columns where a stroke crosses it."""
    half = rule.thickness / 2 + 1.0
    columns = np.arange(max(0, rule.start - 2), min(ink.shape[1], rule.end + 2))
    middle = rule.offset + rule.slope * columns
    top, bottom = max(0, int(middle.min() - half - 3)), min(ink.shape[0], int(middle.max() + half + 4))
    place = slice(top, bottom), slice(columns[0], columns[-1] + 1)
    from_middle = np.arange(top, bottom, dtype=np.float32)[:, None] - middle.astype(np.float32)[None]
    part, away = ink[place], np.abs(from_middle)
    beside = part & (away > half) & (away <= half + 2)
    above, below = ((beside & (from_middle * side > 0)).sum(0) >= 2 for side in (-1, 1))
    reach = np.ones(2 * int(half) + 3, np.uint8)
    crossed = (np.convolve(above, reach, mode="same") > 0) & (np.convolve(below, reach, mode="same") > 0)
    marked = np.zeros_like(ink)
    marked[place] = ((away <= half) | ((away <= half + 1) & (part == 0))) & ~crossed[None]
    return marked


def _find_line(ink: Mask, start: Array, end: Array, px_per_mm: float) -> Rule | None:
    """Find the line that is printed near a stroke, as a rule of its true place, slope and thickness."""
    upright = bool(abs(end[1] - start[1]) > abs(end[0] - start[0]))
    across_ink = np.ascontiguousarray(ink.T) if upright else ink
    (a0, c0), (a1, c1) = sorted((p[::-1] if upright else p).tolist() for p in (start, end))
    first, last = max(0, round(a0)), min(across_ink.shape[1], round(a1))
    if last - first < 2 * px_per_mm:
        return None
    along = np.arange(first, last, SAMPLED)
    expected = c0 + (c1 - c0) / (a1 - a0) * (along - a0)
    middle, thickness = _runs_near(across_ink, along, expected, px_per_mm)
    seen = thickness > 0
    if seen.sum() < LEAST_SEEN * len(along):
        return None
    usual = float(np.median(thickness[seen]))
    clear = seen & (thickness <= usual + 1.5)
    away = np.median((middle - expected)[clear])
    near = clear & (np.abs(middle - expected - away) < 0.25 * px_per_mm + 0.5)
    if near.sum() < 4:
        return None
    x, y = along[near] - along[near].mean(), middle[near]
    slope = float((x * y).sum() / (x * x).sum())
    offset = float(y.mean()) - slope * float(along[near].mean())
    return Rule(upright, offset, slope, usual, first, last)


def _runs_near(
    ink: Mask, along: NDArray[np.intp], expected: Array, px_per_mm: float
) -> tuple[Array, Array]:
    """Return middle and thickness of the ink nearest to ``expected`` in each column; 0 thick where there is none."""
    reach = max(2, round(SEARCH_MM * px_per_mm))
    offsets = np.arange(-2 * reach, 2 * reach + 1)
    rows = np.rint(expected)[:, None].astype(np.intp) + offsets
    inside = (rows >= 0) & (rows < ink.shape[0])
    window = np.where(inside, ink[np.clip(rows, 0, ink.shape[0] - 1), along[:, None]], 0)
    near = window * (np.abs(offsets) <= reach)
    nearest = np.abs(np.where(near > 0, offsets, 10 * reach)).argmin(1)
    columns, steps = np.arange(len(along)), np.arange(len(offsets))
    low = np.maximum.accumulate(np.where(window == 0, steps, -1), 1)[columns, nearest] + 1
    gaps = np.where(window == 0, steps, len(offsets))[:, ::-1]
    high = np.minimum.accumulate(gaps, 1)[:, ::-1][columns, nearest] - 1
    height = np.where(near[columns, nearest] > 0, high - low + 1, 0)
    height = np.where(height <= THICKEST_MM * px_per_mm, height, 0)
    return np.rint(expected) + (offsets[low] + offsets[high]) / 2, height.astype(np.float64)


def _mark_strangers(ink: Mask, inner: Box) -> Mask:
    """Mark the pieces of ink, with their rim, that lie wholly outside of the field: labels, neighbours."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(ink, connectivity=8, ltype=cv2.CV_16U)
    left, top, width, height = (stats[:, k] for k in range(4))
    outside = (left + width <= inner.x) | (left >= inner.x + inner.w)
    outside |= (top + height <= inner.y) | (top >= inner.y + inner.h)
    outside[0] = False
    if not outside.any():
        return np.zeros_like(ink)
    strange = outside[labels].astype(np.uint8)
    return np.asarray(cv2.dilate(strange, np.ones((3, 3), np.uint8)) & (ink == strange), np.uint8)
