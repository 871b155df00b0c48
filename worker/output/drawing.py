"""Readings painted on their page: each field's box and number, doubtful digits marked."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.doubts import describe_doubt
from worker.values import Box, DigitReading, FieldReading, FieldStatus, Grey, Page, PageReading

Picture = NDArray[np.uint8]
"""(H, W, 3) uint8 BGR, as ``cv2.imwrite`` wants it."""

COLOURS = {
    FieldStatus.ACCEPTED: (80, 140, 30),
    FieldStatus.REVIEW: (20, 90, 225),
    FieldStatus.BLANK: (170, 150, 130),
    FieldStatus.NOT_READ: (170, 150, 130),
}
"""BGR: green, orange, grey. Brightness differs too, for those who cannot tell red from green."""

WORDS = {FieldStatus.BLANK: "blank", FieldStatus.NOT_READ: "text"}
"""What is written of a field that has no number."""

DOUBTED_BELOW = 0.9
"""A digit with less confidence is underlined and boxed."""

INK_CONTRAST, LEAST_INK = 40, 0.002
"""Ink is darker than the paper of its field by this much; less of it than this share is a speck."""

_FONT = cv2.FONT_HERSHEY_DUPLEX
_FONT_HEIGHT_PX = 22.0
"""Height of capitals of the font at scale 1."""


def draw_reading(page: Page, reading: PageReading) -> Picture:
    """Paint the boxes and readings of a page over its grey picture, in colours that tell their status."""
    faded = (page.grey * np.float32(0.8) + 51).astype(np.uint8)
    picture: Picture = np.repeat(faded[:, :, None], 3, axis=2)
    line = max(1, round(max(picture.shape[:2]) / 900))
    for field in reading.fields:
        _draw_marks(picture, field, line)
    boxes, labels = [field.box_px for field in reading.fields], list[Box]()
    for field in sorted(reading.fields, key=lambda field: field.status in WORDS):  # numbers have the first choice
        others = [box for box in boxes if box != field.box_px]
        labels.append(_label_field(picture, page.grey, field, (others, labels), line))
    if words := reading.problem or "; ".join(map(describe_doubt, reading.doubts)):
        height = max(14.0, page.grey.shape[1] / 50)
        _draw_label(picture, words, (height / 2, 2 * height), height, COLOURS[FieldStatus.REVIEW])
    return picture


def _draw_marks(picture: Picture, field: FieldReading, line: int) -> None:
    _draw_box(picture, field.box_px, COLOURS[field.status], line)
    for digit in field.digits:
        if digit.confidence < DOUBTED_BELOW:
            _draw_doubt(picture, digit, line)


def _label_field(
    picture: Picture, grey: Grey, field: FieldReading, taken: tuple[list[Box], list[Box]], line: int
) -> Box:
    """Write a field's number where it hides the least of the other fields, labels and its own ink; return its place.

    Above the field's box, below it, behind it or before it, or in its empty end, the first that hides nothing.
    """
    text = WORDS.get(field.status) or field.written or field.text or "?"
    box, longest = field.box_px, max(picture.shape[:2])
    height = float(np.clip(0.35 * box.h, longest / 90, longest / 35))
    w, h = _plate_size(text, height)
    middle = box.y + (box.h - h) / 2
    corners = (
        (box.x, box.y - line - h),
        (box.x, box.y + box.h + line),
        (box.x + box.w + line, middle),
        (box.x - line - w, middle),
        (box.x + box.w - line - w, middle),
        (box.x + line, middle),
    )
    plates = [_keep_on(picture, Box(x, y, w, h)) for x, y in corners]
    obstacles = [*taken[0], *taken[1]]
    place = min(
        plates, key=lambda plate: sum(_overlap(plate, each) for each in obstacles) + _hidden_ink(grey, field, plate)
    )
    _draw_label(picture, text, (place.x, place.y + place.h), height, COLOURS[field.status])
    return place


def _plate_size(text: str, height: float) -> tuple[int, int]:
    """Return the width and the height of a label's plate, in pixels."""
    scale = height / _FONT_HEIGHT_PX
    (width, tall), _ = cv2.getTextSize(_spell_in_font(text), _FONT, scale, max(1, round(scale)))
    pad = max(2, round(0.3 * height))
    return width + 2 * pad, tall + 2 * pad


def _spell_in_font(text: str) -> str:
    """Replace what OpenCV's fonts cannot draw."""
    return text.encode("ascii", "replace").decode()


def _keep_on(picture: Picture, plate: Box) -> Box:
    x = float(np.clip(plate.x, 0, max(0, picture.shape[1] - plate.w)))
    y = float(np.clip(plate.y, 0, max(0, picture.shape[0] - plate.h)))
    return Box(x, y, plate.w, plate.h)


def _hidden_ink(grey: Grey, field: FieldReading, plate: Box) -> float:
    """Return how much of its own field's box a plate hides if there is or may be ink under it, in square pixels."""
    hidden = _overlap(field.box_px, plate)
    x, y, w, h = field.box_px.rounded()
    inside = grey[max(0, y) : y + h, max(0, x) : x + w]
    left, top, wide, high = plate.rounded()
    under = grey[max(y, top) : min(y + h, top + high), max(x, left) : min(x + w, left + wide)]
    if not hidden or not under.size:
        return 0.0
    is_unknown = bool(field.text) and not field.digits  # nobody says where its ink lies
    is_read = any(_overlap(digit.box_px, plate) for digit in field.digits)
    has_ink = (under < np.median(inside) - INK_CONTRAST).mean() > LEAST_INK
    return hidden if is_unknown or is_read or has_ink else 0.0


def _overlap(one: Box, other: Box) -> float:
    """Return the common area of two boxes, in square pixels."""
    w = min(one.x + one.w, other.x + other.w) - max(one.x, other.x)
    h = min(one.y + one.h, other.y + other.h) - max(one.y, other.y)
    return max(0.0, w) * max(0.0, h)


def _draw_box(picture: Picture, box: Box, colour: tuple[int, int, int], line: int) -> None:
    x, y, w, h = box.rounded()
    cv2.rectangle(picture, (x, y), (x + w, y + h), colour, line, cv2.LINE_AA)


def _draw_doubt(picture: Picture, digit: DigitReading, line: int) -> None:
    """Box a doubtful digit, without saying what it may be: the reviewer should look, not agree."""
    _draw_box(picture, digit.box_px, COLOURS[FieldStatus.REVIEW], line)
    x, y, w, h = digit.box_px.rounded()
    cv2.line(picture, (x, y + h + 2 * line), (x + w, y + h + 2 * line), COLOURS[FieldStatus.REVIEW], 2 * line)


def _draw_label(
    picture: Picture, text: str, corner: tuple[float, float], height: float, colour: tuple[int, int, int]
) -> None:
    """Write white on a coloured plate whose bottom left is ``corner``, moved to stay on the picture."""
    scale = height / _FONT_HEIGHT_PX
    w, h = _plate_size(text, height)
    plate = _keep_on(picture, Box(corner[0], corner[1] - h, w, h))
    x, y = round(plate.x), round(plate.y)
    cv2.rectangle(picture, (x, y), (x + w, y + h), colour, cv2.FILLED)
    pad = max(2, round(0.3 * height))
    origin, thickness = (x + pad, y + h - pad), max(1, round(scale))
    cv2.putText(picture, _spell_in_font(text), origin, _FONT, scale, (255, 255, 255), thickness, cv2.LINE_AA)
