"""Snap a row's dividers to its print, and assign its ink to cells.

The ink of a cell is whole connected strokes: a digit that crosses a divider stays whole and goes to the cell that holds
most of it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.fields.cutting.cleaning import outside_of_frame
from worker.fields.cutting.segmentation import InkPart, digit_crop, ink_parts, join_parts
from worker.fields.locating.cells import detect_cell_row, margin_px, straighten_row
from worker.imaging.binarization import Mask, flatten_background, ink_mask, stroke_width
from worker.imaging.line_removal import Rule, find_rules, remove_rules
from worker.imaging.pieces import find_pieces
from worker.values import DigitCrop, FieldCrop, Grey

_LEAST_DIGIT_SHARE = 0.35
"""Ink lower than this share of the row's digits is a speck or a remnant of print, so the cell is blank."""

_OWN_SHARE = 0.7
"""A part with this share of its ink in one cell belongs to that cell; otherwise two digits touch."""

_LIKE_REACH = 0.06
"""Largest shift of print from cell to cell, in pitches."""

_FEWEST_ALIKE = 3
"""This many straight uprights of the same height are print, not a row of 1s."""

_ON_PRINT = 0.8
"""A piece of ink with this share of it on what most cells share is a remnant of print."""

_SIDE_SHARE = 0.2
"""A part narrower than this share of a pitch, and as near to a divider, is a side of a cell."""

_END_SHARE, _THIN_SHARE = 0.28, 0.15
"""The same at both ends of a row, where a comb that fits the dividers may lie off the outer side, for thinner parts."""

_LEAST_TOOTH, _NEAR_DIVIDER = 0.1, 0.12
"""Shortest printed divider, in heights of the crop, for the teeth of a comb are short; and how far from its expected
place it may stand, in pitches."""

_CUT_WEIGHT, _PRIOR_WEIGHT = 0.7, 0.3
"""Cost of a comb for cutting ink, and for lying a cell off its expected place, in heights of upright print."""


def segment_cells(crop: FieldCrop, count: int) -> list[DigitCrop | None]:
    """Cut a row of ``count`` cells into one digit candidate for each cell, None for a blank one."""
    if min(crop.grey.shape) < 8:
        return [None] * count
    row = _remove_row_print(crop, count)
    cells = _ink_by_cell(row.ink, row.dividers)
    return [None if part is None else digit_crop(row.crop, row.flat, part, k) for k, part in enumerate(cells)]


def remove_cells(crop: FieldCrop, count: int) -> tuple[Grey, Mask]:
    """Return a row of ``count`` cells side by side, flattened, and its ink, both without what most cells share.

    They share their print and patterns of the paper: the median of the cells, within a shift of a few pixels. A piece
    of ink that lies on such print is what was left of it in one cell, as a divider that no other cell has any longer.
    """
    row = _remove_row_print(crop, count)
    printed_dividers = _shows_dividers(row)
    if not printed_dividers:
        row = replace(row, dividers=np.linspace(0, row.ink.shape[1], count + 1))
    flat, bare_ink = remove_rules(row.flat, row.ink, _like_uprights(row.crop.grey))
    pitch = max(8, round(float(np.median(np.diff(row.dividers)))))
    contrast = _side_by_side(np.asarray(255 - flat, np.uint8), row.dividers, pitch)
    ink = _side_by_side(bare_ink * np.uint8(255), row.dividers, pitch) > 127
    own = np.where(ink & ~_is_alike(contrast, contrast), contrast, 0).astype(np.uint8)
    printed = _side_by_side(np.asarray(255 - row.printed, np.uint8), row.dividers, pitch)
    on_print = np.concatenate(list(_is_alike(printed, contrast)), axis=1)
    bare = np.concatenate(list(own), axis=1)
    labels, stats, middles = find_pieces((bare > 0).view(np.uint8))
    off = np.abs(middles[:, 0] / pitch - np.rint(middles[:, 0] / pitch))
    side = (off < _SIDE_SHARE) & (stats[:, cv2.CC_STAT_WIDTH] < _SIDE_SHARE * pitch)
    from_end = np.minimum(middles[:, 0], bare.shape[1] - middles[:, 0]) / pitch
    side |= (from_end < _END_SHARE) & (stats[:, cv2.CC_STAT_WIDTH] < _THIN_SHARE * pitch)
    side &= printed_dividers
    area = stats[:, cv2.CC_STAT_AREA]
    side |= np.bincount(labels.ravel(), weights=on_print.ravel(), minlength=len(stats)) > _ON_PRINT * area
    bare[side[labels]] = 0
    return np.asarray(255 - bare, np.uint8), np.asarray(bare > 0, np.uint8)


def _shows_dividers(row: _BareRow) -> bool:
    """Tell whether at least half of the dividers of a row are printed; a lone upright where none is may be a 1."""
    ink = ink_mask(row.printed)
    height, width = ink.shape
    tall = cv2.morphologyEx(ink, cv2.MORPH_OPEN, np.ones((max(4, round(_LEAST_TOOTH * height)), 1), np.uint8))
    reach = max(2, round(_NEAR_DIVIDER * float(np.median(np.diff(row.dividers)))))
    columns = cv2.dilate(tall.max(axis=0)[None, :], np.ones((1, 2 * reach + 1), np.uint8))[0]
    shown = columns[np.clip(np.rint(row.dividers).astype(int), 0, width - 1)]
    return 2 * int(shown.sum()) >= len(row.dividers)


def _is_alike(cells: Grey, contrast: Grey) -> NDArray[np.bool_]:
    """Tell where the median of ``cells`` (n, H, pitch) nearby is at least half as dark as each cell's ``contrast``."""
    reach = max(3, round(_LIKE_REACH * cells.shape[2])) | 1
    alike = cv2.dilate(np.median(cells, axis=0).astype(np.uint8), np.ones((reach, reach), np.uint8))
    return np.asarray(alike >= 0.5 * contrast, bool)


def _like_uprights(grey: Grey) -> list[Rule]:
    """Return the straight uprights of which three are alike in ends and thickness: dividers, wherever they stand."""
    ink = ink_mask(flatten_background(grey))
    height, width = ink.shape
    rules = find_rules(ink, flat_length=2.0 * width, upright_length=max(6.0, 0.2 * height))
    ends = np.array([(r.start, r.end) for r in rules], np.float64).reshape(-1, 2)
    thick = np.array([r.thickness for r in rules])
    alike = (np.abs(ends[:, None] - ends[None]) <= max(2.0, 0.05 * height)).all(axis=2)
    alike &= np.abs(thick[:, None] - thick[None]) <= np.maximum(1.0, 0.25 * thick)
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
    """A row of cells without its print: the crop, straight and flattened, its ink, and the x of its dividers.

    ``printed`` is the flattened crop with its print.
    """

    crop: FieldCrop
    printed: Grey
    flat: Grey
    ink: Mask
    dividers: NDArray[np.float64]


def _remove_row_print(crop: FieldCrop, count: int) -> _BareRow:
    row = detect_cell_row(crop.grey)
    expected = _expected_ends(crop)
    if row is not None and row.count == count:
        crop = straighten_row(crop, row)
        expected = margin_px(row), crop.grey.shape[1] - margin_px(row)
    printed = flatten_background(crop.grey)
    ink = ink_mask(printed)
    dividers = snap_dividers(ink, count, expected)
    rules = _row_rules(ink, dividers)
    flat, ink = remove_rules(printed, ink, rules)
    outside = outside_of_frame(ink, [rule for rule in rules if not rule.upright])
    return _BareRow(crop, printed, flat, np.where(outside > 0, np.uint8(0), ink), dividers)


def _expected_ends(crop: FieldCrop) -> tuple[float, float]:
    """Return the left and right end of the field's own box in its crop."""
    x, y, w, h = crop.box_px
    corners = np.array([[[x, y], [x + w, y], [x + w, y + h], [x, y + h]]], np.float64)
    inside = cv2.perspectiveTransform(corners, np.linalg.inv(crop.page_from_crop))[0, :, 0]
    return float(inside.min()), float(inside.max())


def snap_dividers(ink: Mask, count: int, expected: tuple[float, float]) -> NDArray[np.float64]:
    """Return the x of the ``count + 1`` dividers: the even comb that fits the print best, then snapped to it.

    Upright print counts for a comb, and other ink that it would cut counts against it. ``expected`` holds the left and
    the right end of the row, which are roughly known.
    """
    height, width = ink.shape
    tall = cv2.morphologyEx(ink, cv2.MORPH_OPEN, np.ones((max(5, height // 4), 1), np.uint8))
    evidence = np.minimum(tall.sum(axis=0) / height, 0.8)
    cut = np.minimum((ink.sum(axis=0) - tall.sum(axis=0)) / height, 0.5)
    value = np.asarray(cv2.dilate(evidence[None, :], np.ones((1, 5)))[0]) - _CUT_WEIGHT * cut
    usual, middle = (expected[1] - expected[0]) / count, sum(expected) / 2
    lefts = np.arange(expected[0] - 0.3 * usual, expected[0] + 0.3 * usual)
    pitches = np.linspace(0.94 * usual, 1.06 * usual, 33)
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
    below = part.y + part.height / 2 - main.bottom
    above = main.y - part.bottom
    aside = max(part.x - main.right, main.x - part.right)
    return below < 0 and above < 0.25 * main.height and aside < 0.12 * main.height
