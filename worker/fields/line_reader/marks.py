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
    probability; ``chances`` are how likely each mark, from ``_FIRST`` on, is to stand anywhere there. ``likely`` (n, 7)
    are the probabilities of the marks on the gap's own columns, of which ``start`` is the first.
    """

    signs: tuple[tuple[int, int, float], ...]
    chances: tuple[float, ...]
    likely: NDArray[np.float64]
    start: int

    @property
    def text(self) -> str:
        """The marks that are likeliest."""
        return "".join(ALPHABET[kind] for kind, _, _ in self.signs)

    def chance(self, kind: int) -> float:
        """Return how likely a mark is to stand in the gap."""
        return self.chances[kind - _FIRST]

    def place(self, kind: int) -> int:
        """Return the column on which a mark is likeliest."""
        return self.start + int(self.likely[:, kind - _FIRST].argmax())


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
    """Return the gaps before, between and behind digits on a reader's columns; a gap may have no column."""
    edges = [0, *(column for s in digits for column in (s.start, s.stop)), len(answer)]
    bounds = list(zip(edges[::2], edges[1::2], strict=True))
    likely = np.exp(answer[:, _FIRST:_STOP].astype(np.float64))
    pairs = likely.copy()
    pairs[:-1] += likely[1:]  # a mark may lie across two columns
    wide = [(start, stop) for start, stop in bounds if stop > start]
    last = [stop - 1 for _, stop in wide]
    pairs[last] = likely[last]
    parts = [edge for bound in wide for edge in bound if edge < len(answer)]
    chances = iter(np.minimum(np.maximum.reduceat(pairs, parts)[::2], 1.0).tolist() if wide else ())
    best = answer.argmax(axis=1)
    marked = np.flatnonzero((best >= _FIRST) & (best < _STOP)).tolist()
    return [
        _Gap(_signs(pairs, best, marked, start, stop), tuple(next(chances)), likely[start:stop], start)
        if stop > start
        else _Gap((), (0.0,) * (_STOP - _FIRST), likely[:0], start)
        for start, stop in bounds
    ]


def _signs(
    pairs: NDArray[np.float64], best: NDArray[np.intp], marked: Sequence[int], start: int, stop: int
) -> tuple[tuple[int, int, float], ...]:
    """Return class, first column and probability of each run of a mark between two columns."""
    firsts = [i for i in marked if start <= i < stop and (i == start or best[i - 1] != best[i])]
    kinds = [int(best[i]) for i in firsts]
    return tuple(
        (kind, i, float(min(1.0, pairs[i:stop, kind - _FIRST].max()))) for kind, i in zip(kinds, firsts, strict=True)
    )


def _others(gap: _Gap) -> Iterator[tuple[str, float]]:
    """Yield what else may stand in a gap: one of its marks left out or taken for another, or one mark more."""
    if not gap.signs and max(gap.chances) < LEAST:
        return
    seen = {kind for kind, _, _ in gap.signs}
    faint = [_FIRST + i for i, p in enumerate(gap.chances) if p >= LEAST and _FIRST + i not in seen]
    for i, (_, _, probability) in enumerate(gap.signs):
        if 1 - probability >= LEAST:
            yield gap.text[:i] + gap.text[i + 1 :], 1 - probability
        for kind in faint:
            yield gap.text[:i] + ALPHABET[kind] + gap.text[i + 1 :], gap.chance(kind)
    for kind in faint:
        if any(kind in alike and not seen.isdisjoint(alike) for alike in _ALIKE):
            continue  # one mark that looks like both
        before = sum(at < gap.place(kind) for _, at, _ in gap.signs)
        yield gap.text[:before] + ALPHABET[kind] + gap.text[before:], gap.chance(kind)


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
            max(gap.chance(kind) for kind in _alike(ALPHABET.index(mark)))
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
