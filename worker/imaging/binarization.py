"""Tell ink from paper: flatten the illumination, mask the ink by local contrast, estimate the stroke width.

Paper is estimated by a grey closing, which keeps step edges: the rim of a shadow or of a scanner's black
gutter is background on both of its sides and never becomes ink.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.values import Grey

Mask = NDArray[np.uint8]
"""(H, W) uint8, 1 = ink, 0 = paper."""

_BACKGROUND_SIDE_PX = 256
"""Shorter side of the image on which the background is estimated; shadows are smooth, so few pixels do."""

_NOISE_SIGMAS = 4.0
"""Ink stands out of the paper's noise by so many standard deviations: of normal noise one pixel in 30,000 does."""
_FAINTEST_INK = 14.0
"""Least contrast (0 to 255) of ink; paper grain reaches 10 on the development photos."""

_FAINTEST_SHARE = 0.2
"""Least contrast of ink as a share of the strongest; pencil beside black print has about a quarter."""

_HIGH_SHARE, _LOW_SHARE = 0.5, 0.3
"""Hysteresis: a pixel above the high share of the strongest contrast around it is ink; one above the low share is ink
if it touches such a pixel. So the rim and the faint end of a stroke count as ink, and the pattern of paper does not."""


def estimate_background(grey: Grey) -> Grey:
    """Return the brightness that the paper would have without ink, (H, W) uint8."""
    height, width = grey.shape
    step = max(1, min(height, width) // _BACKGROUND_SIDE_PX)
    size = (max(1, width // step), max(1, height // step))
    small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA) if step > 1 else cv2.medianBlur(grey, 3)
    kernel = max(9, min(small.shape) // 4) | 1
    closed = cv2.morphologyEx(small, cv2.MORPH_CLOSE, np.ones((kernel, kernel), np.uint8))
    smooth = cv2.medianBlur(closed, 5)
    if step > 1:
        smooth = cv2.resize(smooth, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(smooth, np.uint8)


def flatten_background(grey: Grey) -> Grey:
    """Return the page as dark ink on evenly white paper; see ``divide_by_background``."""
    return divide_by_background(grey, estimate_background(grey)) if grey.size else grey


def divide_by_background(grey: Grey, background: Grey) -> Grey:
    """Return ink on evenly white paper, with contrast in proportion to the light.

    Where the background is darker than half the paper's usual brightness, contrast is measured against that
    half, so that noise in the dark is not amplified to ink. A background darker than a third is not paper but a
    scanner's gutter or a table top; it becomes white, together with its rim.
    """
    usual = _usual_paper(background)
    contrast = cv2.subtract(background, grey)
    scale = np.maximum(background, np.uint8(max(24.0, usual / 2)))
    flat = np.asarray(cv2.bitwise_not(cv2.divide(contrast, scale, scale=255)), np.uint8)
    flat[dark_area(background) > 0] = 255
    return flat


def dark_area(background: Grey) -> Mask:
    """Mark what is too dark to be paper, with its rim: nobody looks for ink there."""
    gutter = (background < _usual_paper(background) / 3).view(np.uint8)
    if not gutter.any():
        return gutter
    rim = max(5, min(background.shape) // 8) | 1
    return np.asarray(cv2.dilate(gutter, np.ones((rim, rim), np.uint8)), np.uint8)


def _usual_paper(background: Grey) -> float:
    """Return the brightness that a fifth of a page's paper exceeds."""
    height, width = background.shape
    sample = np.sort(background[:: max(1, height // 32), :: max(1, width // 64)], axis=None)
    return float(sample[int(0.8 * (sample.size - 1))])


def ink_mask(flat: Grey) -> Mask:
    """Mark the ink of a flattened image, (H, W) uint8 in {0, 1}, by local contrast with hysteresis.

    The threshold follows the strongest contrast nearby, as in Bernsen (1986) and Su, Lu and Tan (2010), so
    that pencil beside print is not lost. It stays above the paper's noise (median absolute deviation).
    """
    if flat.size == 0:
        return np.zeros(flat.shape, np.uint8)
    contrast = np.asarray(cv2.bitwise_not(flat), np.uint8)
    peak, floor = _local_peak(contrast), _noise_floor(contrast)
    sure = _above(contrast, np.maximum(peak * _HIGH_SHARE, floor))
    maybe = _above(contrast, np.maximum(peak * _LOW_SHARE, 0.7 * floor))
    return _touching(maybe, sure)


def stroke_width(ink: Mask) -> float:
    """Estimate the usual stroke width of ``ink`` in pixels; 0 where there is none."""
    if not ink.any():
        return 0.0
    distance = cv2.distanceTransform(np.pad(ink, 1), cv2.DIST_L2, 3)
    ridge = distance[(distance > 0) & (distance >= cv2.dilate(distance, np.ones((3, 3), np.uint8)))]
    return float(2 * np.median(ridge) - 1)


def _above(contrast: Grey, threshold: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Return 255 where ``contrast`` is above a threshold that is given on a reduced image."""
    size = (contrast.shape[1], contrast.shape[0])
    full = cv2.resize(threshold.astype(np.uint8), size, interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.compare(contrast, full, cv2.CMP_GT), np.uint8)


def _noise_floor(contrast: Grey) -> float:
    """Return a contrast that paper noise seldom reaches, from the spread of the noise and from the strongest ink."""
    step = max(1, int((contrast.size / 40_000) ** 0.5))
    counts = np.bincount(contrast[::step, ::step].ravel(), minlength=256)
    middle = _quantile(counts, 0.5)
    deviations = np.bincount(np.abs(np.arange(256) - middle), weights=counts)
    spread = 1.4826 * _quantile(deviations, 0.5)
    strongest = _quantile(counts, 0.998)
    return max(_FAINTEST_INK, _FAINTEST_SHARE * strongest, min(middle + _NOISE_SIGMAS * spread, 110.0))


def _quantile(counts: NDArray[np.generic], share: float) -> int:
    """Return the value below which ``share`` of a histogram's counts lie."""
    total = np.cumsum(counts)
    return int(np.searchsorted(total, share * total[-1]))


def _local_peak(contrast: Grey) -> Grey:
    """Return the strongest contrast in the neighbourhood of every pixel, smoothed, on a reduced image."""
    height, width = contrast.shape
    step = max(1, min(height, width) // 96)
    size = (max(1, width // step), max(1, height // step))
    small = cv2.resize(contrast, size, interpolation=cv2.INTER_AREA) if step > 1 else contrast
    reach = max(5, min(small.shape) // 4) | 1
    strongest = cv2.dilate(small, np.ones((reach, reach), np.uint8))
    return np.asarray(cv2.blur(strongest, (reach, reach)), np.uint8)


def _touching(maybe: NDArray[np.uint8], sure: NDArray[np.uint8]) -> Mask:
    """Keep the connected parts of ``maybe`` that hold a pixel of ``sure``."""
    count, labels = cv2.connectedComponents(maybe, connectivity=8, ltype=cv2.CV_32S)
    keep = np.zeros(count, np.uint8)
    keep[labels[sure > 0]] = 1
    keep[0] = 0
    return np.asarray(keep[labels], np.uint8)
