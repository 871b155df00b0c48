"""Keep what is printed inside the boxes of a drafted form with each field, so that it is never read as writing."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from schemas.form_template import FieldSpec
from worker.forms.labels import Label
from worker.forms.layout import find_print
from worker.imaging.binarization import Mask
from worker.imaging.print_removal import PICTURE_PX_PER_MM, encode_print
from worker.values import Grey

LEAST_INK_MM2 = 0.3
"""Least ink of print in a box; less is noise or the rim of its frame. A printed full stop has 0.2."""
INSET_MM = 0.4
"""The rim of a box belongs to its frame."""
TOOTH_MM, FOOT_MM = (0.8, 1.0), 1.2
"""Widest and lowest tooth of a comb, and how far above the box's bottom it ends where its line was taken out.

Readers know teeth as they know frames; taken out as print they leave dots (4 of 6 dates in combs went to review)."""
SURE_PRINT = 95.0
"""Least confidence of Tesseract, of 100, in a printed word; neat handwritten numbers reach 94."""
BLANK_SHARE = 0.6
"""Least share of the ink inside a blank form's boxes, counted by pieces, that is certainly print."""
LOWEST_DIGIT_MM = 2.6
"""Least height of a handwritten digit; the numbers of boxes are printed lower."""


def keep_print(fields: Sequence[FieldSpec], level: Grey, px_per_mm: float) -> tuple[FieldSpec, ...]:
    """Return the fields of a blank form, each with a picture of what is printed inside its box."""
    ink = find_print(level, px_per_mm)
    return tuple(_with_print(field, ink, px_per_mm) for field in fields)


def seems_blank(fields: Sequence[FieldSpec], level: Grey, px_per_mm: float, labels: Sequence[Label]) -> bool:
    """Tell whether most ink inside the boxes is certainly print; pieces lower than handwriting do not count."""
    ink = find_print(level, px_per_mm)
    sure = [label.box_mm for label in labels if label.confidence >= SURE_PRINT]
    pieces = [piece for field in fields for piece in _pieces_mm(field, ink, px_per_mm)]
    read = sum(any(b.x <= x <= b.x + b.w and b.y <= y <= b.y + b.h for b in sure) for x, y in pieces)
    return read >= BLANK_SHARE * len(pieces)


def _with_print(field: FieldSpec, ink: Mask, px_per_mm: float) -> FieldSpec:
    inside = _ink_of(field, ink, px_per_mm)
    if inside is None:
        return field
    size = tuple(max(1, round(side * PICTURE_PX_PER_MM)) for side in field.box_mm[2:])
    share = cv2.resize(inside * np.uint8(255), size, interpolation=cv2.INTER_AREA)
    return field.model_copy(update={"print": encode_print((share > 127).astype(np.uint8))})


def _ink_of(field: FieldSpec, ink: Mask, px_per_mm: float) -> Mask | None:
    """Return the ink inside a field's box, (h, w) uint8, without its rim and the teeth of a comb; None without any."""
    x, y, w, h = (round(side * px_per_mm) for side in field.box_mm)
    inside = ink[y : y + h, x : x + w].copy()
    rim = round(INSET_MM * px_per_mm)
    inside[:rim], inside[inside.shape[0] - rim :] = 0, 0
    inside[:, :rim], inside[:, inside.shape[1] - rim :] = 0, 0
    if field.layout == "cells":
        _erase_teeth(inside, px_per_mm)
    return inside if inside.sum() >= LEAST_INK_MM2 * px_per_mm**2 else None


def _erase_teeth(inside: Mask, px_per_mm: float) -> None:
    """Take out, in place, the thin pieces of ink that stand on a box's bottom."""
    _, pieces, stats, _ = cv2.connectedComponentsWithStats(inside, connectivity=8)
    widest, lowest = (side * px_per_mm for side in TOOTH_MM)
    foot = len(inside) - FOOT_MM * px_per_mm
    tops, heights = stats[:, cv2.CC_STAT_TOP], stats[:, cv2.CC_STAT_HEIGHT]
    teeth = (stats[:, cv2.CC_STAT_WIDTH] <= widest) & (heights >= lowest) & (tops + heights >= foot)
    teeth[0] = False
    inside[teeth[pieces]] = 0


def _pieces_mm(field: FieldSpec, ink: Mask, px_per_mm: float) -> list[tuple[float, float]]:
    """Return the middles (x, y) mm of the pieces of ink in a box that are as high as a handwritten digit."""
    inside = _ink_of(field, ink, px_per_mm)
    if inside is None:
        return []
    _, _, stats, centres = cv2.connectedComponentsWithStats(inside, connectivity=8)
    high = stats[1:, cv2.CC_STAT_HEIGHT] >= LOWEST_DIGIT_MM * px_per_mm
    return [(field.box_mm[0] + x / px_per_mm, field.box_mm[1] + y / px_per_mm) for x, y in centres[1:][high].tolist()]
