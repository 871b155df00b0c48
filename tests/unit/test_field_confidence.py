from __future__ import annotations

import json
from dataclasses import fields

import numpy as np
import pytest

from worker.calibration import (
    UNCALIBRATED,
    FieldCalibration,
    Promise,
    ReadersCalibration,
    describe_promise,
    keep_calibration,
    parse_calibration,
)
from worker.doubts import DoubtKind
from worker.fields.judging.confidence import doubt_runner_up
from worker.fields.judging.evidence import FieldEvidence
from worker.fields.line_reader.decoding import Candidate
from worker.training.promise import choose_threshold


def draw_labelled(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Confidences that are too high: a field of confidence c is right with probability c ** 1.3."""
    confidences = rng.beta(8, 0.4, count)
    return confidences, rng.random(count) < confidences**1.3


def test_the_threshold_keeps_its_promise_on_fresh_fields() -> None:
    rng, rate, broken, kept = np.random.default_rng(7), 0.03, 0, 0
    future, right = draw_labelled(rng, 400_000)
    for _ in range(60):
        promise = choose_threshold(*draw_labelled(rng, 1200), max_substitution_rate=rate, delta=0.1)
        accepted = future >= (promise.accept_threshold if promise.is_shown and promise.accept_threshold else 2.0)
        kept += accepted.any()
        broken += accepted.any() and np.mean(~right[accepted]) > rate
    assert kept > 30, "a promise that is never made is kept in vain"
    assert broken <= 13  # a tenth of 60, and three standard deviations


def test_too_few_fields_promise_nothing() -> None:
    promise = choose_threshold([0.99] * 100, [True] * 100, max_substitution_rate=0.005)
    assert (promise.accept_threshold, promise.is_shown, promise.labelled) == (None, False, 100)
    assert "no promise" in describe_promise(promise)


def test_enough_right_fields_promise_all() -> None:
    confidences = np.linspace(0.5, 1, 3000)
    promise = choose_threshold(confidences, np.ones(3000, bool), max_substitution_rate=0.005)
    assert promise.accept_threshold == pytest.approx(0.5) and promise.is_shown
    assert "95% certainty" in describe_promise(promise)


def test_fields_of_one_confidence_are_accepted_together_or_not_at_all() -> None:
    confidences = np.r_[np.full(2000, 0.9), np.full(1000, 0.8)]
    correct = np.r_[np.ones(2000, bool), np.zeros(1000, bool)]
    assert choose_threshold(confidences, correct, max_substitution_rate=0.01).accept_threshold == 0.9


NAMES = tuple(field.name for field in fields(FieldEvidence))
STRICT, LAX = Promise(0.001, 0.999, is_shown=True), Promise(0.01, 0.97, is_shown=True)


def calibration(weight: float = 1.0) -> FieldCalibration:
    n = len(NAMES)
    return FieldCalibration(NAMES, (0.0,) * n, (1.0,) * n, (weight,) * n, -0.5, (STRICT, LAX))


def evidence(values: np.ndarray) -> FieldEvidence:
    return FieldEvidence(*values.tolist())


def test_confidence_rises_with_evidence_of_positive_weight() -> None:
    rows = np.outer(np.linspace(-3, 3, 7), np.ones(len(NAMES)))
    confidences = [calibration().confidence(evidence(row)) for row in rows]
    assert confidences == sorted(confidences) and 0 < confidences[0] < confidences[-1] <= 1


def test_a_calibration_survives_being_kept() -> None:
    kept = ReadersCalibration(calibration(0.3), calibration(0.1))
    again = parse_calibration(json.loads(json.dumps(keep_calibration(kept))))
    row = evidence(np.linspace(-1, 1, len(NAMES)))
    assert again.free.confidence(row) == pytest.approx(calibration(0.3).confidence(row))
    assert again.cells.promises == (STRICT, LAX)


def test_the_wanted_rate_chooses_the_promise() -> None:
    assert calibration().promising(0.005).promise == STRICT
    assert calibration().promising(0.01).accept_threshold == 0.97
    assert calibration().promising(0.0001).accept_threshold is None
    assert not calibration().promising(0.0001).is_enough(1.0)
    assert not UNCALIBRATED.free.is_enough(1.0)


def test_what_is_kept_by_chance_alone_is_accepted_and_said_not_to_be_shown() -> None:
    confidences = np.linspace(1, 0.5, 1500)
    correct = np.ones(1500, bool)
    correct[[700, 900, 1100, 1200, 1210, 1220, 1230, 1240, 1250]] = False
    promise = choose_threshold(confidences, correct, max_substitution_rate=0.005)
    assert not promise.is_shown and promise.wrong <= 0.005 * promise.accepted and promise.accepted >= 1000
    assert promise.accept_threshold == pytest.approx(confidences[promise.accepted - 1])


@pytest.mark.parametrize(("shares", "is_close"), [((0.55, 0.4), True), ((0.93, 0.03), False), ((0.3, 0.02), False)])
def test_two_readings_are_called_close_only_where_the_second_is_likely(
    shares: tuple[float, float], is_close: bool
) -> None:
    found = doubt_runner_up([Candidate("1045", shares[0]), Candidate("1049", shares[1])])
    assert [doubt.kind for doubt in found] == [DoubtKind.CLOSE_READINGS] * is_close
