"""Digits printed in a form's box are told from written ones, where the template does not know them."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from schemas.form_template import FieldSpec
from worker.doubts import DoubtKind
from worker.fields.judging.confidence import list_lasting_doubts
from worker.fields.line_reader.transcription import transcribe
from worker.models.runtime import load_recognizers
from worker.synthesis.fields import draw_field
from worker.values import Box, FieldCrop, Grey, Recognizers

SPEC = FieldSpec.model_validate({"name": "f", "box_mm": (0, 0, 60, 15)})


@pytest.fixture(scope="module")
def recognizers() -> Recognizers:
    return load_recognizers()


def may_be_print(grey: Grey, recognizers: Recognizers, *, registration: float | None = 1.0) -> bool:
    crop = FieldCrop(SPEC, grey, Box(0, 0, grey.shape[1], grey.shape[0]), np.eye(3))
    (seen,) = transcribe([replace(crop, registration=registration)], recognizers)
    return any(doubt.kind is DoubtKind.MAY_BE_PRINT for doubt in list_lasting_doubts(seen))


def print_number(text: str, height: int) -> Grey:
    image = Image.new("L", (300, 90), 240)
    ImageDraw.Draw(image).text((30, 15), text, fill=40, font=ImageFont.load_default(height))
    return np.asarray(cv2.GaussianBlur(np.asarray(image), (0, 0), 0.7), np.uint8)


@pytest.mark.parametrize("text", ["2025", "20", "19", "407368", "14"])
@pytest.mark.parametrize("height", [28, 50])
def test_a_printed_number_in_a_form_may_be_print(text: str, height: int, recognizers: Recognizers) -> None:
    assert may_be_print(print_number(text, height), recognizers)
    assert not may_be_print(print_number(text, height), recognizers, registration=None)


def test_drawn_handwriting_is_not_taken_for_print(recognizers: Recognizers) -> None:
    taken = 0
    for seed in range(60):
        rng = np.random.default_rng([78, seed])
        text = "".join(map(str, rng.integers(0, 10, int(rng.integers(1, 6)))))
        taken += may_be_print(draw_field(rng, text, in_cells=False).grey, recognizers)
    assert taken == 0


@pytest.mark.parametrize(("place", "printed"), [((9, 7), True), ((282, 7), True), ((120, 30), False)])
def test_a_small_digit_in_a_corner_of_its_box_is_the_box_s_number(
    place: tuple[int, int], printed: bool, recognizers: Recognizers
) -> None:
    image = Image.new("L", (300, 90), 240)
    ImageDraw.Draw(image).line([(place[0] + 4, place[1] + 3), (place[0] + 3, place[1] + 19)], fill=40, width=2)
    assert may_be_print(np.array(image), recognizers) is printed
