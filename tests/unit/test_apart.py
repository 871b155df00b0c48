"""Digits that stand far apart: read one by one where the line reader misses some, and nothing else touched."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from schemas.form_template import FieldSpec
from worker.doubts import DoubtKind
from worker.fields.cutting.apart import MOST_CONFIDENCE, read_apart
from worker.models.runtime import load_recognizers
from worker.values import Box, DigitReading, FieldCrop, RawReading, Recognizers


@pytest.fixture(scope="module")
def recognizers() -> Recognizers:
    return load_recognizers()


def written(text: str, gap_px: int) -> FieldCrop:
    grey = np.full((80, 40 + len(text) * gap_px), 250, np.uint8)
    for k, digit in enumerate(text):
        cv2.putText(grey, digit, (24 + k * gap_px, 60), cv2.FONT_HERSHEY_SIMPLEX, 1.6, 40, 4, cv2.LINE_AA)
    spec = FieldSpec(name="apart", box_mm=(0, 0, 50, 8))
    return FieldCrop(spec, grey, Box(0, 0, grey.shape[1], grey.shape[0]), np.eye(3))


def line_reading(crop: FieldCrop, text: str, columns: list[int]) -> RawReading:
    """Return what a line reader says that saw only some of the digits."""
    sure = [np.eye(10, dtype=np.float32)[int(digit)] for digit in text]
    digits = [DigitReading(i, p, 0.0, Box(x, 20, 24, 40)) for i, (p, x) in enumerate(zip(sure, columns, strict=True))]
    return RawReading(text, 0.99, crop.box_px, digits=tuple(digits))


def test_digits_far_apart_are_all_read_and_left_to_a_person(recognizers: Recognizers) -> None:
    crop = written("2357", 90)
    read = read_apart(crop, line_reading(crop, "27", [24, 294]), recognizers)
    assert read.text == "2357" and len(read.digits) == 4
    assert read.confidence <= MOST_CONFIDENCE and read.doubts[0].kind is DoubtKind.DIGITS_FAR_APART


def test_digits_side_by_side_are_left_as_the_line_has_them(recognizers: Recognizers) -> None:
    crop = written("2357", 40)
    line = line_reading(crop, "27", [24, 144])
    assert read_apart(crop, line, recognizers) is line
