"""Tell which way up a page without a form lies: its numbers are read in all four directions.

Glyphs alone do not tell: of 120 drawn pages the likeliest digits stood on the wrong side on 11, mostly where digits
touch, and five of these were clearly wrong. The line reader was wrong on none that it could read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from worker.digits.normalization import normalize_digits
from worker.fields.reading import read_fields
from worker.values import NOT_A_DIGIT, FieldCrop, Recognizers

SURELY_DIGITS, CLEARLY = 0.85, 0.2
"""From this mean likeness of digits on, and so far above all other turns, glyphs alone tell the turn."""

LIKE_DIGITS, SLIGHTLY = 0.8, 0.03
"""Where glyphs look so much like digits, and most so in another direction, the turn is not sure."""

NUMBERS_READ = 16
"""Fields that are read in each direction, the widest ones. By eight of them a table was turned upside down."""

SURELY_READ, FEWEST_READ = 0.9, 3
"""From this mean confidence of so many fields on, the page does not lie on its side."""

LEAST_MARGIN, LEAST_TOTAL = 0.1, 0.5
"""How much higher the mean confidence in one direction has to be than in all others, and the sum over its fields."""

ALIKE_UPSIDE_DOWN = frozenset("01689")
"""Digits that upside down are digits, too: letters were read as zeros, and by them a page was surely upside down."""


class _Found(NamedTuple):
    """What reads in one direction: the mean confidence of its ``fields``, 0 where nothing is read.

    ``told`` sums the confidence of numbers that are none, or others, upside down. ``digits`` sums that of all digits,
    but for lone ones that read alike upside down: on its side, a number falls into many pieces.
    """

    mean: float = 0.0
    fields: int = 0
    told: float = 0.0
    digits: float = 0.0


@dataclass(frozen=True, slots=True)
class Turn:
    """How many quarter turns counter-clockwise bring a page upright, and whether that is sure."""

    quarters: int = 0
    is_sure: bool = True


def digit_likeness(inks: list[NDArray[np.uint8]], recognizers: Recognizers) -> NDArray[np.float32]:
    """Return (N,) the probability of the likeliest digit of each image, white ink on black."""
    answers = recognizers.classify_digits(normalize_digits(inks))
    return np.asarray(answers[:, :NOT_A_DIGIT].max(axis=1), np.float32)


def choose_turn(
    likeness: NDArray[np.float64], cut: Callable[[int], Sequence[FieldCrop]], recognizers: Recognizers
) -> Turn:
    """Choose the direction in which the fields of a page read best.

    Parameters
    ----------
    likeness : (4,) float64
        How much the page's glyphs look like digits after so many quarter turns.
    cut : callable
        Gives the fields that are found after so many quarter turns.
    recognizers : Recognizers
        The readers.
    """
    best, next_best = (int(turns) for turns in np.argsort(-likeness)[:2])
    if likeness[best] >= SURELY_DIGITS and likeness[best] - likeness[next_best] >= CLEARLY:
        return Turn(best)
    found = [_Found()] * 4
    for turns in (0, 2, 1, 3):
        found[turns] = _read_most(cut(turns), recognizers)
        if turns == 2 and max(found).mean > SURELY_READ and max(found).fields >= FEWEST_READ:
            break  # lying on its side, the numbers of a page reached 0.69
    means, counts, told, digits = np.array(found).T
    if not means.any():
        return Turn(0, is_sure=False)
    best, next_best = (int(turns) for turns in np.argsort(-means, kind="stable")[:2])
    margin = float(means[best] - means[next_best])
    glyphs_differ = likeness.max() > LIKE_DIGITS and likeness[best] < likeness.max() - SLIGHTLY
    upside_down = told[(best + 2) % 4] >= told[best]
    if not (glyphs_differ or upside_down) and margin >= max(LEAST_MARGIN, LEAST_TOTAL / counts[best]):
        return Turn(best)
    return Turn(int(digits.argmax()) if digits.any() else best, is_sure=False)


def _read_most(fields: Sequence[FieldCrop], recognizers: Recognizers) -> _Found:
    """Read the widest fields of one direction."""
    widest = sorted(fields, key=lambda field: -field.grey.shape[1] / field.grey.shape[0])[:NUMBERS_READ]
    reads = [(read.text, read.confidence if read.text else 0.0) for read in read_fields(widest, recognizers)]
    if not reads:
        return _Found()
    told = sum(confidence for text, confidence in reads if not _reads_alike(text))
    digits = sum(len(text) * confidence for text, confidence in reads if len(text) > 1 or not _reads_alike(text))
    return _Found(float(np.mean([confidence for _, confidence in reads])), len(reads), told, digits)


def _reads_alike(text: str) -> bool:
    """Tell whether a number is one, too, when it is turned upside down."""
    return set(text) <= ALIKE_UPSIDE_DOWN
