"""Raised cents and small letters behind a number are no digits of it, also where no mark parts them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from schemas.form_template import FieldSpec
from worker.doubts import DoubtKind
from worker.fields.reading import read_fields
from worker.models.runtime import load_recognizers
from worker.synthesis.glyphs import draw_hand
from worker.synthesis.lines import write_line
from worker.synthesis.pen import Pen, draw_ink
from worker.values import Box, FieldCrop, Grey, RawReading, Recognizers

HEIGHT = 60


@pytest.fixture(scope="module")
def recognizers() -> Recognizers:
    return load_recognizers()


def write(seed: int, whole: str, cents: str = "", *, size: float = 0.5) -> Grey:
    """Write a number on plain paper, with ``cents`` raised behind it and so much smaller."""
    rng = np.random.default_rng(seed)
    hand, pen = draw_hand(rng), Pen(width=0.08)
    shapes = list(write_line(rng, hand, whole, pen.width).shapes)
    if cents:
        right = max(shape[..., 0].max() for shape in shapes) + 0.2
        raised = write_line(rng, hand, cents, pen.width).shapes
        left = min(shape[..., 0].min() for shape in raised)
        shapes += [(shape - np.float32([left, 0])) * size + np.float32([right, -0.05]) for shape in raised]
    points = np.concatenate(shapes).astype(np.float32) * HEIGHT + np.float32([60, 40])
    grey = np.full((150, int(points[..., 0].max()) + 60), 240, np.uint8)
    grey -= (draw_ink(rng, points, grey.shape, pen, HEIGHT) * 0.75).astype(np.uint8)
    return grey


def read(grey: Grey, recognizers: Recognizers, **grammar: object) -> RawReading:
    spec = FieldSpec.model_validate({"name": "f", "box_mm": (0, 0, 60, 15), **grammar})
    return read_fields([FieldCrop(spec, grey, Box(0, 0, grey.shape[1], grey.shape[0]), np.eye(3))], recognizers)[0]


def write_small(seed: int, whole: str, last: str, *, size: float, gap: float, low: float = 0.0) -> Grey:
    """Write a number on plain paper and one more sign, so much smaller, so far behind and below its last digit."""
    rng = np.random.default_rng(seed)
    hand, pen = draw_hand(rng), Pen(width=0.08)
    shapes = list(write_line(rng, hand, whole, pen.width).shapes)
    (letter,) = write_line(rng, hand, last, pen.width).shapes
    corner, end = letter.reshape(-1, 2).min(axis=0), letter.reshape(-1, 2).max(axis=0)
    place = np.float32([max(shape[..., 0].max() for shape in shapes) + gap, shapes[-1][..., 1].max() - size + low])
    shapes.append((letter - corner) / (end[1] - corner[1]) * size + place)
    points = np.concatenate(shapes).astype(np.float32) * HEIGHT + np.float32([60, 40])
    grey = np.full((150, int(points[..., 0].max()) + 60), 240, np.uint8)
    grey -= (draw_ink(rng, points, grey.shape, pen, HEIGHT) * 0.75).astype(np.uint8)
    return grey


def says_cents(found: RawReading) -> bool:
    """Tell whether a reading parts its last two digits, by a mark that was read or by the doubt of one."""
    parted = f"{found.text[:-2]}.{found.text[-2:]}"
    by_doubt = any(d.kind is DoubtKind.UNSURE_MARK and d.readings[-1] == parted for d in found.doubts)
    return by_doubt or any(found.marks[-3:-1])


@pytest.mark.parametrize("grammar", [{}, {"kind": "amount", "currency": "INR", "cents": "optional"}])
def test_raised_cents_are_doubted(recognizers: Recognizers, grammar: dict[str, object]) -> None:
    found = [read(write(seed, "362", "51"), recognizers, **grammar) for seed in range(16)]
    whole = [reading for reading in found if reading.text == "36251"]
    assert len(whole) >= 12
    assert sum(says_cents(reading) for reading in whole) >= len(whole) - 1, "a small 6 may be no higher than the cents"


def test_level_digits_are_no_cents(recognizers: Recognizers) -> None:
    found = [read(write(seed, text), recognizers) for seed in range(12) for text in ("36251", "740", "1980")]
    assert not any(doubt.kind is DoubtKind.UNSURE_MARK for reading in found for doubt in reading.doubts)


def test_raised_digits_of_times_and_implied_decimals_mean_the_same(recognizers: Recognizers) -> None:
    for grammar in ({"kind": "time"}, {"kind": "amount", "currency": "EUR", "cents": "implied"}):
        found = [read(write(seed, "18", "30"), recognizers, **grammar) for seed in range(6)]
        assert not any(doubt.kind is DoubtKind.UNSURE_MARK for reading in found for doubt in reading.doubts)


def test_a_small_letter_behind_a_number_is_doubted(recognizers: Recognizers) -> None:
    """A small s behind 443 was accepted as a 5."""
    found = [read(write_small(seed, "443", "5", size=0.45, gap=0.5), recognizers) for seed in range(12)]
    longer = [reading for reading in found if len(reading.text) == 4]
    assert len(longer) >= 8
    doubted = sum(any(d.kind is DoubtKind.UNREAD_MARK for d in reading.doubts) for reading in longer)
    assert doubted >= len(longer) - 1, "where the digits before are small, the letter is as high"
    near = [read(write_small(seed, "443", "5", size=0.9, gap=0.2), recognizers) for seed in range(12)]
    assert not any(d.kind is DoubtKind.UNREAD_MARK for reading in near for d in reading.doubts)


def test_a_g_that_hangs_below_the_line_is_doubted(recognizers: Recognizers) -> None:
    """The g behind 5980 was accepted as a 9."""
    found = [read(write_small(seed, "5480", "9", size=0.85, gap=0.5, low=0.35), recognizers) for seed in range(12)]
    longer = [reading for reading in found if len(reading.text) == 5]
    assert len(longer) >= 8
    assert all(any(d.kind is DoubtKind.UNREAD_MARK for d in reading.doubts) for reading in longer)
    level = [read(write_small(seed, "5480", "9", size=0.9, gap=0.5, low=0.1), recognizers) for seed in range(12)]
    assert not any(d.kind is DoubtKind.UNREAD_MARK for reading in level for d in reading.doubts)


@pytest.mark.parametrize("zeros", ["00", "000"])
def test_small_printed_zeros_behind_a_number_are_doubted(zeros: str, recognizers: Recognizers) -> None:
    """Of 32 written numbers with small printed zeros behind them 15 were accepted with them: 328 as 32800."""
    longer = []
    for seed in range(8):
        grey = write(seed, "328")
        right = int(np.flatnonzero((grey < 160).any(axis=0))[-1])
        foot = int(np.flatnonzero((grey < 160).any(axis=1))[-1])
        grey = cv2.copyMakeBorder(grey, 0, 0, 0, 80, cv2.BORDER_CONSTANT, value=240)
        cv2.putText(grey, zeros, (right + 20, foot), cv2.FONT_HERSHEY_SIMPLEX, 1.1, 40, 2, cv2.LINE_AA)
        found = read(grey, recognizers)
        longer += [found] if found.text == "328" + zeros else []
    assert len(longer) >= 4
    assert all(any(d.kind is DoubtKind.UNSURE_MARK for d in found.doubts) for found in longer)


def test_raised_cents_over_a_line_are_doubted(recognizers: Recognizers) -> None:
    """The line under them is in their boxes: 625 with 34 over a line was accepted as 62534."""
    found = []
    for seed in range(12):
        grey = write(seed, "362", "51", size=0.6)
        ink = np.flatnonzero((write(seed, "362") < 160).any(axis=0))
        right = int(np.flatnonzero((grey < 160).any(axis=0))[-1])
        cv2.line(grey, (int(ink[-1]) + 8, 79), (right + 4, 78), 70, 3, cv2.LINE_AA)
        found.append(read(grey, recognizers))
    whole = [reading for reading in found if reading.text == "36251"]
    assert len(whole) >= 8
    assert sum(says_cents(reading) for reading in whole) >= len(whole) - 2, "a hand may write its cents lower"
