"""Find printed straight rules in a crop and remove them, but keep the strokes that cross or touch them.

A rule is a straight line with one thickness. Only pixels that this line explains are removed. The flat base of a 2,
the top of a 5 or 7 and the stem of a 1 are not straight or not long enough, so they stay whole.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.imaging.binarization import Mask
from worker.imaging.pieces import find_pieces
from worker.values import Grey

_STEEPEST = 0.14
"""Largest slope of a rule against the edges of the crop: 8 degrees."""

_SLOPES = np.linspace(-_STEEPEST, _STEEPEST, 57)
_PIECE_PX = 16
_LEAST_COVERAGE = 0.5
"""Share of a rule's length that must be ink of the rule's own thickness. Dashed print has 0.6 and more; the flat
parts of digits that happen to lie in a row have less."""

_SAMPLES = 160
"""Number of places along a rule where its thickness and middle are measured."""

_STRAIGHT_PX = 0.7
"""Largest standard deviation of a rule's middles from its line, in px; the pixel grid alone gives 0.3."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A straight printed line, ``across = offset + slope * along``, both in pixels.

    ``along`` is x of a flat rule and y of an upright one; it runs from ``start`` to ``end``.
    """

    upright: bool
    offset: float
    slope: float
    thickness: float
    start: int
    end: int

    @property
    def length(self) -> int:
        """Pixels from end to end."""
        return self.end - self.start

    def across(self, along: float) -> float:
        """Return where the rule's middle lies at ``along``."""
        return self.offset + self.slope * along


def find_rules(ink: Mask, *, flat_length: float, upright_length: float) -> list[Rule]:
    """Find the straight rules of at least these lengths in pixels, flat ones first, longest first."""
    flat = _find_flat(ink, flat_length)
    upright = _find_flat(np.ascontiguousarray(ink.T), upright_length)
    turned = [Rule(True, r.offset, r.slope, r.thickness, r.start, r.end) for r in upright]
    return flat + turned


def remove_rules(grey: Grey, ink: Mask, rules: list[Rule], *, longest_hidden: int | None = None) -> tuple[Grey, Mask]:
    """Return ``grey`` with the rules painted over as white paper, and ``ink`` without them.

    A column of a rule stays where a stroke crosses it. It also stays in the short gap between two places where a stroke
    touches the rule from the same side, because the rule hides the bottom of a 0 or the like there. Such a gap has at
    most ``longest_hidden`` pixels; the default, a third of the picture's height, suits a field.
    """
    if not rules:
        return grey, ink
    strokes, erase = ink.copy(), np.zeros(ink.shape, bool)
    for rule in rules:
        where, band = _band(ink.shape, rule)
        (strokes.T if rule.upright else strokes)[where][band] = 0
    for rule in rules:
        turned = (strokes.T, erase.T) if rule.upright else (strokes, erase)
        _erase_unless_crossed(rule, *turned, longest_hidden=longest_hidden)
    erase |= (cv2.dilate(erase.view(np.uint8), np.ones((3, 3), np.uint8)) > 0) & (ink == 0)
    return np.where(erase, np.uint8(255), grey), np.where(erase, np.uint8(0), ink)


def _find_flat(ink: Mask, least_length: float) -> list[Rule]:
    """Find rules that run from left to right: a Hough transform over flat pieces of ink, then a fit."""
    if ink.shape[1] < max(least_length, 8):
        return []
    pieces = _flat_pieces(ink, int(np.clip(least_length / 8, 10, 24)))
    rules: list[Rule] = []
    ends = pieces[:, _LEFT] + pieces[:, _WIDTH]
    reach = ends.max(initial=0) - pieces[:, _LEFT].min(initial=ink.shape[1])
    if reach < least_length or pieces[:, _WIDTH].sum() <= _LEAST_COVERAGE * least_length:
        return rules
    votes = _Votes(pieces)
    while pieces[votes.waiting, _WIDTH].sum() > _LEAST_COVERAGE * least_length:
        members = votes.find_strongest()
        if pieces[members, _WIDTH].sum() <= _LEAST_COVERAGE * least_length:
            break
        votes.withdraw(members)
        rule = _fit_rule(ink, pieces[members], least_length)
        if rule is not None:
            rules.append(rule)
    return sorted(rules, key=lambda r: -r.length)


def _thickest(ink: Mask) -> int:
    """Return the largest thickness of a rule in pixels."""
    return int(np.clip(min(ink.shape) // 8, 6, 14))


_LEFT, _WIDTH, _X, _Y = 0, 1, 2, 3
"""Columns of the table of flat pieces: left edge, width, middle."""


def _flat_pieces(ink: Mask, shortest: int) -> NDArray[np.float64]:
    """Return a table of the thin pieces of ink that have flat runs of ``shortest`` pixels, with dashes joined.

    Long pieces are chopped, so that the middle of each shows where the line lies there.
    """
    gap = int(np.clip(ink.shape[0] // 12, 3, 7)) | 1
    thick = cv2.morphologyEx(ink, cv2.MORPH_OPEN, np.ones((_thickest(ink) + 1, 1), np.uint8))
    thin = cv2.copyMakeBorder(cv2.subtract(ink, thick), 0, 0, gap, gap, cv2.BORDER_CONSTANT, value=0)
    joined = cv2.morphologyEx(thin, cv2.MORPH_CLOSE, np.ones((1, gap), np.uint8))[:, gap:-gap]
    kernel = np.ones((1, shortest), np.uint8)
    eroded = cv2.erode(joined, kernel)
    if not cv2.countNonZero(eroded):
        return np.zeros((0, 4))
    runs = cv2.dilate(eroded, kernel)
    runs[:, ::_PIECE_PX] = 0
    _, stats, middles = find_pieces(runs)
    table = np.column_stack([stats[1:, cv2.CC_STAT_LEFT], stats[1:, cv2.CC_STAT_WIDTH], middles[1:]])
    return np.asarray(table, np.float64)


class _Votes:
    """What each line of a slope and an offset holds of the flat pieces that wait, weighted by their widths."""

    def __init__(self, pieces: NDArray[np.float64]) -> None:
        self.waiting = np.ones(len(pieces), bool)
        self._widths = pieces[:, _WIDTH]
        offsets = pieces[:, _Y] - _SLOPES[:, None] * pieces[:, _X]
        self._bins = np.round(offsets / 2).astype(np.intp)
        self._bins -= self._bins.min(initial=0)
        self._levels = int(self._bins.max(initial=0)) + 1
        self._votes = self._count(self.waiting)

    def find_strongest(self) -> NDArray[np.bool_]:
        """Return which of the waiting pieces lie on the line that holds the most."""
        best, level = divmod(int(np.argmax(self._votes)), self._levels)
        return np.asarray(self.waiting & (np.abs(self._bins[best] - level) <= 1), bool)

    def withdraw(self, members: NDArray[np.bool_]) -> None:
        """Let pieces wait no longer."""
        self.waiting &= ~members
        self._votes -= self._count(members)  # exact: widths are whole numbers

    def _count(self, chosen: NDArray[np.bool_]) -> NDArray[np.float64]:
        lines = self._bins[:, chosen] + self._levels * np.arange(len(_SLOPES))[:, None]
        weights = np.tile(self._widths[chosen], len(_SLOPES))
        return np.asarray(np.bincount(lines.ravel(), weights, self._levels * len(_SLOPES)), np.float64)


def _fit_rule(ink: Mask, pieces: NDArray[np.float64], least_length: float) -> Rule | None:
    """Fit one straight rule through pieces, to a fraction of a pixel; None if the ink there is not a rule."""
    start = int(pieces[:, _LEFT].min())
    end = int((pieces[:, _LEFT] + pieces[:, _WIDTH]).max())
    if end - start < least_length:
        return None
    offset, slope = _fit_line(pieces[:, _X], pieces[:, _Y], pieces[:, _WIDTH])
    xs = np.arange(start, end, max(1, (end - start) // _SAMPLES))
    if not _mostly_inked(ink, xs, offset + slope * xs):
        return None
    for _ in range(2):
        tops, bottoms = _runs_through(ink, xs, offset + slope * xs)
        runs = bottoms - tops
        if not (runs > 0).any():
            return None
        thickness = float(np.median(runs[runs > 0]))
        middles = (tops + bottoms - 1) / 2
        own = (runs > 0) & (np.abs(runs - thickness) <= max(1.0, 0.35 * thickness))
        own &= np.abs(middles - offset - slope * xs) <= 2.0
        if own.sum() < max(4.0, _LEAST_COVERAGE * xs.size):
            return None
        offset, slope = _fit_line(xs[own].astype(np.float64), middles[own], np.ones(int(own.sum())))
    crooked = float(np.std(middles[own] - offset - slope * xs[own])) > _STRAIGHT_PX
    if crooked or abs(slope) > _STEEPEST or thickness > _thickest(ink):
        return None
    return Rule(False, offset, slope, thickness, start, end)


def _mostly_inked(ink: Mask, xs: NDArray[np.intp], ys: NDArray[np.floating]) -> bool:
    """Return whether enough of a line lies within a pixel of ink; a cheap test before its runs are measured."""
    rows = np.clip(np.rint(ys).astype(np.intp), 1, max(1, ink.shape[0] - 2))
    inked = ink[rows - 1, xs] | ink[rows, xs] | ink[np.minimum(rows + 1, ink.shape[0] - 1), xs]
    return int(inked.sum()) >= _LEAST_COVERAGE * xs.size


def _fit_line(xs: NDArray[np.float64], ys: NDArray[np.float64], weights: NDArray[np.float64]) -> tuple[float, float]:
    """Return offset and slope of the weighted least-squares line; slope 0 through a single point."""
    total = float(np.sum(weights))
    mean_x, mean_y = float(np.sum(weights * xs)) / total, float(np.sum(weights * ys)) / total
    spread = float(np.sum(weights * (xs - mean_x) ** 2))
    slope = float(np.sum(weights * (xs - mean_x) * (ys - mean_y))) / spread if spread > 1e-9 else 0.0
    return mean_y - slope * mean_x, slope


def _runs_through(
    ink: Mask, xs: NDArray[np.intp], ys: NDArray[np.floating]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return top and bottom (exclusive) of the column run of ink at each (x, y); they are equal where there is none."""
    reach = _thickest(ink) + 2
    rows = np.rint(ys).astype(np.intp)[None, :] + np.arange(-reach, reach + 1)[:, None]
    inside = (rows >= 0) & (rows < ink.shape[0])
    window = ink[np.clip(rows, 0, ink.shape[0] - 1), xs[None, :]] & inside
    near = window[reach - 1 : reach + 2]
    start = np.where(near[1], 0, np.where(near[0], -1, 1)) + reach
    columns = np.arange(xs.size)
    hit = window[start, columns].astype(np.intp)
    steps = np.arange(2 * reach + 1)[:, None]
    below = np.where((window == 0) & (steps > start), steps, 2 * reach + 1).min(axis=0)
    above = np.where((window == 0) & (steps < start), steps, -1).max(axis=0)
    top = rows[0] + above + 1
    return top, np.where(hit, rows[0] + below, top)


def _band(shape: tuple[int, ...], rule: Rule) -> tuple[tuple[slice, slice], NDArray[np.bool_]]:
    """Return a window around a rule, where it is flat, and the pixels there that it covers."""
    height, width = shape[::-1] if rule.upright else shape
    half = rule.thickness / 2 + 1
    left, right = max(0, rule.start - 3), min(width, rule.end + 3)
    ends = sorted((rule.across(left), rule.across(right)))
    top, bottom = max(0, int(ends[0] - half)), min(height, int(ends[1] + half) + 2)
    middle = rule.offset + rule.slope * np.arange(left, right)
    near = np.abs(np.arange(top, bottom)[:, None] - middle) <= half
    return (slice(top, bottom), slice(left, right)), np.asarray(near, bool)


def _erase_unless_crossed(rule: Rule, strokes: Mask, erase: NDArray[np.bool_], *, longest_hidden: int | None) -> None:
    """Mark in ``erase`` the band of a flat rule, except the columns where strokes pass through it."""
    height, width = strokes.shape
    half = rule.thickness / 2 + 1
    middle = rule.offset + rule.slope * np.arange(width)
    above = _ink_beside(strokes, middle - half - 1)
    below = _ink_beside(strokes, middle + half + 1)
    reach = 2 * (int(half) + 1) + 1
    keep = _widened(above, reach) & _widened(below, reach)
    longest = longest_hidden or height // 3
    bridged = _bridged(above, longest) | _bridged(below, longest)
    keep |= _widened(bridged, reach)
    where, band = _band((width, height) if rule.upright else (height, width), rule)
    erase[where] |= band & ~keep[where[1]]


def _ink_beside(strokes: Mask, ys: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return whether a stroke reaches the height ``ys`` of each column."""
    rows = np.rint(ys).astype(np.intp)
    inside = (rows >= 0) & (rows < strokes.shape[0])
    reached = strokes[np.clip(rows, 0, strokes.shape[0] - 1), np.arange(ys.size)] > 0
    return np.asarray(reached & inside, bool)


def _widened(flags: NDArray[np.bool_], reach: int) -> NDArray[np.bool_]:
    """Return flags widened to runs of at least ``reach``, an odd number."""
    return np.asarray(cv2.dilate(flags.view(np.uint8)[None, :], np.ones((1, reach), np.uint8))[0] > 0, bool)


def _bridged(flags: NDArray[np.bool_], longest: int) -> NDArray[np.bool_]:
    """Return the gaps of at most ``longest`` between set flags."""
    row = cv2.copyMakeBorder(flags.view(np.uint8)[None, :], 0, 0, longest, longest, cv2.BORDER_CONSTANT, value=0)
    closed = cv2.morphologyEx(row, cv2.MORPH_CLOSE, np.ones((1, longest | 1), np.uint8))
    return np.asarray((closed[0, longest : longest + flags.size] > 0) & ~flags, bool)
