"""Find, from labelled fields, the confidence that keeps a promised substitution rate."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from worker.calibration import CERTAINTY, Promise

MANY_TRIES = 5
"""Number of starting points that share the certainty of ``choose_threshold``."""


def choose_threshold(
    confidences: Sequence[float] | NDArray[np.float64],
    correct: Sequence[bool] | NDArray[np.bool_],
    *,
    max_substitution_rate: float,
    delta: float = 1 - CERTAINTY,
) -> Promise:
    """Choose the confidence from which fields may be accepted.

    With certainty ``1 - delta`` over the draw of the labelled fields, the substitution rate among accepted
    fields of the same kind is at most ``max_substitution_rate``: learn-then-test (Angelopoulos, Bates,
    Candès, Jordan, Lei 2021, arXiv:2110.01052) with fixed-sequence testing from several starting points and exact
    binomial p-values. Candidate thresholds are the labelled fields' own confidences in falling order, which
    their labels do not influence; a starting point is a number of accepted fields.

    With too few labelled fields, or too many errors among them, nothing is shown: then the threshold is the lowest
    from which the labelled fields themselves keep the rate, if enough of them do, and else there is none.
    """
    order = np.argsort(-np.asarray(confidences, np.float64), kind="stable")
    scores = np.asarray(confidences, np.float64)[order]
    errors = np.cumsum(~np.asarray(correct, bool)[order])
    level = delta / MANY_TRIES
    fewest = math.ceil(math.log(level) / math.log1p(-max_substitution_rate))
    ends = np.flatnonzero(np.append(scores[1:] != scores[:-1], True)) if len(scores) else np.zeros(0, int)
    best = -1
    for start in np.geomspace(fewest, max(fewest, len(scores)), MANY_TRIES):
        best = max(best, _test_downwards(errors, ends[ends + 1 >= int(start)], level, max_substitution_rate))
    is_shown = best >= 0
    if not is_shown:
        kept = ends[(ends + 1 >= fewest) & (errors[ends] <= max_substitution_rate * (ends + 1))]
        best = int(kept[-1]) if len(kept) else -1
    if best < 0:
        return Promise(max_substitution_rate, None, labelled=len(scores))
    return Promise(
        max_substitution_rate,
        float(scores[best]),
        is_shown=is_shown,
        labelled=len(scores),
        accepted=best + 1,
        wrong=int(errors[best]),
    )


def _test_downwards(errors: NDArray[np.intp], ends: NDArray[np.intp], level: float, rate: float) -> int:
    """Return the last of ``ends`` that refutes too high a rate before the first that does not, or -1.

    P(at most so many errors of so many fields) at a true rate is the exact p-value of "the rate is higher".
    """
    refuted = np.append(binom.cdf(errors[ends], ends + 1, rate) <= level, False)
    count = int(refuted.argmin())
    return int(ends[count - 1]) if count else -1
