"""Find the ink of a page that may be digits, and tell how much it looks like them."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.fields.cutting.segmentation import InkPart, digit_height, ink_parts
from worker.fields.free_pages.sketch import SMALLEST_SHARE, Sketch
from worker.fields.locating.number_lines import Glyph
from worker.imaging.binarization import Mask, divide_by_background
from worker.values import Grey

_LOW_SHARE = 0.45
"""Parts lower than this share of the usual digit are strokes or marks, not digits."""

_FAINT_SHARE = 0.45
"""Parts with less than this share of the usual contrast are shadows, folds and show-through."""

_BLOB, THICK = 0.9, 0.6
"""Thickness, as a share of its narrower side, of a part that is no stroke, and of one that may be a broad pen's 6."""

_AT_FOOT, _NEAR_FOOT = (0.7, 1.35), 0.5
"""Where the middle of a mark lies that may belong to a number above, from the top of its digit, and how near beside it,
both in the digit's heights."""
_WITHIN = 0.1
"""From so far below a body's top on a mark is within it, as the bar of a 7 is."""

_THIN = 0.3
"""Strokes are thinner than this share of the height of what they belong to."""


def find_glyphs(grey: Grey, background: Grey, ink: Mask, *, below: float = np.inf) -> list[Glyph]:
    """Find the ink that may be digits: strokes of like size, pen and darkness, away from the image's rim.

    ``ink`` has no rules; only what is lower than ``below`` is looked at.
    """
    parts = [p for p in ink_parts(ink) if max(p.width, p.height) >= 3 and p.height < below]
    smallest = max(6.0, SMALLEST_SHARE * max(ink.shape))
    bodies = [p for p in parts if p.height >= smallest and _is_written(p, ink.shape)]
    bodies = [p for p in bodies if not any(_encloses(p, other) for other in bodies)]
    bodies = like_the_darkest(bodies, grey, background)
    if not bodies:
        return []
    usual = digit_height(bodies)
    tall = [p for p in bodies if p.height >= _LOW_SHARE * usual]
    low = [p for p in parts if p.height < _LOW_SHARE * usual and p.height >= 0.05 * usual]
    return _with_marks(tall, low)


def glyph_ink(sketch: Sketch, glyph: Glyph) -> NDArray[np.uint8]:
    """Return a glyph as white ink on black."""
    left, top, right, bottom = (int(v) for v in glyph.extent)
    window = np.zeros((bottom - top, right - left), np.uint8)
    for part in glyph.parts:
        window[part.y - top : part.bottom - top, part.x - left : part.right - left] |= part.mask
    flat = divide_by_background(sketch.grey[top:bottom, left:right], sketch.background[top:bottom, left:right])
    return np.asarray((255 - flat) * window, np.uint8)


def _is_written(part: InkPart, shape: tuple[int, ...]) -> bool:
    """Tell strokes from blobs, from ink that reaches over the rim of the image, and from ink that is far too wide."""
    if max(shape) > 300 and not is_inside(part, shape):
        return False
    if part.width > 4 * part.height:
        return False
    return thickness(part) < _BLOB


def _encloses(ring: InkPart, other: InkPart) -> bool:
    """Tell a ring, whole or broken, from a digit: other ink as high as a third of it lies inside of its box."""
    return 3 * other.height >= ring.height and ring.surrounds(other)


def is_inside(part: InkPart, shape: tuple[int, ...]) -> bool:
    """Tell whether a part keeps away from the image's rim, which shadows, tables and hands reach over."""
    height, width = shape
    return part.x > 1 and part.y > 1 and part.right < width - 1 and part.bottom < height - 1


def is_thin(part: InkPart) -> bool:
    """Tell strokes, as of a number that a rule joins to the rim, from a shadow."""
    return 2 * float(cv2.distanceTransform(np.pad(part.mask, 1), cv2.DIST_L2, 3).max()) < _THIN * part.height


def thickness(part: InkPart) -> float:
    """Return the width of a part's thickest place as a share of its narrower side; 0 for a plain stroke like a 1."""
    narrow, long = sorted((part.width, part.height))
    if narrow < 0.4 * long:
        return 0.0
    return 2 * float(cv2.distanceTransform(np.pad(part.mask, 1), cv2.DIST_L2, 3).max()) / narrow


def like_the_darkest(parts: list[InkPart], grey: Grey, background: Grey) -> list[InkPart]:
    """Leave out parts that are much fainter than most."""
    if not parts:
        return []
    contrast = [_contrast(p, grey, background) for p in parts]
    weights = np.array([p.height * p.mask.sum() ** 0.5 for p in parts])
    order = np.argsort(contrast)
    total = np.cumsum(weights[order])
    usual = contrast[int(order[np.searchsorted(total, 0.6 * total[-1])])]
    return [p for p, c in zip(parts, contrast, strict=True) if c >= _FAINT_SHARE * usual]


def as_dark_as(pen: Sequence[InkPart], parts: list[InkPart], grey: Grey, background: Grey) -> list[InkPart]:
    """Leave out parts that are much fainter than a pen's strokes: what lies around the sheet is darker than both."""
    if not pen:
        return parts
    least = _FAINT_SHARE * float(np.median([_contrast(p, grey, background) for p in pen]))
    return [p for p in parts if _contrast(p, grey, background) >= least]


def _contrast(part: InkPart, grey: Grey, background: Grey) -> float:
    inside = part.mask > 0
    paper = background[part.place][inside].astype(np.float32)
    return float(np.mean(1 - grey[part.place][inside] / np.maximum(paper, 1)))


def _with_marks(bodies: Sequence[InkPart], marks: Sequence[InkPart]) -> list[Glyph]:
    """Join each body with its detached strokes (the flag of a 5, the bar of a 7); a point or comma is none.

    Where rows are close, a comma hangs right over a digit of the next one: what may stand at the foot of another body
    is no stroke of the body under it.
    """
    x, y, right, bottom = (
        np.array([(m.x, m.y, m.right, m.bottom) for m in marks], np.int64).reshape(-1, 4).swapaxes(0, 1)
    )
    at_feet = np.zeros(len(marks), bool)
    for body in bodies:
        level, off = ((y + bottom) / 2 - body.y) / body.height, np.maximum(body.x - right, x - body.right)
        at_feet |= (level > _AT_FOOT[0]) & (level < _AT_FOOT[1]) & (off < _NEAR_FOOT * body.height)
    glyphs = []
    for body in bodies:
        shared = np.minimum(right, body.right) - np.maximum(x, body.x)
        gap = np.maximum(y - body.y - body.height, body.y - bottom)
        low = y > body.y + 0.75 * body.height
        own = (shared > 0.6 * (right - x)) & (gap < 0.25 * body.height) & ~low
        own &= ((y + bottom) / 2 > body.y + _WITHIN * body.height) | ~at_feet
        glyphs.append(Glyph((body, *(marks[i] for i in np.flatnonzero(own).tolist()))))
    return glyphs


def other_ink(ink: Mask, own: list[InkPart]) -> Mask:
    """Return the ink that is not of these parts."""
    others = ink.copy()
    for part in own:
        others[part.place] &= 1 - part.mask
    return others
