"""Cut the general reader's picture of a line out of the raw grey crop: 48 rows, by the extent of the writing.

It shows paper, rules and shades as they are. The network was trained on such pictures of clean and dirty paper, so its
errors differ from those of the line reader, which sees flattened ink. Training and the worker call the same function.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.fields.line_reader.normalization import EMPTY_LEFT, LINE_HEIGHT, Line
from worker.values import Extent, FieldCrop, Grey

GENERAL_HEIGHT = 48
GENERAL_STRIDE = 8
"""Columns for each of the reader's answers."""
LEAST_GENERAL_WIDTH = 96
"""Narrower lines are filled up with middle grey, which means nothing to it (docs/lab-notebook/performance.md)."""
MOST_GENERAL_WIDTH = 1200
FILL = 128


def cut_general_line(crop: FieldCrop, seen: FieldCrop, line: Line) -> NDArray[np.uint8]:
    """Cut a line out of the raw ``crop``: (48, W) uint8, 0 = ink, W a multiple of 8.

    It was found in ``seen``, the same crop or a part of it, cleaned.
    """
    shift = np.linalg.inv(crop.page_from_crop) @ seen.page_from_crop
    return cut_extent(crop.grey, line_extent(line, crop.grey.shape, left=shift[0, 2], top=shift[1, 2]))


def line_extent(line: Line, shape: tuple[int, ...], *, left: float = 0.0, top: float = 0.0) -> Extent:
    """Return a line's extent in a crop of a shape (h, w); the line's own crop begins at ``left``, ``top`` of it."""
    x, y = line.x0 + left, line.y0 + top
    right, bottom = x + line.image.shape[1] / line.scale, y + LINE_HEIGHT / line.scale
    return Extent(
        max(0.0, x + EMPTY_LEFT / line.scale), max(0.0, y), min(float(shape[1]), right), min(float(shape[0]), bottom)
    )


def cut_extent(grey: Grey, extent: Extent) -> NDArray[np.uint8]:
    """Return the grey of an extent at ``GENERAL_HEIGHT`` rows, (48, W) uint8; an empty one is all middle grey."""
    left, top, right, bottom = extent
    if extent.width < 2 or extent.height < 2:
        return np.full((GENERAL_HEIGHT, LEAST_GENERAL_WIDTH), FILL, np.uint8)
    scale = GENERAL_HEIGHT / (bottom - top)
    columns = round(min((right - left) * scale, MOST_GENERAL_WIDTH))
    part = grey[int(top) : int(np.ceil(bottom)), int(left) : int(np.ceil(right))]
    if scale < 0.8:  # bilinear sampling would skip pixels, so smooth by the factor of reduction
        part = np.asarray(cv2.GaussianBlur(part, (0, 0), 0.5 * (1 / scale - 0.7)), np.uint8)
    half = 0.5 * scale - 0.5
    matrix = np.array([[scale, 0, half - (left - int(left)) * scale], [0, scale, half - (top - int(top)) * scale]])
    size = (max(columns, GENERAL_STRIDE), GENERAL_HEIGHT)
    cut = cv2.warpAffine(part, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return _fill_up(np.asarray(cut, np.uint8))


def _fill_up(cut: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a cut filled up with middle grey on the right, to a multiple of 8 columns and the least width."""
    wide = max(LEAST_GENERAL_WIDTH, -(-cut.shape[1] // GENERAL_STRIDE) * GENERAL_STRIDE)
    filled = np.full((GENERAL_HEIGHT, wide), FILL, np.uint8)
    filled[:, : cut.shape[1]] = cut
    return filled
