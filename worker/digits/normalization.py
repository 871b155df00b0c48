"""Bring the ink of a digit to the size, place and contrast that the digit model reads.

The geometry is MNIST's own: the ink is scaled, its aspect kept, into 20 x 20 pixels, and its centre of mass
is put in the middle of 28 x 28 (LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document
recognition", 1998). Training, evaluation and the worker all call ``normalize_digits``; there is no second
preprocessing.
"""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

SIZE = 28
"""Height and width of a normalized digit, pixels."""

BOX = 20
"""The longer side of the ink within it, pixels."""

MIN_CONTRAST = 24
"""Least difference between ink and background, of 255; a crop with less is an empty cell."""

MAX_SIDE = 112
"""Larger crops are first shrunk to this many pixels, four times the size that the model sees."""

SOLID = 96
"""Ink above this, of 255, counts as part of a stroke when components and the tight box are found."""

SPECK_SHARE = 0.02
"""A component with less than this share of the largest one's area is dirt, not a stroke."""

Ink = NDArray[np.uint8]


def normalize_digit(ink: Ink) -> Ink:
    """Return the ink of a crop as the digit model needs it.

    Parameters
    ----------
    ink
        (H, W) uint8, white ink on black, any size; the background may be grey or speckled.

    Returns
    -------
    (28, 28) uint8, white ink on black, background 0 and ink near 255; all 0 where the crop holds no ink.
    """
    stretched = _stretch_contrast(_shrink(ink))
    if stretched is None:
        return np.zeros((SIZE, SIZE), np.uint8)
    cleaned, (x, y, w, h) = _drop_specks(stretched)
    scale = BOX / max(w, h)
    width, height = max(1, round(w * scale)), max(1, round(h * scale))
    crop = cleaned[y : y + h, x : x + w]
    if (width, height) != (w, h):
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        crop = cv2.resize(crop, (width, height), interpolation=method).astype(np.uint8, copy=False)
    return _centre_by_mass(crop)


def normalize_digits(inks: Iterable[Ink]) -> Ink:
    """Normalize a list of crops, or an (N, H, W) uint8 array of them, to (N, 28, 28) uint8."""
    normalized = [normalize_digit(ink) for ink in inks]
    return np.stack(normalized) if normalized else np.zeros((0, SIZE, SIZE), np.uint8)


def _shrink(ink: Ink) -> Ink:
    longer = max(ink.shape)
    if longer <= MAX_SIDE:
        return ink
    height, width = (max(1, round(side * MAX_SIDE / longer)) for side in ink.shape)
    return cv2.resize(ink, (width, height), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def _stretch_contrast(ink: Ink) -> Ink | None:
    """Map the background to 0 and the ink to 255; None where there is no ink.

    Otsu's threshold separates ink from background ("A threshold selection method from gray-level histograms",
    1979). A fifth of the way from the background's mean to the threshold becomes 0, so that the grey edges of
    strokes stay and the grain of the paper goes; the mean of the ink becomes 255.
    """
    threshold, above = cv2.threshold(ink, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    inside = cv2.countNonZero(above)
    peak = cv2.mean(ink, above)[0]
    rest = ink.size - inside
    of_rest = cv2.sumElems(ink)[0] - round(peak * inside)  # sums of integers are exact, and so is their difference
    background = of_rest * (1.0 / rest) if rest else 0.0  # as cv2.mean has it, to the last bit
    if peak - background < MIN_CONTRAST:
        return None
    black = background + 0.2 * (threshold - background)
    gain = 255.0 / (peak - black)
    return cv2.addWeighted(ink, gain, ink, 0.0, -black * gain)  # type: ignore[return-value]


def _drop_specks(ink: Ink) -> tuple[Ink, tuple[int, int, int, int]]:
    """Blank components too small to be strokes; return the rest and the box (x, y, w, h) around it."""
    solid = cv2.threshold(ink, SOLID, 1, cv2.THRESH_BINARY)[1]
    count, labels = cv2.connectedComponents(solid, connectivity=8, ltype=cv2.CV_16U)
    if count > 2:
        areas = np.bincount(labels.ravel())
        specks = areas < SPECK_SHARE * areas[1:].max()
        if specks.any():
            is_speck = specks[labels]
            solid[is_speck] = 0
            around = cv2.dilate(is_speck.view(np.uint8), np.ones((3, 3), np.uint8))
            ink = np.where((around > 0) & (solid == 0), 0, ink).astype(np.uint8)
    x, y, w, h = cv2.boundingRect(solid)
    return ink, (x, y, w, h)


def _centre_by_mass(crop: Ink) -> Ink:
    """Paste a crop of at most 20 x 20 so that its centre of mass lies mid 28 x 28, as far as it fits."""
    height, width = crop.shape
    moments = cv2.moments(crop)
    mass = moments["m00"] or 1.0
    left = round(SIZE / 2 - (moments["m10"] / mass + 0.5))
    top = round(SIZE / 2 - (moments["m01"] / mass + 0.5))
    left, top = min(max(left, 0), SIZE - width), min(max(top, 0), SIZE - height)
    canvas = np.zeros((SIZE, SIZE), np.uint8)
    canvas[top : top + height, left : left + width] = crop
    return canvas
