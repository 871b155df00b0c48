"""Find a dash that stands alone in a field: no digit, but no blank either, for it may say that there is nothing."""

from __future__ import annotations

import numpy as np

from worker.fields.cutting.cleaning import remove_print
from worker.imaging.pieces import find_pieces
from worker.values import Grey

LEAST_LENGTH, FLAT = 0.25, 2.5
"""A dash is at least this long, of the crop's shorter side, and so many times as long as high."""
RIM, LEVELS = 0.04, (0.2, 0.8)
"""Share of the crop that lies free on both sides of a dash, and where its middle lies between top and bottom: rules and
the sides of boxes reach the rim."""
MOST_OF_INK = 0.8
"""Share of the ink away from the rim that dashes hold; there are one or two."""
DARK, CLEAR = 40.0, 8.0
"""Least contrast of a dash, of 255, and how many times that of the paper around it: pens leave more than patterns."""


def holds_dash(grey: Grey) -> bool:
    """Tell whether a crop (H, W) uint8 holds one or two flat strokes of a pen, and hardly anything else."""
    height, width = grey.shape
    if min(height, width) < 16:
        return False
    flat, ink = remove_print(grey)
    labels, stats, _ = find_pieces(ink)
    x, y, w, h, area = stats.astype(np.float64).T
    inside = (x > 1) & (y > 1) & (x + w < width - 1) & (y + h < height - 1)
    inside[0] = False
    level = (y + h / 2) / height
    dashes = inside & (w >= LEAST_LENGTH * min(height, width)) & (w >= FLAT * h)
    dashes &= (x > RIM * width) & (x + w < (1 - RIM) * width) & (level > LEVELS[0]) & (level < LEVELS[1])
    if not 1 <= dashes.sum() <= 2 or area[dashes].sum() < MOST_OF_INK * area[inside].sum():
        return False
    contrast = 255 - flat.astype(np.float64)
    darkness = float(contrast[dashes[labels]].mean())
    unrest = float(np.sqrt((contrast[labels == 0] ** 2).mean()))
    return darkness >= max(DARK, CLEAR * unrest)
