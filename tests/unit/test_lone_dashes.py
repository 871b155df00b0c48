"""A dash alone in a field is no blank: it may say nothing, or less than nothing."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from schemas.form_template import FieldSpec
from worker.decision.fields import AcceptPolicy, decide_field
from worker.fields.judging.lone_dashes import holds_dash
from worker.fields.reading import read_fields
from worker.models.runtime import load_recognizers
from worker.synthesis.fields import draw_blank_field
from worker.values import Box, FieldCrop, FieldStatus, Grey


def draw_box(length: float, *, level: float = 0.5, tilt: float = 0.0, pen: int = 4, second: bool = False) -> Grey:
    """Draw a box of 58 x 90 pixels with the corners of a frame, and one flat stroke of a pen, or two."""
    grey = np.full((58, 90), 215, np.uint8)
    for y in (3, 54):
        cv2.line(grey, (0, y), (8, y), 110, 2)
        cv2.line(grey, (4, y - 5), (4, y + 5), 110, 2)
    left, y = round(45 - 45 * length), round(58 * level)
    for shift in (0, 12)[: 1 + second]:
        ends = (left, y + shift), (90 - left, y + shift + round(tilt * 90 * length))
        cv2.line(grey, *ends, 60, pen, cv2.LINE_AA)
    return cv2.GaussianBlur(grey, (0, 0), 0.8).astype(np.uint8)


@pytest.mark.parametrize("length", [0.25, 0.4, 0.5])
@pytest.mark.parametrize("tilt", [-0.15, 0.0, 0.15])
def test_a_dash_in_a_box_goes_to_a_person(length: float, tilt: float) -> None:
    spec = FieldSpec.model_validate({"name": "f", "box_mm": (0, 0, 12, 8)})
    for level in (0.35, 0.5, 0.65):
        grey = draw_box(length, level=level, tilt=tilt)
        crop = FieldCrop(spec, grey, Box(0, 0, grey.shape[1], grey.shape[0]), np.eye(3))
        (read,) = read_fields([crop], load_recognizers())
        assert decide_field(spec, read, AcceptPolicy()).status is FieldStatus.REVIEW, level


def test_two_dashes_are_seen_and_rules_are_none() -> None:
    assert holds_dash(draw_box(0.4, level=0.4, second=True))
    for rule in (draw_box(1.2), draw_box(0.4, level=0.95), draw_box(0.4, level=0.05)):
        assert not holds_dash(rule)


def test_blank_fields_hold_no_dash() -> None:
    rng = np.random.default_rng(7)
    assert sum(holds_dash(draw_blank_field(rng)) for _ in range(200)) == 0
