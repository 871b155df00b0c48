from __future__ import annotations

import numpy as np
import pytest

from schemas.form_template import FieldSpec
from tests.support.readings import reasons_of
from worker.decision.fields import AcceptPolicy, decide_field
from worker.doubts import Doubt, DoubtKind
from worker.values import Alternative, Box, DigitReading, FieldReading, FieldStatus, RawReading

BOX = Box(0, 0, 10, 10)
LUHN = FieldSpec.model_validate(
    {"name": "a", "box_mm": [0, 0, 10, 10], "rules": [{"rule": "check_digit", "scheme": "luhn"}]}
)


def digit(position: int, first: int, second: int, doubt: float) -> DigitReading:
    probabilities = np.zeros(10, np.float32)
    probabilities[first], probabilities[second] = 1 - doubt, doubt
    return DigitReading(position, probabilities, 0.0, BOX)


def decide(text: str, *alternatives: str, doubts: dict[int, tuple[int, float]] | None = None) -> FieldReading:
    """Decide a sure reading whose digits at ``doubts`` have a runner-up of some probability."""
    rivals = {i: (doubts or {}).get(i, ((int(c) + 1) % 10, 0.0)) for i, c in enumerate(text)}
    digits = tuple(digit(i, int(c), *rivals[i]) for i, c in enumerate(text))
    others = tuple(Alternative(a, 0.001) for a in alternatives)
    return decide_field(LUHN, RawReading(text, 0.999, BOX, digits=digits, alternatives=others), AcceptPolicy())


def test_the_one_close_reading_that_keeps_the_check_digit_is_offered_and_not_accepted() -> None:
    decided = decide("79927398711", doubts={10: (3, 0.1)})
    assert (decided.text, decided.status) == ("79927398711", FieldStatus.REVIEW)
    assert reasons_of(decided)[0].endswith("; only 79927398713 keeps it")
    assert decided.alternatives[0].text == "79927398713"


def test_a_runner_up_that_keeps_it_is_offered_first() -> None:
    decided = decide("79927398711", "79927398712", "79927398713")
    assert [a.text for a in decided.alternatives] == ["79927398713", "79927398712"]


def test_two_that_keep_it_repair_nothing() -> None:
    decided = decide("79927398711", "79927398713", "79927393714")  # both pass Luhn
    assert "only" not in reasons_of(decided)[0]


def test_an_unlikely_digit_repairs_nothing() -> None:
    decided = decide("79927398711", doubts={10: (3, 0.001)})
    assert "only" not in reasons_of(decided)[0] and decided.alternatives == ()


def test_a_kept_check_digit_raises_the_odds_and_excuses_the_doubts_that_unsureness_brought() -> None:
    unsure = RawReading("79927398713", 0.97, BOX, doubts=(Doubt(DoubtKind.TOUCHING_DIGITS),), accept_threshold=0.99)
    decided = decide_field(LUHN, unsure, AcceptPolicy())
    assert decided.confidence == pytest.approx(0.97 * 10 / (0.97 * 10 + 0.03))
    assert (decided.status, reasons_of(decided)) == (FieldStatus.ACCEPTED, ())
    assert decided.validation_sources == ("check digit luhn",)


def test_what_is_still_not_sure_enough_keeps_its_doubts_and_says_its_new_confidence() -> None:
    unsure = RawReading("79927398713", 0.8, BOX, doubts=(Doubt(DoubtKind.TOUCHING_DIGITS),), accept_threshold=0.99)
    assert reasons_of(decide_field(LUHN, unsure, AcceptPolicy())) == (
        "touching digits",
        "confidence 0.976 is below the 0.990 needed",
    )


def test_a_check_digit_excuses_no_empty_cell_no_lost_place_and_no_rival_that_keeps_it_too() -> None:
    empty = Doubt(DoubtKind.EMPTY_CELL, position=3)
    gap = RawReading("79927398713", 0.97, BOX, doubts=(empty,), accept_threshold=0.99)
    assert decide_field(LUHN, gap, AcceptPolicy()).doubts == (empty,)
    lost = RawReading("79927398713", 0.97, BOX, registration=0.4, accept_threshold=0.99)
    assert decide_field(LUHN, lost, AcceptPolicy()).status is FieldStatus.REVIEW
    for rival, status in (("79927398712", FieldStatus.ACCEPTED), ("79927393714", FieldStatus.REVIEW)):
        tied = RawReading("79927398713", 0.97, BOX, alternatives=(Alternative(rival, 0.95),), accept_threshold=0.99)
        assert decide_field(LUHN, tied, AcceptPolicy()).status is status


def test_a_check_of_form_alone_is_named_and_raises_nothing() -> None:
    spec = FieldSpec.model_validate(
        {"name": "a", "box_mm": [0, 0, 10, 10], "rules": [{"rule": "check_digit", "scheme": "us.rtn"}]}
    )
    decided = decide_field(spec, RawReading("111000025", 0.97, BOX), AcceptPolicy())
    assert (decided.confidence, decided.validation_sources) == (0.97, ("check digit us.rtn",))


def test_a_model_that_may_accept_nothing_accepts_nothing_by_a_check_digit() -> None:
    assert decide_field(LUHN, RawReading("79927398713", 0.9999, BOX, accept_threshold=None), AcceptPolicy()).doubts


def test_a_reading_that_keeps_its_check_digit_is_left_alone() -> None:
    assert decide("79927398713", "79927398721").status is FieldStatus.ACCEPTED
