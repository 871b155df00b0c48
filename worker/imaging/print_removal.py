"""Print inside a field taken out of its crop, by the picture of it that the field's template keeps.

The picture is laid on the crop where it agrees best. It is taken out only where most of it is seen: other ink in its
place may be writing.
"""

from __future__ import annotations

import base64
import functools

import cv2
import numpy as np

from worker.imaging.binarization import Mask
from worker.imaging.form_removal import estimate_paper, find_ink
from worker.values import Box, Grey, freeze

PICTURE_PX_PER_MM = 8.0
"""Resolution of the kept picture, about 200 dpi."""
SEARCH_MM = 0.8
"""How far print may lie from where registration puts it; registered lines lie within 0.3 mm."""
LEAST_SEEN = 0.7
"""Share of the print's pixels that must be ink: another number in its place covers less than half of it."""
RIM_MM = 0.2
"""Print spreads by this much in scanning, beyond its picture."""
STROKE_MM = 0.9
"""A pen's stroke that crosses print is closed over a gap of this width."""


def encode_print(mask: Mask) -> str:
    """Return a picture of print, (h, w) uint8 of 0 and 1 at ``PICTURE_PX_PER_MM``, as base64 of a 1-bit PNG."""
    done, content = cv2.imencode(".png", mask * np.uint8(255), [cv2.IMWRITE_PNG_BILEVEL, 1])
    assert done
    return base64.b64encode(content.tobytes()).decode("ascii")


@functools.lru_cache(maxsize=512)
def decode_print(picture: str) -> Mask:
    """Return the (h, w) uint8 mask, 1 = print, of what ``encode_print`` wrote.

    Raises
    ------
    ValueError
        The text is no picture.
    """
    content = np.frombuffer(base64.b64decode(picture, validate=True), np.uint8)
    decoded = cv2.imdecode(content, cv2.IMREAD_GRAYSCALE) if len(content) else None
    if decoded is None:
        raise ValueError("the picture of the print inside the field is no PNG")
    return freeze((np.asarray(decoded) > 127).astype(np.uint8))


def remove_print(grey: Grey, print_mask: Mask, inner: Box, px_per_mm: float) -> Grey:
    """Return the crop with the field's print painted over as paper, strokes that cross it kept.

    Parameters
    ----------
    grey
        (h, w) uint8, 0 = ink.
    print_mask
        The print inside the field's box, 1 = print, at any resolution.
    inner
        The field's own box in crop pixels.
    px_per_mm
        Resolution of the crop.
    """
    size = max(1, round(inner.w)), max(1, round(inner.h))
    print_here = np.asarray(cv2.resize(print_mask, size, interpolation=cv2.INTER_NEAREST), np.uint8)
    if not print_here.any():
        return grey
    paper = estimate_paper(grey, px_per_mm)
    ink = find_ink(grey, paper)
    place = _best_place(ink, print_here, inner, round(SEARCH_MM * px_per_mm))
    if place is None:
        return grey
    rim = 2 * round(RIM_MM * px_per_mm) + 1
    band = cv2.dilate(place, np.ones((rim, rim), np.uint8))
    rest = np.where(band > 0, np.uint8(0), ink)
    reach = round(STROKE_MM * px_per_mm) | 1
    crossing = cv2.morphologyEx(rest, cv2.MORPH_CLOSE, np.ones((reach, reach), np.uint8))
    erased = (band > 0) & ~((crossing > 0) & (ink > 0))
    return np.where(erased, paper, grey).astype(np.uint8)


def _best_place(ink: Mask, print_here: Mask, inner: Box, reach: int) -> Mask | None:
    """Return the print as a mask of the crop's size where it meets most ink; None where most of it is not seen."""
    height, width = print_here.shape
    left, top = round(inner.x), round(inner.y)
    padded = cv2.copyMakeBorder(ink, reach, reach + height, reach, reach + width, cv2.BORDER_CONSTANT, value=0)
    window = padded[max(0, top) : top + height + 2 * reach, max(0, left) : left + width + 2 * reach]
    met = cv2.matchTemplate(window.astype(np.float32), print_here.astype(np.float32), cv2.TM_CCORR)
    _, most, _, (dx, dy) = cv2.minMaxLoc(met)
    if most < LEAST_SEEN * float(print_here.sum()):
        return None
    placed = np.zeros(padded.shape, np.uint8)
    y, x = max(0, top) + dy, max(0, left) + dx
    placed[y : y + height, x : x + width] = print_here
    return placed[reach : reach + ink.shape[0], reach : reach + ink.shape[1]]
