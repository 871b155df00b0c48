"""Ink that no reading accounts for is seen: beside the digits of a line, and beside the line itself."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from schemas.form_template import FieldSpec
from worker.fields.judging.unread_ink import is_ring_around_ink, passes_over_bar, tallest_unread_stroke
from worker.fields.line_reader.normalization import normalize_line
from worker.fields.line_reader.transcription import Transcript, transcribe
from worker.models.runtime import load_recognizers
from worker.values import Box, FieldCrop, Grey


def draw(text: str, width: int = 260) -> Grey:
    grey = np.full((64, width), 255, np.uint8)
    cv2.putText(grey, text, (12, 48), cv2.FONT_HERSHEY_SIMPLEX, 1.4, 0, 3)
    return grey


@pytest.fixture(scope="module")
def seen() -> Transcript:
    spec = FieldSpec(name="drawn", box_mm=(0, 0, 100, 20))
    (read,) = transcribe([FieldCrop(spec, draw("40628"), Box(0, 0, 260, 64), np.eye(3))], load_recognizers())
    assert len(read.cuts) == 5
    return read


def test_a_line_whose_digits_are_all_read_has_no_unread_stroke(seen: Transcript) -> None:
    assert tallest_unread_stroke(seen) < 0.3


def test_a_digit_that_was_skipped_is_an_unread_stroke_of_its_height(seen: Transcript) -> None:
    without = replace(seen, cuts=(*seen.cuts[:2], *seen.cuts[3:]))
    assert tallest_unread_stroke(without) == pytest.approx(1, abs=0.15)


def test_the_side_of_a_frame_is_no_stroke(seen: Transcript) -> None:
    image = seen.line.image.copy()
    image[:, -3:] = 255
    assert tallest_unread_stroke(replace(seen, line=replace(seen.line, image=image))) < 0.3


def test_pieces_as_high_as_digits_outside_the_line_are_counted() -> None:
    alone = np.vstack([np.full((120, 260), 255, np.uint8), draw("40628")])
    assert normalize_line(alone).left_out == 0
    two_lines = alone.copy()
    two_lines[20:84, :] = draw("71", 260)
    assert normalize_line(two_lines).left_out == 2


@pytest.mark.parametrize(
    ("bar", "is_passed_over"),
    [((196, 19, 4, 30), True), ((196, 15, 5, 36), True), ((196, 2, 4, 60), False), ((196, 19, 1, 30), False)],
    ids=["a 1", "a larger 1", "a divider", "a hairline"],
)
def test_a_bar_like_a_one_in_no_digit_is_passed_over(
    bar: tuple[int, int, int, int], is_passed_over: bool, seen: Transcript
) -> None:
    """`19819` whose 1s were quite straight had been accepted as 989."""
    assert not passes_over_bar(seen)
    line = replace(seen.line, pieces=np.vstack([seen.line.pieces, bar]))
    assert passes_over_bar(replace(seen, line=line)) is is_passed_over
    slashed = replace(seen, line=line, gap_marks=("",) * 5 + ("/",))
    assert not passes_over_bar(slashed)


@pytest.mark.parametrize(
    ("inside", "is_doubted"), [("7", True), ("1", True), ("", False), (".", False)], ids=["7", "1", "nothing", "a dot"]
)
def test_a_ring_around_a_digit_is_no_sure_zero(inside: str, is_doubted: bool, seen: Transcript) -> None:
    """Of 32 lone digits in rings 4 were accepted as 0."""
    grey = np.full((120, 120), 245, np.uint8)
    cv2.ellipse(grey, (60, 60), (38, 42), 0, 0, 360, 50, 4, cv2.LINE_AA)
    cv2.putText(grey, inside, (46, 78), cv2.FONT_HERSHEY_SIMPLEX, 1.5, 50, 4, cv2.LINE_AA)
    line = normalize_line(grey)
    (cut,) = seen.cuts[1:2]  # a 0
    whole = replace(cut, box=Box(0, 0, line.image.shape[1], line.image.shape[0]))
    alone = replace(seen, line=line, text="0", cuts=(whole,))
    assert is_ring_around_ink(alone) is is_doubted
