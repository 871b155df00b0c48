"""Readings painted on their page: each field's box and number, doubtful digits marked."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.doubts import describe_doubt
from worker.values import Box, DigitReading, FieldReading, FieldStatus, Page, PageReading

Picture = NDArray[np.uint8]
"""(H, W, 3) uint8 BGR, as ``cv2.imwrite`` wants it."""

COLOURS = {
    FieldStatus.ACCEPTED: (80, 140, 30),
    FieldStatus.REVIEW: (20, 90, 225),
    FieldStatus.BLANK: (170, 150, 130),
}
"""BGR: green, orange, grey. Brightness differs too, for those who cannot tell red from green."""

DOUBTED_BELOW = 0.9
"""A digit with less confidence is underlined and boxed."""

_FONT = cv2.FONT_HERSHEY_DUPLEX
_FONT_HEIGHT_PX = 22.0
"""Height of capitals of the font at scale 1."""


def draw_reading(page: Page, reading: PageReading) -> Picture:
    """Paint the boxes and readings of a page over its grey picture, in colours that tell their status."""
    faded = (page.grey * np.float32(0.8) + 51).astype(np.uint8)
    picture: Picture = np.repeat(faded[:, :, None], 3, axis=2)
    for field in reading.fields:
        _draw_field(picture, field)
    if words := reading.problem or "; ".join(map(describe_doubt, reading.doubts)):
        height = max(14.0, page.grey.shape[1] / 50)
        _draw_label(picture, words, (height / 2, 2 * height), height, COLOURS[FieldStatus.REVIEW])
    return picture


def _draw_field(picture: Picture, field: FieldReading) -> None:
    colour = COLOURS[field.status]
    line = max(1, round(max(picture.shape[:2]) / 900))
    _draw_box(picture, field.box_px, colour, line)
    for digit in field.digits:
        if digit.confidence < DOUBTED_BELOW:
            _draw_doubt(picture, digit, line)
    text = "blank" if field.status is FieldStatus.BLANK else field.written or field.text or "?"
    height = float(np.clip(0.35 * field.box_px.h, max(picture.shape[:2]) / 90, max(picture.shape[:2]) / 35))
    _draw_label(picture, text, (field.box_px.x, field.box_px.y - line), height, colour)


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
    ascii_text = text.encode("ascii", "replace").decode()
    scale = height / _FONT_HEIGHT_PX
    thickness = max(1, round(scale))
    (width, tall), _ = cv2.getTextSize(ascii_text, _FONT, scale, thickness)
    pad = max(2, round(0.3 * height))
    x = int(np.clip(corner[0], 0, max(0, picture.shape[1] - width - 2 * pad)))
    bottom = int(np.clip(corner[1], tall + 2 * pad, picture.shape[0]))
    cv2.rectangle(picture, (x, bottom - tall - 2 * pad), (x + width + 2 * pad, bottom), colour, cv2.FILLED)
    origin = (x + pad, bottom - pad)
    cv2.putText(picture, ascii_text, origin, _FONT, scale, (255, 255, 255), thickness, cv2.LINE_AA)
