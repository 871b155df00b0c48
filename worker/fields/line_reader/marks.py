"""The marks that a line's networks see among its digits, and what each of them may see there instead."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.fields.line_reader.decoding import ALPHABET, Symbol
from worker.values import Marks, RivalMarks

Floats = NDArray[np.float32]

LEAST = 0.01
"""A mark less likely than this is not told."""
_FIRST, _STOP = 10, len(ALPHABET)
_ALIKE = tuple(frozenset(map(ALPHABET.index, pair)) for pair in (".,", "-="))


@dataclass(frozen=True, slots=True, eq=False)
class _Gap:
    """The columns between two digits.

    ``signs`` are the marks that are the likeliest class of a column, left to right, each with its class, column and
    probability; ``chances`` (7,) is how likely each mark is to stand anywhere there, ``at`` (7,) where.
    """

    signs: tuple[tuple[int, int, float], ...]
    chances: NDArray[np.float64]
    at: NDArray[np.intp]

    @property
    def text(self) -> str:
        """The marks that are likeliest."""
        return "".join(ALPHABET[kind] for kind, _, _ in self.signs)


def see_marks(
    answers: Sequence[Floats], digits: Sequence[Sequence[Symbol]], surest: int
) -> tuple[Marks, tuple[RivalMarks, ...]]:
    """Return the marks that the surest network sees among its digits, and the other ones that any may see.

    Parameters
    ----------
    answers
        For each network its (T, C) log-probabilities over all classes.
    digits
        For each network the same digits on its own columns.
    surest
        Index of the network whose marks are told first.
    """
    gaps = [_find_gaps(answer, own) for answer, own in zip(answers, digits, strict=True)]
    seen: Marks = tuple(gap.text for gap in gaps[surest])
    rivals: dict[Marks, float] = {}
    for own in gaps:
        marks = tuple(gap.text for gap in own)
        if marks != seen:
            rivals[marks] = max(rivals.get(marks, 0.0), 1 / len(gaps))
        for k, gap in enumerate(own):
            for text, probability in _others(gap):
                other = (*marks[:k], text, *marks[k + 1 :])
                if other != seen:
                    rivals[other] = max(rivals.get(other, 0.0), probability)
    ranked = sorted(rivals.items(), key=lambda item: (-item[1], item[0]))
    return seen, tuple(RivalMarks(marks, round(p, 4)) for marks, p in ranked)


def _find_gaps(answer: Floats, digits: Sequence[Symbol]) -> list[_Gap]:
    edges = [0, *(column for s in digits for column in (s.start, s.stop)), len(answer)]
    likely = np.exp(answer.astype(np.float64))
    best = answer.argmax(axis=1)
    return [_look(likely, best, start, stop) for start, stop in zip(edges[::2], edges[1::2], strict=True)]


def _look(likely: NDArray[np.float64], best: NDArray[np.intp], start: int, stop: int) -> _Gap:
    if stop <= start:
        return _Gap((), np.zeros(_STOP - _FIRST), np.zeros(_STOP - _FIRST, np.intp))
    part = likely[start:stop, _FIRST:_STOP]
    pairs = part.copy()
    pairs[:-1] += part[1:]  # a mark may lie across two columns
    signs = []
    for i in range(start, stop):
        kind = int(best[i])
        if _FIRST <= kind < _STOP and (i == start or best[i - 1] != kind):
            signs.append((kind, i, float(min(1.0, pairs[i - start :, kind - _FIRST].max()))))
    return _Gap(tuple(signs), np.minimum(pairs.max(axis=0), 1.0), start + part.argmax(axis=0))


def _others(gap: _Gap) -> Iterator[tuple[str, float]]:
    """Yield what else may stand in a gap: one of its marks left out or taken for another, or one mark more."""
    seen = {kind for kind, _, _ in gap.signs}
    faint = [_FIRST + i for i, p in enumerate(gap.chances) if p >= LEAST and _FIRST + i not in seen]
    for i, (_, _, probability) in enumerate(gap.signs):
        if 1 - probability >= LEAST:
            yield gap.text[:i] + gap.text[i + 1 :], 1 - probability
        for kind in faint:
            yield gap.text[:i] + ALPHABET[kind] + gap.text[i + 1 :], float(gap.chances[kind - _FIRST])
    for kind in faint:
        if any(kind in alike and not seen.isdisjoint(alike) for alike in _ALIKE):
            continue  # one mark that looks like both
        before = sum(at < gap.at[kind - _FIRST] for _, at, _ in gap.signs)
        yield gap.text[:before] + ALPHABET[kind] + gap.text[before:], float(gap.chances[kind - _FIRST])


def ask_general(
    rivals: Sequence[RivalMarks], seen: Marks, answer: Floats, digits: Sequence[Symbol]
) -> list[RivalMarks]:
    """Return the rival marks with the probabilities that networks and general reader give them together.

    It is their geometric mean: a mark that only a network sees is mostly print, or a side of a frame; what is written,
    both see, if only faintly. A mark that the general reader alone sees comes in with ``LEAST`` from the networks.
    ``answer`` (T, C) are the general reader's log-probabilities, ``digits`` the text's digits on its columns.
    """
    gaps = _find_gaps(answer, digits)
    weighed: dict[Marks, float] = {}
    for rival in rivals:
        held = [
            max(float(gap.chances[kind - _FIRST]) for kind in _alike(ALPHABET.index(mark)))
            for gap, before, after in zip(gaps, seen, rival.marks, strict=True)
            for mark in after
            if mark not in before
        ]
        weighed[rival.marks] = _together(rival.probability, min(held)) if held else rival.probability
    for k, gap in enumerate(gaps):
        if gap.text and not seen[k]:
            own = (*seen[:k], gap.text, *seen[k + 1 :])
            least = min(probability for _, _, probability in gap.signs)
            weighed[own] = max(weighed.get(own, 0.0), _together(LEAST, least))
    ranked = sorted(weighed.items(), key=lambda item: (-item[1], item[0]))
    return [RivalMarks(marks, round(probability, 4)) for marks, probability in ranked]


def _together(network: float, general: float) -> float:
    """Return the geometric mean of what a network and the general reader give a mark."""
    return float(np.sqrt(network * max(general, LEAST**2)))


def _alike(kind: int) -> frozenset[int]:
    """Return the marks that look like one, itself among them."""
    return next((pair for pair in _ALIKE if kind in pair), frozenset({kind}))
