from __future__ import annotations

import numpy as np

from schemas.form_template import FieldSpec
from worker.decision import AcceptPolicy, decide_field
from worker.values import Alternative, Box, DigitReading, FieldReading, FieldStatus, ReadField

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
    return decide_field(LUHN, ReadField(text, 0.999, BOX, digits=digits, alternatives=others), AcceptPolicy())


def test_the_one_close_reading_that_keeps_the_check_digit_is_offered_and_not_accepted() -> None:
    decided = decide("79927398711", doubts={10: (3, 0.1)})
    assert (decided.text, decided.status) == ("79927398711", FieldStatus.REVIEW)
    assert decided.reasons[0].endswith("; only 79927398713 keeps it")
    assert decided.alternatives[0].text == "79927398713"


def test_a_runner_up_that_keeps_it_is_offered_first() -> None:
    decided = decide("79927398711", "79927398712", "79927398713")
    assert [a.text for a in decided.alternatives] == ["79927398713", "79927398712"]


def test_two_that_keep_it_repair_nothing() -> None:
    decided = decide("79927398711", "79927398713", "79927393714")  # both pass Luhn
    assert "only" not in decided.reasons[0]


def test_an_unlikely_digit_repairs_nothing() -> None:
    decided = decide("79927398711", doubts={10: (3, 0.001)})
    assert "only" not in decided.reasons[0] and decided.alternatives == ()


def test_a_reading_that_keeps_its_check_digit_is_left_alone() -> None:
    assert decide("79927398713", "79927398721").status is FieldStatus.ACCEPTED
