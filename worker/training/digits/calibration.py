"""Calibrate confidences by temperature scaling (Guo et al., 2017), on writers that were not trained on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

Logits = NDArray[np.floating]
Labels = NDArray[np.integer]


def fit_temperature(logits: Logits, labels: Labels) -> float:
    """Return the temperature of least negative log-likelihood for (N, C) logits."""
    return _least(lambda temperature: negative_log_likelihood(logits / temperature, labels))


def fit_shared_temperature(sources: Sequence[tuple[Logits, Labels]]) -> float:
    """Return one temperature for several sources; the loss of each counts relative to the best that it could have.

    Otherwise the source with the most errors alone would set it, and leave the clean ones underconfident.
    """
    best = [negative_log_likelihood(logits / fit_temperature(logits, labels), labels) for logits, labels in sources]

    def loss(temperature: float) -> float:
        losses = [negative_log_likelihood(logits / temperature, labels) for logits, labels in sources]
        return float(np.mean(np.array(losses) / np.maximum(best, 1e-6)))

    return _least(loss)


def _least(loss: Callable[[float], float]) -> float:
    found = minimize_scalar(lambda log: loss(float(np.exp(log))), bounds=(-2.5, 2.5), method="bounded")
    return float(np.exp(found.x))


def negative_log_likelihood(logits: Logits, labels: Labels) -> float:
    """Return the mean negative log-likelihood of the labels under softmax of (N, C) logits, in nats."""
    shifted = logits - logits.max(1, keepdims=True)
    chosen = shifted[np.arange(len(labels)), labels]
    return float(np.mean(np.log(np.exp(shifted).sum(1)) - chosen))
