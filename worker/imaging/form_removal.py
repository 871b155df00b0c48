"""Remove a form's printed lines from the crop of a field, only where the template has lines.

A line that looks like a frame but is not in the template stays, because it may be a 1.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.imaging.binarization import Mask
from worker.imaging.geometry import Array, median
from worker.imaging.line_removal import Rule
from worker.imaging.pieces import find_pieces
from worker.values import Box, Grey

Places: TypeAlias = NDArray[np.intp]
Flags: TypeAlias = NDArray[np.bool_]

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


CROSSING_PX = 3.0
"""How far beyond their rims two lines that cross look as if a stroke crossed them: the rows that are looked at beside
a line, and the places on both sides of one that is crossed."""


class PrintedCrop(NamedTuple):
    """A crop (h, w) uint8, 0 = ink, and what its form says of it, in crop pixels.

    ``strokes`` are start and end (x, y) of the template's lines, ``inner`` is the field's own box.
    """

    grey: Grey
    strokes: Sequence[tuple[Array, Array]]
    inner: Box
    px_per_mm: float


def remove_forms(crops: Sequence[PrintedCrop]) -> list[Grey]:
    """Return each crop with the form's lines, and everything outside of the field, painted over as paper.

    The lines of all crops are looked for, and marked, at once.
    """
    papers = [estimate_paper(crop.grey, crop.px_per_mm) for crop in crops]
    inks = [find_ink(crop.grey, paper) for crop, paper in zip(crops, papers, strict=True)]
    sheet = _Sheet(inks)
    rules, owners = _find_lines(sheet, crops)
    margins = np.array([max(0, round(min(crop.inner.x, crop.inner.y))) for crop in crops], np.intp)
    erased = _mark_lines(sheet, rules, np.array(owners, np.intp), margins)
    cleaned = []
    for crop, paper, ink, lines in zip(crops, papers, inks, erased, strict=True):
        gone = lines | _mark_strangers(ink & ~lines, crop.inner)
        cleaned.append(np.asarray(cv2.copyTo(paper, gone, crop.grey.copy()), np.uint8))
    return cleaned


class _Sheet:
    """The ink of many crops one after another, looked at by crop, row and column."""

    def __init__(self, inks: Sequence[Mask]) -> None:
        self.heights = np.array([len(ink) for ink in inks], np.intp)
        self.widths = np.array([ink.shape[1] for ink in inks], np.intp)
        self.begins = np.concatenate([[0], np.cumsum(self.heights * self.widths)])
        self.ink = np.concatenate([ink.ravel() for ink in inks]) if inks else np.zeros(0, np.uint8)

    def lines_at(self, crop: Places, upright: Flags, along: Places) -> _Across:
        """Return the lines of pixels across rules, each at a place ``along`` one that lies within its crop."""
        width = self.widths[crop]
        begin = self.begins[crop] + along * np.where(upright, width, 1)
        return _Across(self.ink, begin, np.where(upright, 1, width), np.where(upright, width, self.heights[crop]))


class _Across(NamedTuple):
    """Lines of pixels in the ``ink`` of a sheet, each from ``begin`` on in steps of ``step``, ``length`` of them."""

    ink: Mask
    begin: Places
    step: Places
    length: Places

    def places(self, across: Places) -> tuple[Places, Flags]:
        """Return the indices into ``ink`` of the pixels ``across``, and which of them lie within their crop."""
        inside = (across >= 0) & (across < self.length)
        return (self.begin + across * self.step) * inside, np.asarray(inside, bool)

    def has_ink(self, across: Places) -> Flags:
        """Tell at which pixels there is ink; beyond a crop there is none."""
        at, inside = self.places(across)
        return np.asarray((self.ink.take(at) > 0) & inside, bool)


def find_ink(grey: Grey, paper: Grey) -> Mask:
    """Return (h, w) uint8, 1 where a crop is darker than its paper by a share of what its darkest stroke is."""
    darkness = np.asarray(cv2.subtract(paper, grey), np.uint8)
    return np.asarray(darkness > max(FAINTEST_INK, INK_SHARE * float(darkness.max()))).view(np.uint8)


def estimate_paper(grey: Grey, px_per_mm: float) -> Grey:
    """Return a crop's paper with its shades: strokes and lines are closed over."""
    side = round(PAPER_MM * px_per_mm) | 1
    closed = cv2.morphologyEx(grey, cv2.MORPH_CLOSE, np.ones((side, side), np.uint8), borderType=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.blur(closed, (5, 5)), np.uint8)


def _mark_lines(sheet: _Sheet, rules: list[Rule], owners: Places, margins: Places) -> list[Mask]:
    """Mark, crop by crop, the bands of the lines with their grey rims, except where a stroke crosses them.

    All lines are marked at once: the (N,) arrays hold the places along one line after those of another. ``owners``
    tells of which crop a line is. A line that ends in the ``margins`` around a field, in pixels by crop, may go on into
    the next cell of a table, and is marked to the rim of the crop.
    """
    erased = np.zeros_like(sheet.ink)
    if rules:
        upright_rules = np.array([r.upright for r in rules])
        limits = np.where(upright_rules, sheet.heights[owners], sheet.widths[owners])
        first, last = np.array([(r.start - 2, r.end + 2) for r in rules]).T
        starts = np.where(first <= margins[owners], 0, first)
        counts = np.where(last >= limits - margins[owners], limits, last) - starts
        line = np.repeat(np.arange(len(rules)), counts)
        ends = np.cumsum(counts)
        begins, place = ends - counts, np.arange(ends[-1])
        along = place + (starts - begins)[line]
        half, offset, slope = np.array([(r.thickness / 2 + 1.0, r.offset, r.slope) for r in rules]).T
        middle = offset[line] + slope[line] * along
        top = np.ceil(middle - half[line]).astype(np.intp)
        bottom = np.floor(middle + half[line]).astype(np.intp)
        lines = sheet.lines_at(owners[line], upright_rules[line], along)
        beside = lines.has_ink(np.stack([top - 2, top - 1, bottom + 1, bottom + 2]))
        reach = half.astype(np.intp)[line] + 1
        window = np.maximum(place - reach, begins[line]), np.minimum(place + reach + 1, ends[line])
        crossed = _any_within(beside[0] & beside[1], *window) & _any_within(beside[2] & beside[3], *window)
        crossed &= ~_near_crossings(rules, owners, begins - starts, ends)
        top = top - ~beside[1]
        bottom = bottom + ~beside[2]
        across = top + np.arange(int((bottom - top).max()) + 1)[:, None]
        at, inside = lines.places(across)
        erased[at[(across <= bottom) & ~crossed & inside]] = 1
    parts = zip(sheet.begins, sheet.begins[1:], sheet.heights, strict=False)
    return [erased[begin:end].reshape(height, -1) for begin, end, height in parts]


def _near_crossings(rules: list[Rule], owners: Places, shift: Places, ends: Places) -> Flags:
    """Tell at which places along the lines another line of the same crop crosses: no stroke does there.

    In a table the lines of a cell go on into its neighbours. What crosses the line of one cell is that of another, and
    a cross of print was left in each corner, which looked like a sign before the digits. The places of rule i lie at
    ``shift[i]`` + along, up to ``ends[i]``.
    """
    upright = np.array([r.upright for r in rules])
    pairs = upright[:, None] & ~upright & (owners[:, None] == owners)
    half, offset, slope = np.array([(r.thickness / 2 + 1.0, r.offset, r.slope) for r in rules]).T
    first, last = np.array([(r.start, r.end) for r in rules]).T
    steep, level = np.nonzero(pairs)
    x = (offset[steep] + slope[steep] * offset[level]) / (1 - slope[steep] * slope[level])
    y = offset[level] + slope[level] * x
    reach = half[steep] + half[level] + CROSSING_PX
    meet = (
        (x > first[level] - reach) & (x < last[level] + reach) & (y > first[steep] - reach) & (y < last[steep] + reach)
    )
    line = np.concatenate([level[meet], steep[meet]])
    along, reach = np.concatenate([x[meet], y[meet]]), np.tile(reach[meet], 2)
    begin = np.concatenate([[0], ends[:-1]])[line]
    low, high = (
        np.clip(np.rint(along + far) + shift[line], begin, ends[line]).astype(np.intp) for far in (-reach, reach)
    )
    changes = np.zeros(ends[-1] + 1, np.intp)
    np.add.at(changes, low, 1)
    np.add.at(changes, high, -1)
    return np.asarray(np.cumsum(changes)[:-1] > 0, bool)


def _any_within(flags: Flags, start: Places, stop: Places) -> Flags:
    """Tell, for each window from ``start`` to ``stop`` (exclusive), whether a flag is set in it."""
    total = np.concatenate([[0], np.cumsum(flags)])
    return np.asarray(total[stop] > total[start], bool)


@dataclass(frozen=True, slots=True, eq=False)
class _Course:
    """Where a stroke's line is looked for: at columns ``along`` around rows ``expected``, or the reverse if upright."""

    crop: int
    px_per_mm: float
    upright: bool
    start: int
    end: int
    along: Places
    expected: Array


def _find_lines(sheet: _Sheet, crops: Sequence[PrintedCrop]) -> tuple[list[Rule], list[int]]:
    """Find the lines that are printed near the strokes, with their true places, slopes and thicknesses.

    Beside them return of which crop each is.
    """
    courses = [
        course
        for i, crop in enumerate(crops)
        for start, end in crop.strokes
        if (course := _course(i, crop, start, end)) is not None
    ]
    rules, owners = [], []
    for _, group in itertools.groupby(courses, key=lambda course: _reach(course.px_per_mm)):
        together = list(group)
        middle, thickness = _runs_near(sheet, together)
        stops = np.cumsum([len(c.along) for c in together])[:-1]
        for course, m, t in zip(together, np.split(middle, stops), np.split(thickness, stops), strict=True):
            if (rule := _fit_line(course, m, t)) is not None:
                rules.append(rule)
                owners.append(course.crop)
    return rules, owners


def _reach(px_per_mm: float) -> int:
    return max(2, round(SEARCH_MM * px_per_mm))


def _course(number: int, crop: PrintedCrop, start: Array, end: Array) -> _Course | None:
    upright = bool(abs(end[1] - start[1]) > abs(end[0] - start[0]))
    (a0, c0), (a1, c1) = sorted((p[::-1] if upright else p).tolist() for p in (start, end))
    first, last = max(0, round(a0)), min(crop.grey.shape[0 if upright else 1], round(a1))
    if last - first < 2 * crop.px_per_mm:
        return None
    along = np.arange(first, last, SAMPLED)
    expected = c0 + (c1 - c0) / (a1 - a0) * (along - a0)
    return _Course(number, crop.px_per_mm, upright, first, last, along, expected)


def _fit_line(course: _Course, middle: Array, thickness: Array) -> Rule | None:
    """Fit a line to the runs of ink of the usual thickness; None where too few are seen."""
    seen = thickness > 0
    if np.count_nonzero(seen) < LEAST_SEEN * len(seen):
        return None
    usual = median(thickness[seen])
    away = middle - course.expected
    clear = seen & (thickness <= usual + 1.5)
    near = clear & (np.abs(away - median(away[clear])) < 0.25 * course.px_per_mm + 0.5)
    if np.count_nonzero(near) < 4:
        return None
    x, y = course.along[near], middle[near]
    mean_x, mean_y = float(x.sum()) / len(x), float(y.sum()) / len(y)
    aside = x - mean_x
    slope = float((aside * (y - mean_y)).sum() / (aside**2).sum())
    return Rule(course.upright, mean_y - slope * mean_x, slope, usual, course.start, course.end)


def _runs_near(sheet: _Sheet, courses: list[_Course]) -> tuple[Array, Array]:
    """Return middle and thickness of the ink nearest to ``expected``, at all places of all courses one after another.

    Thickness is 0 where there is none within reach, or more than a line has. All courses have the same reach.
    """
    reach = _reach(courses[0].px_per_mm)
    offsets = np.arange(-2 * reach, 2 * reach + 1)
    expected = np.rint(np.concatenate([c.expected for c in courses])).astype(np.intp)
    along = np.concatenate([c.along for c in courses])
    counts = [len(c.along) for c in courses]
    upright = np.repeat([c.upright for c in courses], counts)
    crop = np.repeat([c.crop for c in courses], counts)
    lines = sheet.lines_at(crop[:, None], upright[:, None], along[:, None])
    window = lines.has_ink(expected[:, None] + offsets)
    by_nearness = reach + np.argsort(np.abs(offsets[reach:-reach]), kind="stable")
    nearest = by_nearness[window[:, by_nearness].argmax(1)]
    steps = np.arange(len(offsets))
    gap = ~window
    low = np.where(gap & (steps <= nearest[:, None]), steps, -1).max(1) + 1
    high = np.where(gap & (steps >= nearest[:, None]), steps, len(offsets)).min(1) - 1
    height = np.maximum(high - low + 1, 0)
    height[height > np.repeat([THICKEST_MM * c.px_per_mm for c in courses], counts)] = 0
    return expected + (low + high) / 2 - 2 * reach, height.astype(np.float64)


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
