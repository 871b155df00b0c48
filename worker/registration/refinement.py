"""Bring the printed lines of a template onto the ink of a page, and count how much of them is there.

The ink of every rung (a stretch of printed line) is searched across its direction. Reweighted Gauss-Newton steps move
the homography towards what was found, as edge trackers do: Harris & Stennett, "RAPID", 1990; Drummond & Cipolla,
"Real-time visual tracking of complex structures", 2002.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.imaging.geometry import Array, median, project
from worker.registration.fiducials import Fiducials, match_fiducials, seen_markers
from worker.registration.form_print import FormPrint
from worker.registration.landmarks import RUNG_MM, SAMPLES_PER_RUNG, Landmarks

SEARCH_MM = (4.0, 2.0, 1.0, 0.8)
"""How far to each side a rung's line is searched for, round after round: what a guess may be off, then what is left."""
FOUND_WITHIN_MM = 0.6
"""A rung counts as found if its ink lies this near; fields then keep their place within 1 mm."""
FOUND_INK = 110.0
"""Least mean ink (0-255) along a rung that is a line; running text and handwriting stay below 80."""
FLANK_MM = 1.8
"""How far the paper beside a line is looked at."""
LEAST_RELIEF = 0.5
"""A line has paper on both sides within ``FLANK_MM``, with less than this share of its own ink. Text does not."""
HOPELESS = 0.25
"""A fit is given up if the first search finds lines across less than this share of its rungs."""
GAUSS_NEWTON_STEPS = 3
RUNGS_SEARCHED = 240
"""Rungs that a fit is refined with, thirty for each of its eight unknowns; all of them are counted at the end."""
LEAST_VISIBLE = 0.6
"""Least share of the print that quality is counted over: a form of which less is on the page loses quality."""
LEAST_RUNGS = 8
"""A homography has eight unknowns."""
LEAST_MARKERS = 2
"""One marker of 10 mm places the far corner of a page only to some millimetres."""


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """A refined homography with its quality in [0, 1], the rungs (R,) that were found, and those off the page."""

    homography: Array
    quality: float
    found: NDArray[np.bool_]
    off_page: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class _Search:
    """What lies across the rungs: ``middle`` and ``normal`` (R, 2), the line's ``offset`` (R,) px and ``ink`` (R,).

    ``flank`` (R,) is the ink of the palest place on its darker side; ``reach`` is how far the search went, in px.
    """

    middle: Array
    normal: Array
    offset: Array
    ink: Array
    flank: Array
    reach: float


def refine(homography: Array, form_print: FormPrint, marks: Landmarks) -> Fit:
    """Fit the homography to the print, in searches of narrowing reach, and judge it."""
    few = marks.thinned(RUNGS_SEARCHED)
    marked = len(seen_markers(form_print, marks)) >= LEAST_MARKERS
    for search_mm in SEARCH_MM if len(few.samples) >= LEAST_RUNGS or marked else ():
        search = _search(homography, form_print, few, search_mm)
        if search_mm < SEARCH_MM[0] and not marked and _is_line(search).mean() < HOPELESS:
            nothing = np.zeros(len(marks.samples), dtype=np.bool_)
            return Fit(homography, 0.0, nothing, nothing)
        homography = _move(homography, search, few, match_fiducials(homography, form_print, marks, search_mm))
    return _judge(homography, form_print, marks)


def share_found(homography: Array, form_print: FormPrint, marks: Landmarks) -> Array:
    """Return (M,) which share of each landmark's printed lines the page shows where the homography puts them."""
    search = _search(homography, form_print, marks, FLANK_MM)
    found = (np.abs(search.offset) <= FOUND_WITHIN_MM / FLANK_MM * search.reach) & _is_line(search)
    count = len(marks.kind)
    whole = np.bincount(marks.owner, marks.weight, count)
    return np.asarray(np.bincount(marks.owner, marks.weight * found, count) / np.maximum(whole, 1e-9))


def _is_line(search: _Search) -> NDArray[np.bool_]:
    """Tell rungs across which there is a line: ink with paper on both sides."""
    return np.asarray((search.ink > FOUND_INK) & (search.flank < LEAST_RELIEF * search.ink), dtype=np.bool_)


def _judge(homography: Array, form_print: FormPrint, marks: Landmarks) -> Fit:
    """Judge a fit by how much of each landmark is found; a landmark that is half found by chance counts a quarter.

    What lies off the page is left out, but a form that is mostly off the page counts what is missing. Corner marks and
    markers count as boxes of their size. A form that has markers is found only where one of them is. One marker alone,
    without lines, is not enough.
    """
    search = _search(homography, form_print, marks, FLANK_MM)
    height, width = form_print.ink.shape
    visible = np.asarray(((search.middle > 1) & (search.middle < (width - 2, height - 2))).all(1), np.bool_)
    near = np.abs(search.offset) <= FOUND_WITHIN_MM / FLANK_MM * search.reach
    found = visible & near & _is_line(search)
    count = len(marks.kind)
    seen = np.bincount(marks.owner, marks.weight * visible, count)
    share = np.bincount(marks.owner, marks.weight * found, count) / np.maximum(seen, 1e-9)
    fiducials = [*marks.corner_marks, *(i for i, _ in marks.markers)]
    at = project(homography, marks.centre[fiducials])
    outline = 2 * marks.size[fiducials].sum(1)
    seen[fiducials] = outline * ((at > 1) & (at < (width - 2, height - 2))).all(1)
    _, _, met = match_fiducials(homography, form_print, marks, FOUND_WITHIN_MM)
    share[met] = 1.0
    total = float(marks.weight.sum() + outline.sum())
    markers_met = len(set(met.tolist()) - set(marks.corner_marks))
    if markers_met < (LEAST_MARKERS if len(marks.samples) < LEAST_RUNGS else min(1, len(marks.markers))):
        return Fit(homography, 0.0, found, np.logical_not(visible))
    quality = float((share**2 * seen).sum()) / max(float(seen.sum()), LEAST_VISIBLE * total, 1e-9)
    return Fit(homography, quality, found, np.logical_not(visible))


def _search(homography: Array, form_print: FormPrint, marks: Landmarks, search_mm: float) -> _Search:
    """Look for the strongest ink across every rung, to a fraction of a pixel; nearer ink is preferred."""
    count = len(marks.samples)
    px = project(homography, marks.samples.reshape(-1, 2)).reshape(count, SAMPLES_PER_RUNG, 2)
    chord = px[:, -1] - px[:, 0]
    length = np.hypot(chord[:, 0], chord[:, 1])
    normal = np.stack([-chord[:, 1], chord[:, 0]], 1) / np.maximum(length, 1e-6)[:, None]
    px_per_mm = median(length) / (RUNG_MM * (SAMPLES_PER_RUNG - 1) / SAMPLES_PER_RUNG) if count else 1.0
    reach = float(np.clip(search_mm * px_per_mm, 2.0, 60.0))
    offsets = np.linspace(-reach, reach, 2 * int(np.ceil(reach)) + 1)
    x, y = (px[:, :, None, k] + normal[:, k][:, None, None] * offsets for k in (0, 1))
    across = _sample(form_print.ink, x.astype(np.float32), y.astype(np.float32)).mean(1)
    offset, ink, flank = _peaks(offsets, across)
    return _Search(px.mean(1), normal, offset, ink, flank, reach)


def _sample(ink: NDArray[np.uint8], x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the ink at places of any shape."""
    if not x.size:
        return np.zeros(x.shape, np.float32)
    flat = (x.reshape(-1, x.shape[-1]), y.reshape(-1, x.shape[-1]))
    return np.asarray(cv2.remap(ink, *flat, cv2.INTER_LINEAR, borderValue=0), np.float32).reshape(x.shape)


def _peaks(offsets: Array, across: NDArray[np.float32]) -> tuple[Array, Array, Array]:
    preferred = across * (1 - 0.3 * np.abs(offsets) / offsets[-1])
    top = np.clip(preferred.argmax(1), 1, len(offsets) - 2)
    rows = np.arange(len(across))
    around = np.stack([across[rows, top - 1], across[rows, top], across[rows, top + 1]], 1).astype(np.float64)
    step = offsets[1] - offsets[0]
    shift = (around[:, 2] - around[:, 0]) / np.maximum(around.sum(1), 1e-6) * step
    before = np.minimum.accumulate(across, 1)[rows, top]
    after = np.minimum.accumulate(across[:, ::-1], 1)[rows, len(offsets) - 1 - top]
    return offsets[top] + shift, around.max(1), np.maximum(before, after).astype(np.float64)


def _move(homography: Array, search: _Search, marks: Landmarks, fiducials: Fiducials) -> Array:
    """Move the homography to the ink found across rungs, and to fiducials, each a point on two lines."""
    found = search.ink > FOUND_INK
    points_mm, points_px, _ = fiducials
    if found.sum() + 2 * len(points_mm) < LEAST_RUNGS:
        return homography
    axes = np.repeat(np.eye(2), len(points_mm), 0)
    mm = np.concatenate([marks.middle[found], points_mm, points_mm])
    normal = np.concatenate([search.normal[found], axes])
    weight = np.concatenate([marks.weight[found], np.full(len(axes), RUNG_MM)])
    target = search.middle[found] + search.normal[found] * search.offset[found][:, None]
    target = np.concatenate([target, points_px, points_px])
    return _gauss_newton(homography, (mm, target, normal), weight, width=0.3 * search.reach)


def _gauss_newton(homography: Array, lines: tuple[Array, Array, Array], weight: Array, *, width: float) -> Array:
    """Move the homography to bring points (mm) onto lines (point and normal, px); Cauchy weights of ``width`` px."""
    mm, px, normal = lines
    middle, spread = mm.mean(0), max(float(mm.std()), 1e-6)
    unit = np.array([[1 / spread, 0, -middle[0] / spread], [0, 1 / spread, -middle[1] / spread], [0, 0, 1]])
    mm_from_unit = np.linalg.inv(unit)
    u = np.concatenate([(mm - middle) / spread, np.ones((len(mm), 1))], axis=1)
    along = np.concatenate([normal[:, :1] * u, normal[:, 1:] * u], axis=1)
    for _ in range(GAUSS_NEWTON_STEPS):
        scaled = homography @ mm_from_unit
        scaled = scaled / scaled[2, 2]
        p = u @ scaled.T
        q = p[:, :2] / p[:, 2:]
        residual = ((px - q) * normal).sum(1)
        root = np.sqrt(weight / (1 + (residual / width) ** 2))
        toward = (normal * q).sum(1)
        jacobian = np.concatenate([along, -toward[:, None] * u[:, :2]], axis=1) / p[:, 2:]
        step = np.linalg.lstsq(root[:, None] * jacobian, root * residual, rcond=1e-6)[0]
        homography = np.asarray((scaled + np.append(step, 0.0).reshape(3, 3)) @ unit, dtype=np.float64)
    return homography
