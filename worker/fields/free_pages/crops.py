"""Cut numbers out of a page without a form, each with what may belong to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from schemas.form_template import FieldSpec
from worker.fields.cutting.segmentation import InkPart, ink_parts
from worker.fields.free_pages.glyphs import is_inside, other_ink
from worker.fields.free_pages.sketch import Sketch
from worker.fields.locating.extraction import bounding_box_px
from worker.fields.locating.number_lines import Number
from worker.imaging.binarization import divide_by_background
from worker.values import Box, FieldCrop, Grey, Page, freeze

TALLEST_DIGIT_PX = 160
"""Crops are reduced so that digits have at most this height; no reader looks closer."""

_DIGIT_LIKE = 0.25
"""Ink of no number that is this high, of the digits beside it, may be one of them."""

_BESIDE, _CONTINUES = 0.5, 0.35
"""How near ink and other numbers are that may belong to a number, in heights of its digits."""

_MARGIN_SHARE = 0.35


def box_of(number: Number) -> Box:
    """Return the upright box around a number."""
    left, top = (min(g.box[k] for g in number) for k in (0, 1))
    right, bottom = (max(g.box[k] for g in number) for k in (2, 3))
    return Box(left, top, right - left, bottom - top)


def cut_numbers(
    page: Page, sketch: Sketch, named: Sequence[tuple[str, Number]], strange: Sequence[Number]
) -> tuple[FieldCrop, ...]:
    """Cut numbers out of the page; what touches or continues one comes with it, and is said to be left over.

    Ink beside a number that reaches the image's rim may be its next digit, cut off there.
    """
    taken = [part for _, number in named for glyph in number for part in glyph.parts]
    loose = [part for part in ink_parts(other_ink(sketch.bare, taken)) if part.width >= 3 or part.height >= 3]
    fields = []
    for name, number in named:
        beside = [part for part in loose if _lies_beside(part, number)]
        others = [n for _, n in named if n is not number]
        height = box_of(number).h
        whole = all(part.height < _DIGIT_LIKE * height and is_inside(part, sketch.bare.shape) for part in beside)
        whole &= (
            not sketch.hides_strokes
            and number not in strange
            and not any(_continues(other, number) for other in others)
        )
        small = [part for part in beside if max(part.width, part.height) < 2 * height]
        crop = _number_field(page, sketch, number, name, small if (sketch.ink == sketch.bare).all() else [])
        fields.append(crop if whole else replace(crop, complete=False))
    return tuple(fields)


def _lies_beside(part: InkPart, number: Number) -> bool:
    """Tell whether ink of no number lies within a number, or right before or behind it on its line."""
    x, y, w, h = box_of(number)
    level = part.y + part.height / 2
    near = part.x < x + w + _BESIDE * h and part.right > x - _BESIDE * h
    shared = min(y + h, part.y + part.height) - max(y, part.y)
    beside = max(part.width, part.height) >= 0.08 * h and (y - 0.1 * h < level < y + 1.2 * h or shared > 0.5 * h)
    return near and beside and _has_ink_near(part, box_of(number))


def _has_ink_near(part: InkPart, box: Box) -> bool:
    """Tell whether a part has ink close to a box: the edge of a sheet runs around all, and is far from most of it."""
    left, right = box.x - _BESIDE * box.h - part.x, box.x + box.w + _BESIDE * box.h - part.x
    top, bottom = box.y - 0.1 * box.h - part.y, box.y + 1.2 * box.h - part.y
    rows, columns = slice(max(0, int(top)), max(0, int(bottom) + 1)), slice(max(0, int(left)), max(0, int(right) + 1))
    return bool(part.mask[rows, columns].any())


def _continues(other: Number, number: Number) -> bool:
    """Tell whether another number stands so close on the same line that both may be one."""
    x, y, w, h = box_of(number)
    x2, y2, w2, h2 = box_of(other)
    shared = min(y + h, y2 + h2) - max(y, y2)
    return shared > 0.5 * min(h, h2) and max(x2 - x - w, x - x2 - w2) < _CONTINUES * min(h, h2)


def _number_field(page: Page, sketch: Sketch, number: Number, name: str, beside: Sequence[InkPart]) -> FieldCrop:
    """Cut one number with the ink beside it out of the page, upright, on white paper, all other ink painted over."""
    parts = [*(p for g in number for p in g.parts), *beside]
    along, down = _directions(number)
    points = np.concatenate([np.argwhere(p.mask)[:, ::-1] + (p.x, p.y) for p in parts]).astype(np.float64)
    corner = np.array([(points @ along).min(), (points @ down).min()])
    extent = np.array([(points @ along).max(), (points @ down).max()]) - corner + 1
    page_scale = float(np.abs(sketch.page_from_sketch[:2, :2]).max())
    scale = float(np.clip(TALLEST_DIGIT_PX / extent[1], 1.0, page_scale))
    margin = _MARGIN_SHARE * extent[1]
    size = tuple(int(v) for v in np.ceil((extent + 2 * margin) * scale))
    origin = np.column_stack([along, down]) @ (corner - margin)
    sketch_from_crop = np.eye(3)
    sketch_from_crop[:2] = np.column_stack([along / scale, down / scale, origin])
    page_from_crop = sketch.page_from_sketch @ sketch_from_crop
    background = _warped(sketch.background, sketch_from_crop, size)
    source = (page.grey, page_from_crop) if scale > 1 else (sketch.grey, sketch_from_crop)
    flat = divide_by_background(_warped(*source, size), background)
    others = _warped(other_ink(sketch.ink, parts), sketch_from_crop, size)
    grey = np.where(cv2.dilate(others, np.ones((5, 5), np.uint8)) > 0, np.uint8(255), flat)
    freeze(grey)
    box = Box(margin * scale, margin * scale, extent[0] * scale, extent[1] * scale)
    box_px = bounding_box_px(box, page_from_crop)
    return FieldCrop(describe_field(page, name, box_px), grey, box_px, page_from_crop)


def _directions(number: Number) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return unit vectors along a number and down its digits; two digits count as tilted if steep."""
    boxes = np.array([g.box for g in number])
    x, y = (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2
    slope = float(np.polyfit(x, y, 1)[0]) if np.ptp(x) > 1 else 0.0
    angle = np.arctan(slope) if abs(slope) > (0.03 if len(number) > 2 else 0.35) else 0.0
    return np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])


def _warped(image: Grey, image_from_crop: NDArray[np.float64], size: tuple[int, ...]) -> Grey:
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpPerspective(image, image_from_crop, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(warped, np.uint8)


def describe_field(page: Page, name: str, box_px: Box) -> FieldSpec:
    """Describe a found field; millimetres by the page's resolution, 300 dpi where it has none."""
    mm = 25.4 / (page.dpi or 300.0)
    x, y, w, h = (float(np.clip(v * mm, 0, 5000)) for v in box_px)
    return FieldSpec(name=name, box_mm=(x, y, max(w, 0.1), max(h, 0.1)))
