"""Marks that networks and the general reader see among digits, and what both together make of them."""

from __future__ import annotations

import numpy as np
import pytest

from worker.fields.line_reader.decoding import ALPHABET, Symbol
from worker.fields.line_reader.marks import LEAST, ask_general
from worker.values import RivalMarks

BLANK = len(ALPHABET)
DIGITS = (Symbol("1", 0, 2, 0), Symbol("2", 4, 6, 4))
COMMA = ("", ",", "")


def answer(comma: float) -> np.ndarray:  # type: ignore[type-arg]
    """Return (8, C) log-probabilities of "1 2" with a comma of a probability between them."""
    likely = np.full((8, BLANK + 1), 1e-6, np.float32)
    for column in range(8):
        likely[column, BLANK] = 1.0
    likely[0:2], likely[4:6] = 1e-6, 1e-6
    likely[0:2, 1], likely[4:6, 2] = 1.0, 1.0
    likely[3] = 1e-6
    likely[3, ALPHABET.index(",")], likely[3, BLANK] = comma, 1 - comma
    return np.log(likely / likely.sum(axis=1, keepdims=True))


@pytest.mark.parametrize(("network", "general"), [(0.02, 0.99), (0.5, 0.02), (0.1, 0.1)])
def test_a_mark_counts_as_the_geometric_mean_of_both(network: float, general: float) -> None:
    (found, *_) = ask_general([RivalMarks(COMMA, network)], ("", "", ""), answer(general), DIGITS)
    assert found.marks == COMMA
    assert found.probability == pytest.approx(np.sqrt(network * general), rel=0.02)


def test_a_mark_that_the_general_reader_alone_sees_is_not_passed_over() -> None:
    (found,) = ask_general([], ("", "", ""), answer(0.98), DIGITS)
    assert found.marks == COMMA and found.probability == pytest.approx(np.sqrt(LEAST * 0.98), rel=0.02)
    assert ask_general([], ("", "", ""), answer(0.2), DIGITS) == []
