"""Tick boxes are told by the ink inside of them."""

import cv2
import numpy as np
import pytest

from schemas.form_template import FieldSpec, FormTemplate
from worker.decision.fields import AcceptPolicy, decide_field
from worker.doubts import DoubtKind
from worker.fields.locating.extraction import MARGIN_MM
from worker.fields.reading import read_fields
from worker.values import Box, FieldCrop, FieldReading, FieldStatus, Grey, Recognizers, Tick

SIDE, SCALE = 5.0, 9.0
TICK = [((0.15, 0.5), (0.4, 0.85)), ((0.4, 0.85), (0.95, 0.1))]
CROSS = [((0.1, 0.1), (0.9, 0.9)), ((0.9, 0.1), (0.1, 0.9))]
DASH = [((0.2, 0.5), (0.8, 0.5))]
DOT = [((0.5, 0.5), (0.52, 0.52))]
COMMA = [((0.4, 0.4), (0.6, 0.65))]


def draw_box(strokes: list, *, tone: int = 60, paper: int = 235, width: int = 2, seed: int = 0) -> Grey:
    size = round((SIDE + 2 * MARGIN_MM) * SCALE)
    grey = np.full((size, size), paper, np.uint8)
    at = MARGIN_MM * SCALE
    for start, end in strokes:
        (x0, y0), (x1, y1) = (tuple(round(at + v * SIDE * SCALE) for v in point) for point in (start, end))
        cv2.line(grey, (x0, y0), (x1, y1), tone, width, cv2.LINE_AA)
    noise = np.random.default_rng(seed).normal(0, 4, grey.shape)
    return (grey + noise).clip(0, 255).astype(np.uint8)


def decide(grey: Grey, **keys: object) -> FieldReading:
    spec = FieldSpec.model_validate({"name": "box", "box_mm": (10, 10, SIDE, SIDE), "kind": "mark", **keys})
    crop = FieldCrop(spec, grey, Box(90, 90, 45, 45), np.eye(3))
    no_models = Recognizers(lambda _: pytest.fail("no digit model"), lambda _: pytest.fail("no line reader"))
    (read,) = read_fields([crop], no_models)
    return decide_field(spec, read, AcceptPolicy())


@pytest.mark.parametrize("strokes", [TICK, CROSS, DASH], ids=["tick", "cross", "dash"])
@pytest.mark.parametrize(("tone", "width"), [(60, 2), (150, 2), (40, 5)])
def test_ticks_are_ticks_by_any_pen(strokes: list, tone: int, width: int) -> None:
    field = decide(draw_box(strokes, tone=tone, width=width))
    assert (field.status, field.value, field.text) == (FieldStatus.ACCEPTED, Tick.TICKED, "x")


@pytest.mark.parametrize("strokes", [[], DOT], ids=["nothing", "a dot"])
@pytest.mark.parametrize("paper", [235, 160])
def test_empty_boxes_are_empty(strokes: list, paper: int) -> None:
    field = decide(draw_box(strokes, paper=paper))
    assert (field.status, field.value) == (FieldStatus.BLANK, Tick.EMPTY)


def test_a_mark_outside_of_the_box_does_not_tick_it() -> None:
    assert decide(draw_box([((-0.2, -0.15), (-0.2, 1.15))])).value is Tick.EMPTY


@pytest.mark.parametrize("strokes", [COMMA, [((0.0, 0.5), (1.0, 0.5))]], ids=["a short stroke", "blackened"])
def test_what_is_neither_is_doubted(strokes: list) -> None:
    field = decide(draw_box(strokes, width=2 if strokes == COMMA else 40))
    assert field.status is FieldStatus.REVIEW
    assert DoubtKind.UNSURE_TICK in [doubt.kind for doubt in field.doubts]


def test_a_box_that_must_be_ticked_is_reviewed_when_empty() -> None:
    assert decide(draw_box([]), optional=False).status is FieldStatus.REVIEW


def test_no_rule_speaks_of_text() -> None:
    fields = [
        {"name": n, "box_mm": [0, 20 * i, 10, 10], "kind": k} for i, (n, k) in enumerate([("a", "text"), ("b", "code")])
    ]
    rule = {"rule": "at_least_one", "fields": ["a", "b"]}
    with pytest.raises(ValueError, match="text, which is never read: a"):
        FormTemplate.model_validate({"name": "x", "page_mm": [99, 99], "fields": fields, "rules": [rule]})
