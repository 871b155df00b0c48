from __future__ import annotations

import numpy as np
import pytest

from worker.fields.judging.confidence import (
    EVIDENCE,
    FieldCalibration,
    binomial_tail,
    choose_promise,
    choose_threshold,
)


def draw_labelled(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Confidences that are too high: a field of confidence c is right with probability c ** 1.3."""
    confidences = rng.beta(8, 0.4, count)
    return confidences, rng.random(count) < confidences**1.3


def test_the_threshold_keeps_its_promise_on_fresh_fields() -> None:
    rng, rate, broken, kept = np.random.default_rng(7), 0.03, 0, 0
    future, right = draw_labelled(rng, 400_000)
    for _ in range(60):
        threshold, _ = choose_threshold(*draw_labelled(rng, 1200), max_substitution_rate=rate, delta=0.1)
        accepted = future >= threshold
        kept += accepted.any()
        broken += accepted.any() and np.mean(~right[accepted]) > rate
    assert kept > 30, "a promise that is never made is kept in vain"
    assert broken <= 13  # a tenth of 60, and three standard deviations


def test_too_few_fields_promise_nothing() -> None:
    threshold, words = choose_threshold([0.99] * 100, [True] * 100, max_substitution_rate=0.005)
    assert threshold is None and "no promise" in words and "100 labelled" in words


def test_enough_right_fields_promise_all() -> None:
    confidences = np.linspace(0.5, 1, 3000)
    threshold, words = choose_threshold(confidences, np.ones(3000, bool), max_substitution_rate=0.005)
    assert threshold == pytest.approx(0.5) and "95% certainty" in words


def test_fields_of_one_confidence_are_accepted_together_or_not_at_all() -> None:
    confidences = np.r_[np.full(2000, 0.9), np.full(1000, 0.8)]
    correct = np.r_[np.ones(2000, bool), np.zeros(1000, bool)]
    assert choose_threshold(confidences, correct, max_substitution_rate=0.01)[0] == 0.9


@pytest.mark.parametrize(("errors", "count", "rate"), [(0, 100, 0.01), (3, 500, 0.005), (20, 300, 0.1)])
def test_the_exact_p_value(errors: int, count: int, rate: float) -> None:
    stats = pytest.importorskip("scipy.stats")
    assert binomial_tail(errors, count, rate) == pytest.approx(stats.binom.cdf(errors, count, rate))


def calibration(weights: float = 1.0) -> FieldCalibration:
    n = len(EVIDENCE)
    return FieldCalibration(np.zeros(n), np.ones(n), np.full(n, weights), -0.5, 0.9, "a promise")


def test_confidence_rises_with_evidence_of_positive_weight() -> None:
    rows = np.outer(np.linspace(-3, 3, 7), np.ones(len(EVIDENCE)))
    confidences = [calibration().confidence(row) for row in rows]
    assert confidences == sorted(confidences) and 0 < confidences[0] < confidences[-1] <= 1


def test_a_calibration_survives_being_kept() -> None:
    again = FieldCalibration.from_mapping(calibration(0.3).to_mapping())
    row = np.linspace(-1, 1, len(EVIDENCE))
    assert again.confidence(row) == pytest.approx(calibration(0.3).confidence(row))
    assert again.promise == "a promise"


def test_the_wanted_rate_chooses_the_promise() -> None:
    kept = {
        "promises": [
            {"rate": 0.001, "accept_threshold": 0.999, "promise": "strict"},
            {"rate": 0.01, "accept_threshold": 0.97, "promise": "lax"},
        ]
    }
    assert choose_promise(kept, 0.005)["promise"] == "strict"
    assert choose_promise(kept, 0.01)["accept_threshold"] == 0.97
    assert choose_promise(kept, 0.0001)["accept_threshold"] is None
