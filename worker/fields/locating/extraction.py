"""Fields cut from a registered page, upright, whatever way the page lay."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from schemas.form_template import FieldSpec, FormTemplate, Landmark
from worker.imaging.form_removal import PrintedCrop, remove_forms
from worker.imaging.geometry import corners_of, project
from worker.imaging.print_removal import decode_print, remove_print
from worker.registration.landmarks import strokes_of
from worker.values import Box, FieldCrop, Page, Registration, freeze

MARGIN_MM = 1.2
"""Cut around a field, so that the print of its box is whole and digits that stray over it are too."""
MAX_PX_PER_MM = 9.0
"""Crops of finer scans are reduced to about 230 dpi: digits of 4 mm have 36 rows, and the readers look at 28.

At 16 the sample cards and the NIST page read the same (46 of 48 and 26 of 28 free fields) at twice the time."""
LEAST_SIDE_PX = 16
BESIDE_MM = 3.0
FEWEST_BESIDE = 4
"""Stretches of print within ``BESIDE_MM`` of a field tell how well it lies, if there are that many."""


def extract_fields(page: Page, template: FormTemplate, registration: Registration) -> list[FieldCrop]:
    """Cut every field of ``template`` from ``page``, print inside it taken out, and the form's own lines of free ones.

    Cells keep theirs: their reader snaps its cuts to the dividers. Fields of text are never read, and left out
    (``place_texts``).
    """
    read = (spec for spec in template.fields if spec.kind != "text")
    crops = [_without_print(extract_field(page, spec, registration)) for spec in read]
    strokes = _strokes(template.landmarks)
    return _without_form(crops, strokes)


def place_texts(page: Page, template: FormTemplate, registration: Registration) -> list[FieldCrop]:
    """Cut the fields of text from ``page``: people look at them, and nobody reads them."""
    return [extract_field(page, spec, registration) for spec in template.fields if spec.kind == "text"]


@functools.lru_cache(maxsize=64)
def _strokes(landmarks: tuple[Landmark, ...]) -> NDArray[np.float64]:
    """Return the start and end of every printed line of a template, (L, 2, 2) mm."""
    return np.array([s for mark in landmarks for s in strokes_of(mark)], np.float64).reshape(-1, 2, 2)


def _without_print(crop: FieldCrop) -> FieldCrop:
    if crop.spec.print is None:
        return crop
    scale = crop.grey.shape[1] / (crop.spec.box_mm[2] + 2 * MARGIN_MM)
    grey = remove_print(crop.grey, decode_print(crop.spec.print), _inner_px(crop.spec, scale), scale)
    return replace(crop, grey=freeze(grey))


def _inner_px(spec: FieldSpec, px_per_mm: float) -> Box:
    """Return the field's own box in crop pixels."""
    return Box(*(side * px_per_mm for side in (MARGIN_MM, MARGIN_MM, spec.box_mm[2], spec.box_mm[3])))


def inner_box_px(crop: FieldCrop) -> Box:
    """Return the field's own box, without what was cut around it, in pixels of its crop."""
    return _inner_px(crop.spec, crop.grey.shape[1] / (crop.spec.box_mm[2] + 2 * MARGIN_MM))


def _without_form(crops: Sequence[FieldCrop], strokes_mm: NDArray[np.float64]) -> list[FieldCrop]:
    """Return the crops of free fields without the form's lines; rows of cells and tiny crops stay as they are."""
    chosen = [i for i, crop in enumerate(crops) if not crop.spec.cells and min(crop.grey.shape) >= LEAST_SIDE_PX]
    cleaned = remove_forms([_as_printed(crops[i], strokes_mm) for i in chosen])
    by_index = dict(zip(chosen, cleaned, strict=True))
    return [replace(crop, grey=freeze(by_index[i])) if i in by_index else crop for i, crop in enumerate(crops)]


def _as_printed(crop: FieldCrop, strokes_mm: NDArray[np.float64]) -> PrintedCrop:
    height, width = crop.grey.shape
    x, y, w, _ = crop.spec.box_mm
    scale = width / (w + 2 * MARGIN_MM)
    px = (strokes_mm - (x - MARGIN_MM, y - MARGIN_MM)) * scale
    high, low = np.maximum(px[:, 0], px[:, 1]), np.minimum(px[:, 0], px[:, 1])
    near = (high[:, 0] > 0) & (high[:, 1] > 0) & (low[:, 0] < width) & (low[:, 1] < height)
    return PrintedCrop(crop.grey, [(start, end) for start, end in px[near]], _inner_px(crop.spec, scale), scale)


def extract_field(page: Page, spec: FieldSpec, registration: Registration) -> FieldCrop:
    """Cut one field with ``MARGIN_MM`` around it; what lies off the page is white.

    The crop has the resolution of the page at that place, at most ``MAX_PX_PER_MM``.
    """
    x, y, w, h = spec.box_mm
    outer = np.array([x - MARGIN_MM, y - MARGIN_MM, w + 2 * MARGIN_MM, h + 2 * MARGIN_MM])
    scale = min(_px_per_mm(registration.page_from_mm, outer), MAX_PX_PER_MM)
    width, height = max(1, round(outer[2] * scale)), max(1, round(outer[3] * scale))
    mm_from_crop = np.array([[outer[2] / width, 0, outer[0]], [0, outer[3] / height, outer[1]], [0, 0, 1]])
    page_from_crop = registration.page_from_mm @ mm_from_crop
    grey = cv2.warpPerspective(
        page.grey,
        page_from_crop,
        (width, height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=255,
    )
    box_px = bounding_box_px(Box(*spec.box_mm), registration.page_from_mm)
    quality = _local_quality(spec, registration)
    return FieldCrop(spec, freeze(np.asarray(grey, np.uint8)), box_px, page_from_crop, quality)


def _local_quality(spec: FieldSpec, registration: Registration) -> float:
    """Return the share of the print beside a field that is found; the page's quality where too little is there."""
    if registration.print_mm is None or registration.print_found is None:
        return registration.quality
    x, y, w, h = spec.box_mm
    print_x, print_y = registration.print_mm.T
    beside = np.abs(print_x - (x + w / 2)) < w / 2 + BESIDE_MM
    beside &= np.abs(print_y - (y + h / 2)) < h / 2 + BESIDE_MM
    count = np.count_nonzero(beside)
    if count < FEWEST_BESIDE:
        return registration.quality
    return float(np.count_nonzero(registration.print_found & beside) / count)


def share_on_page(spec: FieldSpec, page: Page, page_from_mm: NDArray[np.float64]) -> float:
    """Return the share of a field's bounding box that lies on the page."""
    x, y, w, h = bounding_box_px(Box(*spec.box_mm), page_from_mm)
    height, width = page.grey.shape
    seen_w = min(x + w, float(width)) - max(x, 0.0)
    seen_h = min(y + h, float(height)) - max(y, 0.0)
    return max(0.0, seen_w) * max(0.0, seen_h) / max(w * h, 1e-9)


def bounding_box_px(box: Box, page_from_box: NDArray[np.float64]) -> Box:
    """Return the upright bounding box of ``box`` after a homography."""
    points = project(page_from_box, corners_of(np.array([box], dtype=np.float64))[0])
    low, high = points.min(0), points.max(0)
    return Box(*(float(v) for v in (*low, *(high - low))))


def _px_per_mm(page_from_mm: NDArray[np.float64], box_mm: NDArray[np.float64]) -> float:
    px = project(page_from_mm, corners_of(box_mm[None])[0])
    across = np.hypot(*(px[1] - px[0])) / box_mm[2]
    down = np.hypot(*(px[3] - px[0])) / box_mm[3]
    return float(max(across, down, 1e-3))
