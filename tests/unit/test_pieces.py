"""Shortcuts that must give what the slow way gives: pieces of ink by short labels, and the median."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from worker.imaging.geometry import median
from worker.imaging.pieces import MOST_SHORT_LABELS, find_pieces


@pytest.mark.parametrize("shape", [(1, 1), (40, 200), (511, 511), (513, 520)])
@pytest.mark.parametrize("share", [0.0, 0.05, 0.4, 1.0])
def test_pieces_are_those_of_long_labels(shape: tuple[int, int], share: float) -> None:
    ink = (np.random.default_rng(5).random(shape) < share).astype(np.uint8)
    _, labels, stats, middles = cv2.connectedComponentsWithStats(ink, connectivity=8)
    found = find_pieces(ink)
    assert np.array_equal(found.labels, labels)
    assert np.array_equal(found.stats, stats)
    assert np.array_equal(found.middles, middles, equal_nan=True)


def test_as_many_pieces_as_there_can_be_have_labels_of_their_own() -> None:
    for side in (511, 513):  # the one fits into 16 bits, the other does not
        ink = np.zeros((side, side), np.uint8)
        ink[::2, ::2] = 1
        assert len(find_pieces(ink).stats) - 1 == ((side + 1) // 2) ** 2
    assert 256**2 > MOST_SHORT_LABELS >= 255**2


@pytest.mark.parametrize("count", [1, 2, 7, 8])
def test_the_median_is_numpys(count: int) -> None:
    values = np.random.default_rng(count).normal(size=count)
    assert median(values) == np.median(values)
    assert np.isnan(median(np.append(values, np.nan)))
