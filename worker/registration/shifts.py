"""The places where a table fits a row or a column further: a form of equal boxes lies nearly as well there.

Guesses are few, and of a large table they may all be wrong by some rows. So the places around the best fit are tried as
well, until none is better: what is best then is the table's own place, and the others are its rivals.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from worker.imaging.geometry import Array
from worker.registration.landmarks import Landmarks
from worker.values import freeze

LEAST_OVERLAP = 0.7
"""Least share of the landmarks that a shift brings onto others of their size; with less its place is no rival, because
what it does not explain costs quality."""
SAME_SIZE = 0.05
"""Two boxes are alike if the logarithms of their sides differ by less."""
SAME_PLACE_MM = 1.0


@functools.lru_cache(maxsize=64)
def find_shifts(marks: Landmarks) -> tuple[tuple[float, float], ...]:
    """Return the moves (x, y) mm, at most one row up and down and one column to each side, onto equal boxes.

    They are those of a template, whatever the page, and kept, because each landmark is compared with each.
    """
    if len(marks.kind) < 3:
        return ()
    apart = marks.centre[None] - marks.centre[:, None]
    alike = _alike(marks)
    shifts: list[tuple[float, float]] = []
    for axis in (0, 1):
        beside = alike & (np.abs(apart[..., 1 - axis]) < SAME_PLACE_MM) & (apart[..., axis] > SAME_PLACE_MM)
        steps = np.where(beside, apart[..., axis], np.inf).min(1)
        known = steps[np.isfinite(steps)]
        if not len(known):
            continue
        move = np.zeros(2)
        move[axis] = np.median(known)
        if _overlap(apart, alike, move) >= LEAST_OVERLAP:
            shifts += [(float(move[0]), float(move[1])), (-float(move[0]), -float(move[1]))]
    return tuple(shifts)


@functools.lru_cache(maxsize=64)
def find_half_turn(marks: Landmarks) -> Array | None:
    """Return the map (3, 3) in mm that turns a form upside down onto itself; None if it is not the same that way.

    It is kept with the template, as the shifts are.
    """
    if len(marks.kind) < 3:
        return None
    middle = ((marks.centre - marks.size / 2).min(0) + (marks.centre + marks.size / 2).max(0)) / 2
    apart = 2 * middle - marks.centre[None] - marks.centre[:, None]
    if _overlap(apart, _alike(marks), np.zeros(2)) < LEAST_OVERLAP:
        return None
    return freeze(np.array([[-1.0, 0.0, 2 * middle[0]], [0.0, -1.0, 2 * middle[1]], [0.0, 0.0, 1.0]]))


def _alike(marks: Landmarks) -> NDArray[np.bool_]:
    """Return (M, M) which landmarks are of one kind and size."""
    sizes = np.log(np.maximum(marks.size, 1e-3))
    alike = np.abs(sizes[None] - sizes[:, None]).max(2) < SAME_SIZE
    return np.asarray(alike & (marks.kind[None] == marks.kind[:, None]), np.bool_)


def _overlap(apart: Array, alike: NDArray[np.bool_], move: Array) -> float:
    """Return the share of the landmarks that a move brings onto others like them."""
    met = alike & (np.abs(apart - move).max(2) < SAME_PLACE_MM)
    return float(met.any(1).mean())


def shifted(homography: Array, move: Sequence[float]) -> Array:
    """Return the map that lays the template where ``homography`` does, moved by (x, y) mm."""
    x, y = move
    return np.asarray(homography @ np.array([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]]), dtype=np.float64)
