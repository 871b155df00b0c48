"""Level a page by its own lines: turn it by its skew, and rectify a photo that shows its rules in perspective."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from worker.imaging.geometry import project
from worker.registration.form_print import INK_CONTRAST, INK_WINDOW_PX, reduce_page
from worker.values import Grey

WORKING_SIDE_PX = 1000
"""Longer side of the reduced picture: 3.4 px a millimetre on A4, where a rule is a pixel wide."""
MOST_POINTS = 40_000
"""Pixels of ink that are projected; of more, every n-th is, so that the time has a bound."""
MOST_SKEW_DEG = 10.0
"""Skew that is looked for, to either side."""
STEPS_DEG = (1.0, 0.2, 0.05)
"""Steps between the angles that are tried, each time around the best before. 0.05 degrees are 0.26 mm along A4."""
SHORTEST_RULE = 0.025
"""Shortest stretch of a printed rule that shows perspective, as a share of the picture's longer side: 7 mm on A4,
longer than the strokes of letters."""
MOST_SLOPE = 0.3
"""Steepest rule of a levelled page: the sides of a sheet photographed at 40 degrees converge at 15 degrees."""
FEWEST_RULES = 6
"""Stretches in each direction that a rectification needs: two lines fix a vanishing point, more show agreement."""
LEAST_SLOPE = 0.003
"""Rules that stray less than this from level come from a scanner; only their skew is corrected."""


def estimate_skew(grey: Grey) -> float:
    """Return by how many degrees the lines of a page fall to the right, within ``MOST_SKEW_DEG`` of level.

    Ink is projected along every angle. The profile is sharpest along the angle of the lines (Postl, "Detection of
    linear oblique structures and skew scan in digitized documents", 1986). A page without ink gives 0.
    """
    small, _ = reduce_page(grey, WORKING_SIDE_PX)
    paper = cv2.blur(small, (INK_WINDOW_PX, INK_WINDOW_PX))
    y, x = np.nonzero(np.asarray(cv2.subtract(paper, small)) > INK_CONTRAST)
    if len(x) < 50:
        return 0.0
    thin = max(1, len(x) // MOST_POINTS)
    points = np.stack([x[::thin], y[::thin]], 1).astype(np.float64)
    angle, reach = 0.0, MOST_SKEW_DEG
    for step in STEPS_DEG:
        angles = np.clip(np.arange(angle - reach, angle + reach + step / 2, step), -MOST_SKEW_DEG, MOST_SKEW_DEG)
        angle = float(angles[np.argmax([_sharpness(points, a) for a in angles])])
        reach = step
    return angle


def deskew_page(grey: Grey) -> tuple[Grey, NDArray[np.float64]]:
    """Return the page turned level, of the same size, and the (3, 3) map from its pixels back to the page's."""
    height, width = grey.shape
    angle = estimate_skew(grey)
    level_from_page = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, 1.0)
    level = cv2.warpAffine(grey, level_from_page, (width, height), flags=cv2.INTER_LINEAR, borderValue=255)
    return np.asarray(level, np.uint8), np.linalg.inv(np.vstack([level_from_page, [0.0, 0.0, 1.0]]))


def level_page(grey: Grey) -> Grey:
    """Return the page level, of the same size; a page whose rules converge is rectified as well.

    The rectification is the homography that makes the long rules of both directions parallel to the sides. It does not
    determine the proportions of the page, which stay as they were in the middle.
    """
    level, _ = deskew_page(grey)
    small, reduction = reduce_page(level, WORKING_SIDE_PX)
    flat, upright = _find_rules(small)
    if min(len(flat), len(upright)) < FEWEST_RULES:
        return level
    height, width = small.shape
    unit = np.array([[1 / width, 0, -0.5], [0, 1 / width, -0.5 * height / width], [0, 0, 1]])

    def slopes(tilt: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return how far each stretch of rule strays from level, or from upright, as rise over run."""
        rectified = np.array([[1, tilt[0], 0], [tilt[1], 1, 0], [tilt[2], tilt[3], 1]]) @ unit
        along, up = (project(rectified, ends[:, 1]) - project(rectified, ends[:, 0]) for ends in (flat, upright))
        return np.concatenate([along[:, 1] / along[:, 0], up[:, 0] / up[:, 1]])

    weight = np.sqrt(np.concatenate([np.abs(np.diff(ends, axis=1)).sum((1, 2)) for ends in (flat, upright)]))
    fit = least_squares(lambda tilt: weight * slopes(tilt), np.zeros(4), loss="soft_l1", f_scale=0.02)
    before, after = np.abs(slopes(np.zeros(4))).mean(), np.abs(slopes(fit.x)).mean()
    if before < LEAST_SLOPE or after > before / 2:
        return level
    tilt = np.array([[1, fit.x[0], 0], [fit.x[1], 1, 0], [fit.x[2], fit.x[3], 1]])
    to_small = np.diag([1 / reduction, 1 / reduction, 1.0])
    homography = np.linalg.inv(unit @ to_small) @ tilt @ unit @ to_small
    size = (level.shape[1], level.shape[0])
    return np.asarray(cv2.warpPerspective(level, homography, size, flags=cv2.INTER_LINEAR, borderValue=255), np.uint8)


def _find_rules(small: Grey) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the ends (N, 2, 2) of the long nearly level and nearly upright line segments of a picture.

    Segments by LSD (Grompone von Gioi et al., "LSD: a line segment detector", IPOL 2012).
    """
    found = cv2.createLineSegmentDetector().detect(small)[0]
    ends = np.zeros((0, 2, 2)) if found is None else np.asarray(found, np.float64).reshape(-1, 2, 2)
    run, rise = np.abs(ends[:, 1] - ends[:, 0]).T
    shortest = SHORTEST_RULE * max(small.shape)
    flat = (run > shortest) & (rise < MOST_SLOPE * run)
    return ends[flat], ends[(rise > shortest) & (run < MOST_SLOPE * rise)]


def _sharpness(points: NDArray[np.float64], angle_deg: float) -> float:
    angle = np.deg2rad(angle_deg)
    level = points[:, 1] * np.cos(angle) - points[:, 0] * np.sin(angle)
    profile = np.bincount(np.rint(level - level.min()).astype(np.intp))
    return float(np.square(np.diff(profile.astype(np.float64))).sum())
