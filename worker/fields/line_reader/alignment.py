"""Find each digit's ink and box from the columns of a reading: seams between neighbours, then the ink within."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.fields.line_reader.decoding import Symbol
from worker.fields.line_reader.normalization import WIDTH_STRIDE
from worker.imaging.pieces import find_pieces
from worker.values import Box

Pixels = NDArray[np.uint8]

INK = 110
"""A pixel of a line above this, of 255, is ink."""
CLEAR = 60
"""A column without a pixel above this separates two symbols by itself."""
OFF_PATH = 2.0
"""Cost of a sideways step of a seam, and of its distance from the middle between two symbols."""


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """One symbol's ink cut from its line: (h, w) uint8, white ink on black, and its box in line pixels.

    ``touching`` is the ink that the seams beside it had to cross, in pixels of a line. ``whole`` tells that what is
    above ``INK`` is known to be one piece.
    """

    symbol: Symbol
    ink: Pixels
    box: Box
    touching: float
    whole: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class _Gap:
    """The columns ``first`` to ``last`` (exclusive) of ``line`` between the centres of two neighbours."""

    line: Pixels
    first: int
    last: int
    middle: float
    apart: float


@dataclass(frozen=True, slots=True, eq=False)
class _Seam:
    """Where a line is cut: the first column right of the seam row by row, the least and most of them, ink crossed.

    An upright seam has one column for all rows.
    """

    columns: NDArray[np.int64]
    least: int
    most: int
    crossed: float = 0.0


def _upright(column: int) -> _Seam:
    return _Seam(np.array([column]), column, column)


def cut_symbols(line: Pixels, symbols: list[Symbol]) -> list[Cut]:
    """Cut a line between its symbols along the seams that cross the least ink.

    Parameters
    ----------
    line
        (40, W) uint8, 255 = ink.
    symbols
        Left to right; every ink pixel falls to one of them.
    """
    return cut_lines([line], [symbols])[0]


def cut_lines(lines: list[Pixels], symbols: list[list[Symbol]]) -> list[list[Cut]]:
    """Cut many lines as ``cut_symbols`` cuts one; find all seams through touching digits at once."""
    gaps = [_find_gaps(line, row) for line, row in zip(lines, symbols, strict=True)]
    seams = [[_open_seam(gap) for gap in row] for row in gaps]
    closed = [(i, k) for i, row in enumerate(seams) for k, seam in enumerate(row) if seam is None]
    found = _closed_seams([gaps[i][k] for i, k in closed])
    for (i, k), seam in zip(closed, found, strict=True):
        seams[i][k] = seam
    return [
        _cut_at(line, row, [s for s in cuts if s is not None])
        for line, row, cuts in zip(lines, symbols, seams, strict=True)
    ]


def _cut_at(line: Pixels, symbols: list[Symbol], seams: list[_Seam]) -> list[Cut]:
    """Return each symbol's ink between the seams on both its sides; the line's ends are seams too."""
    ends = [_upright(0), *seams, _upright(line.shape[1])]
    return [
        _cut_out(line, symbol, left, right)
        for symbol, (left, right) in zip(symbols, itertools.pairwise(ends), strict=False)
    ]


def _cut_out(line: Pixels, symbol: Symbol, left: _Seam, right: _Seam) -> Cut:
    start, stop = left.least, right.most
    part = line[:, start:stop]
    if left.most > start or right.least < stop:
        columns = np.arange(start, stop)
        part = part * ((columns >= left.columns[:, None]) & (columns < right.columns[:, None]))
    centre = _centre(symbol)
    ink, box, whole = _main_ink(part, centre - start)
    touching = left.crossed + right.crossed
    if box is None:
        return Cut(symbol, ink, Box(centre - 2, 6, 4, 28), touching)
    return Cut(symbol, ink, Box(box.x + start, box.y, box.w, box.h), touching, whole)


def to_page_box(box: Box, page_from_crop: NDArray[np.float64]) -> Box:
    """Return the upright bounding box on the page of a box in crop pixels."""
    (a, b, c), (d, e, f), (g, h, i) = page_from_crop.tolist()
    corners = [(x, y, g * x + h * y + i) for x in (box.x, box.x + box.w) for y in (box.y, box.y + box.h)]
    xs = [(a * x + b * y + c) / depth for x, y, depth in corners]
    ys = [(d * x + e * y + f) / depth for x, y, depth in corners]
    return Box(min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys))


def _centre(symbol: Symbol) -> float:
    return (symbol.start + symbol.stop) / 2 * WIDTH_STRIDE


def _find_gaps(line: Pixels, symbols: list[Symbol]) -> list[_Gap]:
    gaps = []
    for left, right in itertools.pairwise(_centre(s) for s in symbols):
        last = min(max(int(left) + 2, math.ceil(right)), line.shape[1])
        first = min(int(left) + 1, last - 1)
        gaps.append(_Gap(line, first, last, (left + right) / 2, max(right - left, 1.0)))
    return gaps


def _open_seam(gap: _Gap) -> _Seam | None:
    """Return the upright seam through the clear column nearest to the middle; None if there is none."""
    strongest = gap.line[:, gap.first : gap.last].max(axis=0).tolist()
    clear = [x for x, ink in enumerate(strongest, gap.first) if ink < CLEAR]
    return _upright(min(clear, key=lambda x: abs(x - gap.middle))) if clear else None


def _closed_seams(gaps: list[_Gap]) -> list[_Seam]:
    """Return the seams of least cost, row by row from the top, through gaps without a clear column.

    Dynamic programming over rows, all gaps side by side; the columns around a gap cost infinitely much.
    """
    if not gaps:
        return []
    rows, width = len(gaps[0].line), max(gap.last - gap.first for gap in gaps)
    total = np.full((rows, len(gaps), width + 2), np.inf)
    for i, gap in enumerate(gaps):
        away = np.abs(np.arange(gap.first, gap.last) - gap.middle) / gap.apart
        total[:, i, 1 : 1 + gap.last - gap.first] = gap.line[:, gap.first : gap.last] + OFF_PATH * 8 * away
    for y in range(1, rows):
        above = total[y - 1].astype(np.float32)  # there are many equal paths; the choice among them must not change
        aside = np.minimum(above[:, :-2], above[:, 2:]) + OFF_PATH
        total[y, :, 1:-1] += np.minimum(aside, above[:, 1:-1])
    left, here, right = total[..., :-2], total[..., 1:-1], total[..., 2:]
    step = np.where((left <= here) & (left <= right), -1, np.where(here <= right, 0, 1))
    ends = here[-1].argmin(axis=1).tolist()
    return [_trace(gap, step[:, i].tolist(), end) for i, (gap, end) in enumerate(zip(gaps, ends, strict=True))]


def _trace(gap: _Gap, step: list[list[int]], end: int) -> _Seam:
    """Follow a seam from the bottom up; ``step`` (rows, columns) tells where in the row it came from it lies."""
    columns = [end]
    for row in reversed(step[:-1]):
        columns.append(columns[-1] + row[columns[-1]])
    seam = np.array(columns[::-1]) + gap.first
    crossed = float((gap.line[np.arange(len(seam)), seam] > INK).sum())
    return _Seam(seam, gap.first + min(columns), gap.first + max(columns), crossed)


def _main_ink(part: Pixels, centre: float) -> tuple[Pixels, Box | None, bool]:
    """Return the ink of a symbol, cut close, with its box in the part, None if it has no ink, and whether it is whole.

    Specks and remnants of rules that lie away from the main ink are dropped.
    """
    if not part.size:  # two symbols in one column; OpenCV crashes on an empty array
        return np.zeros((8, 8), np.uint8), None, False
    labels, stats, centres = find_pieces((part > INK).view(np.uint8))
    count = len(stats)
    if count == 1:
        return np.zeros((8, 8), np.uint8), None, False
    if count == 2:
        x, y, w, h = stats[1, :4].tolist()
        return part[y : y + h, x : x + w], Box(x, y, w, h), True
    boxes, areas = stats[1:], stats[1:, cv2.CC_STAT_AREA].astype(np.float64)
    nearness = 1 / (1 + np.abs(centres[1:, 0] - centre) / 8)
    main = int(np.argmax(areas * nearness))
    lefts, tops, widths, heights = boxes[:, :4].T
    overlap = np.minimum(lefts + widths, lefts[main] + widths[main] + 2) - np.maximum(lefts, lefts[main] - 2)
    flat = (heights <= 3) & (widths >= 8) & (tops > part.shape[0] * 0.8)
    keep = (areas >= 0.04 * areas.max()) & (overlap > 0.3 * widths) & ~flat
    keep[main] = True
    gone = np.concatenate([[False], ~keep])[labels]
    x, y = int(lefts[keep].min()), int(tops[keep].min())
    right, bottom = int((lefts + widths)[keep].max()), int((tops + heights)[keep].max())
    kept = np.where(gone, 0, part)[y:bottom, x:right].astype(np.uint8)
    return kept, Box(x, y, right - x, bottom - y), False
