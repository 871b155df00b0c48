"""The strings that unlike readers see in one line, and what they hold of each together.

Each reader names a digit in columns of its own, so that their strings are pooled, not their columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from worker.calibration import Pooling
from worker.fields.line_reader.decoding import Candidate, find_candidates
from worker.fields.line_reader.forward import held_of_lines
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


class Seen(NamedTuple):
    """What is seen in one line: by the networks and, where it was asked, the general reader; and by a row's cells.

    ``networks`` (R, T, 11) and ``general`` (T', 11) are float32 log-probabilities, marks and blank merged.
    """

    networks: Floats
    general: Floats | None = None
    cells: Sequence[DigitReading | None] | None = None


def hold_ballots(lines: Sequence[Seen], pooling: Pooling) -> list[Ballot]:
    """Pool what the readers of each line hold of every string that one of them sees.

    ``pooling`` says what each reader's word weighs.
    """
    listed = [_list_strings(seen) for seen in lines]
    asked = [i for i, seen in enumerate(lines) if seen.general is not None]
    votes = [(seen.networks, strings) for seen, strings in zip(lines, listed, strict=True)]
    votes += [(general[None], listed[i]) for i in asked if (general := lines[i].general) is not None]
    held = held_of_lines(votes)
    of_general = dict(zip(asked, held[len(lines) :], strict=True))
    return [
        _pool(seen, strings, networks, of_general.get(i), pooling)
        for i, (seen, strings, networks) in enumerate(zip(lines, listed, held, strict=False))
    ]


def _list_strings(seen: Seen) -> tuple[str, ...]:
    """Return the strings that a reader holds for likely, and the one that the cells of a row spell, sorted."""
    readers = (*seen.networks, *(() if seen.general is None else (seen.general,)))
    strings = {c.digits for one in readers for c in find_candidates(one) if c.probability > LEAST_LIKELY}
    cells = [str(digit.digit) for digit in seen.cells or () if digit is not None]
    return tuple(sorted({*strings, "".join(cells)} if cells else strings))


def _pool(seen: Seen, strings: tuple[str, ...], networks: Scores, general: Scores | None, pooling: Pooling) -> Ballot:
    held = networks if general is None else np.concatenate([networks, general], axis=1)
    of_general = 0.0 if general is None else pooling.general
    weights = np.full(held.shape[1], of_general)
    weights[: len(seen.networks)] = (1 - of_general) / len(seen.networks)
    scores = np.maximum(held, DOUBTED_MOST) @ weights
    if seen.cells is not None:
        scores += pooling.full_row * np.array([len(string) == len(seen.cells) for string in strings])
        scores += pooling.cells * _cells_say([digit for digit in seen.cells if digit is not None], strings)
    return Ballot(strings, held, scores)


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
