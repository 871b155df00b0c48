"""Digits struck out or written over: the witness finds them, leaves clean ones alone, and only ever adds a doubt."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from schemas.form_template import FieldSpec
from tests.benchmarks.accuracy.measure_struck import draw, draw_overwritten
from worker.decision.fields import AcceptPolicy, decide_field
from worker.digits.framing import FRAME, LONGER_SIDE, frame_digits
from worker.doubts import DoubtKind
from worker.fields.reading import read_fields
from worker.models.card import read_verified_model
from worker.models.runtime import ALTERATIONS, MODELS_DIR, load_recognizers
from worker.synthesis.alterations import alter_digit, lay_over, share_seen
from worker.synthesis.fields import draw_field
from worker.synthesis.glyphs import draw_hand
from worker.values import Box, FieldCrop, FieldStatus, Grey, RawReading, Recognizers

FREE = FieldSpec.model_validate({"name": "f", "box_mm": (0, 0, 60, 15)})


@pytest.fixture(scope="module")
def recognizers() -> Recognizers:
    return load_recognizers()


def read(grey: Grey, recognizers: Recognizers, spec: FieldSpec = FREE) -> RawReading:
    return read_fields([FieldCrop(spec, grey, Box(0, 0, grey.shape[1], grey.shape[0]), np.eye(3))], recognizers)[0]


def is_struck(read: RawReading) -> bool:
    return any(doubt.kind is DoubtKind.STRUCK_DIGIT for doubt in read.doubts)


def is_accepted(read: RawReading) -> bool:
    return decide_field(FREE, read, AcceptPolicy()).status is FieldStatus.ACCEPTED


def test_the_witness_is_small_and_its_card_names_what_it_learned_from() -> None:
    content, card = read_verified_model(MODELS_DIR / ALTERATIONS)
    assert len(content) < 100_000
    assert {entry.name for entry in card.training} >= {"mnist", "swiss_numbers"}
    assert all(entry.licence for entry in card.training)


def test_numbers_with_a_digit_written_over_another_are_hardly_accepted(recognizers: Recognizers) -> None:
    drawn = [draw_overwritten(seed) for seed in range(5000, 5040)]
    reads = [read(grey, recognizers) for grey, _ in drawn]
    doubted = sum(is_struck(one) for one in reads)
    accepted_wrong = [
        one.text for one, (_, text) in zip(reads, drawn, strict=True) if is_accepted(one) and one.text != text
    ]
    assert doubted >= 20
    assert len(accepted_wrong) <= 1


def test_clean_numbers_that_are_sure_are_left_alone(recognizers: Recognizers) -> None:
    greys = [draw(seed, "not at all") for seed in range(5000, 5050)]
    without = replace(recognizers, see_alterations=None)
    sure = [grey for grey in greys if is_accepted(read(grey, without))]
    assert len(sure) > 25
    assert sum(not is_accepted(read(grey, recognizers)) for grey in sure) <= 1


@pytest.mark.parametrize("layout", [{"layout": "free"}, {"layout": "cells", "cells": 4}])
def test_the_witness_changes_nothing_but_adds_a_doubt(recognizers: Recognizers, layout: dict[str, object]) -> None:
    spec = FieldSpec.model_validate({"name": "f", "box_mm": (0, 0, 60, 15), **layout})
    without = replace(recognizers, see_alterations=None)
    of_all = replace(recognizers, see_alterations=lambda images: np.ones((len(images), 10), np.float32))
    grey = draw_field(np.random.default_rng(3), "4083", clean=True, in_cells=layout["layout"] == "cells").grey
    plain, doubted = (read(grey, one, spec) for one in (without, of_all))
    assert (plain.text, plain.confidence) == (doubted.text, doubted.confidence) == ("4083", plain.confidence)
    assert set(plain.doubts) < set(doubted.doubts) and is_struck(doubted)
    assert decide_field(spec, doubted, AcceptPolicy()).status is FieldStatus.REVIEW


@settings(max_examples=40, deadline=None)
@given(arrays(np.uint8, st.tuples(st.integers(1, 90), st.integers(1, 90)), elements=st.integers(0, 255)))
def test_any_ink_fits_the_frame_and_stays_in_its_middle(ink: Grey) -> None:
    (framed,) = frame_digits([ink])
    assert framed.shape == (FRAME, FRAME)
    rim = (FRAME - LONGER_SIDE) // 2
    assert not framed[:rim].any() and not framed[-rim:].any()
    assert framed.any() or ink.max(initial=0) < 255


def test_a_digit_that_covers_another_is_no_alteration_that_could_be_seen() -> None:
    rng = np.random.default_rng(5)
    hand = draw_hand(rng)
    eight = hand.write(rng, 8)
    assert share_seen(eight, eight, 0.05) == 0
    assert share_seen(hand.write(rng, 1), eight, 0.05) > 0.1
    over = lay_over(rng, hand.write(rng, 3), eight)
    assert abs(over.reshape(-1, 2).mean(axis=0) - eight.reshape(-1, 2).mean(axis=0)).max() < 0.4
    altered = [alter_digit(rng, hand, hand.write(rng, digit), digit, 0.08) for digit in range(10) for _ in range(5)]
    seen = [one for one in altered if one is not None]
    assert 25 < len(seen) <= 50
    assert {len(one.digits) for one in seen} == {1, 2}
