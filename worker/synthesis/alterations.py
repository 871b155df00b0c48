"""Digits that their writer changed: struck out, or written over by another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.synthesis.glyphs import Hand, Shape, segments_of, warp
from worker.synthesis.marks import strike_out, strike_through

OVERWRITTEN_SHARE, TANGLE_SHARE, RETRACED_SHARE = 0.8, 0.15, 0.35
"""Of the altered digits, those written over; of the struck ones, those with many strokes; of the upper digits, those
whose writer went over them more than once."""
OFF_PLACE, OFF_SIZE = 0.05, 0.08
"""One sigma of how far an upper digit misses the place, in heights, and the size of the lower one."""
NEAR = 0.05
"""Strokes nearer than this, in heights, and than half a pen, cover each other."""
LONGEST = 0.04
"""In heights: longer pieces of a stroke are cut before what lies on them is asked."""
LEAST_LOWER, LEAST_UPPER, LEAST_STRIKE = 0.22, 0.12, 0.5
"""Least share of a lower digit, of an upper one and of a strike seen beside the rest: less nobody could tell."""


@dataclass(frozen=True, slots=True, eq=False)
class Alteration:
    """An altered digit: its ``shape``, and the digits that it was and became, as far as there are any."""

    shape: Shape
    digits: tuple[int, ...]


def alter_digit(rng: np.random.Generator, hand: Hand, shape: Shape, digit: int, pen_width: float) -> Alteration | None:
    """Strike a written digit out, or write another of the hand over it; None where nobody could tell.

    ``pen_width`` is in unit heights.
    """
    near = max(NEAR, 0.6 * pen_width)
    if rng.random() < OVERWRITTEN_SHARE:
        others = [d for d in range(10) if d != digit and len(hand.shapes[d])]
        other = int(rng.choice(others))
        upper = lay_over(rng, lean(hand.write(rng, other), hand.slant), shape)
        if share_seen(shape, upper, near) < LEAST_LOWER or share_seen(upper, shape, near) < LEAST_UPPER:
            return None
        return Alteration(np.concatenate([shape, retrace(rng, upper)]), (digit, other))
    if rng.random() < TANGLE_SHARE:
        return Alteration(strike_out(rng, shape), (digit,))
    strike = strike_through(rng, [shape], str(digit))
    if share_seen(strike, shape, near) < LEAST_STRIKE:
        return None
    return Alteration(np.concatenate([shape, strike]), (digit,))


def curl_zero(rng: np.random.Generator) -> Shape:
    """Draw a clean 0 in a unit box whose pen begins or ends inside of it, or goes round it more than once."""
    turns = rng.uniform(1.1, 1.9)
    angle = np.linspace(0, 2 * np.pi * turns, 30) * rng.choice((-1, 1)) + rng.uniform(0, 2 * np.pi)
    along = np.linspace(0, 1, 30)
    inside, ends = rng.uniform(0.2, 0.95), rng.uniform(0.6, 1.1)
    reach = np.interp(along, (0, 0.45, 0.75, 1), (inside, 1, 1, ends))
    width = rng.uniform(0.5, 1.2)
    points = np.stack([width * (1 + reach * np.cos(angle)) / 2, (1 + reach * np.sin(angle)) / 2], axis=1)
    return warp(segments_of(points.astype(np.float32)), rng, 0.02)


def lay_over(rng: np.random.Generator, upper: Shape, lower: Shape) -> Shape:
    """Return a shape at the place and in the size of another, both a little off."""
    corner, extent = _box_of(upper)
    low, size = _box_of(lower)
    factor = size[1] / extent[1] * np.exp(rng.normal(0, OFF_SIZE))
    width = np.exp(rng.normal(0, OFF_SIZE))
    middle = low + size / 2 + rng.normal(0, OFF_PLACE, 2)
    return np.asarray((upper - corner - extent / 2) * [factor * width, factor] + middle, np.float32)


def lean(shape: Shape, slant: float) -> Shape:
    """Return a shape sheared to the right by ``slant``."""
    return np.stack([shape[..., 0] + np.float32(slant) * (1 - shape[..., 1]), shape[..., 1]], axis=-1)


def retrace(rng: np.random.Generator, shape: Shape) -> Shape:
    """Return a shape with what its writer drew once or twice more over it, in some cases, to make it plain."""
    if rng.random() >= RETRACED_SHARE:
        return shape
    again = [
        warp(shape, rng, float(rng.uniform(0.005, 0.03))) + rng.normal(0, 0.015, 2).astype(np.float32)
        for _ in range(int(rng.integers(1, 3)))
    ]
    return np.concatenate([shape, *again])


def share_seen(shape: Shape, other: Shape, near: float) -> float:
    """Return the share of a shape's length that lies farther than ``near`` from another's strokes."""
    shape, other = _split(shape), _split(other)
    middles, others = shape.mean(axis=1), other.mean(axis=1)
    lengths = np.linalg.norm(shape[:, 1] - shape[:, 0], axis=1)
    distances: NDArray[np.float32] = np.linalg.norm(middles[:, None] - others[None], axis=2).min(axis=1)
    return float(lengths[distances > near].sum() / max(float(lengths.sum()), 1e-6))


def _split(shape: Shape) -> Shape:
    """Return a shape with its long segments cut, so that the middle of each stands for the whole."""
    count = np.maximum(1, np.ceil(np.linalg.norm(shape[:, 1] - shape[:, 0], axis=1) / LONGEST)).astype(int)
    first = np.repeat(np.cumsum(count) - count, count)
    start = (np.arange(len(first)) - first)[:, None] / np.repeat(count, count)[:, None]
    step = 1 / np.repeat(count, count)[:, None]
    a, b = np.repeat(shape[:, 0], count, axis=0), np.repeat(shape[:, 1], count, axis=0)
    return np.stack([a + (b - a) * start, a + (b - a) * (start + step)], axis=1).astype(np.float32)


def _box_of(shape: Shape) -> tuple[Shape, Shape]:
    points = shape.reshape(-1, 2)
    return points.min(axis=0), np.maximum(np.ptp(points, axis=0), 0.2)
