"""Four corners placed by hand: what the browser is told of a form, and what it may send."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import BaseModel, Field

from schemas.form_template import FormTemplate
from worker.errors import InvalidReviewError
from worker.store.corners import PlacedCorners, Point

BEYOND = 1.5
"""How far beyond the scan a corner may lie, as a share of its sides: of a crop, some corners are not on it."""

BoxMm = tuple[float, float, float, float]


class CornersChoice(BaseModel):
    """The form that a page is, and where the corners of its box lie, in pixels, clockwise from the top left."""

    template: str
    corners: Annotated[list[Point], Field(min_length=4, max_length=4)]


class FormOutline(BaseModel):
    """What of a form is drawn over a scan, in mm: the box whose corners are placed, printed shapes and fields."""

    box_mm: BoxMm
    landmarks: list[BoxMm]
    fields: list[BoxMm]
    beyond: float = BEYOND


def outline_form(template: FormTemplate) -> FormOutline:
    """Return the outline of a form; its box goes around all that is printed and all fields."""
    landmarks = [landmark.box_mm for landmark in template.landmarks]
    fields = [field.box_mm for field in template.fields]
    boxes = [*landmarks, *fields] or [(0.0, 0.0, *template.page_mm)]
    left, top = min(box[0] for box in boxes), min(box[1] for box in boxes)
    right, bottom = max(box[0] + box[2] for box in boxes), max(box[1] + box[3] for box in boxes)
    return FormOutline(box_mm=(left, top, right - left, bottom - top), landmarks=landmarks, fields=fields)


def check_corners(choice: CornersChoice, template: FormTemplate, *, width_px: int, height_px: int) -> PlacedCorners:
    """Return the corners as they are kept.

    Raises
    ------
    InvalidReviewError
        They lie too far beyond the page, or are no corners of a sheet as it is seen from above.
    """
    for x, y in choice.corners:
        inside = -BEYOND <= x / max(width_px, 1) <= 1 + BEYOND and -BEYOND <= y / max(height_px, 1) <= 1 + BEYOND
        if not (math.isfinite(x) and math.isfinite(y) and inside):
            raise InvalidReviewError("a corner lies too far beyond the scan")
    if min(_turns(choice.corners)) < (0.02 * min(width_px, height_px)) ** 2:
        raise InvalidReviewError("the corners cross over, lie on one line or are in the wrong order")
    box = outline_form(template).box_mm
    return PlacedCorners(template.name, box, tuple((round(x, 2), round(y, 2)) for x, y in choice.corners))


def _turns(corners: list[Point]) -> list[float]:
    """Return how far the way around turns right at each corner, as the area of the parallelogram of its two sides."""
    ring = [*corners, *corners[:2]]
    return [
        (bx - ax) * (cy - by) - (by - ay) * (cx - bx)
        for (ax, ay), (bx, by), (cx, cy) in zip(ring, ring[1:], ring[2:], strict=False)
    ]
