"""Remove a form's printed lines from the crop of a field, only where the template has lines.

A line that looks like a frame but is not in the template stays, because it may be a 1.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.imaging.binarization import Mask
from worker.imaging.geometry import Array, median
from worker.imaging.line_removal import Rule
from worker.imaging.pieces import find_pieces
from worker.values import Box, Grey

SEARCH_MM = 0.7
"""How far a line may lie from its registered place; registered lines lie within 0.3 mm."""
THICKEST_MM = 1.2
"""Ink thicker than this across a line's course is no line: it is writing along it, or a black area."""
PAPER_MM = 1.8
"""Side of the closing's square, which is wider than any stroke or line."""
FAINTEST_INK, INK_SHARE = 20.0, 0.35
"""Ink is darker than its paper by at least so many of 255 levels, and by this share of the darkest stroke."""
SAMPLED = 4
"""Step in pixels between the places along a line that are looked at."""
LEAST_SEEN = 0.5
"""A line counts as printed if at least this share of its length shows ink."""


def remove_form(grey: Grey, strokes: Iterable[tuple[Array, Array]], inner: Box, px_per_mm: float) -> Grey:
    """Return the crop with the form's lines, and everything outside of the field, painted over as paper.

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
    paper = estimate_paper(grey, px_per_mm)
    ink = find_ink(grey, paper)
    erased = np.zeros_like(ink)
    if rules := _find_lines(ink, strokes, px_per_mm):
        _mark_lines(ink, rules, erased)
    erased |= _mark_strangers(np.where(erased > 0, np.uint8(0), ink), inner)
    return np.where(erased > 0, paper, grey)


def find_ink(grey: Grey, paper: Grey) -> Mask:
    """Return (h, w) uint8, 1 where a crop is darker than its paper by a share of what its darkest stroke is."""
    darkness = np.asarray(cv2.subtract(paper, grey), np.uint8)
    return np.asarray(darkness > max(FAINTEST_INK, INK_SHARE * float(darkness.max()))).astype(np.uint8)


def estimate_paper(grey: Grey, px_per_mm: float) -> Grey:
    """Return a crop's paper with its shades: strokes and lines are closed over."""
    side = round(PAPER_MM * px_per_mm) | 1
    closed = cv2.morphologyEx(grey, cv2.MORPH_CLOSE, np.ones((side, side), np.uint8), borderType=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.blur(closed, (5, 5)), np.uint8)


def _mark_lines(ink: Mask, rules: list[Rule], erased: Mask) -> None:
    """Mark in ``erased`` the bands of the lines with their grey rims, except where a stroke crosses them.

    All lines are marked at once: the (N,) arrays hold the places along one line after those of another.
    """
    starts = np.array([max(0, r.start - 2) for r in rules])
    counts = np.array([min(ink.shape[not r.upright], r.end + 2) for r in rules]) - starts
    line = np.repeat(np.arange(len(rules)), counts)
    ends = np.cumsum(counts)
    begins, place = ends - counts, np.arange(ends[-1])
    along = place + (starts - begins)[line]
    half, offset, slope = np.array([(r.thickness / 2 + 1.0, r.offset, r.slope) for r in rules]).T
    middle = offset[line] + slope[line] * along
    top = np.ceil(middle - half[line]).astype(np.intp)
    bottom = np.floor(middle + half[line]).astype(np.intp)
    upright = np.array([r.upright for r in rules])[line]
    beside = _ink_across(ink, upright, along, np.stack([top - 2, top - 1, bottom + 1, bottom + 2]))
    reach = half.astype(np.intp)[line] + 1
    window = np.maximum(place - reach, begins[line]), np.minimum(place + reach + 1, ends[line])
    crossed = _any_within(beside[0] & beside[1], *window) & _any_within(beside[2] & beside[3], *window)
    top = top - ~beside[1]
    bottom = bottom + ~beside[2]
    across = top + np.arange(int((bottom - top).max()) + 1)[:, None]
    rows, columns = np.where(upright, along, across), np.where(upright, across, along)
    marked = (across <= bottom) & ~crossed & _is_inside(ink, rows, columns)
    erased[rows[marked], columns[marked]] = 1


def _any_within(flags: NDArray[np.bool_], start: NDArray[np.intp], stop: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Tell, for each window from ``start`` to ``stop`` (exclusive), whether a flag is set in it."""
    total = np.concatenate([[0], np.cumsum(flags)])
    return np.asarray(total[stop] > total[start], bool)


@dataclass(frozen=True, slots=True, eq=False)
class _Course:
    """Where a stroke's line is looked for: at columns ``along`` around rows ``expected``, or the reverse if upright."""

    upright: bool
    start: int
    end: int
    along: NDArray[np.intp]
    expected: Array


def _find_lines(ink: Mask, strokes: Iterable[tuple[Array, Array]], px_per_mm: float) -> list[Rule]:
    """Find the lines that are printed near the strokes, with their true places, slopes and thicknesses."""
    courses = [c for start, end in strokes if (c := _course(ink.shape, start, end, 2 * px_per_mm)) is not None]
    if not courses:
        return []
    middle, thickness = _runs_near(ink, courses, px_per_mm)
    stops = np.cumsum([len(c.along) for c in courses])[:-1]
    found = zip(courses, np.split(middle, stops), np.split(thickness, stops), strict=True)
    return [rule for course, m, t in found if (rule := _fit_line(course, m, t, px_per_mm)) is not None]


def _course(shape: tuple[int, ...], start: Array, end: Array, shortest: float) -> _Course | None:
    upright = bool(abs(end[1] - start[1]) > abs(end[0] - start[0]))
    (a0, c0), (a1, c1) = sorted((p[::-1] if upright else p).tolist() for p in (start, end))
    first, last = max(0, round(a0)), min(shape[0] if upright else shape[1], round(a1))
    if last - first < shortest:
        return None
    along = np.arange(first, last, SAMPLED)
    return _Course(upright, first, last, along, c0 + (c1 - c0) / (a1 - a0) * (along - a0))


def _fit_line(course: _Course, middle: Array, thickness: Array, px_per_mm: float) -> Rule | None:
    """Fit a line to the runs of ink of the usual thickness; None where too few are seen."""
    seen = thickness > 0
    if np.count_nonzero(seen) < LEAST_SEEN * len(seen):
        return None
    usual = median(thickness[seen])
    away = middle - course.expected
    clear = seen & (thickness <= usual + 1.5)
    near = clear & (np.abs(away - median(away[clear])) < 0.25 * px_per_mm + 0.5)
    if np.count_nonzero(near) < 4:
        return None
    x, y = course.along[near], middle[near]
    mean_x, mean_y = float(x.mean()), float(y.mean())
    slope = float(((x - mean_x) * (y - mean_y)).sum() / ((x - mean_x) ** 2).sum())
    return Rule(course.upright, mean_y - slope * mean_x, slope, usual, course.start, course.end)


def _runs_near(ink: Mask, courses: list[_Course], px_per_mm: float) -> tuple[Array, Array]:
    """Return middle and thickness of the ink nearest to ``expected``, at all places of all courses one after another.

    Thickness is 0 where there is none within reach, or more than a line has.
    """
    reach = max(2, round(SEARCH_MM * px_per_mm))
    offsets = np.arange(-2 * reach, 2 * reach + 1)
    expected = np.rint(np.concatenate([c.expected for c in courses])).astype(np.intp)
    along = np.concatenate([c.along for c in courses])
    upright = np.repeat([c.upright for c in courses], [len(c.along) for c in courses])
    window = _ink_across(ink, upright[:, None], along[:, None], expected[:, None] + offsets)
    by_nearness = reach + np.argsort(np.abs(offsets[reach:-reach]), kind="stable")
    nearest = by_nearness[window[:, by_nearness].argmax(1)]
    steps = np.arange(len(offsets))
    gap = ~window
    low = np.where(gap & (steps <= nearest[:, None]), steps, -1).max(1) + 1
    high = np.where(gap & (steps >= nearest[:, None]), steps, len(offsets)).min(1) - 1
    height = np.maximum(high - low + 1, 0)
    height[height > THICKEST_MM * px_per_mm] = 0
    return expected + (low + high) / 2 - 2 * reach, height.astype(np.float64)


def _ink_across(
    ink: Mask, upright: NDArray[np.bool_], along: NDArray[np.intp], across: NDArray[np.intp]
) -> NDArray[np.bool_]:
    """Tell at which places there is ink; beyond the crop there is none."""
    rows, columns = np.where(upright, along, across), np.where(upright, across, along)
    inside = _is_inside(ink, rows, columns)
    return np.asarray((ink[rows * inside, columns * inside] > 0) & inside, bool)


def _is_inside(ink: Mask, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[np.bool_]:
    height, width = ink.shape
    return np.asarray((rows >= 0) & (rows < height) & (columns >= 0) & (columns < width), bool)


def _mark_strangers(ink: Mask, inner: Box) -> Mask:
    """Mark the pieces of ink that lie wholly outside of the field (labels, neighbours), with their rim."""
    labels, stats, _ = find_pieces(ink)
    left, top, width, height = (stats[:, k] for k in range(4))
    outside = (left + width <= inner.x) | (left >= inner.x + inner.w)
    outside |= (top + height <= inner.y) | (top >= inner.y + inner.h)
    outside[0] = False
    if not outside.any():
        return np.zeros_like(ink)
    strange = outside.view(np.uint8).take(labels)
    return np.asarray(cv2.dilate(strange, np.ones((3, 3), np.uint8)) & (ink == strange), np.uint8)
