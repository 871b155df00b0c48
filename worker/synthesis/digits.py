"""Single glyphs for the digit model: digits, and whatever else is cut out of a field.

Everything is ``(H, W) uint8``, white ink on black, as segmentation gives it: cropped near its ink, sometimes with the
edge of a neighbour or the remains of a rule.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from worker.synthesis.glyphs import Hand, Shape, choose_allographs, pick, warp, warp_finely
from worker.synthesis.marks import MARKS, draw_scribble, strike_out
from worker.synthesis.pen import Ink, Pen, draw_ink, draw_pen


def draw_digit(rng: np.random.Generator, hand: Hand | None = None, *, remnants: float = 0.25) -> tuple[Ink, int]:
    """Draw one digit of a hand or a new writer, with its label; a share ``remnants`` carries dirt."""
    label = int(rng.integers(10))
    shape = hand.write(rng, label) if hand is not None else _one_off(rng, label)
    slant = hand.slant if hand is not None else rng.normal(0.05, 0.2)
    return _finish(rng, _slant(shape, slant), remnants), label


def draw_non_digit(rng: np.random.Generator, *, remnants: float = 0.25) -> Ink:
    """Draw a non-digit: a mark, a letter, a scribble, remains of print, or two digits in one."""
    kind = pick(rng, [share for share, _ in _NON_DIGITS])
    return _NON_DIGITS[kind][1](rng, remnants)


def add_remnants(rng: np.random.Generator, ink: Ink) -> Ink:
    """Return a copy with what segmentation leaves behind: a neighbour's edge, a piece of a rule, specks."""
    H, W = ink.shape
    ink = ink.copy()
    tone = int(rng.integers(90, 256))
    for _ in range(int(rng.integers(1, 3))):
        kind = rng.random()
        if kind < 0.35:  # a rule along or near one side
            thickness = int(rng.integers(1, max(2, H // 14) + 1))
            if rng.random() < 0.5:
                y = int(rng.choice([rng.integers(0, max(1, H // 8)), H - 1 - rng.integers(0, max(1, H // 8))]))
                cv2.line(
                    ink,
                    (int(rng.integers(-W, W // 2)), y),
                    (int(rng.integers(W // 2, 2 * W)), y),
                    tone,
                    thickness,
                )
            else:
                x = int(rng.choice([rng.integers(0, max(1, W // 8)), W - 1 - rng.integers(0, max(1, W // 8))]))
                cv2.line(
                    ink,
                    (x, int(rng.integers(-H, H // 2))),
                    (x, int(rng.integers(H // 2, 2 * H))),
                    tone,
                    thickness,
                )
        elif kind < 0.75:  # a neighbour reaches in
            x = float(rng.choice([-0.2, 1.2])) * W
            start, end = (
                (x, rng.uniform(0, H)),
                (W / 2 + (x - W / 2) * rng.uniform(0.6, 0.95), rng.uniform(0, H)),
            )
            middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2 + rng.normal(0, 0.15) * H)
            points = np.array([start, middle, end]).round().astype(np.int32)
            cv2.polylines(ink, [points], False, tone, int(rng.integers(1, max(2, H // 10) + 1)), cv2.LINE_AA)
        else:
            for _ in range(int(rng.integers(1, 6))):
                at = (int(rng.integers(W)), int(rng.integers(H)))
                cv2.circle(ink, at, int(rng.integers(0, max(1, H // 20) + 1)), tone, -1)
    return ink


def _one_off(rng: np.random.Generator, digit: int) -> Shape:
    """Write a digit in the hand of a writer who is used only once."""
    spread = rng.uniform(0.01, 0.055)
    shape = warp(choose_allographs(rng, digit, spread)[0], rng, rng.uniform(0.005, 0.045))
    if rng.random() < 0.12:
        shape = warp_finely(shape, rng, rng.uniform(0.004, 0.016))
    return shape * np.array([np.exp(rng.normal(0.28 if digit == 0 else 0.15, 0.25)), 1], np.float32)


def _slant(shape: Shape, slant: float) -> Shape:
    return np.stack([shape[..., 0] + np.float32(slant) * (1 - shape[..., 1]), shape[..., 1]], axis=-1)


def _finish(rng: np.random.Generator, shape: Shape, remnants: float, pen: Pen | None = None) -> Ink:
    """Draw a shape at a random size with a random pen, cropped near its ink, and add dirt."""
    pen = pen or draw_pen(rng)
    points = shape.reshape(-1, 2)
    low, high = points.min(axis=0), points.max(axis=0)
    height_px = float(rng.uniform(18, 56))
    reach = pen.width / 2 + rng.uniform(0, 0.12, 4)
    origin = (reach[:2] - low) * height_px
    extent = np.minimum((high - low + reach[:2] + reach[2:]) * height_px, 160)
    W, H = (max(6, int(v)) for v in np.ceil(extent))
    ink = draw_ink(rng, (shape * height_px + origin).astype(np.float32), (H, W), pen, height_px)
    if rng.random() < remnants:
        ink = add_remnants(rng, ink)
    return _soften(rng, ink)


def _soften(rng: np.random.Generator, ink: Ink) -> Ink:
    """Give ink the edges of a scan: soft, hard, ragged or faint."""
    kind = rng.random()
    if kind < 0.35:
        ink = cv2.GaussianBlur(ink, (0, 0), rng.uniform(0.3, 1.1))
    elif kind < 0.55:
        noise = rng.integers(0, 80, ink.shape, dtype=np.uint8)
        ink = cv2.threshold(cv2.subtract(ink, noise), rng.uniform(60, 150), 255, cv2.THRESH_BINARY)[1]
    elif kind < 0.7:
        faint = ink * rng.uniform(0.4, 0.95) + rng.uniform(0, 14) * rng.standard_normal(ink.shape, dtype=np.float32)
        ink = faint.clip(0, 255).astype(np.uint8)
    return ink


def _mark(rng: np.random.Generator, remnants: float) -> Ink:
    # a slash or a comma alone is a 1: only its place in the field tells them apart
    return _finish(rng, MARKS[".-=$"[int(rng.integers(4))]](rng), remnants)


def _letter(rng: np.random.Generator, remnants: float) -> Ink:
    return _finish(rng, _slant(MARKS["#"](rng), rng.normal(0.05, 0.2)), remnants)


def _scribble(rng: np.random.Generator, remnants: float) -> Ink:
    if rng.random() < 0.5:
        return _finish(rng, draw_scribble(rng, float(rng.uniform(0.3, 1.2))), remnants)
    return _finish(rng, strike_out(rng, _one_off(rng, int(rng.integers(10)))), remnants)


def _two_as_one(rng: np.random.Generator, remnants: float) -> Ink:
    left, right = _one_off(rng, int(rng.integers(10))), _one_off(rng, int(rng.integers(10)))
    shift = left[..., 0].max() - right[..., 0].min() + rng.uniform(-0.15, 0.06)
    pair = np.concatenate([left, right + np.array([shift, rng.normal(0, 0.06)], np.float32)])
    return _finish(rng, _slant(pair, rng.normal(0.05, 0.2)), remnants)


def _half(rng: np.random.Generator, remnants: float) -> Ink:
    """Keep a part of a digit whose parts are not digits themselves (the top of an 8 is a 0)."""
    digit = (0, 2, 3, 5)[int(rng.integers(4))]
    ink = _finish(rng, _one_off(rng, digit), 0.0)
    H, W = ink.shape
    share = rng.uniform(0.3, 0.5)
    piece = [
        ink[:, : int(W * share) + 2],
        ink[:, W - int(W * share) - 2 :],
        ink[: int(H * share) + 2],
        ink[H - int(H * share) - 2 :],
    ][int(rng.integers(4))]
    return add_remnants(rng, piece) if rng.random() < remnants else piece.copy()


def _empty(rng: np.random.Generator, _remnants: float) -> Ink:
    """Draw an empty cell: grain, and mostly remains of its print."""
    H, W = (int(v) for v in rng.integers(12, 56, 2))
    noise = np.abs(rng.uniform(0, 22) * rng.standard_normal((H, W), dtype=np.float32)).clip(0, 255).astype(np.uint8)
    for _ in range(int(rng.integers(0, 3))):
        noise = add_remnants(rng, noise)
    return _soften(rng, noise)


def _frame_corner(rng: np.random.Generator, _remnants: float) -> Ink:
    """Draw what is left of a cell's border: a line, an angle, a U or a cross."""
    H, W = (int(v) for v in rng.integers(14, 56, 2))
    ink: Ink = np.zeros((H, W), np.uint8)
    thickness = int(rng.integers(1, 4))
    for side in rng.permutation(4)[: int(rng.integers(1, 4))]:
        inset = int(rng.integers(0, max(1, min(H, W) // 4)))
        ends = [
            ((inset, 0), (inset, H)),
            ((W - 1 - inset, 0), (W - 1 - inset, H)),
            ((0, inset), (W, inset)),
            ((0, H - 1 - inset), (W, H - 1 - inset)),
        ][int(side)]
        cv2.line(ink, *ends, 255, thickness)
    return _soften(rng, ink)


_NON_DIGITS: tuple[tuple[float, Callable[[np.random.Generator, float], Ink]], ...] = (
    (0.26, _mark),
    (0.22, _letter),
    (0.12, _scribble),
    (0.16, _two_as_one),
    (0.08, _half),
    (0.08, _empty),
    (0.08, _frame_corner),
)
