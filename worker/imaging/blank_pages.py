"""Whether a page is empty paper, told by its ink alone: the back of a sheet that was scanned on both sides.

A page is blank only if nothing of a stroke's size is darker than the paper's own noise, however faint; what may be
writing, print or what shines through from the other side is ink. So a page with one pencilled digit is never blank,
and a blank one may be taken for written, which costs a look and no number.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.values import Grey

_WORKING_PX = 1700
"""Longer side of the image that is looked at: 5.7 pixels a millimetre of A4, so that a pencil's stroke has two."""

_PAPER_PX = 170
"""Longer side of the image whose median is the paper: coarser than any stroke, finer than a shadow."""

_STROKE_SHARE = 0.0075
"""Least extent of a stroke, of the page's longer side: 2.2 mm on A4, more than two specks of dust beside each other.
The lowest digit that is read has 3.5 mm."""

_NOISE_SIGMAS = 5.0
_FAINTEST_INK = 4.0
"""Contrast of 255, after smoothing: the pencil H4 on white paper has 12 or more; JPEG's blocks reach 2."""

_EDGE_SHARE = 0.015
"""What is left out along the edges, 4.5 mm of A4: scanners show the sheet's shadow there, and nobody writes."""

_HOLE_SHARES = 0.015, 0.042
"""Diameter of a punched hole: 5 to 8 mm (ISO 838 has 6), of the longer side of A4 and A5, and the blur around it."""
_STREAK_LENGTH, _STREAK_WIDTH = 0.97, 0.01
"""A streak of a dirty scanner, or the shadow of a fold, runs from edge to edge of what is looked at and is at most 3 mm
of A4 wide, its lean included; nobody writes a stroke as long as the page."""

_HOLE_FILLS = 0.68, 0.86
"""How much of its square a disc fills, pi / 4, with room for a coarse scan."""
_HOLE_MARGIN = 0.08
"""ISO 838: holes lie 12 mm from the edge; 28 mm are allowed here."""


def is_blank_page(grey: Grey) -> bool:
    """Tell whether a page (H, W) uint8, 0 = ink, holds nothing that may be a stroke."""
    page = _reduced(grey)
    longer = max(page.shape)
    strip = round(_EDGE_SHARE * longer)
    ink = np.ascontiguousarray(_darker_than_noise(page)[strip:-strip, strip:-strip])
    if not ink.size:
        return False
    count, _, stats, _ = cv2.connectedComponentsWithStats(ink, connectivity=8)
    found = stats[1:count]
    extent = found[:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]].max(axis=1, initial=0)
    strokes = found[extent >= max(4.0, _STROKE_SHARE * longer)]
    return all(_is_hole(part, ink.shape, longer) or _is_streak(part, ink.shape, longer) for part in strokes)


def _reduced(grey: Grey) -> Grey:
    scale = _WORKING_PX / max(grey.shape)
    if scale >= 1:
        return grey
    size = max(1, round(grey.shape[1] * scale)), max(1, round(grey.shape[0] * scale))
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.uint8)


def _darker_than_noise(page: Grey) -> NDArray[np.uint8]:
    """Mark what is darker than the paper around it by more than the paper's noise, small gaps closed."""
    height, width = page.shape
    scale = _PAPER_PX / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    paper = cv2.medianBlur(cv2.resize(page, size, interpolation=cv2.INTER_AREA), 15)
    paper = cv2.resize(paper, (width, height), interpolation=cv2.INTER_LINEAR)
    contrast = cv2.GaussianBlur(paper.astype(np.float32) - page, (0, 0), 1.0)
    usual = float(np.median(contrast[::3, ::3]))
    noise = 1.4826 * float(np.median(np.abs(contrast[::3, ::3] - usual)))
    ink = (contrast - usual > max(_FAINTEST_INK, _NOISE_SIGMAS * noise)).astype(np.uint8)
    return np.asarray(cv2.morphologyEx(ink, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8)), np.uint8)


def _is_streak(part: NDArray[np.int32], shape: tuple[int, ...], longer: int) -> bool:
    """Tell a thin straight line over the whole page."""
    w, h = part[cv2.CC_STAT_WIDTH], part[cv2.CC_STAT_HEIGHT]
    across = w >= _STREAK_LENGTH * shape[1] and h <= _STREAK_WIDTH * longer
    down = h >= _STREAK_LENGTH * shape[0] and w <= _STREAK_WIDTH * longer
    return bool(across or down)


def _is_hole(part: NDArray[np.int32], shape: tuple[int, ...], longer: int) -> bool:
    """Tell a punched hole: a full disc of its size near an edge."""
    x, y, w, h, area = part[:5]
    least, most = (share * longer for share in _HOLE_SHARES)
    is_disc = least <= min(w, h) and max(w, h) <= most and max(w, h) < 1.25 * min(w, h)
    fill = area / (w * h)
    margin = _HOLE_MARGIN * longer
    near = min(x, y, shape[1] - x - w, shape[0] - y - h) < margin
    return bool(is_disc and _HOLE_FILLS[0] <= fill <= _HOLE_FILLS[1] and near)
