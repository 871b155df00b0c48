"""Cut a free field into digit candidates: connected ink, broken parts joined, wide parts cut at valleys.

This serves as a second reader beside the line reader: simple, with errors of another kind.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.fields.cutting.cleaning import remove_print, writing_line
from worker.fields.locating.extraction import bounding_box_px
from worker.imaging.binarization import Mask, stroke_width
from worker.imaging.pieces import find_pieces
from worker.values import Box, DigitCrop, FieldCrop, Grey, freeze

_MARK_SHARE = 0.45
"""Parts lower than this share of the height of the digits are points, commas and dashes."""

_OVERLAP_SHARE = 0.5
"""Parts that share this much of the narrower one's columns are one digit."""

_WIDEST_SHARE = 1.15
"""A part wider than this many heights holds two digits or more."""

_SURELY_TWO_SHARE = 1.7
"""A part wider than this many heights is cut, whatever the cut crosses."""

_NARROWEST_SHARE = 0.4
"""Two digits that touch are at least this wide each, in heights."""

_USUAL_SHARE = 0.68
"""Usual distance of digits that touch, in heights."""


@dataclass(frozen=True, slots=True, eq=False)
class InkPart:
    """A piece of ink: ``mask`` is (h, w) uint8 in {0, 1}, its top left at (x, y) of the crop."""

    x: int
    y: int
    mask: Mask

    @property
    def width(self) -> int:
        """Columns."""
        return int(self.mask.shape[1])

    @property
    def height(self) -> int:
        """Rows."""
        return int(self.mask.shape[0])

    @property
    def right(self) -> int:
        """First column right of it."""
        return self.x + self.width

    @property
    def bottom(self) -> int:
        """First row below it."""
        return self.y + self.height

    @property
    def place(self) -> tuple[slice, slice]:
        """Its rows and columns in the crop."""
        return slice(self.y, self.bottom), slice(self.x, self.right)

    def surrounds(self, other: InkPart) -> bool:
        """Tell whether another piece lies within the box of this one, and touches none of its sides."""
        across = self.x < other.x and other.right < self.right
        return across and self.y < other.y and other.bottom < self.bottom


def segment_field(crop: FieldCrop) -> list[DigitCrop]:
    """Cut a raw crop of a free field into digit candidates from left to right; none if there is no ink."""
    if min(crop.grey.shape) < 4:
        return []
    flat, ink = remove_print(crop.grey)
    least, most = crop.spec.digit_range
    parts = digit_parts(writing_line(ink), count=most if least == most else None)
    return [digit_crop(crop, flat, part, position) for position, part in enumerate(parts)]


def digit_parts(ink: Mask, count: int | None = None) -> list[InkPart]:
    """Cut the ink of one line of writing into parts of one digit each, from left to right, without marks.

    With ``count`` given, no more parts are cut than are missing, so a wide 4 stays whole if there are enough.
    """
    parts = ink_parts(ink)
    if not parts:
        return []
    height = digit_height(parts)
    tall = [p for p in parts if p.height >= _MARK_SHARE * height]
    low = [p for p in parts if p.height < _MARK_SHARE * height]
    digits = _join_overlapping(tall)
    digits = [join_parts([d, *(m for m in low if _is_stroke_of(m, d))]) for d in digits]
    if count is not None and digits:
        return _split_to_count(digits, count, height)
    return [piece for digit in digits for piece in _split_wide(digit, height)]


def ink_parts(ink: Mask) -> list[InkPart]:
    """Return the connected parts of ``ink``, from left to right."""
    labels, stats, _ = find_pieces(ink)
    count = len(stats)
    parts = []
    for label in range(1, count):
        x, y, w, h = (int(v) for v in stats[label, :4])
        parts.append(InkPart(x, y, (labels[y : y + h, x : x + w] == label).astype(np.uint8)))
    return sorted(parts, key=lambda p: p.x)


def digit_height(parts: list[InkPart]) -> float:
    """Return the usual height of the digits: the median over parts, weighted by their ink."""
    heights = np.array([p.height for p in parts])
    weights = np.array([int(p.mask.sum()) for p in parts])
    order = np.argsort(heights)
    total = np.cumsum(weights[order])
    return float(heights[order][np.searchsorted(total, total[-1] / 2)])


def join_parts(parts: list[InkPart]) -> InkPart:
    """Return one part that holds the ink of all."""
    x, y = min(p.x for p in parts), min(p.y for p in parts)
    width, height = max(p.right for p in parts) - x, max(p.bottom for p in parts) - y
    mask = np.zeros((height, width), np.uint8)
    for p in parts:
        mask[p.y - y : p.y - y + p.height, p.x - x : p.right - x] |= p.mask
    return InkPart(x, y, mask)


def digit_crop(crop: FieldCrop, flat: Grey, part: InkPart, position: int) -> DigitCrop:
    """Cut one part out of the flattened crop as white ink on black; ink of other parts becomes black."""
    margin = 2
    mask = cv2.dilate(np.pad(part.mask, margin), np.ones((3, 3), np.uint8))
    paper = cv2.copyMakeBorder(flat, margin, margin, margin, margin, cv2.BORDER_CONSTANT, value=255)
    x, y = part.x, part.y
    window = paper[y : y + part.height + 2 * margin, x : x + part.width + 2 * margin]
    ink = np.asarray(255 - window, np.uint8)
    ink[mask == 0] = 0
    box = Box(part.x, part.y, part.width, part.height)
    return DigitCrop(position, freeze(ink), bounding_box_px(box, crop.page_from_crop))


def _join_overlapping(parts: list[InkPart]) -> list[InkPart]:
    """Join parts that stand above each other: the pieces of a broken digit, the flag of a 5."""
    joined: list[InkPart] = []
    for part in parts:
        last = joined[-1] if joined else None
        if last is not None and _shared_columns(last, part) > _OVERLAP_SHARE * min(last.width, part.width):
            joined[-1] = join_parts([last, part])
        else:
            joined.append(part)
    return joined


def _is_stroke_of(mark: InkPart, digit: InkPart) -> bool:
    """Tell a detached stroke of a digit (flag, bar) from a point, comma or dash beside it."""
    beside = _shared_columns(mark, digit) > 0.6 * mark.width
    within = mark.y < digit.y + 0.75 * digit.height
    return beside and within and mark.width < 1.2 * digit.height


def _shared_columns(a: InkPart, b: InkPart) -> int:
    return max(0, min(a.right, b.right) - max(a.x, b.x))


def _split_to_count(digits: list[InkPart], count: int, height: float) -> list[InkPart]:
    """Cut the widest part in two until there are ``count`` parts, while one is wide enough for two digits."""
    digits = list(digits)
    while len(digits) < count:
        k = max(range(len(digits)), key=lambda i: digits[i].width)
        part = digits[k]
        if part.width < 2 * _NARROWEST_SHARE * height:
            break
        cut = _best_cuts(part.mask.sum(axis=0).astype(np.float64), 2, height)[0]
        digits[k : k + 1] = [_trim(part, 0, cut), _trim(part, cut, part.width)]
    return digits


def _split_wide(part: InkPart, height: float) -> list[InkPart]:
    """Cut a part that is too wide for one digit at columns of least ink, into pieces of about the same width.

    A part stays whole if a cut would take off less than a digit, or if it is not much too wide and a cut would cross
    more than the one stroke by which digits usually touch.
    """
    usual = max(height, 0.7 * part.height)
    if part.width <= _WIDEST_SHARE * usual:
        return [part]
    column_ink = part.mask.sum(axis=0).astype(np.float64)
    count = max(2, round(part.width / (_USUAL_SHARE * height)))
    cuts = _best_cuts(column_ink, count, height)
    if part.width < _SURELY_TWO_SHARE * usual and column_ink[cuts].max() > 1.7 * stroke_width(part.mask):
        return [part]
    pieces = [_trim(part, left, right) for left, right in zip([0, *cuts], [*cuts, part.width], strict=True)]
    tall = [p for p in pieces if p.height >= _MARK_SHARE * height]
    return tall if len(tall) > 1 else [part]


def _best_cuts(column_ink: NDArray[np.float64], count: int, height: float) -> list[int]:
    """Choose ``count - 1`` cut columns near even places, each crossing little ink."""
    step = column_ink.size / count
    columns = np.arange(column_ink.size)
    cuts = []
    for k in range(1, count):
        off_place = np.abs(columns - k * step) / step
        cost = column_ink / height + 0.6 * off_place**2 + np.where(off_place > 0.45, np.inf, 0.0)
        cuts.append(int(np.argmin(cost)))
    return cuts


def _trim(part: InkPart, left: int, right: int) -> InkPart:
    """Return columns ``left`` to ``right`` of a part, tight around their ink."""
    piece = np.ascontiguousarray(part.mask[:, left:right])
    x, y, w, h = cv2.boundingRect(piece)
    return InkPart(part.x + left + x, part.y + y, np.ascontiguousarray(piece[y : y + h, x : x + w]))
