"""The strings that unlike readers see in one line, and what they hold of each together.

Each reader names a digit in columns of its own, so that their strings are pooled, not their columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.calibration import Pooling
from worker.fields.line_reader.decoding import (
    Candidate,
    find_candidates,
    string_log_probabilities,
)
from worker.values import DigitReading

Floats = NDArray[np.float32]
Scores = NDArray[np.float64]

LEAST_LIKELY = 1e-5
"""A string less likely than this to every reader is left out."""
DOUBTED_MOST = float(np.log(1e-6))
"""No reader doubts a string more than this, whatever it says: each of them fails on some kind of field."""
ANOTHER_COUNT = float(np.log(1e-3))
"""What cells hold of a string of another length than theirs."""
FLOOR = 1e-4


@dataclass(frozen=True, slots=True, eq=False)
class Ballot:
    """The strings seen in one line (U,), what each reader holds of each, and their weighted sum.

    ``log_probabilities`` (U, R) has a column for each network and, where it was asked, one for the general reader;
    ``scores`` (U,) are log-probabilities but for a constant.
    """

    strings: tuple[str, ...]
    log_probabilities: Scores
    scores: Scores

    def probabilities(self) -> Scores:
        """Return the shares of all strings, (U,)."""
        shares = np.exp(self.scores - self.scores.max())
        return np.asarray(shares / shares.sum(), np.float64)

    def candidates(self) -> list[Candidate]:
        """Return the strings with their shares, best first."""
        shares = [Candidate(s, p) for s, p in zip(self.strings, self.probabilities().tolist(), strict=True)]
        return sorted(shares, key=lambda candidate: (-candidate.probability, candidate.digits))


def hold_ballot(
    networks: Floats, general: Floats | None, cells: Sequence[DigitReading | None] | None, pooling: Pooling
) -> Ballot:
    """Pool what the readers of one line hold of every string that one of them sees.

    Parameters
    ----------
    networks
        (R, T, 11) float32 log-probabilities of the line reader's networks, marks and blank merged.
    general
        (T', 11) of the general reader, or None where it was not asked.
    cells
        What each cell of a row reads, or None for a free field.
    pooling
        What each reader's word weighs.
    """
    of_cells = None if cells is None else [digit for digit in cells if digit is not None]
    found = [find_candidates(one) for one in (*networks, *(() if general is None else (general,)))]
    strings = {c.digits for vote in found for c in vote if c.probability > LEAST_LIKELY}
    if of_cells:
        strings.add("".join(str(digit.digit) for digit in of_cells))
    listed = tuple(sorted(strings))
    columns = [string_log_probabilities(networks, listed)]
    if general is not None:
        columns.append(string_log_probabilities(general[None], listed))
    held = np.concatenate(columns, axis=1)
    of_general = 0.0 if general is None else pooling.general
    weights = np.full(held.shape[1], of_general)
    weights[: len(networks)] = (1 - of_general) / len(networks)
    scores = np.maximum(held, DOUBTED_MOST) @ weights
    if cells is not None:
        scores += pooling.full_row * np.array([len(string) == len(cells) for string in listed])
        scores += pooling.cells * _cells_say(of_cells or [], listed)
    return Ballot(listed, held, scores)


def _cells_say(cells: Sequence[DigitReading], strings: Sequence[str]) -> Scores:
    """Return what the digits of the cells, read alone, hold of each string, as log-probabilities."""
    likely = [digit.probabilities * (1 - digit.outlier) for digit in cells]
    return digits_say(np.log(np.array(likely, np.float64).reshape(-1, 10) + FLOOR), strings, ANOTHER_COUNT)


def digits_say(log_probabilities: Scores, strings: Sequence[str], another_count: float = 0.0) -> Scores:
    """Return what (n, 10) log-probabilities of single digits hold of each string, (U,).

    Of a string of another length they can only say what they hold of their best one, and ``another_count``.
    """
    count = len(log_probabilities)
    unknown = float(log_probabilities.max(axis=1).sum()) + another_count if count else another_count
    rows = np.arange(count)
    return np.array(
        [
            log_probabilities[rows, [int(d) for d in string]].sum() if len(string) == count else unknown
            for string in strings
        ],
        np.float64,
    )
