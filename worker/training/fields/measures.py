"""Measures of field readers: whole fields, digit errors, read rates, calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from worker.training.metrics import expected_calibration_error

SUBSTITUTION_RATES = (0.001, 0.005, 0.01)


@dataclass(frozen=True, slots=True)
class Scored:
    """One field as it was read, with its ground truth."""

    source: str
    truth: str
    text: str
    confidence: float
    is_accepted: bool = False

    @property
    def correct(self) -> bool:
        """Whether the whole field is right."""
        return self.text == self.truth


@dataclass(frozen=True, slots=True)
class FieldMeasures:
    """How well one half of a set is read, as shares of 1; ``read_rates`` belong to ``SUBSTITUTION_RATES``.

    ``accepted`` fields need nobody at the promise that is held to; of these ``accepted_wrong`` are wrong, a share that
    lies between ``wrong_at_least`` and ``wrong_at_most`` with 95 % certainty (Clopper and Pearson 1934).
    """

    source: str
    half: str
    fields: int
    whole: float
    digit_error_rate: float
    read_rates: tuple[float, ...]
    ece: float
    accepted: int
    accepted_wrong: int
    wrong_at_least: float
    wrong_at_most: float


def measure(source: str, half: str, scored: Sequence[Scored]) -> FieldMeasures:
    """Measure the readings of one half of a set."""
    correct = np.array([s.correct for s in scored])
    confidences = np.array([s.confidence for s in scored])
    errors = sum(edit_distance(s.text, s.truth) for s in scored)
    accepted = [s for s in scored if s.is_accepted]
    wrong = sum(not s.correct for s in accepted)
    at_least, at_most = exact_interval(wrong, len(accepted))
    return FieldMeasures(
        source=source,
        half=half,
        fields=len(scored),
        whole=float(correct.mean()),
        digit_error_rate=errors / max(1, sum(len(s.truth) for s in scored)),
        read_rates=tuple(read_rate(confidences, correct, rate) for rate in SUBSTITUTION_RATES),
        ece=expected_calibration_error(confidences, correct),
        accepted=len(accepted),
        accepted_wrong=wrong,
        wrong_at_least=at_least,
        wrong_at_most=at_most,
    )


def exact_interval(wrong: int, count: int, certainty: float = 0.95) -> tuple[float, float]:
    """Return the share that ``wrong`` of ``count`` comes from, at least and at most (Clopper and Pearson 1934)."""
    beside = (1 - certainty) / 2
    least = float(beta.ppf(beside, wrong, count - wrong + 1)) if wrong else 0.0
    most = float(beta.ppf(1 - beside, wrong + 1, count - wrong)) if wrong < count else 1.0
    return least, most


def risk_coverage(
    confidences: NDArray[np.float64], correct: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return read rate and substitution rate at every threshold, from the most confident field down."""
    order = np.argsort(-confidences, kind="stable")
    wrong = np.cumsum(~correct[order])
    accepted = np.arange(1, len(order) + 1)
    ends = np.append(np.diff(confidences[order]) != 0, True)
    return accepted[ends] / len(order), wrong[ends] / accepted[ends]


def read_rate(confidences: NDArray[np.float64], correct: NDArray[np.bool_], substitution_rate: float) -> float:
    """Return the largest share of fields that a threshold accepts at no more than a substitution rate."""
    coverage, risk = risk_coverage(confidences, correct)
    kept = coverage[risk <= substitution_rate]
    return float(kept.max()) if len(kept) else 0.0


def edit_distance(a: str, b: str) -> int:
    """Return the least number of digits to insert, drop or change (Levenshtein 1966)."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row = row, [i] + [0] * len(b)
        for j, y in enumerate(b, 1):
            row[j] = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (x != y))
    return row[-1]
