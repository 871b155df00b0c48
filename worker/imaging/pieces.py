"""Connected ink, with the box, the area and the middle of each piece."""

from __future__ import annotations

from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

MOST_SHORT_LABELS = 65_534


class Pieces(NamedTuple):
    """Connected ink: ``labels`` (h, w) tells whose a pixel is, 0 = paper's; rows of ``stats`` and ``middles`` go by it.

    ``stats`` (n + 1, 5) int32 has left, top, width, height and area, as ``cv2.CC_STAT_*`` name them; ``middles``
    (n + 1, 2) float64 are x and y of the centres of mass.
    """

    labels: NDArray[Any]
    stats: NDArray[np.int32]
    middles: NDArray[np.float64]


def find_pieces(ink: NDArray[Any]) -> Pieces:
    """Return the pieces of a uint8 mask that are connected in eight directions, in the order of their first pixels.

    Labels of 16 bits, which suffice for a quarter of the pixels, are found in half the time of those of 32.
    """
    height, width = ink.shape
    short = (height + 1) // 2 * ((width + 1) // 2) <= MOST_SHORT_LABELS
    kind = cv2.CV_16U if short else cv2.CV_32S
    _, labels, stats, middles = cv2.connectedComponentsWithStats(ink, connectivity=8, ltype=kind)
    return Pieces(labels, np.asarray(stats, np.int32), np.asarray(middles, np.float64))
