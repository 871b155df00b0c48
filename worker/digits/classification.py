"""Classify raw digit images: normalization, then the model, as ``icr classify`` does."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from worker.digits.normalization import normalize_digits
from worker.values import Recognizers


def classify_images(images: Iterable[NDArray[np.uint8]], recognizers: Recognizers) -> NDArray[np.float32]:
    """Return calibrated probabilities of each image: digits 0-9, then "not a digit".

    Parameters
    ----------
    images
        (N, H, W) uint8, or a list of (H_i, W_i) uint8: white ink on black, one digit each, any size.
    recognizers
        The loaded models.

    Returns
    -------
    (N, 11) float32; each row sums to 1.
    """
    return recognizers.classify_digits(normalize_digits(images))
