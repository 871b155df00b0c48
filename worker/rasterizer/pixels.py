"""Turn pixels of any kind into those of a page: 8-bit grey with 0 = ink."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from worker.errors import UnreadableScanError
from worker.rasterizer.limits import RasterLimits
from worker.values import Page, freeze

UInt8 = NDArray[np.uint8]

_DPI_RANGE = (50.0, 2400.0)
_MOST_STRETCH = 4.5
"""Largest ratio of the two resolutions: a fax of 408 x 98 dots an inch (ITU-T T.4) has 4.2; a larger one is wrong."""
_DPI_UNKNOWN = 72.0
"""EXIF 2.32, XResolution: 'when the image resolution is unknown, 72 [dpi] shall be designated'."""

_SAMPLE_BITS = (8, 10, 12, 14, 16)
_OPAQUE, _LIGHT, _MOST_INK = 127, 200, 0.5
"""Opacity from which ink counts as shown; brightness above which it cannot be seen on white paper; the largest share of
a picture that ink may cover, because more is a ground of its own."""

_WHITE_IS_ZERO = 0
_PHOTOMETRIC_TAG = 262


def make_page(
    pixels: UInt8,
    *,
    scan_id: str,
    number: int,
    limits: RasterLimits,
    dpi: tuple[float, float] | None = None,
    orientation: int = 1,
    damage: str | None = None,
) -> Page:
    """Make a page of (H, W) grey or (H, W, 3) RGB pixels, turned as EXIF says, pixels made square.

    Raises
    ------
    UnreadableScanError
        With square pixels the page would have more of them than allowed.
    """
    if orientation in _TURNS:
        pixels = _TURNS[orientation](pixels)
        if dpi and orientation >= 5:
            dpi = dpi[1], dpi[0]
    known = plausible_dpi(dpi)
    if known and max(known) > _MOST_STRETCH * min(known):
        known = None
    if known and not 0.95 < known[0] / known[1] < 1.05:
        pixels = _square_pixels(pixels, known, limits)
    grey = _luma(pixels) if pixels.ndim == 3 else np.ascontiguousarray(pixels)
    finest = max(known) if known else None
    return Page(scan_id=scan_id, number=number, grey=freeze(grey), dpi=finest, damage=damage)


def pillow_pixels(image: Image.Image) -> UInt8:
    """Return a loaded Pillow image of any mode as (H, W) grey or (H, W, 3) RGB.

    What is clear becomes white; light ink on clear ground becomes dark.
    """
    if image.mode.startswith("I"):
        return _eight_bits(image)
    if image.mode == "F":
        raise UnreadableScanError("pixels of floating-point numbers are not a scan")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        if _is_light_ink(layer):
            layer = Image.merge("RGBA", [*ImageOps.invert(layer.convert("RGB")).split(), layer.getchannel("A")])
        paper = Image.new("RGBA", layer.size, "white")
        return np.asarray(Image.alpha_composite(paper, layer).convert("RGB"))
    if image.mode in ("1", "L"):
        return np.asarray(image.convert("L"))
    return np.asarray(image.convert("RGB"))


def fit_size(grey: UInt8, size: tuple[int, int]) -> UInt8:
    """Return a page at the (width, height) at which it was read, and in whose pixels its boxes are.

    A page of a PDF has another size where ``ICR_PDF_DPI`` was changed, or where it was drawn and is lifted out today.
    """
    if grey.shape[1::-1] == size:
        return grey
    smaller = size[0] < grey.shape[1]
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR), np.uint8)


def plausible_dpi(dpi: tuple[float, float] | None) -> tuple[float, float] | None:
    """Return the resolution across and down; None if the file states one that no scanner has."""
    if dpi is None or dpi == (_DPI_UNKNOWN, _DPI_UNKNOWN):
        return None
    low, high = _DPI_RANGE
    across, down = float(dpi[0]), float(dpi[1])
    return (across, down) if low <= across <= high and low <= down <= high else None


def _is_light_ink(layer: Image.Image) -> bool:
    """Tell strokes of light ink on clear ground, as tablets save them: over white they would vanish."""
    grey, alpha = np.asarray(layer.convert("L")), np.asarray(layer.getchannel("A"))
    shown = grey[alpha > _OPAQUE]
    return bool(0 < shown.size < _MOST_INK * grey.size and np.quantile(shown, 0.05) > _LIGHT)


def _eight_bits(image: Image.Image) -> UInt8:
    """Return the high byte of 16-bit pixels; Pillow leaves white-is-zero as it is at this depth.

    Cameras store samples of 8, 10, 12 or 14 bits as they are: the fewest such bits that hold the brightest are taken.
    """
    wide = np.clip(np.asarray(image), 0, 65535)
    brightest = int(wide.max(initial=0))
    bits = next((b for b in _SAMPLE_BITS if 0 < brightest < 1 << b), 16)
    pixels: UInt8 = (wide >> (bits - 8)).astype(np.uint8)
    tags = getattr(image, "tag_v2", {})
    return np.invert(pixels) if tags.get(_PHOTOMETRIC_TAG) == _WHITE_IS_ZERO else pixels


def _luma(rgb: UInt8) -> UInt8:
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), dtype=np.uint8)


def _square_pixels(pixels: UInt8, dpi: tuple[float, float], limits: RasterLimits) -> UInt8:
    """Stretch the coarser side, because fax machines send 204 dots an inch across and 98 down (ITU-T T.4)."""
    height, width = pixels.shape[:2]
    finest = max(dpi)
    size = round(width * finest / dpi[0]), round(height * finest / dpi[1])
    limits.check_page_size(*size)
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


_TURNS: dict[int, Callable[[Any], Any]] = {  # EXIF 2.32, Orientation: how stored pixels become upright ones
    2: lambda a: cv2.flip(a, 1),
    3: lambda a: cv2.rotate(a, cv2.ROTATE_180),
    4: lambda a: cv2.flip(a, 0),
    5: lambda a: cv2.transpose(a),
    6: lambda a: cv2.rotate(a, cv2.ROTATE_90_CLOCKWISE),
    7: lambda a: cv2.rotate(cv2.transpose(a), cv2.ROTATE_180),
    8: lambda a: cv2.rotate(a, cv2.ROTATE_90_COUNTERCLOCKWISE),
}
