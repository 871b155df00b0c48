"""Find printed rows of cells on a crop or a page, snap dividers to the print, and assign the ink to cells.

A row is found by its white insides, which survive tilt, photographs and thin print. The ink of a cell is then whole
connected strokes: a digit that crosses a divider stays whole and goes to the cell that holds most of it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.fields.cutting.cleaning import outside_of_frame
from worker.fields.cutting.segmentation import InkPart, digit_crop, ink_parts, join_parts
from worker.imaging.binarization import Mask, flatten_background, ink_mask, stroke_width
from worker.imaging.line_removal import Rule, find_rules, remove_rules
from worker.values import DigitCrop, FieldCrop, Grey, freeze

_FEWEST_CELLS = 3
_MOST_CELLS = 40
_FEWEST_UNANNOUNCED = 4
"""Least cells of a row by which a field is read although its template names no cells."""

_SMALLEST_CELL_PX = 12
_STACKED_GAP = 0.25
"""Least gap, in cell heights, between rows of a form, and largest difference in width of cells of stacked rows."""

_MARGIN_SHARE = 0.2
"""Margin around a row, in cell heights, for digits that cross its border."""

_LEAST_DIGIT_SHARE = 0.35
"""Ink lower than this share of the row's digits is a speck or a remnant of print, so the cell is blank."""

_OWN_SHARE = 0.7
"""A part with this share of its ink in one cell belongs to that cell; otherwise two digits touch."""


_LIKE_REACH = 0.06
"""Largest shift of print from cell to cell, in pitches."""

_FEWEST_ALIKE = 3
"""This many straight uprights of the same height are print, not a row of 1s."""

_SIDE_SHARE = 0.2
"""A part narrower than this share of a pitch, and as near to a divider, is a side of a cell."""

_CUT_WEIGHT, _PRIOR_WEIGHT = 0.7, 0.3
"""Cost of a comb for cutting ink, and for lying a cell off its expected place, in heights of upright print."""


@dataclass(frozen=True, slots=True, eq=False)
class CellRow:
    """A printed row of ``count`` cells: ``corners`` is (4, 2) px, clockwise from the row's top left."""

    corners: NDArray[np.float64]
    count: int

    @property
    def width(self) -> float:
        """Length of the row in pixels."""
        return float(np.hypot(*(self.corners[1] - self.corners[0])))

    @property
    def height(self) -> float:
        """Height of its cells in pixels."""
        return float(np.hypot(*(self.corners[3] - self.corners[0])))

    def holds(self, x: float, y: float) -> bool:
        """Tell whether a point lies in the row."""
        return cv2.pointPolygonTest(self.corners.astype(np.float32), (x, y), measureDist=False) >= 0


def detect_cell_row(grey: Grey) -> CellRow | None:
    """Return the longest printed row of cells that fills the better part of a crop, or None."""
    rows = [row for row in find_cell_rows(ink_mask(flatten_background(grey))) if row.width > 0.55 * grey.shape[1]]
    return max(rows, key=lambda row: row.count, default=None)


def find_cell_rows(ink: Mask) -> list[CellRow]:
    """Find the rows of at least three like cells side by side, from top to bottom."""
    insides = _cell_insides(ink)
    near_ink = np.asarray(cv2.dilate(ink, np.ones((3, 3), np.uint8)), np.uint8)
    rows = []
    while len(insides) >= _FEWEST_CELLS - 1:
        chain = _longest_chain(insides)
        if len(chain) < _FEWEST_CELLS - 1:
            break
        row = _extend(_as_row(insides[chain]), near_ink)
        if row.count >= _FEWEST_CELLS:
            rows.append(row)
        insides = np.delete(insides, chain, axis=0)
    return sorted(rows, key=lambda row: float(row.corners[0, 1]))


def are_stacked(rows: list[CellRow]) -> bool:
    """Tell whether a row lies right under another of like cells, as in a table or on squared paper."""
    return any(
        abs(lower.corners[0, 1] - upper.corners[3, 1]) < _STACKED_GAP * upper.height
        and abs(lower.width / lower.count / (upper.width / upper.count) - 1) < _STACKED_GAP
        for upper in rows
        for lower in rows
    )


def straighten_row(crop: FieldCrop, row: CellRow) -> FieldCrop:
    """Cut a row out of a crop upright, with a margin of ``margin_px(row)`` on all sides."""
    margin = margin_px(row)
    width, height = round(row.width) + 2 * margin, round(row.height) + 2 * margin
    inner = np.array([[0, 0], [row.width, 0], [row.width, row.height], [0, row.height]]) + margin
    crop_from_row = cv2.getPerspectiveTransform(inner.astype(np.float32), row.corners.astype(np.float32))
    grey = cv2.warpPerspective(
        crop.grey,
        crop_from_row,
        (width, height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    upright = np.asarray(grey, np.uint8)
    freeze(upright)
    return replace(crop, grey=upright, page_from_crop=crop.page_from_crop @ crop_from_row)


def margin_px(row: CellRow) -> int:
    """Return the margin around a straightened row, in pixels."""
    return max(3, round(_MARGIN_SHARE * row.height))


def announce_cells(crop: FieldCrop) -> FieldCrop:
    """Return a crop of unknown layout as a row of cells if its print shows one."""
    row = detect_cell_row(crop.grey) if min(crop.grey.shape) >= 8 else None
    if row is None or row.count < _FEWEST_UNANNOUNCED:
        return crop
    spec = crop.spec.model_copy(update={"layout": "cells", "cells": row.count})
    return replace(straighten_row(crop, row), spec=spec)


def segment_cells(crop: FieldCrop, count: int) -> list[DigitCrop | None]:
    """Cut a row of ``count`` cells into one digit candidate for each cell, None for a blank one."""
    if min(crop.grey.shape) < 8:
        return [None] * count
    row = _remove_row_print(crop, count)
    cells = _ink_by_cell(row.ink, row.dividers)
    return [None if part is None else digit_crop(row.crop, row.flat, part, k) for k, part in enumerate(cells)]


def remove_cells(crop: FieldCrop, count: int) -> tuple[Grey, Mask]:
    """Return a row of ``count`` cells side by side, flattened, and its ink, both without what most cells share.

    They share their print and patterns of the paper: the median of the cells, within a shift of a few pixels.
    """
    row = _remove_row_print(crop, count)
    flat, bare_ink = remove_rules(row.flat, row.ink, _like_uprights(row.crop.grey))
    pitch = max(8, round(float(np.median(np.diff(row.dividers)))))
    contrast = _side_by_side(np.asarray(255 - flat, np.uint8), row.dividers, pitch)
    ink = _side_by_side(bare_ink * np.uint8(255), row.dividers, pitch) > 127
    reach = max(3, round(_LIKE_REACH * pitch)) | 1
    alike = cv2.dilate(np.median(contrast, axis=0).astype(np.uint8), np.ones((reach, reach), np.uint8))
    own = np.where(ink & (alike < 0.5 * contrast), contrast, 0).astype(np.uint8)
    bare = np.concatenate(list(own), axis=1)
    _, labels, stats, middles = cv2.connectedComponentsWithStats((bare > 0).view(np.uint8), connectivity=8)
    off = np.abs(middles[:, 0] / pitch - np.rint(middles[:, 0] / pitch))
    side = (off < _SIDE_SHARE) & (stats[:, cv2.CC_STAT_WIDTH] < _SIDE_SHARE * pitch)
    bare[side[labels]] = 0
    return np.asarray(255 - bare, np.uint8), np.asarray(bare > 0, np.uint8)


def _like_uprights(grey: Grey) -> list[Rule]:
    """Return the straight uprights of which three are alike in ends and thickness: dividers, wherever they stand."""
    ink = ink_mask(flatten_background(grey))
    height, width = ink.shape
    rules = find_rules(ink, flat_length=2.0 * width, upright_length=max(6.0, 0.2 * height))
    ends = np.array([(r.start, r.end) for r in rules], np.float64).reshape(-1, 2)
    thick = np.array([r.thickness for r in rules])
    alike = (np.abs(ends[:, None] - ends[None]) <= max(2.0, 0.05 * height)).all(axis=2)
    alike &= np.abs(thick[:, None] - thick[None]) <= np.maximum(0.75, 0.25 * thick)
    return [rule for rule, count in zip(rules, alike.sum(axis=1), strict=True) if count >= _FEWEST_ALIKE]


def _side_by_side(image: Grey, dividers: NDArray[np.float64], pitch: int) -> Grey:
    """Cut (n, H, pitch) cells out of a row between its dividers."""
    ends = np.clip(np.rint(dividers).astype(int), 0, image.shape[1])
    cells = [image[:, left : max(right, left + 1)] for left, right in pairwise(ends)]
    filled = [cell if cell.size else image[:, -1:] for cell in cells]
    sized = [cv2.resize(cell, (pitch, len(image)), interpolation=cv2.INTER_AREA) for cell in filled]
    return np.asarray(sized, np.uint8)


@dataclass(frozen=True, slots=True, eq=False)
class _BareRow:
    """A row of cells without its print: the crop, straight and flattened, its ink, and the x of its dividers."""

    crop: FieldCrop
    flat: Grey
    ink: Mask
    dividers: NDArray[np.float64]


def _remove_row_print(crop: FieldCrop, count: int) -> _BareRow:
    row = detect_cell_row(crop.grey)
    expected = _expected_ends(crop)
    if row is not None and row.count == count:
        crop = straighten_row(crop, row)
        expected = margin_px(row), crop.grey.shape[1] - margin_px(row)
    flat = flatten_background(crop.grey)
    ink = ink_mask(flat)
    dividers = snap_dividers(ink, count, expected)
    rules = _row_rules(ink, dividers)
    flat, ink = remove_rules(flat, ink, rules)
    outside = outside_of_frame(ink, [rule for rule in rules if not rule.upright])
    return _BareRow(crop, flat, np.where(outside > 0, np.uint8(0), ink), dividers)


def _expected_ends(crop: FieldCrop) -> tuple[float, float]:
    """Return the left and right end of the field's own box in its crop."""
    x, y, w, h = crop.box_px
    corners = np.array([[[x, y], [x + w, y], [x + w, y + h], [x, y + h]]], np.float64)
    inside = cv2.perspectiveTransform(corners, np.linalg.inv(crop.page_from_crop))[0, :, 0]
    return float(inside.min()), float(inside.max())


def snap_dividers(ink: Mask, count: int, expected: tuple[float, float] | None = None) -> NDArray[np.float64]:
    """Return the x of the ``count + 1`` dividers: the even comb that fits the print best, then snapped to it.

    Upright print counts for a comb, and other ink that it would cut counts against it. ``expected`` holds the left and
    the right end of the row if they are roughly known; otherwise the row fills most of the width.
    """
    height, width = ink.shape
    tall = cv2.morphologyEx(ink, cv2.MORPH_OPEN, np.ones((max(5, height // 4), 1), np.uint8))
    evidence = np.minimum(tall.sum(axis=0) / height, 0.8)
    cut = np.minimum((ink.sum(axis=0) - tall.sum(axis=0)) / height, 0.5)
    value = np.asarray(cv2.dilate(evidence[None, :], np.ones((1, 5)))[0]) - _CUT_WEIGHT * cut
    if expected is None:
        lefts = np.arange(0, max(1.0, 0.45 * width / count))
        pitches = np.linspace(0.72 * width / count, width / count, 64)
        middle, usual = width / 2, 0.9 * width / count
    else:
        usual = (expected[1] - expected[0]) / count
        lefts = np.arange(expected[0] - 0.3 * usual, expected[0] + 0.3 * usual)
        pitches = np.linspace(0.94 * usual, 1.06 * usual, 33)
        middle = sum(expected) / 2
    steps = np.arange(count + 1)
    places = np.rint(lefts[:, None, None] + pitches[None, :, None] * steps).astype(np.intp)
    on_crop = (places >= 0) & (places < width)
    score = np.where(on_crop, value[np.clip(places, 0, width - 1)], 0.0).sum(axis=2)
    off_middle = np.abs(lefts[:, None] + pitches * count / 2 - middle) / usual
    score -= _PRIOR_WEIGHT * (off_middle + np.abs(pitches / usual - 1))
    left, pitch = np.unravel_index(int(np.argmax(score)), score.shape)
    comb = lefts[left] + pitches[pitch] * steps
    return np.array([_snap(evidence, x, reach=max(2, int(0.1 * pitches[pitch]))) for x in comb])


def _snap(evidence: NDArray[np.float64], x: float, *, reach: int) -> float:
    """Move ``x`` to the middle of the strongest upright print within ``reach``, if there is any."""
    low = max(0, round(x) - reach)
    near = evidence[low : max(0, round(x) + reach + 1)]
    if near.size == 0 or near.max() < 0.3:
        return x
    return low + float(np.flatnonzero(near >= 0.8 * near.max()).mean())


def _cell_insides(ink: Mask) -> NDArray[np.float64]:
    """Return (N, 4) left, top, width, height of the white areas that may be the inside of a cell."""
    fenced = cv2.copyMakeBorder(ink, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=1)
    closed = cv2.morphologyEx(fenced, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    _, labels, boxes, _ = cv2.connectedComponentsWithStats(1 - closed, connectivity=4)
    stats = np.asarray(boxes, np.int32)
    w, h, area = stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT], stats[:, cv2.CC_STAT_AREA]
    fits = (np.minimum(w, h) >= _SMALLEST_CELL_PX) & (area > 0.5 * w * h) & (w < 2.5 * h) & (h < 3.5 * w)
    kept = [k for k in np.flatnonzero(fits) if k and _is_four_cornered(_cut_out(labels, int(k), stats[k]))]
    table = stats[kept, :4].astype(np.float64).reshape(-1, 4) - np.array([1, 1, 0, 0])
    return np.asarray(table[np.argsort(table[:, 0])], np.float64)


def _cut_out(labels: NDArray[np.generic], label: int, box: NDArray[np.int32]) -> Mask:
    x, y, w, h = (int(v) for v in box[:4])
    return np.asarray(labels[y : y + h, x : x + w] == label, np.uint8)


def _is_four_cornered(inside: Mask) -> bool:
    """Tell the inside of a printed cell, whose convex hull fills its box, from that of a 0, whose hull fills 79 %."""
    contours, _ = cv2.findContours(inside, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    hull = cv2.convexHull(np.concatenate(contours))
    height, width = inside.shape
    return bool(cv2.contourArea(hull) > 0.85 * (width - 1) * (height - 1))


def _longest_chain(insides: NDArray[np.float64]) -> list[int]:
    """Return the longest chain of like insides side by side, at most one missing between two."""
    left, top, w, h = insides.T
    right, middle = left + w, top + h / 2
    alike = (np.abs(h[:, None] - h) < 0.15 * h) & (np.abs(w[:, None] - w) < 0.25 * w)
    gap = left[None, :] - right[:, None]
    beside = (
        (gap >= -0.2 * w) & (left[None, :] > left[:, None]) & ((gap < 0.3 * w) | (np.abs(gap - 1.1 * w) < 0.25 * w))
    )
    follows = alike & beside & (np.abs(middle[:, None] - middle) < 0.12 * np.maximum(h, gap + w))
    length, before = np.ones(len(insides), int), np.full(len(insides), -1)
    for j in range(len(insides)):
        earlier = np.flatnonzero(follows[:, j])
        if earlier.size:
            best = earlier[np.argmax(length[earlier])]
            length[j], before[j] = length[best] + 1, best
    chain = [int(np.argmax(length))]
    while before[chain[0]] >= 0:
        chain.insert(0, int(before[chain[0]]))
    return chain


def _as_row(insides: NDArray[np.float64]) -> CellRow:
    """Fit the row's corners through its cells; cells missing between two are counted."""
    left, top, w, h = insides.T
    x, y = left + w / 2, top + h / 2
    pitch = float(np.median(np.diff(x))) if len(x) > 1 else float(w[0])
    count = round((x[-1] - x[0]) / pitch) + 1
    slope = float(np.polyfit(x, y, 1)[0]) if len(x) > 2 else 0.0
    along = np.array([1.0, slope]) / np.hypot(1.0, slope)
    down = np.array([-along[1], along[0]])
    tilt_px = abs(slope) * float(np.median(w))
    cell_height = float(np.median(h)) - tilt_px
    pitch *= float(np.hypot(1.0, slope))
    first = np.array([x[0], float(np.mean(y + slope * (x[0] - x)))])
    start, end = first - along * pitch / 2, first + along * pitch * (count - 0.5)
    half = down * (cell_height / 2 + 1)
    return CellRow(np.array([start - half, end - half, end + half, start + half]), count)


def _extend(row: CellRow, near_ink: Mask) -> CellRow:
    """Add the cells at both ends that the print still shows, although a digit or a gap opens them."""
    step = (row.corners[1] - row.corners[0]) / row.count
    count, corners = row.count, row.corners.copy()
    for ends, way in (((0, 3), -step), ((1, 2), step)):
        while count < _MOST_CELLS and _goes_on(near_ink, corners[ends[0]], corners[ends[1]], way):
            corners[list(ends)] += way
            count += 1
    return CellRow(corners, count)


def _goes_on(near_ink: Mask, top: NDArray[np.float64], bottom: NDArray[np.float64], way: NDArray[np.float64]) -> bool:
    """Return whether print shows one more cell: its far divider or both of its rails, with paper within."""
    inner = [_printed_share(near_ink, a + 0.15 * way, b + 0.85 * way) for a, b in ((top, bottom), (bottom, top))]
    if max(inner) > 0.5:
        return False
    far = _printed_share(near_ink, top + way, bottom + way)
    rails = min(_printed_share(near_ink, top, top + way), _printed_share(near_ink, bottom, bottom + way))
    return rails > 0.8 or (far > 0.6 and rails > 0.55)


def _printed_share(near_ink: Mask, start: NDArray[np.float64], end: NDArray[np.float64]) -> float:
    """Return the share of a line from start to end that lies on ink; parts off the image count as paper."""
    x, y = np.rint(np.linspace(start, end, 32)).astype(np.intp).T
    inside = (x >= 0) & (y >= 0) & (x < near_ink.shape[1]) & (y < near_ink.shape[0])
    return float(near_ink[y[inside], x[inside]].sum() / x.size)


def _row_rules(ink: Mask, dividers: NDArray[np.float64]) -> list[Rule]:
    """Return the rules of a row: the flat ones, and uprights that are dividers, sides of boxes or teeth.

    An upright is print if it reaches from rule to rule, or if at least half of the dividers have one. A lone upright
    where no other divider shows is the stem of a digit that crosses its cell.
    """
    height, width = ink.shape
    pitch = float(np.median(np.diff(dividers)))
    found = find_rules(ink, flat_length=0.5 * width, upright_length=max(6.0, 0.25 * height))
    flats = [r for r in found if not r.upright]
    off = {r: np.abs(dividers - r.across((r.start + r.end) / 2)) for r in found if r.upright}
    framed = [r for r in off if off[r].min() < 0.22 * pitch and _spans(r, flats, 0.1 * height)]
    near = [r for r in off if off[r].min() < max(2.0, 0.08 * pitch)]
    shown = {int(np.argmin(off[r])) for r in near}
    return flats + (list({*framed, *near}) if 2 * len(shown) >= len(dividers) else framed)


def _spans(rule: Rule, flats: list[Rule], near: float) -> bool:
    """Return whether both ends of an upright rule lie on flat ones."""
    x = rule.across((rule.start + rule.end) / 2)
    levels = [flat.across(x) for flat in flats]
    return all(min((abs(end - level) for level in levels), default=np.inf) < near for end in (rule.start, rule.end))


def _ink_by_cell(ink: Mask, dividers: NDArray[np.float64]) -> list[InkPart | None]:
    """Give each connected part of the ink to its cell; return the digit of each cell, None if it is blank."""
    cells: list[list[InkPart]] = [[] for _ in dividers[1:]]
    for part in ink_parts(ink):
        if int(part.mask.sum()) >= 4 and not _is_print_remnant(part, dividers, ink.shape[0]):
            for k, piece in _share_out(part, dividers):
                cells[k].append(piece)
    mains = [max(parts, key=lambda p: p.height * p.width) for parts in cells if parts]
    if not mains:
        return [None] * len(cells)
    usual = float(np.percentile([p.height for p in mains], 75))
    middle = float(np.median([p.y + p.height / 2 for p in mains if p.height > 0.5 * usual]))
    least = max(_LEAST_DIGIT_SHARE * usual, 0.15 * ink.shape[0], 2 * stroke_width(ink))
    return [_digit_of(parts, middle, usual, least) for parts in cells]


def _is_print_remnant(part: InkPart, dividers: NDArray[np.float64], height: int) -> bool:
    """Tell remnants of print: a piece of a divider, the side of a box, the whole outline of a box."""
    pitch = float(np.median(np.diff(dividers)))
    off = float(np.abs(dividers - part.x - part.width / 2).min())
    piece = off < 0.1 * pitch and part.width < 0.15 * pitch and part.height < 0.5 * pitch
    side = off < 0.25 * pitch and part.width < 0.15 * pitch and part.height > 0.6 * height
    return piece or side or _is_outline(part.mask)


def _is_outline(mask: Mask) -> bool:
    """Return whether a mask has ink in all four corners of its box and none in the middle: no digit has."""
    h, w = mask.shape
    if min(h, w) < 8:
        return False
    y, x = max(1, h // 6), max(1, w // 6)
    corners = (mask[:y, :x], mask[:y, -x:], mask[-y:, :x], mask[-y:, -x:])
    return all(c.any() for c in corners) and not mask[h // 3 : -(h // 3), w // 3 : -(w // 3)].any()


def _share_out(part: InkPart, dividers: NDArray[np.float64]) -> list[tuple[int, InkPart]]:
    """Return the cell of a part; if it holds the digits of two cells, its pieces with their cells."""
    columns = part.mask.sum(axis=0)
    cell_of = np.searchsorted(dividers, part.x + np.arange(part.width)) - 1
    cell_of = np.clip(cell_of, 0, len(dividers) - 2)
    share = np.bincount(cell_of, weights=columns, minlength=len(dividers) - 1) / columns.sum()
    pitch = float(np.median(np.diff(dividers)))
    if share.max() >= _OWN_SHARE or part.width < 0.9 * pitch:
        return [(int(np.argmax(share)), part)]
    pieces = []
    for k in np.flatnonzero(share > 0.1):
        inside = np.flatnonzero(cell_of == k)
        mask = np.ascontiguousarray(part.mask[:, inside[0] : inside[-1] + 1])
        pieces.append((int(k), InkPart(part.x + int(inside[0]), part.y, mask)))
    return pieces


def _digit_of(parts: list[InkPart], middle: float, usual: float, least: float) -> InkPart | None:
    """Join the strokes of the digit of one cell; None if they are too small, or off the line.

    ``middle`` and ``usual`` are the middle and the height of the row's digits. Ink below the main stroke is a printed
    label or a comma, and ink far above or beside it a speck.
    """
    on_line = [p for p in parts if abs(p.y + p.height / 2 - middle) < 0.8 * usual]
    main = max(on_line, key=lambda p: p.height * p.width, default=None)
    if main is None or main.height < least:
        return None
    return join_parts([p for p in on_line if p is main or _is_stroke_beside(p, main)])


def _is_stroke_beside(part: InkPart, main: InkPart) -> bool:
    below = part.y + part.height / 2 - (main.y + main.height)
    above = main.y - (part.y + part.height)
    aside = max(part.x - main.right, main.x - part.right)
    return below < 0 and above < 0.25 * main.height and aside < 0.12 * main.height
