"""What a segmenter hands over that is no digit, made from training digits and plain strokes."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.digits.normalization import SIZE, normalize_digits

Uint8 = NDArray[np.uint8]
Rng = np.random.Generator


def make_non_digits(digits: Uint8, labels: NDArray[np.int64], count: int, rng: Rng) -> Uint8:
    """Return (count, 28, 28) uint8 normalized non-digits; pairs and halves come from ``digits`` (N, 28, 28).

    Half are two digits as one; the rest are halves of digits, pieces of rules, separators and empty cells.
    """
    round_ones = digits[labels == 0]
    makers = (_pair, _half, _rules, _separator, _blank)
    chosen = rng.choice(len(makers), size=count, p=(0.5, 0.15, 0.15, 0.15, 0.05))
    return normalize_digits(makers[k](round_ones if makers[k] is _half else digits, rng) for k in chosen)


def join_glyphs(glyphs: Uint8, count: int, rng: Rng) -> Uint8:
    """Return (count, 28, 28) uint8: two glyphs as one character, side by side or one above the other.

    Only the busier half of ``glyphs`` (N, 28, 28) is used: a ring over a stroke would be a 9.
    """
    edges = np.abs(np.diff(glyphs.astype(np.int16), axis=2)).sum((1, 2))
    busy = glyphs[edges >= np.median(edges)]
    return normalize_digits(_joined(_draw(busy, rng), _draw(busy, rng), rng) for _ in range(count))


def _joined(one: Uint8, other: Uint8, rng: Rng) -> Uint8:
    beside, reach = rng.random() < 0.5, int(rng.integers(12, 19))
    canvas = np.zeros((SIZE, SIZE), np.uint8)
    for glyph, place in ((one, slice(0, reach)), (other, slice(SIZE - int(rng.integers(12, 19)), SIZE))):
        view = canvas[:, place] if beside else canvas[place]
        x, y, w, h = cv2.boundingRect(glyph)
        shrunk = cv2.resize(glyph[y : y + h, x : x + w], view.shape[::-1], interpolation=cv2.INTER_AREA)
        np.maximum(view, shrunk, out=view)
    return canvas


def _draw(digits: Uint8, rng: Rng) -> Uint8:
    chosen: Uint8 = digits[rng.integers(len(digits))]
    return chosen


def _pair(digits: Uint8, rng: Rng) -> Uint8:
    """Join two digits side by side, touching or nearly so."""
    left, right = _trim(_draw(digits, rng)), _trim(_draw(digits, rng))
    overlap = min(int(rng.integers(-3, 4)), left.shape[1] - 1, right.shape[1] - 1)
    pair = np.zeros((SIZE, left.shape[1] + right.shape[1] - overlap), np.uint8)
    drop = int(rng.integers(0, 5))
    pair[: SIZE - drop, : left.shape[1]] = left[drop:]
    place = pair[:, left.shape[1] - overlap :]
    np.maximum(place, right, out=place)
    return pair


def _trim(digit: Uint8) -> Uint8:
    x, _, w, _ = cv2.boundingRect(digit)
    return digit[:, x : x + w]


def _half(digits: Uint8, rng: Rng) -> Uint8:
    """Cut a 0 down the middle, as a wrong cut does; halves of other digits may look like a 1, 3 or 7."""
    digit = _trim(_draw(digits, rng))
    while digit.shape[1] < 12:
        digit = _trim(_draw(digits, rng))
    middle = digit.shape[1] // 2 + int(rng.integers(-2, 3))
    return np.ascontiguousarray(digit[:, :middle] if rng.random() < 0.5 else digit[:, middle:])


def _rules(_: Uint8, rng: Rng) -> Uint8:
    """Draw pieces of printed rules: flat bars and corners; a lone upright would be a 1."""
    canvas = np.zeros((44, 44), np.uint8)
    thickness = int(rng.integers(1, 4))
    for _count in range(int(rng.integers(1, 3))):
        y, left, right = int(rng.integers(4, 40)), int(rng.integers(0, 18)), int(rng.integers(26, 44))
        cv2.line(canvas, (left, y), (right, y + int(rng.integers(-2, 3))), 255, thickness, cv2.LINE_AA)
    if rng.random() < 0.5:
        x = int(rng.choice([2, 3, 40, 41]))
        cv2.line(canvas, (x, int(rng.integers(0, 10))), (x, int(rng.integers(30, 44))), 255, thickness, cv2.LINE_AA)
    return canvas


def _separator(_: Uint8, rng: Rng) -> Uint8:
    """Draw a dot, a dash, an equals sign or a cross; a lone "/" is left out, since slanted 1s look so."""
    canvas = np.zeros((44, 44), np.uint8)
    pen = int(rng.integers(2, 5))
    jitter = rng.integers(-4, 5, size=4)
    kind = int(rng.integers(0, 4))
    if kind == 0:
        cv2.ellipse(canvas, (22, 22), (pen + 2, pen + int(rng.integers(2, 4))), 0, 0, 360, 255, -1, cv2.LINE_AA)
    elif kind == 1:
        cv2.line(canvas, (4, 22 + int(jitter[0])), (40, 22 + int(jitter[1])), 255, pen, cv2.LINE_AA)
    elif kind == 2:
        cv2.line(canvas, (4, 15 + int(jitter[0])), (40, 15 + int(jitter[1])), 255, pen, cv2.LINE_AA)
        cv2.line(canvas, (4, 29 + int(jitter[2])), (40, 29 + int(jitter[3])), 255, pen, cv2.LINE_AA)
    else:
        cv2.line(canvas, (6, 6 + int(jitter[0])), (38, 38 + int(jitter[1])), 255, pen, cv2.LINE_AA)
        cv2.line(canvas, (38, 6 + int(jitter[2])), (6, 38 + int(jitter[3])), 255, pen, cv2.LINE_AA)
    return canvas


def _blank(_: Uint8, rng: Rng) -> Uint8:
    """Leave the cell empty, or with grain that survives the contrast."""
    canvas = np.zeros((44, 44), np.uint8)
    if rng.random() < 0.5:
        for x, y in rng.integers(0, 44, size=(int(rng.integers(1, 12)), 2)):
            canvas[y, x] = 255
    return canvas
