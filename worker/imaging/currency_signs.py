"""Currency signs told apart by correlation with drawings of them.

Printed in 38 fonts (DejaVu, Liberation), every sign is likest to its own drawing, by 0.09 at least.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.values import Grey

SIGN_LIKENESS = 0.5
"""Least correlation of a currency sign with its drawing (printed ones of the development half: 0.58 to 0.85)."""
SIGNS = ("$", "€", "£", "₹", "¥")
_SIZE = (20, 32)


class ToldSign(NamedTuple):
    """A currency sign, and its correlation with the likest drawing of it, -1 to 1."""

    sign: str
    likeness: float


def tell_sign(ink: NDArray[np.uint8]) -> ToldSign | None:
    """Return which sign a piece of ink is likest to, (h, w) uint8, white on black; None where it is like none."""
    if min(ink.shape) < 4 or not ink.any():
        return None
    seen = _centred(ink)
    best = max(
        (ToldSign(s, max(float((seen * drawn).sum()) for drawn in _drawings(s))) for s in SIGNS), key=lambda t: t[1]
    )
    return best if best.likeness >= SIGN_LIKENESS else None


@functools.lru_cache(maxsize=8)
def _drawings(sign: str) -> tuple[NDArray[np.float32], ...]:
    return tuple(_centred(picture) for picture in draw_sign(sign))


def draw_sign(sign: str) -> list[Grey]:
    """Draw a currency sign, white on black and cut to its ink, in several faces and weights."""
    if sign == "$":
        faces = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_TRIPLEX)
        return [_cut(_put(face, weight)) for face in faces for weight in (4, 7, 10)]
    return [_cut(_strokes(_STROKES[sign], weight)) for weight in (4, 7, 10)]


_STROKES: dict[str, tuple[tuple[tuple[int, int], ...], ...]] = {
    "£": (
        (
            (60, 20),
            (54, 6),
            (40, 0),
            (26, 6),
            (20, 22),
            (24, 44),
            (24, 66),
            (14, 88),
            (4, 98),
            (24, 94),
            (44, 100),
            (62, 92),
        ),
        ((4, 52), (46, 52)),
    ),
    "¥": (((0, 0), (32, 48)), ((64, 0), (32, 48)), ((32, 48), (32, 100)), ((8, 52), (56, 52)), ((8, 72), (56, 72))),
    "₹": (
        ((0, 0), (70, 0)),
        ((0, 22), (70, 22)),
        ((0, 0), (28, 0), (42, 6), (48, 20), (44, 36), (28, 45), (6, 46)),
        ((6, 46), (54, 104)),
    ),
    "€": (
        ((74, 14), (60, 4), (42, 2), (26, 12), (18, 32), (16, 52), (20, 76), (32, 94), (50, 100), (74, 90)),
        ((0, 40), (58, 40)),
        ((0, 62), (54, 62)),
    ),
}
"""Signs that the stroke fonts lack, as polylines on a grid of 100 rows."""


def _put(face: int, weight: int) -> Grey:
    canvas = np.zeros((200, 200), np.uint8)
    cv2.putText(canvas, "$", (50, 150), face, 4.0, 255, weight, cv2.LINE_AA)
    return canvas


def _strokes(lines: tuple[tuple[tuple[int, int], ...], ...], weight: int) -> Grey:
    canvas = np.zeros((140, 120), np.uint8)
    for line in lines:
        cv2.polylines(canvas, [np.array(line, np.int32) + 16], False, 255, weight, cv2.LINE_AA)
    return canvas


def _cut(canvas: Grey) -> Grey:
    x, y, w, h = cv2.boundingRect(cv2.findNonZero(canvas))
    return canvas[y : y + h, x : x + w]


def _centred(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return a picture at one size, blurred, of mean 0 and norm 1: products are correlations."""
    sized = cv2.resize(picture, _SIZE, interpolation=cv2.INTER_AREA)
    small = np.asarray(cv2.GaussianBlur(sized.astype(np.float32), (0, 0), 1.0), np.float32)
    small -= small.mean()
    return np.asarray(small / max(float(np.linalg.norm(small)), 1e-6), np.float32)
