"""Find the check on a scan or photograph by the edges of its paper, and lay it flat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.imaging.binarization import Mask
from worker.values import Grey, freeze

ASPECT = (1.75, 3.2)
"""Width by height of checks: 6 x 2.75 in (US, personal) 2.2, 8.5 x 3.5 in 2.4, 202 x 92 mm (IN) 2.2, 175 x 80 mm
(EU) 2.2."""
CHECK_WIDTH_PX = 1600
"""Width of a check laid flat; the 0.117 in of a MICR character are then 22 to 31 rows."""
_LOOK_PX = 640
"""Longer side of the reduced picture in which sheets are looked for: their outline needs no more."""
_LEAST_SHARE = 0.06
"""Least share of the picture that a check covers; a smaller one has too few pixels to be read."""
_WHOLE_SHARE = 0.72
"""If paper covers more than this share of a picture shaped like a check, the picture is a check cut out before."""
_STRAIGHT_SHARE = 0.88
"""Least share of its four-sided hull that a sheet of paper fills."""


@dataclass(frozen=True, slots=True, eq=False)
class Check:
    """A check laid flat: ``grey`` (h, ``CHECK_WIDTH_PX``) uint8; ``page_from_check`` leads back to the page."""

    grey: Grey
    page_from_check: NDArray[np.float64]

    def turned(self) -> Check:
        """Return the check upside down."""
        height, width = self.grey.shape
        back = np.array([[-1.0, 0, width - 1], [0, -1.0, height - 1], [0, 0, 1]])
        return Check(np.ascontiguousarray(self.grey[::-1, ::-1]), self.page_from_check @ back)


def find_checks(grey: Grey) -> list[Check]:
    """Find every check of a picture, largest first; the picture itself if it is cut to one.

    A check is turned to its longer side, upright or upside down as it lies; ``Check.turned`` gives the other way.
    """
    height, width = grey.shape
    if min(height, width) < 64:
        return []
    scale = _LOOK_PX / max(height, width)
    small = np.asarray(cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
    quads = _disjoint([q for mask in (_bright(small), _enclosed(small)) for q in _sheets(mask)])
    inner = [q for q in quads if cv2.contourArea(q) < _WHOLE_SHARE * small.size]
    if inner:
        return [lay_flat(grey, quad.astype(np.float64) / scale) for quad in inner]
    if ASPECT[0] <= max(height, width) / min(height, width) <= ASPECT[1]:
        corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64)
        return [lay_flat(grey, corners)]
    return []


def lay_flat(grey: Grey, corners: NDArray[np.float64]) -> Check:
    """Return what lies between four corners (4, 2), in order around the sheet, with its longer side across."""
    corners = _from_top_left(corners)
    sides = np.hypot(*(np.roll(corners, -1, axis=0) - corners).T)
    if sides[0] + sides[2] < sides[1] + sides[3]:
        corners = np.roll(corners, -1, axis=0)
        sides = np.roll(sides, -1)
    height = round(CHECK_WIDTH_PX * (sides[1] + sides[3]) / (sides[0] + sides[2]))
    flat = np.array([[0, 0], [CHECK_WIDTH_PX, 0], [CHECK_WIDTH_PX, height], [0, height]], np.float32)
    page_from_check = cv2.getPerspectiveTransform(flat, corners.astype(np.float32))
    shrunk = max(sides[0], sides[2]) / CHECK_WIDTH_PX
    if shrunk > 1.5:  # bilinear sampling would skip pixels
        grey = np.asarray(cv2.GaussianBlur(grey, (0, 0), 0.4 * shrunk), np.uint8)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    picture = cv2.warpPerspective(
        grey, page_from_check, (CHECK_WIDTH_PX, height), flags=flags, borderMode=cv2.BORDER_REPLICATE
    )
    return Check(freeze(np.asarray(picture, np.uint8)), np.asarray(page_from_check, np.float64))


def _bright(small: Grey) -> Mask:
    """Return the paper: what is brighter than Otsu's threshold, with the writing filled."""
    _, bright = cv2.threshold(cv2.medianBlur(small, 5), 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    return np.asarray(cv2.morphologyEx(bright, cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8)), np.uint8)


def _enclosed(small: Grey) -> Mask:
    """Return what edges enclose; a check on a table of its own brightness still has its rim and its shadow."""
    edges = cv2.Canny(cv2.GaussianBlur(small, (5, 5), 0), 30, 90)
    outside = np.zeros((small.shape[0] + 2, small.shape[1] + 2), np.uint8)
    outside[1:-1, 1:-1] = cv2.dilate(edges, np.ones((3, 3), np.uint8)) > 0
    walls = outside.copy()
    filled = np.pad(np.zeros_like(small), 0)
    for x, y in ((0, 0), (small.shape[1] - 1, 0), (0, small.shape[0] - 1), (small.shape[1] - 1, small.shape[0] - 1)):
        if not walls[y + 1, x + 1]:
            cv2.floodFill(filled, walls, (x, y), 1)
    return np.asarray(1 - filled, np.uint8)


def _sheets(mask: Mask) -> list[NDArray[np.float32]]:
    """Return the corners (4, 2) of the parts of a mask that are four-sided and shaped like a check."""
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    sheets = []
    for contour in contours:
        area = cv2.contourArea(contour)
        if area < _LEAST_SHARE * mask.size:
            continue
        corners = _four_corners(contour)
        if corners is None or area < _STRAIGHT_SHARE * cv2.contourArea(corners):
            continue
        sides = np.hypot(*(np.roll(corners, -1, axis=0) - corners).T)
        long, short = sorted((sides[0] + sides[2], sides[1] + sides[3]), reverse=True)
        if ASPECT[0] <= long / max(short, 1) <= ASPECT[1]:
            sheets.append(corners)
    return sheets


def _four_corners(contour: NDArray[Any]) -> NDArray[np.float32] | None:
    hull = cv2.convexHull(contour)
    for tolerance in (0.02, 0.03, 0.05):
        corners = cv2.approxPolyDP(hull, tolerance * cv2.arcLength(hull, True), True)
        if len(corners) == 4:
            return np.asarray(corners[:, 0], np.float32)
    return None


def _disjoint(quads: list[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    """Keep the largest of quads that overlap, largest first."""
    kept: list[NDArray[np.float32]] = []
    for quad in sorted(quads, key=cv2.contourArea, reverse=True):
        shared = [cv2.intersectConvexConvex(quad, other)[0] for other in kept]
        if all(area < 0.2 * cv2.contourArea(quad) for area in shared):
            kept.append(quad)
    return kept


def _from_top_left(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Order corners clockwise from the top left."""
    centre = corners.mean(axis=0)
    angles = np.arctan2(*(corners - centre).T[::-1])
    ring = corners[np.argsort(angles)]
    return np.roll(ring, -int(np.argmin(ring.sum(axis=1))), axis=0)
