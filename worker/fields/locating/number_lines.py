"""Join the glyphs of a page to numbers: chain them from left to right, split at gaps, put in reading order."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from worker.fields.cutting.segmentation import InkPart
from worker.values import Extent

_WIDEST_GAP = 3.0
"""Digits further apart than this many heights do not belong to one number."""

_STEEPEST = 0.7
"""Steepest slope of a tilted number: 35 degrees."""

_NUMBER_GAP, _WIDE_GAP = 2.2, 0.8
"""A gap of this many usual gaps of the line, and this many heights wide, separates two numbers."""

_USUAL_GAP = 0.12
"""Least gap, in heights, that is compared with: in touching digits any gap would be a wide one."""


@dataclass(frozen=True, slots=True, eq=False)
class Glyph:
    """Ink that may be a digit: its strokes, the main one first, and the extent of them all."""

    parts: tuple[InkPart, ...]
    extent: Extent = field(init=False)

    def __post_init__(self) -> None:
        """Find the extent once: a page of print asks thousands of glyphs for theirs, thousands of times each."""
        left, top = (min(getattr(part, side) for part in self.parts) for side in ("x", "y"))
        right = max(part.right for part in self.parts)
        bottom = max(part.bottom for part in self.parts)
        object.__setattr__(self, "extent", Extent(float(left), float(top), float(right), float(bottom)))


Number = list[Glyph]
"""The glyphs of one number, from left to right."""


def group_numbers(glyphs: list[Glyph]) -> list[list[Number]]:
    """Group glyphs into rows of numbers: rows from top to bottom, numbers and glyphs from left to right."""
    if not glyphs:
        return []
    boxes = np.array([g.extent for g in glyphs])
    chains = _chains(boxes)
    gaps = [boxes[b, 0] - boxes[a, 2] for chain in chains for a, b in pairwise(chain)]
    usual = float(np.percentile(gaps, 50, method="lower") / np.median(boxes[:, 3] - boxes[:, 1])) if gaps else np.inf
    numbers = [n for chain in chains for n in _part_at_gaps(boxes, chain, usual)]
    return [[[glyphs[i] for i in number] for number in row] for row in _rows(boxes, numbers)]


def _chains(boxes: NDArray[np.float64]) -> list[list[int]]:
    """Chain every glyph to its nearest neighbour on the right, if each is the nearest of the other."""
    cost = _neighbour_cost(boxes)
    follower = np.argmin(cost, axis=1)
    leader = np.argmin(cost, axis=0)
    linked = {i: int(j) for i, j in enumerate(follower) if np.isfinite(cost[i, j]) and leader[j] == i}
    starts = sorted(set(range(len(boxes))) - set(linked.values()))
    chains = []
    for start in starts:
        chain = [start]
        while chain[-1] in linked:
            chain.append(linked[chain[-1]])
        chains.append(chain)
    return chains


def _neighbour_cost(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (N, N) the cost of glyph j following glyph i, in heights; infinite if it cannot."""
    left, top, right, bottom = boxes.T
    height = bottom - top
    usual = np.maximum(height[:, None], height[None, :])
    gap = left[None, :] - right[:, None]
    along = (left + right)[None, :] / 2 - (left + right)[:, None] / 2
    rise = np.abs((top + bottom)[None, :] - (top + bottom)[:, None]) / 2
    cost = np.maximum(gap, 0) / usual + 1.5 * rise / usual
    fits = (along > 0.15 * usual) & (gap > -0.35 * usual) & (gap < _WIDEST_GAP * usual)
    fits &= (rise < 0.6 * usual) | (rise < _STEEPEST * along) & (gap < usual)
    fits &= np.minimum(height[:, None], height[None, :]) > 0.4 * usual
    return np.where(fits, cost, np.inf)


def gaps_of(number: Number) -> NDArray[np.float64]:
    """Return the gaps between a number's glyphs, in heights of its glyphs; (n - 1,), none below 0."""
    boxes = np.array([glyph.extent for glyph in number])
    height = float(np.median(boxes[:, 3] - boxes[:, 1]))
    return np.asarray(np.maximum(boxes[1:, 0] - boxes[:-1, 2], 0.0) / height, np.float64)


def _part_at_gaps(boxes: NDArray[np.float64], chain: list[int], usual_of_page: float) -> list[list[int]]:
    """Split a chain where the gap is much wider than its usual gap, that of the page where it has no other gap."""
    if len(chain) < 2:
        return [chain]
    height = float(np.median(boxes[chain, 3] - boxes[chain, 1]))
    gaps = (boxes[chain[1:], 0] - boxes[chain[:-1], 2]) / height
    others = [np.delete(gaps, k) for k in range(len(gaps))]
    usual = np.array([np.percentile(rest, 50, method="lower") if len(rest) else usual_of_page for rest in others])
    cuts = np.flatnonzero((gaps > _NUMBER_GAP * np.maximum(usual, _USUAL_GAP)) & (gaps > _WIDE_GAP)) + 1
    return [list(part) for part in np.split(np.array(chain), cuts)]


def _rows(boxes: NDArray[np.float64], numbers: list[list[int]]) -> list[list[list[int]]]:
    """Put numbers side by side into rows; a number joins a row that shares most of its height."""
    spans = [(float(np.median(boxes[n, 1])), float(np.median(boxes[n, 3]))) for n in numbers]
    order = sorted(range(len(numbers)), key=lambda k: sum(spans[k]))
    rows: list[list[int]] = []
    for k in order:
        top, bottom = spans[k]
        for row in rows[-2:]:
            row_top = float(np.mean([spans[m][0] for m in row]))
            row_bottom = float(np.mean([spans[m][1] for m in row]))
            if min(bottom, row_bottom) - max(top, row_top) > 0.5 * min(bottom - top, row_bottom - row_top):
                row.append(k)
                break
        else:
            rows.append([k])
    return [[numbers[k] for k in sorted(row, key=lambda k: float(boxes[numbers[k][0], 0]))] for row in rows]
