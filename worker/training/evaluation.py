"""How a model did on one set: what ``icr evaluate`` prints and the report draws."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support
from sklearn.model_selection import StratifiedKFold, cross_val_score

from worker.training.metrics import digit_accuracy, digit_calibration_error


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """What a model answered: images (N, H, W) uint8, labels (N,), probabilities (N, C), names of classes.

    ``folds`` holds the accuracies of cross-validation, if it was asked for. ``calibrated`` is False if the model has
    scores only (a support vector machine), which give no confidence.
    """

    title: str
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    names: tuple[str, ...]
    folds: tuple[float, ...] = ()
    calibrated: bool = True

    @property
    def predictions(self) -> NDArray[np.int64]:
        """The likeliest class of each image."""
        return np.asarray(np.argmax(self.probabilities, axis=1), np.int64)

    @property
    def accuracy(self) -> float:
        """The share of images whose likeliest class is the label."""
        return digit_accuracy(self.probabilities, self.labels)

    @property
    def calibration_error(self) -> float | None:
        """The expected calibration error, or None where the model gives no probabilities."""
        return digit_calibration_error(self.probabilities, self.labels) if self.calibrated else None

    def per_class(self) -> list[tuple[str, float, float, float, int]]:
        """Return name, precision, recall, F1 and count of each class that occurs."""
        present = np.unique(np.concatenate([self.labels, self.predictions]))
        scores = precision_recall_fscore_support(self.labels, self.predictions, labels=present, zero_division=0)
        rows = zip(present, *scores, strict=True)
        return [(self.names[k], float(p), float(r), float(f), int(n)) for k, p, r, f, n in rows]

    def confusion(self) -> NDArray[np.int64]:
        """Return the (C, C) counts, truth down, answer across."""
        everything = range(len(self.names))
        return np.asarray(confusion_matrix(self.labels, self.predictions, labels=everything))


def cross_validate(
    estimator: Any, pixels: NDArray[np.float32], labels: NDArray[np.int64], *, folds: int
) -> tuple[float, ...]:
    """Return the accuracies of stratified cross-validation of a fresh copy of the estimator."""
    splitter = StratifiedKFold(folds, shuffle=True, random_state=0)
    return tuple(float(s) for s in cross_val_score(clone(estimator), pixels, labels, cv=splitter))
