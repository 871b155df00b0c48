"""A field is blank only if no stroke is left that its print does not explain, whatever the networks say."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from schemas.form_template import FieldSpec
from tests.benchmarks.accuracy.measure_blanks import read
from worker.fields.judging.leftover_ink import Leftover, judge_leftover_ink
from worker.imaging.polarity import darken_ink, has_light_ink
from worker.models.runtime import load_recognizers
from worker.values import Box, FieldCrop, FieldStatus, Grey, Recognizers


@pytest.fixture(scope="module")
def recognizers() -> Recognizers:
    return load_recognizers()


def box(*strokes: tuple[int, int, int, int], size: tuple[int, int] = (60, 240)) -> Grey:
    """Draw a printed box with strokes in it, each from (x, y) to (x, y)."""
    grey = np.full(size, 235, np.uint8)
    cv2.rectangle(grey, (6, 6), (size[1] - 7, size[0] - 7), 90, 1)
    for x, y, x2, y2 in strokes:
        cv2.line(grey, (x, y), (x2, y2), 40, 3, cv2.LINE_AA)
    return grey


def row(*strokes: tuple[int, int, int, int]) -> Grey:
    grey = box(*strokes)
    for x in range(44, 230, 38):
        cv2.line(grey, (x, 6), (x, 53), 90, 1)
    return grey


def leftover(grey: Grey, cells: int = 0) -> Leftover:
    layout = {"layout": "cells", "cells": cells} if cells else {}
    spec = FieldSpec.model_validate({"name": "f", "box_mm": (0, 0, 60, 15), **layout})
    return judge_leftover_ink(FieldCrop(spec, grey, Box(0, 0, grey.shape[1], grey.shape[0]), np.eye(3)))


ONE, SLANTED, CROSS = (100, 16, 100, 44), (130, 44, 140, 15), (90, 16, 120, 44)


@pytest.mark.parametrize("strokes", [[ONE], [SLANTED], [ONE, (112, 17, 112, 45)], [CROSS, (120, 16, 90, 44)]])
def test_a_stroke_away_from_the_frame_is_writing(strokes: list[tuple[int, int, int, int]]) -> None:
    assert leftover(box(*strokes)) is Leftover.STROKES


@pytest.mark.parametrize("count", [4, 7, 11])
@pytest.mark.parametrize("gap", [18, 34])
@pytest.mark.parametrize("framed", [True, False])
def test_a_row_of_like_strokes_is_a_number_of_ones(count: int, gap: int, framed: bool) -> None:
    strokes = [(50 + gap * i, 25, 48 + gap * i, 73) for i in range(count)]
    grey = box(*strokes, size=(98, 140 + gap * count))
    assert leftover(grey if framed else grey[10:-10, 10:-10]) is Leftover.STROKES


def test_a_box_its_divider_and_a_baseline_are_print() -> None:
    grey = box((40, 6, 40, 53))
    assert leftover(grey) is not Leftover.STROKES
    plain = np.full((60, 240), 235, np.uint8)
    cv2.line(plain, (20, 50), (220, 50), 90, 2)
    assert leftover(plain) is Leftover.NOTHING


def frame(*lines: tuple[int, int, int, int]) -> Grey:
    grey = np.full((90, 350), 235, np.uint8)
    for x, y, x2, y2 in lines:
        cv2.line(grey, (x, y), (x2, y2), 60, 3)
    return grey


TOP, SIDE, DIVIDER, BOTTOM = (7, 10, 340, 10), (7, 10, 7, 89), (59, 10, 59, 89), (7, 80, 340, 80)
SHORT_SIDE, SHORT_DIVIDER, HIGH_TOP, LOW = (7, 10, 7, 80), (30, 10, 30, 80), (0, 24, 349, 24), (0, 68, 349, 68)


@pytest.mark.parametrize(
    "lines",
    [(TOP, SIDE, DIVIDER), (HIGH_TOP, LOW, (20, 24, 20, 68)), (BOTTOM, SHORT_SIDE, SHORT_DIVIDER)],
    ids=["no bottom", "no sides", "no top"],
)
def test_the_divider_of_a_frame_that_lacks_a_side_is_print(lines: tuple[tuple[int, int, int, int], ...]) -> None:
    assert leftover(frame(*lines)) is Leftover.NOTHING


@pytest.mark.parametrize("one", [(120, 26, 116, 72), (120, 18, 120, 74)])
def test_a_one_in_such_a_frame_is_writing(one: tuple[int, int, int, int]) -> None:
    assert leftover(frame(TOP, SIDE, DIVIDER, one)) is Leftover.STROKES


def test_a_printed_grid_is_no_writing() -> None:
    flats = [(0, y, 196, y) for y in range(10, 98, 20)]
    uprights = [(x, 0, x, 97) for x in range(14, 190, 20)]
    grey = np.full((98, 197), 255, np.uint8)
    for x, y, x2, y2 in flats + uprights:
        cv2.line(grey, (x, y), (x2, y2), 0, 1)
    assert leftover(grey) is Leftover.NOTHING
    cv2.line(grey, (90, 25), (84, 75), 0, 4)
    assert leftover(grey) is Leftover.STROKES


def test_dividers_are_print_and_a_stroke_between_them_is_not() -> None:
    assert leftover(row(), cells=6) is Leftover.NOTHING
    assert leftover(row((62, 16, 66, 44)), cells=6) is Leftover.STROKES


@pytest.mark.parametrize("thick", [2, 4, 5, 6])
def test_a_divider_that_came_out_thicker_than_its_like_is_print(thick: int) -> None:
    grey = np.full((31, 196), 205, np.uint8)
    for y in (2, 26):
        grey[y : y + 4, 8:188] = 110
    for k in range(9):
        left, right = (3, 4) if k == thick else (2, 3)
        grey[2:30, 10 + 22 * k - left : 10 + 22 * k + right] = 110
    assert leftover(grey, cells=8) is Leftover.NOTHING
    cv2.line(grey, (42, 10), (40, 22), 40, 2, cv2.LINE_AA)
    assert leftover(grey, cells=8) is Leftover.STROKES


def on_a_rule(top: int, lean: float, thickness: int, tone: int, size: tuple[int, int] = (90, 320)) -> Grey:
    """Draw an upright that stands on a printed rule of thickness 3 and a tone of 70."""
    grey = np.full(size, 230, np.uint8)
    cv2.line(grey, (0, 76), (size[1], 76), 70, 3)
    cv2.line(grey, (round(60 + lean), top), (60, 75), tone, thickness)
    return grey


@pytest.mark.parametrize("top", [10, 24, 38])
def test_an_upright_of_one_ruler_with_the_rule_under_it_is_print_and_a_one_is_not(top: int) -> None:
    assert leftover(on_a_rule(top, 0, 3, 70)) is Leftover.NOTHING
    for lean in (2, -3, 6):
        assert leftover(on_a_rule(top, lean, 3, 70)) is Leftover.STROKES
    assert leftover(on_a_rule(top, 0, 5, 70)) is Leftover.STROKES
    assert leftover(on_a_rule(top, 0, 3, 20)) is Leftover.STROKES


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("density", [0.05, 0.2])
def test_a_stroke_among_any_number_of_specks_is_writing(seed: int, density: float) -> None:
    rng = np.random.default_rng(seed)
    grey = np.where(rng.random((90, 340)) < density, 0, 255).astype(np.uint8)
    assert leftover(grey) is not Leftover.STROKES
    x, lean = int(rng.integers(60, 280)), int(rng.integers(-8, 9))
    cv2.line(grey, (x + lean, 20), (x, 68), 0, 7)
    assert leftover(grey) is Leftover.STROKES


@pytest.mark.parametrize("x", [0, 98])
def test_narrow_ink_that_reaches_into_a_small_crop_from_one_side_is_outside(x: int) -> None:
    grey = np.full((80, 100), 225, np.uint8)
    cv2.line(grey, (x, 20), (x, 50), 40, 5)
    assert leftover(grey) is Leftover.NOTHING
    cv2.line(grey, (98 - x, 35), (98 - x, 70), 40, 5)
    assert leftover(grey) is Leftover.STROKES


def test_stripes_that_fill_a_small_crop_are_a_pattern() -> None:
    y, x = np.mgrid[:57, :76]
    assert leftover(np.where((x + 2 * y) % 13 < 6, 0, 255).astype(np.uint8)) is not Leftover.STROKES


@pytest.mark.parametrize("cells", [3, 5, 9])
@pytest.mark.parametrize("place", [0.12, 0.2, 0.34, 0.5, 0.61, 0.75, 0.88])
@pytest.mark.parametrize("lean", [-3, 0, 7])
def test_a_lone_stroke_in_a_row_without_print_is_writing_wherever_it_stands(
    cells: int, place: float, lean: int
) -> None:
    width = 60 * cells
    grey = (200 + 20 * np.linspace(0, 1, width) * np.ones((60, 1))).astype(np.uint8)
    cv2.line(grey, (round(place * width) + lean, 14), (round(place * width), 46), 60, 3, cv2.LINE_AA)
    assert leftover(grey, cells=cells) is Leftover.STROKES


def test_ones_and_two_lines_await_review(recognizers: Recognizers) -> None:
    two_lines = box(size=(90, 240))
    for text, y in (("512", 42), ("384", 78)):
        cv2.putText(two_lines, text, (60, y), cv2.FONT_HERSHEY_SIMPLEX, 1.0, 40, 2, cv2.LINE_AA)
    for grey in (box(ONE), box(ONE, (112, 17, 112, 45), (124, 16, 124, 44)), two_lines):
        assert read(grey, 0, recognizers).status is FieldStatus.REVIEW


def test_strokes_of_single_pixels_that_fell_apart_are_not_blank(recognizers: Recognizers) -> None:
    grey = np.full((28, 28), 255, np.uint8)
    for x, y in [(12, 7), (13, 5), (14, 4), (15, 3), (16, 3), (18, 5), (18, 7), (17, 10), (15, 12), (14, 13), (18, 15)]:
        grey[y, x] = 55
    for x, y in [(19, 17), (19, 19), (18, 21), (17, 22), (15, 24), (14, 24), (12, 22), (11, 21)]:
        grey[y, x] = 55
    assert read(grey, 0, recognizers).status is FieldStatus.REVIEW


@pytest.mark.parametrize("paper", [20, 70, 110])
def test_light_ink_on_dark_paper_is_told_and_turned(paper: int) -> None:
    grey = np.full((400, 600), paper, np.uint8)
    cv2.putText(grey, "4072 915", (60, 180), cv2.FONT_HERSHEY_SIMPLEX, 2, 235, 4, cv2.LINE_AA)
    assert has_light_ink(grey)
    assert darken_ink(grey)[0, 0] == 255 - paper


@pytest.mark.parametrize("paper", [110, 170, 235])
def test_dark_ink_stays_dark_whatever_lies_around_it(paper: int) -> None:
    grey = np.full((400, 600), paper, np.uint8)
    grey[:, 480:] //= 3
    cv2.putText(grey, "4072 915", (60, 180), cv2.FONT_HERSHEY_SIMPLEX, 2, 20, 4, cv2.LINE_AA)
    assert darken_ink(grey) is grey
