"""Strokes that look like print may be digits, cut by the rim or joined: the line says that something was left out."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from worker.fields.line_reader.normalization import count_passed_over, normalize_line
from worker.values import Box

HEIGHT, DIGIT, TOP = 60, 36, 12


def _two_digits(*, left: int = 40, width: int = 138, height: int = HEIGHT) -> np.ndarray:
    """Return plain paper with two 0s of ``DIGIT`` rows, the first one ``left`` of the rim."""
    grey = np.full((height, width), 235, np.uint8)
    for x in (left, left + 34):
        cv2.ellipse(grey, (x + 12, TOP + DIGIT // 2), (10, DIGIT // 2 - 2), 0, 0, 360, 40, 4)
    return grey


@given(
    top=st.integers(-5, 6),
    foot=st.integers(-6, 11),
    width=st.integers(4, 8),
    at_left=st.booleans(),
    ink=st.integers(75, 110),
)
def test_an_upright_of_the_digits_height_at_the_rim_is_left_out(
    top: int, foot: int, width: int, at_left: bool, ink: int
) -> None:
    """`30951` whose last 1 the rim cut had been accepted as 3095."""
    assume(DIGIT + foot - top >= 3 * width + 1)  # a blot at the rim is no upright
    grey = _two_digits()
    columns = slice(0, width) if at_left else slice(grey.shape[1] - width, None)
    grey[TOP + top : TOP + DIGIT + foot, columns] = ink
    assert normalize_line(_two_digits()).left_out == 0
    assert normalize_line(grey).left_out == 1


@pytest.mark.parametrize(
    ("rows", "width"),
    [((0, HEIGHT), 5), ((0, HEIGHT - 10), 5), ((TOP + 20, HEIGHT), 5), ((TOP, TOP + DIGIT), 1)],
    ids=["whole height", "from above", "from below", "hairline"],
)
def test_the_side_of_a_frame_is_no_digit(rows: tuple[int, int], width: int) -> None:
    grey = _two_digits()
    grey[slice(*rows), :width] = 60
    assert normalize_line(grey).left_out == 0


def test_an_upright_far_from_the_digits_is_none_of_theirs() -> None:
    grey = _two_digits(left=40, width=320)
    grey[TOP : TOP + DIGIT, -5:] = 60
    assert normalize_line(grey).left_out == 0


def test_a_tall_crop_is_looked_at_before_its_print_was_taken_out() -> None:
    """Of a `100` in a tall crop, cleaning had taken the 1 at the rim for print."""
    grey = _two_digits(left=24, width=100, height=160)
    boxes = [Box(x + 2, TOP, 20, DIGIT) for x in (24, 58)]
    assert count_passed_over(grey, boxes) == 0
    grey[TOP : TOP + DIGIT, :5] = 60
    assert count_passed_over(grey, boxes) == 1


@pytest.mark.parametrize(("loops", "left_out"), [(True, 1), (False, 0)], ids=["loops", "a crooked rule"])
def test_zeros_in_one_flat_stroke_are_left_out_and_a_rule_is_not(loops: bool, left_out: int) -> None:
    """Of `32,0000` whose zeros were one line of low loops, 32 had been accepted."""
    grey = np.full((200, 500), 235, np.uint8)
    for x in (20, 80):
        cv2.ellipse(grey, (x + 14, 80), (13, 22), 0, 0, 360, 40, 4)
    along = np.linspace(0, 8 * np.pi, 400)
    x = 170 + 5 * along + (9 * np.sin(along) if loops else 0)
    y = 88 + (11 * np.cos(along) if loops else along / 8)
    cv2.polylines(grey, [np.stack([x, y], axis=1).astype(np.int32)], False, 40, 3)
    assert normalize_line(grey).left_out == left_out
