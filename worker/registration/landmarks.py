"""A template's landmarks as arrays, for seeding and refinement."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from schemas.form_template import Landmark
from worker.imaging.geometry import Array, corners_of
from worker.registration.form_print import BOX, MARK, RULE

RUNG_MM = 6.0
"""Length of printed line that is searched for as one: longer than a letter, short enough to follow a bent sheet."""
SAMPLES_PER_RUNG = 5
"""Places along a rung at which ink is looked for: one every 1.2 mm, so that a stroke across it is seen once."""

MARKER = 3
"""An ArUco marker. It is not a shape of ``form_print``, because it is recognized by its number."""
MarkerKey = tuple[str, int]
"""Dictionary and number."""

_KIND = {"box": BOX, "line": RULE, "blob": MARK, "corner_mark": MARK, "aruco": MARKER}


@dataclass(frozen=True, slots=True, eq=False)
class Landmarks:
    """Landmarks in template millimetres.

    ``kind`` (M,), ``centre`` (M, 2), ``size`` (M, 2: width, height), ``corners`` (M, 4, 2). A rung is a stretch
    of printed line of about ``RUNG_MM``, the unit that is searched for: ``samples`` (R, S, 2) lie along it, ``middle``
    (R, 2) is their mean, ``weight`` (R,) its length and ``owner`` (R,) the landmark it belongs to. ``markers`` are the
    indices of ArUco markers with their keys, ``corner_marks`` the indices of solid marks that were printed for
    registration.
    """

    kind: NDArray[np.int8]
    centre: Array
    size: Array
    corners: Array
    samples: Array
    middle: Array
    weight: Array
    owner: NDArray[np.intp]
    markers: tuple[tuple[int, MarkerKey], ...] = ()
    corner_marks: tuple[int, ...] = ()

    def thinned(self, most_rungs: int) -> Landmarks:
        """Return the same landmarks with every n-th rung, at most ``most_rungs`` of them."""
        n = max(1, -(-len(self.samples) // most_rungs))
        samples, middle = self.samples[::n], self.middle[::n]
        return replace(self, samples=samples, middle=middle, weight=self.weight[::n], owner=self.owner[::n])


@functools.lru_cache(maxsize=64)
def landmark_arrays(landmarks: tuple[Landmark, ...]) -> Landmarks:
    """Return the landmarks' shapes and the rungs of their outlines; a solid mark has no rungs."""
    boxes = np.array([m.box_mm for m in landmarks], dtype=np.float64).reshape(-1, 4)
    kind = np.array([_KIND[m.kind] for m in landmarks], dtype=np.int8)
    strokes = [(i, *ends) for i, mark in enumerate(landmarks) for ends in strokes_of(mark)]
    rungs = [(i, *_rungs(start, end)) for i, start, end in strokes]
    samples = np.concatenate([s for _, s, _ in rungs]) if rungs else np.zeros((0, SAMPLES_PER_RUNG, 2))
    weight = np.concatenate([w for _, _, w in rungs]) if rungs else np.zeros(0)
    owner = np.repeat([i for i, _, _ in rungs], [len(w) for _, _, w in rungs]).astype(np.intp)
    centre = boxes[:, :2] + boxes[:, 2:] / 2
    markers = tuple((i, (m.dictionary, m.number)) for i, m in enumerate(landmarks) if m.number is not None)
    corner_marks = tuple(i for i, m in enumerate(landmarks) if m.kind == "corner_mark")
    corners = corners_of(boxes)
    middle = samples.mean(1)
    return Landmarks(kind, centre, boxes[:, 2:], corners, samples, middle, weight, owner, markers, corner_marks)


def strokes_of(mark: Landmark) -> list[tuple[Array, Array]]:
    """Return the printed lines of a landmark as (start, end) in mm; a solid mark has none."""
    a, b, c, d = corners_of(np.array([mark.box_mm], dtype=np.float64))[0]
    if mark.kind == "box":
        return [(a, b), (b, c), (c, d), (d, a)]
    if mark.kind == "line":
        lies = mark.box_mm[2] > mark.box_mm[3]
        return [((a + d) / 2, (b + c) / 2)] if lies else [((a + b) / 2, (c + d) / 2)]
    return []


def _rungs(start: Array, end: Array) -> tuple[Array, Array]:
    """Cut a stroke into rungs: samples (R, S, 2) and lengths (R,)."""
    length = float(np.hypot(*(end - start)))
    count = max(1, round(length / RUNG_MM))
    steps = (np.arange(count * SAMPLES_PER_RUNG) + 0.5) / (count * SAMPLES_PER_RUNG)
    samples = (start + steps[:, None] * (end - start)).reshape(count, SAMPLES_PER_RUNG, 2)
    return samples, np.full(count, length / count)
