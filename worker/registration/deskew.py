"""How far a page is turned, by its own lines of print and writing."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.registration.form_print import INK_CONTRAST, INK_WINDOW_PX, reduce_page
from worker.values import Grey

WORKING_SIDE_PX = 1000
MOST_POINTS = 40_000
STEPS_DEG = (1.0, 0.2, 0.05)


def estimate_skew(grey: Grey, *, limit_deg: float = 10.0) -> float:
    """Return by how many degrees a page's lines fall to the right, within ``limit_deg`` of level.

    Ink is projected along every angle; along the lines' own angle the profile is sharpest (Postl, "Detection of
    linear oblique structures and skew scan in digitized documents", 1986). 0 for a page without ink.
    """
    small, _ = reduce_page(grey, WORKING_SIDE_PX)
    paper = cv2.blur(small, (INK_WINDOW_PX, INK_WINDOW_PX))
    y, x = np.nonzero(np.asarray(cv2.subtract(paper, small)) > INK_CONTRAST)
    if len(x) < 50:
        return 0.0
    thin = max(1, len(x) // MOST_POINTS)
    points = np.stack([x[::thin], y[::thin]], 1).astype(np.float64)
    angle, reach = 0.0, limit_deg
    for step in STEPS_DEG:
        angles = np.clip(np.arange(angle - reach, angle + reach + step / 2, step), -limit_deg, limit_deg)
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


def _sharpness(points: NDArray[np.float64], angle_deg: float) -> float:
    angle = np.deg2rad(angle_deg)
    level = points[:, 1] * np.cos(angle) - points[:, 0] * np.sin(angle)
    profile = np.bincount(np.rint(level - level.min()).astype(np.intp))
    return float(np.square(np.diff(profile.astype(np.float64))).sum())
