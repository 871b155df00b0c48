"""Find a scrawl, one piece of ink that winds through a field: a signature, a scribble. It is no digit, and no blank.

Readers that were taught on numbers see nothing in it, and a stroke as wide as its field may as well be print.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from worker.fields.judging.leftover_ink import LEAST_UNREST, remove_box_print
from worker.imaging.pieces import find_pieces
from worker.values import Grey

LEAST_WIDTH, LEAST_HEIGHT = 0.25, 0.15
"""Size of a scrawl, in widths and heights of the crop."""
LEAST_SHARE, MOST_PIECES = 0.3, 12
"""It holds this share of the ink, in few pieces: a pattern has many."""
RUN_OUT = 4
"""A piece that runs out of the crop at so many places above, and as many below, is a pattern."""
MOST_FILLED = 0.75
"""Share of its box that it fills: shadows, blots and thick rules fill more."""
RIM, LEAST_INSIDE = 0.2, 0.28
"""Share of its ink that lies deeper in its box than the first: a frame's corner has none there."""
STUB = 0.05
"""Share of a piece's ink that its ends may hold on each side: a rule with the stub of another is flat."""
CLEAR = 4.0
"""Least contrast, in that of the paper around it."""
STRONG = 0.65
"""Share of the darkest ink's contrast from which ink counts in a second look, without what is faint."""


def holds_scrawl(grey: Grey) -> bool:
    """Tell whether the main piece of a crop's ink, (H, W) uint8, its print taken out, is a scrawl.

    The limits were measured on drawn fields: docs/lab-notebook/reading.md.
    """
    if min(grey.shape) < 8:
        return False
    flat, mask, _ = remove_box_print(grey)
    ink, contrast = mask > 0, np.asarray(255 - flat, np.float32)
    if not ink.any():
        return False
    strong = ink & (contrast > STRONG * np.percentile(contrast[ink], 90))
    return any(_is_scrawl(look, contrast) for look in (ink, strong))


def _is_scrawl(ink: NDArray[np.bool_], contrast: NDArray[np.float32]) -> bool:
    labels, stats, _ = find_pieces(ink.view(np.uint8))
    weight = np.bincount(labels.ravel(), weights=(contrast * ink).ravel(), minlength=len(stats))
    main = int(weight.argmax())
    if weight[main] < LEAST_SHARE * weight.sum() or len(stats) - 1 > MOST_PIECES:
        return False
    piece = labels == main
    if all(_count_runs(piece[row]) >= RUN_OUT for row in (1, -2)):
        return False
    x, y = (_span(piece.sum(axis=axis)) for axis in (0, 1))
    w, h, area = x.stop - x.start, y.stop - y.start, int(piece.sum())
    if w < LEAST_WIDTH * ink.shape[1] or h < LEAST_HEIGHT * ink.shape[0] or area > MOST_FILLED * w * h:
        return False
    dx, dy = round(RIM * w), round(RIM * h)
    inside = np.count_nonzero(piece[y.start + dy : y.stop - dy, x.start + dx : x.stop - dx])
    unrest = float(np.sqrt((contrast[~ink] ** 2).mean())) if not ink.all() else 0.0
    return bool(inside >= LEAST_INSIDE * area and weight[main] >= CLEAR * (unrest + LEAST_UNREST) * area)


def _span(profile: NDArray[np.int64]) -> slice:
    """Return where a piece's ink lies along one axis, without the stubs that hold hardly any of it."""
    share = profile.cumsum() / profile.sum()
    return slice(int((share <= STUB).sum()), int((share < 1 - STUB).sum()) + 1)


def _count_runs(row: NDArray[np.bool_]) -> int:
    """Return how many stretches of a row are ink."""
    return int(np.count_nonzero(row[1:] & ~row[:-1])) + int(row[0])
