"""Find marks that no reader names: a point before the first digit or between two, a minus, an apostrophe, a degree.

Readers that were taught on numbers hardly look before the first digit, and drop a point of a thin pen. Its ink is still
there: a small solid piece, as dark and as thick as the strokes, that stands alone beside the digits. A point behind the
last digit ends the number, and changes nothing.
"""

from __future__ import annotations

import statistics
from enum import Enum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from worker.fields.cutting.cleaning import remove_print
from worker.fields.line_reader.transcription import Transcript
from worker.imaging.binarization import stroke_width
from worker.imaging.pieces import find_pieces
from worker.values import Box

LARGEST = 0.4
"""Longest side of a mark, in heights of a digit; what is larger counts as a stroke that was not read."""
THINNEST, LEAST_AREA = 0.5, 0.4
"""Least thickness of a mark in widths of the pen, and least area in squares of it."""
SOLID = 0.38
"""Least share of its box that a mark fills."""
DARK, DARK_BEFORE = 0.7, 0.45
"""Least darkness, in that of the digits' strokes; before the digits, where there is least else, and anywhere else."""
REACH = 1.6
"""How far beside the digits a mark may stand, in heights of a digit."""
FOOT, TOP, FIRST = (0.7, 1.2), (-0.3, 0.35), (0.3, 1.45)
"""Where the middle of a point, of an apostrophe and of a mark before all digits lies, between their top and foot."""
INNER = 0.15
"""A piece further within a digit than this share of its width is a broken piece of it."""
LEAST_MINUS, MOST_MINUS, FLAT, MINUS_LEVELS = 0.4, 3.0, 1.8, (-0.05, 0.85)
"""Of a minus sign: its least and largest length in heights of a digit, how many times it is as long as high at least,
and where its middle lies between the first digit's top and foot."""
MINUS_GAP = (-0.15, 2.0)
"""How far before the first digit a minus sign ends, in heights of a digit: where 0.8 was the most, 10 of 32 that stood
0.9 before it were passed over. No accepted number of the development halves has a stroke so."""
MOST_ALIKE, MOST_ON_A_ROW = 3, 2
"""More pieces of a mark's size are grain, and more at one height the dots of a rule."""
ALIKE_DARK = 0.75
"""Pieces paler than this share of a mark are the pattern of the paper under it."""


class Place(Enum):
    """Where a mark stands: at the digits' feet before the first or between two, or at their tops."""

    BEFORE = 0
    BETWEEN = 1
    ABOVE = 2


class LooseMark(NamedTuple):
    """A piece of ink that may be a mark, its ``box`` in pixels of the crop, and how many digits stand ``behind`` it."""

    place: Place
    box: Box
    behind: int


class _Ink(NamedTuple):
    """A crop without its rules: what is ink, how dark it is, and the boxes of the digits in it."""

    mask: NDArray[np.uint8]
    contrast: NDArray[np.float32]
    digits: list[Box]


def changes_meaning(seen: Transcript) -> bool:
    """Tell whether a mark that nobody read gives a line another meaning.

    The digits of dates and times tell what is meant. Points of thousands do not change a number or an amount. Others
    matter before its digits, and between them where decimals may be left out or none belong; where there must be some,
    one that is missing is told by itself. In a code any mark matters, and a minus sign does in all of these.
    """
    spec = seen.crop.spec
    if spec.kind in ("date", "time"):
        return False
    if _passes_over_minus(seen):
        return True
    marks = find_loose_marks(seen)
    if spec.kind not in ("number", "amount"):
        return bool(marks)
    may_part = spec.cents == "optional" or (spec.kind == "number" and not spec.decimal_places)
    return any(m.place is Place.BEFORE or (may_part and m.place is Place.BETWEEN and m.behind % 3) for m in marks)


def _passes_over_minus(seen: Transcript) -> bool:
    """Tell whether a flat stroke like a minus sign stands before the first digit, and no reader named a dash there."""
    if not seen.cuts or "-" in seen.gap_marks[0]:
        return False
    first, height = seen.digit_boxes[0], statistics.median(box.h for box in seen.digit_boxes)
    x, y, w, h = seen.line.pieces.T
    gap, level = (first.x - x - w) / height, (y + h / 2 - first.y) / max(first.h, 1)
    is_long = (w >= FLAT * h) & (w > LEAST_MINUS * height) & (w < MOST_MINUS * height)
    is_beside = (MINUS_GAP[0] < gap) & (gap < MINUS_GAP[1]) & (MINUS_LEVELS[0] < level) & (level < MINUS_LEVELS[1])
    return bool((is_long & is_beside).any())


def find_loose_marks(seen: Transcript) -> list[LooseMark]:
    """Return the small pieces of ink beside a line's digits that may be marks and that nobody read."""
    if not seen.cuts or min(seen.crop.grey.shape) < 8:
        return []
    digits = seen.digit_boxes
    if not _may_hold_marks(seen.line.pieces, digits):
        return []
    flat, ink = remove_print(seen.crop.grey)
    return _find(_Ink(ink, np.asarray(255 - flat, np.float32), digits), seen.mark_boxes)


def _may_hold_marks(pieces: NDArray[np.float64], digits: list[Box]) -> bool:
    """Tell from the ink as the line reader saw it whether a closer look is worth its time."""
    small = pieces[pieces[:, 2:].max(axis=1, initial=0) <= LARGEST * statistics.median(box.h for box in digits)]
    return any(_place(piece, digits) for piece in small)


def _find(ink: _Ink, taken: list[Box]) -> list[LooseMark]:
    """Return the marks of a crop that stand in none of the boxes ``taken`` by others."""
    height = statistics.median(box.h for box in ink.digits)
    labels, stats, middles = find_pieces(ink.mask)
    mains = [_main_piece(labels, box) for box in ink.digits]
    strokes = np.isin(labels, [main for main in mains if main])
    if not strokes.any():
        return []
    dark, pen = float(np.median(ink.contrast[strokes])), max(1.0, stroke_width(strokes.view(np.uint8)))
    weight = np.bincount(labels.ravel(), weights=ink.contrast.ravel(), minlength=len(stats))
    w, h, area = stats[:, 2:].astype(np.float64).T
    x, y = middles.T
    small = np.maximum(w, h) <= LARGEST * height
    small[[0, *mains]] = False
    small &= ~_is_inside(x, y, taken)
    solid = small & (np.minimum(w, h) >= THINNEST * pen) & (area >= LEAST_AREA * pen**2)
    solid &= (area >= SOLID * w * h) & (weight >= DARK_BEFORE * dark * area)
    solid &= (stats[:, :2] > 0).all(axis=1) & (stats[:, :2] + stats[:, 2:4] < ink.mask.shape[::-1]).all(axis=1)
    darkness = weight / np.maximum(area, 1)
    found = []
    for i in np.flatnonzero(solid):
        if (solid & (darkness >= ALIKE_DARK * darkness[i])).sum() > MOST_ALIKE:
            continue
        on_its_row = small & (np.abs(y - y[i]) < 0.1 * height)
        mark = _place(stats[i], ink.digits)
        if mark and mark.place is not Place.BEFORE and weight[i] < DARK * dark * area[i]:
            continue
        if mark and on_its_row.sum() <= MOST_ON_A_ROW and not _stands_over(labels, stats[i], mains):
            found.append(mark)
    return found


def _main_piece(labels: NDArray[Any], box: Box) -> int:
    """Return the label of the largest piece within a digit's box; 0 without any."""
    x, y, w, h = box.rounded()
    counts = np.bincount(labels[max(0, y) : max(0, y + h), max(0, x) : max(0, x + w)].ravel(), minlength=1)
    counts[0] = 0
    return int(counts.argmax())


def _place(piece: NDArray[Any], digits: list[Box]) -> LooseMark | None:
    """Return where a piece stands among digits, None where no mark that matters does."""
    height = statistics.median(box.h for box in digits)
    left, top, w, h = (int(v) for v in piece[:4])
    x = left + w / 2
    before = sum(digit.x + digit.w / 2 < x for digit in digits)
    near = digits[min(before, len(digits) - 1)]
    level = (top + h / 2 - near.y) / max(near.h, 1)
    off = max(digits[0].x - x, x - (digits[-1].x + digits[-1].w))
    box, behind = Box(left, top, w, h), len(digits) - before
    if off > REACH * height:
        return None
    if not before:
        low = FOOT[0] if x > digits[0].x else FIRST[0]
        return LooseMark(Place.BEFORE, box, behind) if low < level < FIRST[1] else None
    if any(INNER < (x - digit.x) / max(digit.w, 1) < 1 - INNER for digit in digits):
        return None
    if FOOT[0] < level < FOOT[1] and behind:
        return LooseMark(Place.BETWEEN, box, behind)
    return LooseMark(Place.ABOVE, box, behind) if TOP[0] < level < TOP[1] else None


def _stands_over(labels: NDArray[Any], piece: NDArray[np.int32], mains: list[int]) -> bool:
    """Tell whether a digit's own ink lies right beside a piece on both sides: it is a broken piece of that digit."""
    left, top, w, h = (int(v) for v in piece[:4])
    rows = labels[max(0, top - h) : top + 2 * h]
    for main in mains:
        columns = np.flatnonzero((rows == main).any(axis=0)) if main else np.zeros(0, int)
        if len(columns) and columns[0] < left + w / 2 < columns[-1]:
            return True
    return False


def _is_inside(x: NDArray[np.float64], y: NDArray[np.float64], boxes: list[Box]) -> NDArray[np.bool_]:
    inside = np.zeros(len(x), bool)
    for box in boxes:
        inside |= (x >= box.x) & (x <= box.x + box.w) & (y >= box.y) & (y <= box.y + box.h)
    return inside
