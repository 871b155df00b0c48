"""From a reading's columns to each digit's ink and box: seams between neighbours, then the ink within."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.fields.decoding import Symbol
from worker.fields.line_normalization import WIDTH_STRIDE, Line
from worker.values import Box

Pixels = NDArray[np.uint8]

INK = 110
"""A line's pixel above this, of 255, is ink."""
CLEAR = 60
"""A column without a pixel above this parts two symbols by itself."""
OFF_PATH = 2.0
"""Cost of a seam's step aside, and of its distance from the middle between two symbols."""


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """One symbol's ink cut from its line: (h, w) uint8, white ink on black, and its box in line pixels.

    ``touching`` is the ink that the seams beside it had to cross, in pixels of a line.
    """

    symbol: Symbol
    ink: Pixels
    box: Box
    touching: float


def cut_symbols(line: Pixels, symbols: list[Symbol]) -> list[Cut]:
    """Cut a line between its symbols along the seams that cross least ink.

    Parameters
    ----------
    line
        (40, W) uint8, 255 = ink.
    symbols
        Left to right; every ink pixel falls to one of them.
    """
    if not symbols:
        return []
    height, width = line.shape
    centres = [_centre(s) for s in symbols]
    seams = [np.zeros(height, np.int64)]
    crossed = [0.0]
    for left, right in itertools.pairwise(centres):
        seam, ink = _find_seam(line, left, right)
        seams.append(seam)
        crossed.append(ink)
    seams.append(np.full(height, width, np.int64))
    crossed.append(0.0)
    columns = np.arange(width)
    cuts = []
    for i, symbol in enumerate(symbols):
        inside = (columns >= seams[i][:, None]) & (columns < seams[i + 1][:, None])
        part = _main_ink(np.where(inside, line, 0).astype(np.uint8), centres[i])
        cuts.append(_bound(symbol, part, centres[i], crossed[i] + crossed[i + 1]))
    return cuts


def to_crop_box(box: Box, line: Line) -> Box:
    """Return a box of line pixels in pixels of the crop that the line was made of."""
    return Box(
        box.x / line.scale + line.x0, box.y / line.scale + line.y0, box.w / line.scale, box.h / line.scale
    )


def to_page_box(box: Box, page_from_crop: NDArray[np.float64]) -> Box:
    """Return the upright bounding box on the page of a box in crop pixels."""
    x, y, w, h = box
    corners = np.array([[[x, y], [x + w, y], [x, y + h], [x + w, y + h]]], np.float64)
    points = cv2.perspectiveTransform(corners, page_from_crop)[0]
    low, high = points.min(axis=0), points.max(axis=0)
    return Box(float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1]))


def _centre(symbol: Symbol) -> float:
    return (symbol.start + symbol.stop) / 2 * WIDTH_STRIDE


def _find_seam(line: Pixels, left: float, right: float) -> tuple[NDArray[np.int64], float]:
    """Return the first column right of the seam, row by row, and the ink crossed, between two centres."""
    first, last = int(left) + 1, max(int(left) + 2, int(np.ceil(right)))
    last = min(last, line.shape[1])
    first = min(first, last - 1)
    between = line[:, first:last]
    open_columns = np.flatnonzero(between.max(axis=0) < CLEAR)
    if len(open_columns):  # most neighbours stand apart
        middle = (left + right) / 2 - first
        column = first + int(open_columns[np.argmin(np.abs(open_columns - middle))])
        return np.full(len(line), column, np.int64), 0.0
    ink = between.astype(np.float32)
    away = np.abs(np.arange(first, last) - (left + right) / 2) / max(right - left, 1.0)
    cost = ink + OFF_PATH * 8 * away
    total = cost.copy()
    padded = np.full(total.shape[1] + 2, np.inf, np.float32)
    for y in range(1, len(total)):
        padded[1:-1] = total[y - 1]
        total[y] += np.minimum(np.minimum(padded[:-2] + OFF_PATH, padded[2:] + OFF_PATH), padded[1:-1])
    seam = np.empty(len(total), np.int64)
    x = int(np.argmin(total[-1]))
    for y in range(len(total) - 1, -1, -1):
        seam[y] = first + x
        if y:
            low = max(0, x - 1)
            x = low + int(np.argmin(total[y - 1, low : x + 2]))
    crossed = line[np.arange(len(seam)), seam]
    return seam, float((crossed > INK).sum())


def _main_ink(part: Pixels, centre: float) -> Pixels:
    """Drop from a symbol's part the specks and the remnants of rules that lie away from its main ink."""
    mask = (part > INK).astype(np.uint8)
    count, labels, stats, centres = cv2.connectedComponentsWithStats(mask, connectivity=8)
    if count <= 2:
        return part
    areas = stats[1:, cv2.CC_STAT_AREA].astype(np.float64)
    nearness = 1 / (1 + np.abs(centres[1:, 0] - centre) / 8)
    main = 1 + int(np.argmax(areas * nearness))
    x, w = stats[main, cv2.CC_STAT_LEFT], stats[main, cv2.CC_STAT_WIDTH]
    lefts, widths = stats[1:, cv2.CC_STAT_LEFT], stats[1:, cv2.CC_STAT_WIDTH]
    overlap = np.minimum(lefts + widths, x + w + 2) - np.maximum(lefts, x - 2)
    flat = (
        (stats[1:, cv2.CC_STAT_HEIGHT] <= 3)
        & (widths >= 8)
        & (stats[1:, cv2.CC_STAT_TOP] > part.shape[0] * 0.8)
    )
    keep = (areas >= 0.04 * areas.max()) & (overlap > 0.3 * widths) & ~flat
    keep[main - 1] = True
    gone = np.concatenate([[False], ~keep])[labels]
    return np.where(gone, 0, part).astype(np.uint8)


def _bound(symbol: Symbol, part: Pixels, centre: float, touching: float) -> Cut:
    x, y, w, h = cv2.boundingRect((part > INK).astype(np.uint8))
    if not w:
        return Cut(symbol, np.zeros((8, 8), np.uint8), Box(centre - 2, 6, 4, 28), touching)
    return Cut(symbol, part[y : y + h, x : x + w], Box(x, y, w, h), touching)
