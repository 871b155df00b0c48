"""Metrics of digit models beyond those of scikit-learn."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from worker.values import NOT_A_DIGIT

Probabilities = NDArray[np.floating]
Labels = NDArray[np.integer]


def digit_accuracy(probabilities: Probabilities, labels: Labels) -> float:
    """Return the share of rows whose likeliest answer, "not a digit" included, is the label."""
    return float(np.mean(np.argmax(probabilities, axis=1) == labels))


def expected_calibration_error(
    confidences: NDArray[np.floating], correct: NDArray[np.bool_], *, bins: int = 15
) -> float:
    """Return the mean gap between confidence and accuracy over equally wide bins (Guo et al., 2017), in [0, 1].

    ``confidences`` (n,) and ``correct`` (n,) are of digits or of whole fields.
    """
    which = np.minimum((confidences * bins).astype(int), bins - 1)
    gaps = [abs(confidences[which == b].sum() - correct[which == b].sum()) for b in range(bins)]
    return float(np.sum(gaps) / max(1, len(correct)))


def digit_calibration_error(probabilities: Probabilities, labels: Labels) -> float:
    """Return the expected calibration error of the likeliest answers."""
    return expected_calibration_error(probabilities.max(1), probabilities.argmax(1) == labels)


def accepted_at_precision(probabilities: Probabilities, labels: Labels, *, precision: float = 0.999) -> float:
    """Return the largest share that can be accepted, most confident first, at this precision."""
    confidence, right = probabilities.max(1), probabilities.argmax(1) == labels
    order = np.argsort(-confidence, kind="stable")
    counts = np.arange(1, len(labels) + 1)
    good = np.flatnonzero(np.cumsum(right[order]) >= precision * counts)
    return float((good[-1] + 1) / len(labels)) if good.size else 0.0


def refused_while_passing(non_digits: Probabilities, digits: Probabilities, *, passing: float = 0.99) -> float:
    """Return the share of non-digits refused by the threshold that this share of digits passes."""
    threshold = np.quantile(digits[:, NOT_A_DIGIT], passing)
    return float(np.mean(non_digits[:, NOT_A_DIGIT] > threshold))
