"""Find printed rows of cells on a crop or a page by their white insides, and bring a row upright.

Insides survive tilt, photographs and thin print.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.imaging.binarization import Mask, flatten_background, ink_mask
from worker.values import FieldCrop, Grey, freeze

_FEWEST_CELLS = 3

_MOST_CELLS = 40

_FEWEST_UNANNOUNCED = 4
"""Least cells of a row by which a field is read although its template names no cells."""

_SMALLEST_CELL_PX = 12

_WIDEST_CELL, _WIDEST_OF_A_TABLE = 2.5, 2.75
"""Largest width of a cell, in its heights; and where another is like it that is no wider than the first."""

_STACKED_GAP = 0.25
"""Least gap, in cell heights, between rows of a form, and largest difference in width of cells of stacked rows."""

_RAILS_SHOW = 0.6
"""Share of one more cell's rails beyond a row's end from which the row goes on there."""

_RUNS_ON = 0.5
"""How far dividers run on beyond a row that is part of a table, in cell heights; rows of a form lie further apart."""

_MARGIN_SHARE = 0.2
"""Margin around a row, in cell heights, for digits that cross its border."""


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
    rows: list[CellRow] = []
    while len(insides) >= _FEWEST_CELLS - 1:
        chain = _longest_chain(insides)
        if len(chain) < _FEWEST_CELLS - 1:
            break
        row = _extend(_as_row(insides[chain]), near_ink)
        for piece in [other for other in rows if _is_same_row(other, row)]:
            rows.remove(piece)
            row = _join(row, piece)
        rows.append(row)
        insides = np.delete(insides, chain, axis=0)
    found = [row for row in rows if row.count >= _FEWEST_CELLS and _is_divided(row, near_ink)]
    return sorted(found, key=lambda row: float(row.corners[0, 1]))


def goes_on(row: CellRow, ink: Mask) -> bool:
    """Tell whether print shows more of a row beyond one of its ends: a cell there was not found, or is filled."""
    near_ink = np.asarray(cv2.dilate(ink, np.ones((3, 3), np.uint8)), np.uint8)
    step = (row.corners[1] - row.corners[0]) / row.count
    return any(
        min(_printed_share(near_ink, row.corners[k], row.corners[k] + way) for k in ends) > _RAILS_SHOW
        for ends, way in (((0, 3), -step), ((1, 2), step))
    )


def runs_on_across(row: CellRow, ink: Mask) -> bool:
    """Tell whether print shows a row's dividers run on above or below it: it is a row of a table, found or not."""
    near_ink = np.asarray(cv2.dilate(ink, np.ones((3, 3), np.uint8)), np.uint8)
    tops, bottoms = dividers_of(row)
    down = (row.corners[3] - row.corners[0]) * _RUNS_ON
    return any(
        sum(_printed_share(near_ink, end, end + way) > _RAILS_SHOW for end in ends) >= row.count
        for ends, way in ((tops, -down), (bottoms, down))
    )


def dividers_of(row: CellRow) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the upper and the lower ends, (count + 1, 2) px each, of the lines between cells and at both ends."""
    at = np.linspace(0, 1, row.count + 1)[:, None]
    top_left, top_right, bottom_right, bottom_left = row.corners
    return top_left + at * (top_right - top_left), bottom_left + at * (bottom_right - bottom_left)


def _is_same_row(a: CellRow, b: CellRow) -> bool:
    """Tell whether two rows of like cells lie on one line and touch: a digit over the print had parted them."""
    along = (a.corners[1] - a.corners[0]) / a.width
    down = np.array([-along[1], along[0]])
    pitch = a.width / a.count
    alike = abs(a.height / b.height - 1) < 0.2 and abs(b.width / b.count / pitch - 1) < 0.15
    on_line = abs(float((b.corners.mean(axis=0) - a.corners.mean(axis=0)) @ down)) < 0.2 * a.height
    start, end = (float((b.corners[k] - a.corners[0]) @ along) for k in (0, 1))
    return alike and on_line and start < a.width + 0.3 * pitch and end > -0.3 * pitch


def _join(a: CellRow, b: CellRow) -> CellRow:
    """Return the row that reaches over both."""
    along = (a.corners[1] - a.corners[0]) / a.width
    start, end = (float((b.corners[k] - a.corners[0]) @ along) for k in (0, 1))
    before, behind = max(0.0, -start) * along, max(0.0, end - a.width) * along
    corners = a.corners + np.array([-before, behind, behind, -before])
    width = float(np.hypot(*(corners[1] - corners[0])))
    return CellRow(corners, round(width / (a.width / a.count)))


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
    return replace(crop, grey=freeze(np.asarray(grey, np.uint8)), page_from_crop=crop.page_from_crop @ crop_from_row)


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


def _cell_insides(ink: Mask) -> NDArray[np.float64]:
    """Return (N, 4) left, top, width, height of the white areas that may be the inside of a cell."""
    fenced = cv2.copyMakeBorder(ink, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=1)
    closed = cv2.morphologyEx(fenced, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    _, labels, boxes, _ = cv2.connectedComponentsWithStats(1 - closed, connectivity=4)
    stats = np.asarray(boxes, np.int32)
    w, h, area = stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT], stats[:, cv2.CC_STAT_AREA]
    fits = (np.minimum(w, h) >= _SMALLEST_CELL_PX) & (area > 0.5 * w * h) & (w < _WIDEST_OF_A_TABLE * h) & (h < 3.5 * w)
    narrow = fits & (w < _WIDEST_CELL * h)
    like = (np.abs(w[:, None] - w[narrow]) < 0.1 * w[:, None]) & (np.abs(h[:, None] - h[narrow]) < 0.1 * h[:, None])
    fits &= like.any(axis=1)
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


def _is_divided(row: CellRow, near_ink: Mask) -> bool:
    """Tell whether print shows half of a row's dividers: between two lines of ruled paper it shows none."""
    tops, bottoms = dividers_of(row)
    shown = sum(_printed_share(near_ink, top, bottom) > 0.5 for top, bottom in zip(tops, bottoms, strict=True))
    return 2 * shown >= row.count + 1


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
