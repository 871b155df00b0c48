"""What is printed on a page, as registration and template drafting see it: boxes, rules and solid marks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.values import Grey

WORKING_SIDE_PX = 1500
"""Longer side of the reduced picture: about 130 dpi on a letter page, where a 0.3 mm rule is 1.5 px wide."""
SHORTEST_BOX_PX = 12
"""Least height of a box on the reduced picture; a lower one is taken for the inside of a letter."""
SHORTEST_RULE_PX = 40
"""Least length of a rule on the reduced picture: 8 mm on a letter page, longer than letters are."""
INK_WINDOW_PX = 51
"""Side of the square whose mean is the paper around a pixel: 10 mm on a letter page, several lines of writing."""
INK_CONTRAST = 18
"""Ink is darker than the mean around it by this many grey levels."""

BOX, RULE, MARK = 0, 1, 2


@dataclass(frozen=True, slots=True, eq=False)
class FormPrint:
    """The print of one page, on a picture reduced by the integer ``reduction``.

    ``ink`` is (h, w) uint8, 0 = paper, 255 = as dark as the page's ink; ``kind`` (N,) is BOX, RULE or MARK;
    ``centre`` (N, 2) and ``size`` (N, 2, longer side first) are float32 reduced pixels; ``angle`` (N,) is the direction
    of the longer side in radians. ``markers`` are the corners (4, 2) of ArUco markers by dictionary and number, where
    they were looked for (``worker.registration.fiducials``).
    """

    ink: NDArray[np.uint8]
    reduction: int
    kind: NDArray[np.int8]
    centre: NDArray[np.float32]
    size: NDArray[np.float32]
    angle: NDArray[np.float32]
    markers: Mapping[tuple[str, int], NDArray[np.float64]] = field(default_factory=dict)


def detect_print(grey: Grey) -> FormPrint:
    """Find the printed boxes, rules and solid marks of a page at any angle.

    A box is a hole in the ink whose hull fills its rectangle, so handwriting in it or across one side does no harm. A
    rule is a long thin piece of ink, and a mark a solid one.
    """
    small, reduction = reduce_page(grey, WORKING_SIDE_PX)
    paper = cv2.blur(small, (INK_WINDOW_PX, INK_WINDOW_PX))
    darkness = np.asarray(cv2.subtract(paper, small), np.uint8)
    binary = (darkness > INK_CONTRAST).astype(np.uint8)
    contours, hierarchy = cv2.findContours(binary, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    tree = np.asarray(hierarchy)[0] if len(contours) else np.zeros((0, 4), np.int32)
    hole, solid = tree[:, 3] >= 0, tree[:, 2] < 0
    likely = np.flatnonzero(_may_be_print(contours, hole, solid)).tolist()
    shapes = [_shape(np.asarray(contours[i]), hole=bool(hole[i]), solid=bool(solid[i])) for i in likely]
    table = np.array([s for s in shapes if s is not None], dtype=np.float32).reshape(-1, 6)
    full = _median_ink(darkness)
    ink = np.asarray(cv2.convertScaleAbs(darkness, alpha=255.0 / max(full, 1.0)), np.uint8)
    return FormPrint(ink, reduction, table[:, 0].astype(np.int8), table[:, 1:3], table[:, 3:5], table[:, 5])


def reduce_page(grey: Grey, side_px: int) -> tuple[Grey, int]:
    """Return the page reduced to about ``side_px`` by a whole factor, which is fast, and that factor."""
    reduction = max(1, min(round(max(grey.shape) / side_px), *grey.shape))
    if reduction == 1:
        return grey, 1
    height, width = (side // reduction for side in grey.shape)
    whole = grey[: height * reduction, : width * reduction]
    small = cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8), reduction


def _median_ink(darkness: NDArray[np.uint8]) -> float:
    """Return the median of the ink's pixels; counting 256 levels is faster than sorting the pixels of a page."""
    counts = cv2.calcHist([darkness], [0], None, [256], [0, 256]).ravel()
    counts[: INK_CONTRAST + 1] = 0
    total = counts.astype(np.int64).cumsum()
    if not total[-1]:
        return 255.0
    return float(np.searchsorted(total, [(total[-1] - 1) // 2, total[-1] // 2], side="right").mean())


def _may_be_print(
    contours: Sequence[NDArray[np.generic]], hole: NDArray[np.bool_], solid: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Tell which contours may be boxes, rules or marks; letters are too short for a rule and too thin for a mark.

    What is neither a hole nor solid can only be a rule, whose length is at most the diagonal of its upright box. All
    contours are judged at once: a page has thousands, and only dozens of them are print of a form.
    """
    if not len(contours):
        return np.zeros(0, bool)
    x, y = np.concatenate(contours)[:, 0].astype(np.int64).T.copy()
    starts = np.cumsum([0, *(len(c) for c in contours[:-1])])
    after = np.arange(1, len(x) + 1)
    after[np.append(starts[1:], len(x)) - 1] = starts
    width, height = (np.maximum.reduceat(v, starts) - np.minimum.reduceat(v, starts) + 1 for v in (x, y))
    area = np.abs(np.add.reduceat(x * y[after] - x[after] * y, starts)) / 2
    longer, shorter = np.maximum(width, height), np.minimum(width, height)
    letter = (longer < SHORTEST_RULE_PX) & (area < 0.45 * longer * shorter)
    outline = ~letter & (solid | (1.5 * longer > SHORTEST_RULE_PX))
    return np.asarray((longer >= SHORTEST_BOX_PX) & np.where(hole, shorter >= SHORTEST_BOX_PX, outline), bool)


def _shape(contour: NDArray[np.integer], *, hole: bool, solid: bool) -> tuple[float, ...] | None:
    """Return (kind, x, y, longer, shorter, angle) of a contour that is a box, a rule or a mark."""
    (x, y), (w, h), angle = cv2.minAreaRect(contour)
    if w < h:
        w, h, angle = h, w, angle + 90.0
    if hole:
        filled = cv2.contourArea(cv2.convexHull(contour)) / max(w * h, 1.0)
        return (BOX, x, y, w, h, np.deg2rad(angle)) if h >= SHORTEST_BOX_PX and filled > 0.8 else None
    if w > SHORTEST_RULE_PX and h < max(5.0, 0.02 * w):
        return (RULE, x, y, w, h, np.deg2rad(angle))
    if solid and w < 2 * h and cv2.contourArea(contour) > 0.8 * w * h:
        return (MARK, x, y, w, h, np.deg2rad(angle))
    return None
