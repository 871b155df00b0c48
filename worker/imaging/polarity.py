"""Whether a picture shows light ink on dark paper: a blackboard, a negative, a slate of a telephone in dark mode."""

from __future__ import annotations

import cv2
import numpy as np

from worker.values import Grey, freeze

LOOKED_AT_PX = 700
"""Longer side of the picture that is looked at."""
CLEAR_STROKES = 48.0
"""Strokes this much lighter than what lies around them, of 255, are ink."""
CLEARLY = 2.0
"""Light strokes stand out so many times as much as dark ones where the ink is light."""
LIGHTEST_DARK_PAPER = 150
"""Paper that is lighter than this has no light ink on it."""
STROKES_SHARE = 99.5
"""Percentile of all pixels that strokes reach: the least a page with some writing has."""
DARK_ALL_OVER = 110
"""Paper that is nowhere lighter is no bright sheet on a dark table: there a few light strokes are ink, too."""
FEW_SHARE, FEW_CLEAR, FEW_CLEARLY = 99.95, 80.0, 4.0
"""On such paper: what even a short number reaches, and how much lighter and clearer it is."""
WIDEST_AROUND_PX = 61
"""Side of the window whose median is the paper: wider than any stroke of the picture that is looked at."""


def darken_ink(grey: Grey) -> Grey:
    """Return a picture with dark ink on light paper: the picture itself, or its negative where the ink is light."""
    return freeze(np.asarray(255 - grey, np.uint8)) if has_light_ink(grey) else grey


def has_light_ink(grey: Grey) -> bool:
    """Tell whether what stands out from the paper around it is light: the paper is the median nearby."""
    if min(grey.shape) < 8 or _is_mostly_light(grey):
        return False
    scale = min(1.0, LOOKED_AT_PX / max(grey.shape))
    size = [max(1, round(scale * side)) for side in grey.shape[::-1]]
    small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA) if scale < 1 else grey
    if min(small.shape) < 8:
        return False
    around = min(WIDEST_AROUND_PX, min(small.shape)) // 2 * 2 - 1
    paper = cv2.medianBlur(cv2.copyMakeBorder(small, *(4 * (around // 2,)), cv2.BORDER_REFLECT), around)
    inside = paper[around // 2 :, around // 2 :][: small.shape[0], : small.shape[1]]
    beside = small.astype(np.int16) - inside
    looks = [(STROKES_SHARE, CLEAR_STROKES, CLEARLY)]
    if np.percentile(inside, STROKES_SHARE) < DARK_ALL_OVER:
        looks.append((FEW_SHARE, FEW_CLEAR, FEW_CLEARLY))
    for share, clear, clearly in looks:
        darkest, lightest = np.percentile(beside, (100 - share, share))
        if lightest > clear and lightest > clearly * -darkest:
            return True
    return False


def _is_mostly_light(grey: Grey) -> bool:
    """Tell whether the median of a picture is too light for dark paper; counting is faster than sorting its pixels."""
    light = int(np.count_nonzero(grey > LIGHTEST_DARK_PAPER))
    return 2 * light > grey.size or bool(np.median(grey) > LIGHTEST_DARK_PAPER)
