"""Classify digits, each alone: normalization, then the model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from worker.digits.normalization import normalize_digits
from worker.values import NOT_A_DIGIT, DigitCrop, DigitReading, Recognizers


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


def read_digits(crops: Sequence[DigitCrop], recognizers: Recognizers) -> list[DigitReading]:
    """Read digits that were cut out, in one batch."""
    answers = classify_images([crop.ink for crop in crops], recognizers) if crops else ()
    return [_read_digit(crop, answer) for crop, answer in zip(crops, answers, strict=True)]


def spell_digits(digits: Iterable[DigitReading]) -> str:
    """Return the text of digits in their order."""
    return "".join(str(digit.digit) for digit in digits)


def _read_digit(crop: DigitCrop, probabilities: NDArray[np.float32]) -> DigitReading:
    """Return a cut-out digit with its (11,) probabilities shared out among digits and "not a digit"."""
    digits = probabilities[:NOT_A_DIGIT] + np.float32(1e-7)
    return DigitReading(crop.position, digits / digits.sum(), float(probabilities[NOT_A_DIGIT]), crop.box_px)
