"""Find the marks by which a form is registered: ArUco markers, each with a number, and solid corner marks.

S. Garrido-Jurado et al., "Automatic generation and detection of highly reliable fiducial markers under occlusion",
Pattern Recognition 47, 2014; the detector is OpenCV's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from schemas.form_template import FormTemplate
from worker.imaging.geometry import Array, project
from worker.registration.form_print import MARK, WORKING_SIDE_PX, FormPrint, reduce_page
from worker.registration.landmarks import Landmarks, MarkerKey
from worker.values import Grey

Fiducials = tuple[Array, Array, NDArray[np.intp]]
"""Places (K, 2) mm and (K, 2) px that belong together, and the landmarks (M,) that were found."""

MOST_MARKS = 24
"""Solid shapes, the largest first, that may be corner marks: every two of them are tried, 552 pairs."""
ALIKE = 0.4
"""Largest difference between the log size of a solid mark and that of its landmark."""


def add_markers(form_print: FormPrint, grey: Grey, templates: Iterable[FormTemplate]) -> FormPrint:
    """Return the print with those markers that a template of ``templates`` names; no others are looked for."""
    wanted = {m.dictionary for t in templates for m in t.landmarks if m.kind == "aruco"}
    if not wanted:
        return form_print
    small, _ = reduce_page(grey, WORKING_SIDE_PX)
    seen = {key: corners for name in sorted(wanted) for key, corners in _detect(small, name)}
    return replace(form_print, markers=seen)


def _detect(small: Grey, dictionary: str) -> list[tuple[MarkerKey, Array]]:
    """Find the markers of one dictionary; a number that is seen twice gives no place and is left out.

    Of each the corners (4, 2) in pixels of the reduced picture, clockwise from the marker's own top left.
    """
    kept = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, f"DICT_{dictionary.upper()}"))
    parameters = cv2.aruco.DetectorParameters()
    parameters.cornerRefinementMethod = cv2.aruco.CORNER_REFINE_SUBPIX
    corners, numbers, _ = cv2.aruco.ArucoDetector(kept, parameters).detectMarkers(small)
    if numbers is None:
        return []
    found = [int(n) for n in np.asarray(numbers).ravel()]
    return [
        ((dictionary, number), np.asarray(ring, np.float64).reshape(4, 2))
        for number, ring in zip(found, corners, strict=True)
        if found.count(number) == 1
    ]


def seen_markers(form_print: FormPrint, marks: Landmarks) -> list[tuple[int, Array]]:
    """Return the landmarks that are markers and were seen: index and corners (4, 2) px."""
    return [(i, form_print.markers[key]) for i, key in marks.markers if key in form_print.markers]


def match_fiducials(homography: Array, form_print: FormPrint, marks: Landmarks, within_mm: float) -> Fiducials:
    """Pair the template's fiducials with those of the page that lie within a distance of their expected places."""
    back = np.asarray(np.linalg.inv(homography), np.float64)
    mm, px, owner = [], [], []
    for i, corners in seen_markers(form_print, marks):
        if np.abs(project(back, corners) - marks.corners[i]).max() <= within_mm:
            mm.append(marks.corners[i])
            px.append(corners)
            owner.append(i)
    at = project(back, form_print.centre.astype(np.float64)) if len(form_print.centre) else np.zeros((0, 2))
    for i in marks.corner_marks:
        near = np.flatnonzero((np.hypot(*(at - marks.centre[i]).T) <= within_mm) & (form_print.kind == MARK))
        if len(near) == 1 and _is_alike(homography, form_print.size[near[0]], marks.corners[i]):
            mm.append(marks.centre[i][None])
            px.append(form_print.centre[near].astype(np.float64))
            owner.append(i)
    nothing = np.zeros((0, 2))
    return (
        np.concatenate([nothing, *mm]),
        np.concatenate([nothing, *px]),
        np.array(owner, dtype=np.intp),
    )


def _is_alike(homography: Array, size: NDArray[np.float32], corners_mm: Array) -> bool:
    expected = cv2.contourArea(project(homography, corners_mm).astype(np.float32))
    return bool(abs(np.log(max(float(np.prod(size)), 1e-3) / max(expected, 1e-3))) < 2 * ALIKE)


def guess_by_markers(form_print: FormPrint, marks: Landmarks) -> Array | None:
    """Return the homography that fits the markers seen; a similarity for one marker, None without any."""
    seen = seen_markers(form_print, marks)
    if not seen:
        return None
    mm = np.concatenate([marks.corners[i] for i, _ in seen])
    px = np.concatenate([corners for _, corners in seen])
    if len(seen) > 1:
        homography, _ = cv2.findHomography(mm, px, cv2.LMEDS if len(seen) > 3 else 0)
        return None if homography is None else np.asarray(homography, np.float64)
    similar, _ = cv2.estimateAffinePartial2D(mm, px)
    return None if similar is None else np.vstack([similar, [0.0, 0.0, 1.0]])


def seeds_by_corner_marks(form_print: FormPrint, marks: Landmarks) -> tuple[Array, Array, Array]:
    """Match every two solid marks of the page with every two corner marks: turn (K,), scale (K,), shift (K, 2)."""
    shapes = np.flatnonzero(form_print.kind == MARK)
    shapes = shapes[np.argsort(-form_print.size[shapes, 0], kind="stable")][:MOST_MARKS]
    centre = form_print.centre[shapes].astype(np.float64)
    p, q = np.nonzero(~np.eye(len(shapes), dtype=bool))
    turns, scales, shifts = [np.zeros(0)], [np.zeros(0)], [np.zeros((0, 2))]
    for a in marks.corner_marks:
        for b in marks.corner_marks:
            if a >= b:
                continue
            there, here = marks.centre[b] - marks.centre[a], centre[q] - centre[p]
            scale = np.hypot(*here.T) / np.hypot(*there)
            turn = np.arctan2(here[:, 1], here[:, 0]) - np.arctan2(there[1], there[0])
            area = np.prod(form_print.size[shapes], 1, dtype=np.float64)
            wanted = np.prod(marks.size[a]) * scale**2
            keep = (np.abs(np.log(area[p] / wanted)) < 2 * ALIKE) & (np.abs(np.log(area[q] / wanted)) < 2 * ALIKE)
            cos, sin = np.cos(turn) * scale, np.sin(turn) * scale
            x, y = marks.centre[a]
            moved = np.stack([cos * x - sin * y, sin * x + cos * y], 1)
            turns.append(turn[keep])
            scales.append(scale[keep])
            shifts.append((centre[p] - moved)[keep])
    return np.concatenate(turns), np.concatenate(scales), np.concatenate(shifts)


def marker_picture(dictionary: str, number: int, side_px: int) -> Grey:
    """Draw a marker, black on white, with its black border at the edge of the picture, for forms and tests."""
    kept = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, f"DICT_{dictionary.upper()}"))
    return np.asarray(cv2.aruco.generateImageMarker(kept, number, side_px), np.uint8)
