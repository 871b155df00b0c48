"""Turn a raw crop of a field into dark ink on flat white paper, without frames, rules, gutters and outside print.

Grey levels inside the writing stay, because the readers know the texture of paper and faint strokes need them.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.imaging.binarization import Mask, flatten_background, ink_mask, stroke_width
from worker.imaging.line_removal import Rule, find_rules, remove_rules
from worker.imaging.pieces import find_pieces
from worker.values import FieldCrop, Grey, freeze

_MARGIN_SHARE = 0.3
"""White kept around the handwriting, in heights of the handwriting."""

_THIN_SHARE = 0.7
"""An upright rule amid the writing is thinner than this share of the pen; a 1 is not."""

_TALL_CELL = 1.2
"""A crop this many times as high as wide is a tall cell, of which the line is a small part."""

_END_OF_CELL = 0.43
"""Ink further than this share of the height from the middle of a tall cell is print at its ends."""

_SMALLEST_DIGIT_PX, _SPECK_SHARE = 6, 0.03
"""Least height of a digit in a tall cell, in rows and as a share of the cell's height."""

_MOST_FRAME_UPRIGHTS = 4
"""A frame has two sides and perhaps a divider after the currency sign; more uprights are cells."""

_PARTS = 5
"""Columns of ``connectedComponentsWithStats``: left, top, width, height, area."""


def clean_field(crop: FieldCrop) -> FieldCrop:
    """Return the crop with its print removed, tightened to the handwriting; one without ink keeps its size.

    ``page_from_crop`` of the result leads back to page pixels; ``box_px`` stays the field's own.
    """
    if min(crop.grey.shape) < 4:
        return crop
    flat, ink = remove_print(crop.grey)
    left, top, right, bottom = _extent_with_margin(writing_line(ink), ink.shape)
    shift = np.array([[1.0, 0.0, left], [0.0, 1.0, top], [0.0, 0.0, 1.0]])
    grey = freeze(np.ascontiguousarray(flat[top:bottom, left:right]))
    return replace(crop, grey=grey, page_from_crop=crop.page_from_crop @ shift)


def remove_print(grey: Grey) -> tuple[Grey, Mask]:
    """Return the flattened crop and its ink, both without frames, rules and what lies outside of a frame."""
    flat = flatten_background(grey)
    ink = ink_mask(flat)
    rules = printed_rules(ink)
    return erase_print(flat, ink, rules, frame=rules)


def erase_print(flat: Grey, ink: Mask, rules: list[Rule], *, frame: list[Rule]) -> tuple[Grey, Mask]:
    """Return a flattened crop and its ink without ``rules`` and without what lies beyond those of its ``frame``."""
    flat, ink = remove_rules(flat, ink, rules)
    outside = outside_of_frame(ink, frame)
    if not outside.any():
        return flat, ink
    near = cv2.dilate(outside, np.ones((3, 3), np.uint8)) & (ink == outside)
    return np.where(near > 0, np.uint8(255), flat), np.where(outside > 0, np.uint8(0), ink)


def printed_rules(ink: Mask) -> list[Rule]:
    """Find the printed rules of a field: long, straight, and not through the middle of the writing.

    A line through the middle may be a strike-out. An upright that is as thick as the pen and not at the sides of the
    crop may be a 1. Neither is taken for print.
    """
    height, width = ink.shape
    flat_length = 0.65 * width if width < 1.5 * height else max(0.4 * width, 1.2 * height)
    rules = find_rules(ink, flat_length=flat_length, upright_length=0.55 * height)
    flats = [r for r in rules if not r.upright and not (_is_amid(r, ink.shape) and width > height)]
    uprights = [r for r in rules if r.upright]
    pen = stroke_width(ink) if uprights else 0.0
    return flats + [r for r in uprights if _is_divider(r, flats, ink.shape, pen)]


def writing_line(ink: Mask) -> Mask:
    """Keep the one line of writing with the most ink, without specks and bits at the edges."""
    labels, stats, _ = find_pieces(ink)
    if len(stats) == 1:
        return ink
    parts = np.asarray(stats[1:], np.int32)
    usable = ~_is_remnant(parts, ink.shape) & ~_is_beside_writing(parts, ink.shape)
    if not usable.any():
        return np.zeros_like(ink)
    tallest = int(parts[usable, cv2.CC_STAT_HEIGHT].max())
    chosen = usable & _on_main_line(parts, usable, ink.shape, gap=max(2, tallest // 3))
    keep = np.concatenate([[0], chosen]).astype(np.uint8)
    return np.asarray(keep[labels], np.uint8)


def _is_amid(rule: Rule, shape: tuple[int, ...]) -> bool:
    height, width = shape
    return 0.3 * height < rule.across(width / 2) < 0.7 * height


def _is_divider(rule: Rule, flats: list[Rule], shape: tuple[int, ...], pen: float) -> bool:
    """Tell a printed upright from a 1: it reaches from frame to frame, and lies at the side or is thin."""
    height, width = shape
    near = max(4.0, 0.12 * height)
    x = rule.across((rule.start + rule.end) / 2)
    levels = [0.0, float(height), *(f.across(x) for f in flats)]
    joined = all(min(abs(end - level) for level in levels) <= near for end in (rule.start, rule.end))
    aside = min(x, width - x) < max(5.0, 0.05 * width)
    return joined and (aside or rule.thickness < _THIN_SHARE * pen or len(flats) >= 2)


def outside_of_frame(ink: Mask, rules: list[Rule]) -> Mask:
    """Mark the components that lie wholly beyond a rule of the frame, seen from the middle."""
    height, width = ink.shape
    frame = [r for r in rules if not r.upright and r.length > 0.6 * width]
    uprights = [r for r in rules if r.upright]
    frame += uprights if len(uprights) <= _MOST_FRAME_UPRIGHTS else []
    if not frame:
        return np.zeros_like(ink)
    labels, stats, _ = find_pieces(ink)
    parts = stats.astype(np.float64)
    beyond = np.zeros(len(stats), bool)
    for rule in frame:
        side, size = (cv2.CC_STAT_LEFT, width) if rule.upright else (cv2.CC_STAT_TOP, height)
        level = rule.across((rule.start + rule.end) / 2)
        if level < 0.35 * size:
            beyond |= parts[:, side] + parts[:, side + 2] <= level + 2
        elif level > 0.65 * size:
            beyond |= parts[:, side] >= level - 2
    beyond[0] = False
    return np.asarray(beyond.astype(np.uint8)[labels], np.uint8)


def _is_tall_cell(shape: tuple[int, ...]) -> bool:
    return shape[0] > _TALL_CELL * shape[1]


def _is_remnant(parts: NDArray[np.int32], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Tell specks, remains of rules and ink that only reaches over the edge of the crop from strokes."""
    height, width = shape
    left, top, w, h, area = parts.T[:_PARTS]
    at_edge = (top <= 1) | (top + h >= height - 1) | (left <= 1) | (left + w >= width - 1)
    thin = (np.minimum(w, h) <= max(3, min(shape) // 20)) & (np.maximum(w, h) > 4 * np.minimum(w, h))
    peeping = at_edge & (thin | (np.maximum(w / width, h / height) < 0.15))
    specks = (area < 5) | (np.maximum(w, h) < (_SPECK_SHARE if _is_tall_cell(shape) else 0.04) * height)
    return np.asarray(peeping | specks, bool)


def _is_beside_writing(parts: NDArray[np.int32], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Tell what stands at the sides and ends of a tall cell: gutters, rules, the printer's name, stains.

    If nothing else is there, no part is told so, because a single digit may fill its crop.
    """
    height, width = shape
    if not _is_tall_cell(shape):
        return np.zeros(len(parts), bool)
    left, top, w, h = parts.T[:4]
    at_edge = (left <= 1) | (left + w >= width - 1) | (top <= 1) | (top + h >= height - 1)
    at_end = np.abs((top + h / 2) / height - 0.5) > _END_OF_CELL
    rim = (h > 0.45 * height) & (h > 2.5 * w)
    beside = at_edge | at_end | rim | _is_broken_upright(parts, height)
    found = int(h[~beside].max(initial=0)) >= max(_SMALLEST_DIGIT_PX, _SPECK_SHARE * height)
    return beside if found else np.zeros(len(parts), bool)


def _is_broken_upright(parts: NDArray[np.int32], height: int) -> NDArray[np.bool_]:
    """Tell the pieces of a dotted or broken upright rule: thin, above one another, most of the crop's height."""
    left, _, w, h = parts.T[:4]
    thin = (w <= max(3, height // 40)) & (h >= w)
    middle = left + w / 2
    beside = thin[:, None] & thin[None, :] & (np.abs(middle[:, None] - middle[None, :]) <= height / 60)
    return np.asarray(thin & (beside @ h > 0.3 * height), bool)


def _on_main_line(
    parts: NDArray[np.int32], usable: NDArray[np.bool_], shape: tuple[int, ...], *, gap: int
) -> NDArray[np.bool_]:
    """Return which parts lie in the band of rows that holds the most ink; underlines do not join bands.

    In a tall cell the band with the tallest part counts, because a printer's name holds more ink than a digit.
    """
    flat = parts[:, cv2.CC_STAT_WIDTH] > 4 * parts[:, cv2.CC_STAT_HEIGHT]
    upright = usable & ~flat if (usable & ~flat).any() else usable
    tops, bottoms = parts[:, cv2.CC_STAT_TOP], parts[:, cv2.CC_STAT_TOP] + parts[:, cv2.CC_STAT_HEIGHT]
    kind, join = (cv2.CC_STAT_HEIGHT, max) if _is_tall_cell(shape) else (cv2.CC_STAT_AREA, int.__add__)
    bands: list[tuple[int, int, int]] = []
    for i in sorted(np.flatnonzero(upright), key=lambda i: int(tops[i])):
        top, bottom, weight = int(tops[i]), int(bottoms[i]), int(parts[i, kind])
        if bands and top <= bands[-1][1] + gap:
            last = bands[-1]
            bands[-1] = (last[0], max(last[1], bottom), join(last[2], weight))
        else:
            bands.append((top, bottom, weight))
    top, bottom, _ = max(bands, key=lambda band: band[2])
    return np.asarray((bottoms > top) & (tops < bottom), bool)


def _extent_with_margin(writing: Mask, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Return left, top, right, bottom of the writing with white around it; of the whole crop if there is none."""
    height, width = shape
    x, y, w, h = cv2.boundingRect(writing)
    if w == 0:
        return 0, 0, width, height
    margin = max(4, round(_MARGIN_SHARE * h))
    return max(0, x - margin), max(0, y - margin), min(width, x + w + margin), min(height, y + h + margin)
