"""Two rows in one box are told where the reader of a line takes the boxes of the upper row down to the lower one."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from schemas.form_template import FieldSpec
from worker.fields.judging.stacked_digits import holds_digit_above, holds_two_rows
from worker.fields.line_reader.transcription import Transcript, transcribe
from worker.models.runtime import load_recognizers
from worker.values import Box, FieldCrop


def see(pieces: list[tuple[int, int, int, int]], *, digits: int) -> Transcript:
    """Return what is seen of a line of plain digits, with other pieces of ink; each digit's box is 100 high."""
    grey = np.full((200, 400), 240, np.uint8)
    for k in range(digits):
        cv2.putText(grey, "3", (60 + 80 * k, 150), cv2.FONT_HERSHEY_SIMPLEX, 4, 40, 8, cv2.LINE_AA)
    spec = FieldSpec.model_validate({"name": "f", "box_mm": (0, 0, 40, 20)})
    (seen,) = transcribe([FieldCrop(spec, grey, Box(0, 0, 400, 200), np.eye(3))], load_recognizers())
    assert len(seen.cuts) == digits
    return replace(seen, line=replace(seen.line, pieces=np.array(pieces, np.float64)))


def stack(digit: int, *, upper: int = 40, lower: int = 40) -> list[tuple[int, int, int, int]]:
    left = 66 + 80 * digit
    return [(left, 68, 50, upper), (left + 3, 74 + upper, 50, lower)]


@pytest.mark.parametrize("digits", [1, 2, 3, 4])
def test_two_rows_are_told(digits: int) -> None:
    assert holds_two_rows(see([*stack(0), *stack(digits - 1)], digits=digits))


def test_a_digit_in_two_pieces_is_one() -> None:
    assert not holds_two_rows(see([*stack(1), (66, 64, 56, 88)], digits=2))
    assert not holds_two_rows(see([*stack(0, upper=20, lower=60)], digits=1))


@pytest.mark.parametrize(("upper", "told"), [(86, True), (40, False)], ids=["44 above 1865", "an 8 in two loops"])
def test_one_digit_above_another_as_high_as_the_others_is_a_second_row(upper: int, told: bool) -> None:
    """The number below was accepted: the box of its first digit held the upper row's, too, and only one box did."""
    seen = see([(66, 60, 50, upper), (68, 64 + upper, 50, upper), (146, 64, 50, 86), (226, 64, 50, 86)], digits=3)
    first, *others = seen.cuts
    x, y, w, h = first.box
    tall = replace(first, box=Box(x, y, w, (2 if told else 1) * h))
    assert holds_two_rows(replace(seen, cuts=(tall, *others))) is told


ROW = [(66, 64, 50, 86), (146, 64, 50, 86), (226, 64, 50, 86)]


@pytest.mark.parametrize(
    ("above", "is_doubted"),
    [
        ([(120, 20, 22, 36)], True),
        ([(120, 40, 6, 40)], True),
        ([(100, 20, 22, 36), (190, 22, 20, 34)], True),
        ([], False),
        ([(120, 0, 22, 36)], False),
        ([(120, 40, 60, 22)], False),
        ([(70 + 30 * k, 20, 20, 24) for k in range(5)], False),
        ([(330, 20, 22, 36)], False),
        ([(120, 80, 22, 36)], False),
    ],
    ids=["a digit", "a 1", "two", "none", "of the line above", "the bar of a 5", "a label", "beside", "within"],
)
def test_a_small_digit_above_a_number_is_told(above: list[tuple[int, int, int, int]], is_doubted: bool) -> None:
    """`4682` with a 5 put in above its 4 and 6 was accepted."""
    assert holds_digit_above(see([*ROW, *above], digits=3)) is is_doubted
