"""The first digit model: one hidden layer of scikit-learn on augmented, normalized pixels."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.neural_network import MLPClassifier

from worker.training.digits.augmentation import MILD, STRONG, augment
from worker.training.digits.pool import Pool
from worker.training.digits.production import NOT_A_DIGIT_SHIFT
from worker.training.splits import as_pixels
from worker.values import NOT_A_DIGIT

HIDDEN = 256
BATCH = 256
PASSES = 2
"""How often each augmented epoch is used, because augmentation costs more than the step of the layer."""


def train_mlp(
    pool: Pool, *, seed: int, epochs: int, samples_an_epoch: int, report: Callable[[str], None]
) -> MLPClassifier:
    """Return the fitted classifier of (N, 784) float32 in [0, 1]."""
    rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    estimator = MLPClassifier((HIDDEN,), batch_size=BATCH, random_state=seed)
    began = time.monotonic()
    for epoch in range(epochs):
        strength = STRONG if epoch < 0.7 * epochs else MILD
        rows = rng.choice(len(pool.labels), samples_an_epoch, p=pool.weights)
        pixels = as_pixels(augment(pool.images[rows], strength, generator))
        for _ in range(PASSES):
            _pass_once(estimator, pixels, pool.labels[rows], rate=1e-3 * (1 - epoch / epochs))
        left = (time.monotonic() - began) / (epoch + 1) * (epochs - epoch - 1)
        report(f"epoch {epoch + 1}/{epochs}  loss {estimator.loss_:.4f}  {left / 60:.0f} min left")
    return estimator


def _pass_once(estimator: MLPClassifier, pixels: NDArray[np.float32], labels: NDArray[Any], *, rate: float) -> None:
    classes = np.arange(11)
    for at in range(0, len(pixels), BATCH):
        estimator.partial_fit(pixels[at : at + BATCH], labels[at : at + BATCH], classes=classes)
        estimator._optimizer.learning_rate_init = rate  # partial_fit has no schedule of its own


def logits_of(estimator: MLPClassifier, images: NDArray[np.uint8]) -> NDArray[np.floating]:
    """Return (N, 11) log-probabilities of (N, 28, 28) uint8 normalized images."""
    return np.asarray(np.maximum(estimator.predict_log_proba(as_pixels(images)), -60))


def calibrate_in_place(estimator: MLPClassifier, temperature: float) -> None:
    """Put the shift of "not a digit" and the temperature into the last layer."""
    estimator.intercepts_[-1][NOT_A_DIGIT] += NOT_A_DIGIT_SHIFT
    estimator.coefs_[-1] /= temperature
    estimator.intercepts_[-1] /= temperature
