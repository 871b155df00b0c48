"""Guess where a template lies on a page: match one printed shape with one landmark, then find all that agree.

A *seed* is the similarity that brings one landmark onto one shape of its kind and proportions, in one of four
quarter turns. It is judged by how many other landmarks it brings onto shapes of their kind and size. The best seeds
are grown to a homography over all shapes that agree. ArUco markers need no guessing: two of the template's markers on
the page give its place. Corner marks seed in pairs if boxes and lines are too few.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.imaging.geometry import Array, median, project
from worker.registration.fiducials import guess_by_markers, seeds_by_corner_marks, seen_markers
from worker.registration.form_print import MARK, RULE, FormPrint
from worker.registration.landmarks import Landmarks

SEEDS_GROWN = 6
"""Guesses that are worked out, the best first, so that the time has a bound."""
LEAST_AGREEMENT = 0.4
"""Seeds with less than this share of the best one's agreeing landmarks are not grown."""
SCALE_RANGE = (0.25, 1.8)
"""Range of the scale, where 1 is a template's page that fills the picture: from distant photos to cut-off scans."""
PROPORTIONS = 0.35
"""Largest difference between the log aspects of a shape and its landmark: perspective shortens one side."""
MOST_SHAPES, MOST_LANDMARKS, MOST_SEEDS = 150, 40, 4000
"""Only the largest are used, so that a page full of cells costs no more than one of boxes."""
EQUAL_SIZE = 0.05
"""Sizes in one such step of their logarithm are equal. Of equal ones the sample is spread over the page, because the
first rows of a table lie as well on any other rows."""
FEW_LINES = 12
"""A template with fewer boxes and lines is also seeded by its corner marks; with more they only cost time."""
_TURNED = (np.arange(4) + np.arange(4)[:, None]) % 4
_GOLDEN = (5**0.5 - 1) / 2
"""Multiples of it, without their whole parts, fill the unit interval evenly at any count (Weyl)."""
GROWTH = (0.04, 0.025, 0.012)
"""Largest distance of a shape from its landmark, in picture sides, at each round of growth."""


@dataclass(frozen=True, slots=True, eq=False)
class Guess:
    """A homography from template mm to pixels of the reduced picture, and how many shapes agree with it."""

    homography: Array
    agreeing: int


@dataclass(frozen=True, slots=True, eq=False)
class _Seeds:
    """Similarities: ``turn`` (K,) radians, ``scale`` (K,) px per mm, ``shift`` (K, 2) px."""

    turn: Array
    scale: Array
    shift: Array

    def homography(self, k: int) -> Array:
        c, s = np.cos(self.turn[k]) * self.scale[k], np.sin(self.turn[k]) * self.scale[k]
        return np.array([[c, -s, self.shift[k, 0]], [s, c, self.shift[k, 1]], [0, 0, 1]])


def guess_places(form_print: FormPrint, marks: Landmarks, page_mm: tuple[float, float]) -> list[Guess]:
    """Return the places where the template may lie, the one with the most agreeing shapes first."""
    large = _choose_largest(marks.size.max(1), MOST_LANDMARKS)
    by_markers = _guess_by_markers(form_print, marks)
    if len(seen_markers(form_print, marks)) > 1:
        return by_markers
    seeds = _find_seeds(form_print, marks, large, page_mm)
    if not len(seeds.scale):
        return by_markers
    agreeing = _count_agreeing(form_print, marks, large, seeds)
    order = np.argsort(-agreeing, kind="stable")
    grown = by_markers
    places = [project(guess.homography, marks.centre) for guess in grown]
    for k in order:
        if len(grown) >= SEEDS_GROWN or agreeing[k] < LEAST_AGREEMENT * agreeing[order[0]]:
            break
        homography = seeds.homography(int(k))
        at = project(homography, marks.centre)
        if not any(_same_place(at, there) for there in places):
            grown.append(_grow(homography, form_print, marks))
            places.append(project(grown[-1].homography, marks.centre))
    return sorted(grown, key=lambda g: -g.agreeing)


def _choose_largest(size: NDArray[Any], most: int) -> NDArray[np.intp]:
    """Return the indices of the ``most`` largest, the largest first; of equal ones a sample spread over their order."""
    step = np.round(np.log(np.maximum(size, 1e-3)) / EQUAL_SIZE)
    spread = np.arange(len(size)) * _GOLDEN % 1.0
    return np.lexsort((spread, -step))[:most]


def _thin_out(values: NDArray[Any], most: int) -> NDArray[Any]:
    """Return at most so many of the values, spread over their order."""
    return values if len(values) <= most else values[np.linspace(0, len(values) - 1, most).astype(np.intp)]


def _guess_by_markers(form_print: FormPrint, marks: Landmarks) -> list[Guess]:
    """Return the place that the markers give, if any was seen; one marker alone is not enough to extrapolate from."""
    homography = guess_by_markers(form_print, marks)
    if homography is None:
        return []
    count = len(seen_markers(form_print, marks))
    if count == 1:
        grown = _grow(homography, form_print, marks)
        return [Guess(grown.homography, grown.agreeing + 1)]
    shape, _ = _match(homography, form_print, marks, GROWTH[-1] * max(form_print.ink.shape))
    return [Guess(homography, len(shape) + count)]


def _find_seeds(
    form_print: FormPrint, marks: Landmarks, large: NDArray[np.intp], page_mm: tuple[float, float]
) -> _Seeds:
    shapes = _choose_largest(form_print.size[:, 0], MOST_SHAPES)
    fill = max(form_print.ink.shape) / max(page_mm)
    found = []
    for quarter in range(4):
        size = form_print.size[shapes] if quarter % 2 == 0 else form_print.size[shapes][:, ::-1]
        i, j = np.nonzero(_alike(form_print.kind[shapes], size, marks.kind[large], marks.size[large]))
        shape, mark = shapes[i], large[j]
        area_scale = np.sqrt(np.prod(size[i], 1) / np.prod(marks.size[mark], 1))
        length_scale = size[i].max(1) / marks.size[mark].max(1)
        scale = np.where(marks.kind[mark] == RULE, length_scale, area_scale)
        keep = (scale > SCALE_RANGE[0] * fill) & (scale < SCALE_RANGE[1] * fill)
        turn = form_print.angle[shape].astype(np.float64) + quarter * np.pi / 2
        found.append((turn[keep], scale[keep], form_print.centre[shape][keep], marks.centre[mark][keep]))
    turn, scale, at, centre = (_thin_out(np.concatenate(parts), MOST_SEEDS) for parts in zip(*found, strict=True))
    shift = at - _rotate(centre, turn) * scale[:, None]
    if (marks.kind[large] != MARK).sum() < FEW_LINES:
        more = seeds_by_corner_marks(form_print, marks)
        keep = (more[1] > SCALE_RANGE[0] * fill) & (more[1] < SCALE_RANGE[1] * fill)
        turn, scale, shift = (np.concatenate([a, b[keep]]) for a, b in zip((turn, scale, shift), more, strict=True))
    return _Seeds(turn, scale, shift)


def _rotate(points: Array, turn: Array) -> Array:
    cos, sin = np.cos(turn), np.sin(turn)
    return np.stack([cos * points[:, 0] - sin * points[:, 1], sin * points[:, 0] + cos * points[:, 1]], 1)


def _alike(
    kind: NDArray[np.int8], size: NDArray[np.float32], mark_kind: NDArray[np.int8], mark_size: Array
) -> NDArray[np.bool_]:
    """Return (N, M) whether a shape has the kind and proportions of a landmark; solid marks are too vague to seed."""
    aspect = np.log(np.maximum(size[:, 0], 1e-3) / np.maximum(size[:, 1], 1e-3))[:, None]
    mark_aspect = np.log(mark_size[:, 0] / np.maximum(mark_size[:, 1], 1e-3))[None]
    same_way = (aspect > 0) == (mark_aspect > 0)
    alike = np.where(mark_kind == RULE, same_way, np.abs(aspect - mark_aspect) < PROPORTIONS)
    return np.asarray(alike & (kind[:, None] == mark_kind[None]) & (mark_kind != MARK), dtype=np.bool_)


def _count_agreeing(
    form_print: FormPrint, marks: Landmarks, large: NDArray[np.intp], seeds: _Seeds
) -> NDArray[np.intp]:
    """Count the landmarks that each seed brings near a shape of their kind and length."""
    x, y = marks.centre[large].T.astype(np.float32)
    cos = (np.cos(seeds.turn) * seeds.scale).astype(np.float32)[:, None]
    sin = (np.sin(seeds.turn) * seeds.scale).astype(np.float32)[:, None]
    shift = seeds.shift.astype(np.float32)
    at_x, at_y = cos * x - sin * y + shift[:, :1], sin * x + cos * y + shift[:, 1:]
    longer = (np.log(marks.size[large].max(1))[None] + np.log(seeds.scale)[:, None]).astype(np.float32)
    near = 0.03 * max(form_print.ink.shape)
    met = np.zeros(at_x.shape, dtype=np.bool_)
    for n in _choose_largest(form_print.size[:, 0], MOST_SHAPES):
        here = np.abs(at_x - form_print.centre[n, 0]) < near
        here &= np.abs(at_y - form_print.centre[n, 1]) < near
        here &= np.abs(longer - np.log(form_print.size[n, 0])) < 0.2
        met |= here & (marks.kind[large] == form_print.kind[n])
    return np.asarray(met.sum(1), dtype=np.intp)


def _same_place(at: Array, there: Array) -> bool:
    """Tell whether two maps bring the landmarks, here their centres (M, 2) px, to the same place."""
    return bool(median(np.abs(at - there).max(1)) < 0.02 * np.abs(there).max())


def _grow(homography: Array, form_print: FormPrint, marks: Landmarks) -> Guess:
    """Refit to the shapes that agree, within narrowing distances; the same points again would give the same fit."""
    count, fitted_to = 0, None
    for near in GROWTH:
        shape, mark = _match(homography, form_print, marks, near * max(form_print.ink.shape))
        count = len(shape)
        corners = _shape_corners(homography, form_print, shape, marks.corners[mark])
        mm = np.concatenate([marks.centre[mark], marks.corners[mark].reshape(-1, 2)])
        px = np.concatenate([form_print.centre[shape].astype(np.float64), corners.reshape(-1, 2)])
        points = mm.tobytes(), px.tobytes()
        if points == fitted_to:
            continue
        fitted, fitted_to = _fit_points(mm, px) if count >= 2 else None, points
        if fitted is None:
            break
        homography = fitted
    return Guess(homography, count)


def _match(
    homography: Array, form_print: FormPrint, marks: Landmarks, near: float
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Pair each landmark with the nearest shape of its kind and length: indices of shapes and of landmarks."""
    at = project(homography, marks.centre)
    outline = project(homography, marks.corners.reshape(-1, 2)).reshape(-1, 4, 2)
    sides = outline[:, 1:3] - outline[:, 0:2]
    longer = np.log(np.maximum(np.hypot(sides[..., 0], sides[..., 1]).max(1), 1e-3))
    x, y = form_print.centre.T
    gap = np.hypot(at[:, 0] - x[:, None], at[:, 1] - y[:, None])
    unlike = form_print.kind[:, None] != marks.kind[None]
    unlike |= np.abs(np.log(form_print.size[:, :1]) - longer[None]) > 0.15
    gap = np.where(unlike, np.inf, gap)
    shape = np.argmin(gap, 0)
    mark = np.nonzero(gap[shape, np.arange(len(at))] < near)[0]
    return shape[mark], mark


def _shape_corners(homography: Array, form_print: FormPrint, shape: NDArray[np.intp], corners_mm: Array) -> Array:
    """Return the (N, 4, 2) corners of shapes in the order in which the landmarks' corners fall on them."""
    c, s = np.cos(form_print.angle[shape]), np.sin(form_print.angle[shape])
    half = form_print.size[shape] / 2
    along, across = np.stack([c, s], 1) * half[:, :1], np.stack([-s, c], 1) * half[:, 1:]
    ring = np.stack([-along - across, along - across, along + across, across - along], 1)
    ring = ring + form_print.centre[shape][:, None]
    expected = project(homography, corners_mm.reshape(-1, 2)).reshape(-1, 4, 2)
    turned = ring.take(_TURNED, axis=1)
    nearest = np.abs(turned - expected[:, None]).sum((2, 3)).argmin(1)
    return np.asarray(turned[np.arange(len(shape)), nearest], dtype=np.float64)


def _fit_points(mm: Array, px: Array) -> Array | None:
    """Fit a homography to the points of six shapes or more, an affine map to fewer."""
    if len(mm) >= 30:
        homography, _ = cv2.findHomography(mm, px, cv2.RHO, 6.0)
        return None if homography is None else np.asarray(homography, dtype=np.float64)
    affine, *_ = np.linalg.lstsq(np.c_[mm, np.ones(len(mm))], px, rcond=None)
    return np.vstack([affine.T, [0.0, 0.0, 1.0]])
