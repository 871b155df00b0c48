"""What readers hold of whole strings: the forward algorithm of connectionist temporal classification.

The arrays of one line are small and its columns many, so the strings of all lines go through it side by side.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.fields.line_reader.decoding import BLANK

Floats = NDArray[np.float32]
Array = NDArray[np.float64]

IMPOSSIBLE = 1e-300
SURELY_BLANK = np.log1p(-1e-4)
MOST_TOGETHER = 400_000
"""Numbers that lines may take side by side, 3 MB; a line that takes more goes alone."""


@dataclass(frozen=True, slots=True, eq=False)
class _Lattice:
    """The states of a line's U strings: blank, digit, blank, digit, ..., blank; of shorter ones, blanks to the end.

    ``labels`` (U, S) are their classes, ``may_skip`` (U, S) is 1 where the blank before may be left out, ``last`` (U,)
    is the last state of each string, and ``likely`` (R, T, 11) are the readers' probabilities.
    """

    labels: NDArray[np.intp]
    may_skip: Array
    last: NDArray[np.intp]
    likely: Array

    @property
    def columns(self) -> int:
        """The number of columns."""
        return int(self.likely.shape[1])

    @property
    def rows(self) -> int:
        """The number of pairs of a reader and a string."""
        return len(self.likely) * len(self.labels)

    @property
    def states(self) -> int:
        """The number of states of the longest string."""
        return int(self.labels.shape[1])


def held_of_lines(lines: Sequence[tuple[Floats, Sequence[str]]]) -> list[Array]:
    """Return what the readers of each line hold of its strings of digits: log-probabilities, (U, R) float64 a line.

    Parameters
    ----------
    lines
        For each line (R, T, 11) float32 log-probabilities from ``merge_marks``, and U strings of digits.
    """
    lattices = [_lay_out(merged, strings) for merged, strings in lines]
    held: list[Array] = [np.zeros((0, 0))] * len(lattices)
    for together in _gather(lattices):
        for i, one in zip(together, _run([lattices[i] for i in together]), strict=True):
            held[i] = one
    return held


def _lay_out(merged: Floats, strings: Sequence[str]) -> _Lattice:
    longest = max((len(s) for s in strings), default=0)
    labels = np.full((len(strings), 2 * longest + 1), BLANK)
    for row, string in zip(labels, strings, strict=True):
        row[1 : 2 * len(string) : 2] = [int(d) for d in string]
    may_skip = np.zeros(labels.shape)
    may_skip[:, 3::2] = labels[:, 3::2] != labels[:, 1:-2:2]
    likely = np.exp(_without_repeated_blanks(merged).astype(np.float64))
    return _Lattice(labels, may_skip, np.array([2 * len(s) for s in strings], np.intp), likely)


def _without_repeated_blanks(merged: Floats) -> Floats:
    """Leave out the columns that are surely blank to all readers and follow such a column: they change nothing."""
    blank = (merged[:, :, BLANK] > SURELY_BLANK).all(axis=0)
    return merged[:, np.append(True, ~(blank[1:] & blank[:-1]))]


def _gather(lattices: Sequence[_Lattice]) -> list[list[int]]:
    """Return which lines go side by side, those with most columns first: as many as ``MOST_TOGETHER`` allows."""
    groups: list[list[int]] = []
    for i in sorted(range(len(lattices)), key=lambda i: -lattices[i].columns):
        if groups:
            members = [lattices[k] for k in (*groups[-1], i)]
            size = members[0].columns * max(m.states for m in members) * sum(m.rows for m in members)
            if size <= MOST_TOGETHER:
                groups[-1].append(i)
                continue
        groups.append([i])
    return groups


def _run(lattices: Sequence[_Lattice]) -> list[Array]:
    """Return what the readers hold of the strings of lines, (U, R) each, those with most columns first.

    The states beyond a line's own emit nothing, and a line stays as it is once it has no more columns.
    """
    ends = np.cumsum([0, *(one.rows for one in lattices)]).tolist()
    emission, may_skip = _side_by_side(lattices, ends)
    forward, reached = np.zeros(may_skip.shape), np.empty(may_skip.shape)
    forward[:, :2] = emission[0, :, :2]
    most, skipped = np.ones((*emission.shape[:2], 1)), np.empty(forward[:, 2:].shape)
    for first, stop in itertools.pairwise(sorted({1, *(one.columns for one in lattices)})):
        rows = ends[sum(one.columns >= stop for one in lattices)]
        now, after, skip, skips = forward[:rows], reached[:rows], may_skip[:rows, 2:], skipped[:rows]
        one_on, two_on, from_one, from_two = after[:, 1:], after[:, 2:], now[:, :-1], now[:, :-2]
        for emitted, largest in zip(emission[first:stop, :rows], most[first:stop, :rows], strict=True):
            after[...] = now  # in place: new arrays would take as long as the sums
            one_on += from_one
            two_on += np.multiply(from_two, skip, out=skips)
            np.multiply(after, emitted, out=now)
            np.maximum.reduce(now, axis=-1, keepdims=True, out=largest)
            largest += IMPOSSIBLE
            now /= largest
    scale = np.log(most[..., 0]).cumsum(axis=0)[-1]
    return [
        _read_off(one, forward[start:stop], scale[start:stop])
        for one, start, stop in zip(lattices, ends, ends[1:], strict=False)
    ]


def _side_by_side(lattices: Sequence[_Lattice], ends: Sequence[int]) -> tuple[Array, Array]:
    """Return what every state emits in every column, (T, rows, S), and which states may be reached by a skip."""
    shape = ends[-1], max(one.states for one in lattices)
    emission, may_skip = np.zeros((lattices[0].columns, *shape)), np.zeros(shape)
    for one, start, stop in zip(lattices, ends, ends[1:], strict=False):
        emitted = one.likely.swapaxes(0, 1)[:, :, one.labels]  # (T, R, U, S)
        emission[: one.columns, start:stop, : one.states] = emitted.reshape(one.columns, stop - start, one.states)
        may_skip[start:stop, : one.states] = np.tile(one.may_skip, (len(one.likely), 1))
    return emission, may_skip


def _read_off(line: _Lattice, forward: Array, scale: Array) -> Array:
    """Return (U, R) log-probabilities of a line's strings from the rows where they ended."""
    readers, count = len(line.likely), len(line.labels)
    states, strings = forward.reshape(readers, count, -1), np.arange(count)
    before = np.where(line.last > 0, states[:, strings, line.last - 1], 0)
    held = np.log(states[:, strings, line.last] + before + IMPOSSIBLE) + scale.reshape(readers, count)
    return np.asarray(held.T, np.float64)
