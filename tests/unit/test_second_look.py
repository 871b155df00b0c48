"""A field in which no line was found is looked at once more by the general reader before it is called blank."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from schemas.form_template import FieldSpec
from worker.doubts import DoubtKind
from worker.fields.judging.second_look import see_digits
from worker.fields.reading import read_fields
from worker.models.runtime import load_recognizers
from worker.synthesis.fields import draw_blank_field
from worker.synthesis.glyphs import draw_hand
from worker.synthesis.pen import Pen, draw_ink
from worker.values import Box, FieldCrop, Grey, RawReading, Recognizers


@pytest.fixture(scope="module")
def recognizers() -> Recognizers:
    return load_recognizers()


def _crop(grey: Grey, cells: int = 0) -> FieldCrop:
    layout = {"layout": "cells", "cells": cells} if cells else {"layout": "free"}
    spec = FieldSpec.model_validate({"name": "f", "box_mm": (0, 0, 60, 15), **layout})
    return FieldCrop(spec, grey, Box(0, 0, grey.shape[1], grey.shape[0]), np.eye(3))


def _under_a_black_bar(seed: int) -> Grey:
    """Draw a pencil's 8 5 on grey paper whose foot is a black bar: the bar sets what counts as ink."""
    rng = np.random.default_rng(seed)
    hand = draw_hand(rng, digits="85")
    grey = np.full((80, 190), 150, np.uint8)
    for digit, x in ((8, 40), (5, 110)):
        shape = (hand.write(rng, digit) * 42 + np.float32([x, 14])).astype(np.float32)
        grey -= (draw_ink(rng, shape, grey.shape, Pen(width=0.06), 42) * 0.16).astype(np.uint8)
    grey[66:] = 5
    return cv2.GaussianBlur(grey, (0, 0), 0.7)


def test_the_general_reader_sees_digits_without_a_line(recognizers: Recognizers) -> None:
    crops = [_crop(_under_a_black_bar(seed)) for seed in range(6)]
    assert sum(see_digits(crops, recognizers)) >= 5


def test_blank_fields_hold_no_digit_for_it(recognizers: Recognizers) -> None:
    rng = np.random.default_rng(12)
    boxes = [_crop(draw_blank_field(rng)) for _ in range(20)]
    rows = [_crop(draw_blank_field(rng, cells=5), 5) for _ in range(20)]
    assert sum(see_digits(boxes + rows, recognizers)) <= 1


def test_such_a_field_awaits_a_person(recognizers: Recognizers, monkeypatch: pytest.MonkeyPatch) -> None:
    from worker.fields import reading

    def call_blank(crops: list[FieldCrop], _: Recognizers) -> list[RawReading]:
        return [RawReading("", 0.998, crop.box_px, blank=True) for crop in crops]

    monkeypatch.setattr(reading, "read_lines", call_blank)
    (seen,) = read_fields([_crop(_under_a_black_bar(0))], recognizers)
    assert not seen.blank and [doubt.kind for doubt in seen.doubts] == [DoubtKind.UNREAD_INK]
    (blank,) = read_fields([_crop(np.full((80, 190), 230, np.uint8))], recognizers)
    assert blank.blank
    (unasked,) = read_fields([_crop(_under_a_black_bar(0))], replace(recognizers, transcribe_general=None))
    assert unasked.blank
