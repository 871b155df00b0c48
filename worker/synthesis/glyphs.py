"""Writers and the shapes they give their digits.

A shape is an ``(m, 2, 2) float32`` array of short pen segments in a unit box: x right, y down, the top of a
digit at 0 and its baseline at 1. Every writer (``Hand``) has habits: shapes of his own for each digit, slant,
spacing; every instance of a digit then differs a little.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from worker.synthesis.allographs import ALLOGRAPHS, SCHOOL_TWOS

Shape = NDArray[Any]
"""(m, 2, 2) float32: m pen segments, each two points (x, y) in units of the digit's height."""

POINTS_PER_SPAN = 5
SCHOOL_SHARE = 0.08
"""Of the drawn hands: those that learnt the slanting 2 with a narrow head, and set their digits apart."""


class GlyphSource(Protocol):
    """Real writers' digits as shapes: see ``worker.synthesis.pen.GlyphBank``."""

    def writer_shapes(self, rng: np.random.Generator, digits: str) -> tuple[tuple[Shape, ...], ...]:
        """Return shapes of the digits asked for, none for others; of one writer where writers are known."""
        ...


def pick(rng: np.random.Generator, weights: Sequence[float]) -> int:
    """Draw an index by weights that sum to 1; many times faster than ``rng.choice``."""
    return min(bisect(list(accumulate(weights)), rng.random()), len(weights) - 1)


@cache
def parse_strokes(text: str) -> tuple[tuple[NDArray[Any], NDArray[Any]], ...]:
    """Return each stroke of a notation: control points (n, 2) in unit heights, and its spline's basis."""
    strokes = []
    for stroke in text.split("|"):
        words = stroke.split()
        points = np.array([[float(v) for v in word.rstrip("!").split(",")] for word in words], np.float32) / 100
        closed = len(words) > 3 and words[0] == words[-1]
        strokes.append((points, spline_basis(tuple(word.endswith("!") for word in words), closed)))
    return tuple(strokes)


@cache
def spline_basis(corners: tuple[bool, ...], closed: bool) -> NDArray[Any]:
    """Return the matrix that turns n control points into a Catmull-Rom curve's points: (m, n).

    The curve is linear in its control points, so one matrix serves every writer. At a corner it is cut and
    begins anew; ``closed`` runs it smoothly through the point where it ends and began.
    """
    n = len(corners)
    cuts = [0] + [i for i in range(1, n - 1) if corners[i]] + [n - 1]
    rows = []
    for start, end in pairwise(cuts):
        for i in range(start, end):
            p = [max(i - 1, start), i, i + 1, min(i + 2, end)]
            if closed and i == 0:
                p[0] = n - 2
            if closed and i == n - 2:
                p[3] = 1
            for t in np.arange(POINTS_PER_SPAN) / POINTS_PER_SPAN:
                w = (-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2)
                row = np.zeros(n, np.float32)
                for index, weight in zip(p, w, strict=True):
                    row[index] += weight / 2
                rows.append(row)
    last = np.zeros(n, np.float32)
    last[-1] = 1
    rows.append(last)
    return np.array(rows)


def segments_of(points: NDArray[Any]) -> Shape:
    """Return the segments (n-1, 2, 2) between consecutive points (n, 2)."""
    segments = np.empty((len(points) - 1, 2, 2), np.float32)
    segments[:, 0], segments[:, 1] = points[:-1], points[1:]
    return segments


def shape_from_strokes(
    text: str, rng: np.random.Generator | None = None, spread: float = 0.0, loose_ends: float = 0.0
) -> Shape:
    """Draw a shape from its notation, its control points moved by ``spread`` unit heights (one sigma).

    ``loose_ends`` is the chance of each end of a stroke to stop short or to run on.
    """
    parts = []
    for points, basis in parse_strokes(text):
        if rng is not None and spread > 0:
            points = points + np.float32(spread) * rng.standard_normal(points.shape, dtype=np.float32)
        curve = basis @ points
        if rng is not None and loose_ends > 0:
            curve = _loosen_end(rng, _loosen_end(rng, curve, loose_ends)[::-1], loose_ends)[::-1]
        parts.append(segments_of(curve))
    return np.concatenate(parts) if len(parts) > 1 else parts[0]


def _loosen_end(rng: np.random.Generator, curve: NDArray[Any], chance: float) -> NDArray[Any]:
    """Let the last end of a stroke (n, 2) stop short or run on, bending, as a quick pen does."""
    if len(curve) < 2 * POINTS_PER_SPAN or rng.random() >= chance:
        return curve
    if rng.random() < 0.4:
        return curve[: -int(rng.integers(1, 1 + len(curve) // 8))]
    step = curve[-1] - curve[-2]
    angle = np.arctan2(step[1], step[0]) + rng.normal(0, 0.3) * np.arange(1, int(rng.integers(3, 8)))
    steps = 0.03 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return np.concatenate([curve, curve[-1] + steps.cumsum(axis=0)])


def reproportion(rng: np.random.Generator, shape: Shape, amount: float) -> Shape:
    """Give a shape other proportions: head against foot, left against right, wider above than below.

    ``amount`` is one sigma of the change of each, 0.2 being a fifth at most anywhere.
    """
    a, b, taper = amount * np.clip(rng.standard_normal(3), -2, 2)
    x, y = shape[..., 0], shape[..., 1]
    left, width = x.min(), max(float(np.ptp(x)), 0.1)
    across, down = (x - left) / width, np.clip(y, 0, 1)
    changed = np.empty_like(shape)
    changed[..., 1] = y + a * down * (1 - down)
    across = across + b * across * (1 - across)
    changed[..., 0] = left + width * (0.5 + (across - 0.5) * (1 + taper * (2 * down - 1)))
    return changed


def warp(shape: Shape, rng: np.random.Generator, amount: float) -> Shape:
    """Bend a shape smoothly by about ``amount`` unit heights: one slow wave along each axis."""
    frequency = rng.random(2, dtype=np.float32) * np.float32(4) + np.float32(2)
    phase = rng.random(2, dtype=np.float32) * np.float32(6.28)
    waves: Shape = shape[..., ::-1] * frequency
    waves += phase
    np.sin(waves, out=waves)
    waves *= np.float32(amount)
    waves += shape
    return waves


@dataclass(frozen=True, slots=True, eq=False)
class Hand:
    """One writer's habits. Lengths are in units of the digit's height.

    ``shapes`` holds for each digit the shapes that the writer uses, the favourite first; ``slant`` is the
    shear to the right; ``gap`` the clear space between neighbours' ink, negative where they overlap;
    ``link`` the chance that two neighbours are written without lifting the pen; ``drift`` the baseline's
    slope and ``growth`` the change of size from one end of a number to the other; ``zero`` the width and
    height of a 0 beside the others.
    """

    shapes: tuple[tuple[Shape, ...], ...]
    slant: float
    aspect: float
    gap: float
    gap_jitter: float
    size_jitter: float
    baseline_jitter: float
    wobble: float
    tremor: float
    link: float
    drift: float
    growth: float
    zero: tuple[float, float]

    def write(self, rng: np.random.Generator, digit: int) -> Shape:
        """Write one digit: the writer's shape, a little different each time, not yet slanted."""
        own = self.shapes[digit]
        shape = own[0] if len(own) == 1 or rng.random() < 0.75 else own[int(rng.integers(1, len(own)))]
        shape = warp(shape, rng, self.wobble)
        if self.tremor > 0:
            shape = warp_finely(shape, rng, self.tremor)
        size = 1 + self.size_jitter * rng.standard_normal()
        width = self.aspect * size * (1 + 0.07 * rng.standard_normal())
        if digit == 0:
            width, size = width * self.zero[0], size * self.zero[1]
        scale = np.array([width, size], np.float32)
        offset = np.array([0, 1 - size + self.baseline_jitter * rng.standard_normal()], np.float32)
        return shape * scale + offset


def warp_finely(shape: Shape, rng: np.random.Generator, amount: float) -> Shape:
    """Shake a shape as an unsteady hand does: short waves that follow the pen."""
    phase = rng.uniform(0, 6.28, 2).astype(np.float32)
    swing: Shape = np.sin(25 * shape[..., ::-1] + 9 * shape + phase, dtype=np.float32)
    return shape + np.float32(amount) * swing


def draw_coil(rng: np.random.Generator, count: int) -> tuple[Shape, ...]:
    """Draw zeros without lifting the pen: a coil from top to top, its loops round, narrow or open like a u or v."""
    knots, turn = np.arange(count + 2), 16
    pitches = rng.uniform(0.4, 0.85) * np.exp(rng.normal(0, 0.12, count + 2))
    reaches = np.maximum(0.0, rng.uniform(0.02, 0.36) + rng.normal(0, 0.07, count + 2))
    heights = rng.uniform(0.5, 0.95) * np.exp(rng.normal(0, 0.08, count + 2))
    turns = np.arange(count * turn + int(rng.integers(0, 5)) + 1) / turn
    middles, reach, height = (np.interp(turns, knots, v) for v in (pitches.cumsum(), reaches, heights))
    x = middles - reach * np.sin(2 * np.pi * turns)
    y = 1 - height / 2 * (1 + np.cos(2 * np.pi * turns))
    curve = warp(segments_of(np.stack([x, y], axis=1).astype(np.float32)), rng, float(rng.uniform(0.005, 0.05)))
    return tuple(curve[k * turn : (k + 1) * turn if k + 1 < count else None] for k in range(count))


def draw_chain(rng: np.random.Generator, count: int) -> tuple[Shape, ...]:
    """Draw zeros joined at their tops by one pen, each a ring or open like a u or v; rings mostly at both ends."""
    ring_share, pointed = float(rng.choice((0.15, 0.5, 0.9))), rng.uniform(0, 0.6)
    width, height, sag = rng.uniform(0.3, 0.75), rng.uniform(0.5, 0.95), rng.uniform(0.0, 0.3)
    gap = rng.uniform(-0.06, 0.3)
    zeros: list[Shape] = []
    left: float = 0.0
    end: NDArray[Any] | None = None
    for k in range(count):
        w, h = (v * np.exp(rng.normal(0, 0.1)) for v in (width, height))
        is_ring = rng.random() < (max(ring_share, 0.7) if k in (0, count - 1) else ring_share)
        curve = _ring_or_bowl(rng, is_ring, pointed) * (w, h) + (left, 1 - h)
        parts = [] if end is None else [bridge(end, curve[0], sag * abs(curve[0, 0] - end[0]))]
        zeros.append(np.concatenate([*parts, segments_of(curve.astype(np.float32))]))
        end, left = curve[-1], left + w + gap * np.exp(rng.normal(0, 0.2))
    chain = warp(np.concatenate(zeros), rng, float(rng.uniform(0.005, 0.04)))
    return tuple(np.split(chain, np.cumsum([len(zero) for zero in zeros])[:-1]))


def _ring_or_bowl(rng: np.random.Generator, is_ring: bool, pointed: float) -> NDArray[Any]:
    """Draw a 0 in a unit box, from its top round its left and foot up again: a ring, or a bowl that stays open."""
    start, stop = rng.uniform(0.8, 1.8), rng.uniform(7.6, 8.4) if is_ring else rng.uniform(6.5, 7.3)
    angle = np.linspace(start if is_ring else rng.uniform(1.9, 2.6), stop, 18)
    down = (1 - np.sin(angle)) / 2
    narrowed = np.cos(angle) * (1 - (0 if is_ring else pointed) * down)
    return np.stack([(1 + narrowed) / 2, down], axis=1)


def bridge(start: NDArray[Any], end: NDArray[Any], sag: float) -> Shape:
    """Join two points by a stroke whose middle hangs ``sag`` unit heights below the straight line."""
    t = np.linspace(0, 1, 6)[:, None]
    curve = start + (end - start) * t
    curve[:, 1] += sag * np.sin(np.pi * t[:, 0])
    return segments_of(curve.astype(np.float32))


def _raise_top(shape: Shape, factor: float) -> Shape:
    return np.stack([shape[..., 0], 1 - np.float32(factor) * (1 - shape[..., 1])], axis=-1)


def choose_allographs(
    rng: np.random.Generator, digit: int, spread: float, loose_ends: float = 0.0
) -> tuple[Shape, ...]:
    """Choose one or two shapes for a digit and give them a writer's personal form."""
    table = ALLOGRAPHS[str(digit)]
    weights = _weights(str(digit))
    count = 1 if rng.random() < 0.7 else 2
    picks = [pick(rng, weights) for _ in range(count)]
    return tuple(warp(shape_from_strokes(table[i][0], rng, spread, loose_ends), rng, spread * 1.2) for i in picks)


@cache
def _weights(digit: str) -> tuple[float, ...]:
    weights = [weight**0.7 for _, weight in ALLOGRAPHS[digit]]  # rarer shapes are worth learning too
    return tuple(w / sum(weights) for w in weights)


def draw_hand(
    rng: np.random.Generator,
    glyphs: GlyphSource | None = None,
    *,
    real_share: float = 0.4,
    digits: str = "0123456789",
) -> Hand:
    """Draw a writer: shapes from the table of allographs, or, in ``real_share`` of cases, from real writers.

    Some real writers take a part of their digits from the table, but none where ``real_share`` is 1.

    Only ``digits`` get shapes, for a writer of whom no more is wanted.
    """
    real = glyphs is not None and rng.random() < real_share
    shapes = (
        _real_shapes(rng, glyphs, digits, mixed=real_share < 1)
        if real and glyphs is not None
        else _table_shapes(rng, digits)
    )
    school = not real and rng.random() < SCHOOL_SHARE
    if school and "2" in digits:
        shapes = (*shapes[:2], _school_two(rng), *shapes[3:])
    uneven = rng.uniform(0, 0.12 if real else 0.3)
    shapes = tuple(tuple(reproportion(rng, shape, uneven) for shape in own) for own in shapes)
    if rng.random() < 0.15:  # a tall 1 at the edge is no frame
        shapes = (shapes[0], tuple(_raise_top(shape, rng.uniform(1.1, 1.5)) for shape in shapes[1]), *shapes[2:])
    slant = float(rng.normal(0.08, 0.12) if rng.random() < 0.7 else rng.uniform(-0.25, 0.9))
    return Hand(
        shapes=shapes,
        slant=float(rng.uniform(0.15, 0.6)) if school else slant if not real else slant * 0.6,
        aspect=float(np.exp(rng.normal(0.18, 0.22))),
        gap=float(rng.uniform(0.1, 0.9)) if school else _draw_gap(rng),
        gap_jitter=float(rng.uniform(0.01, 0.1)),
        size_jitter=float(rng.uniform(0.02, 0.16)),
        baseline_jitter=float(rng.uniform(0.0, 0.07)),
        wobble=float(rng.uniform(0.005, 0.04)),
        tremor=float(rng.uniform(0.003, 0.014)) if rng.random() < 0.15 else 0.0,
        link=float(rng.random()) if rng.random() < 0.4 else 0.0,
        drift=float(rng.normal(0, 0.05)),
        growth=float(rng.normal(0, 0.08)),
        # zeros of real amounts are rounder and lower than other digits (median 0.82 high, as wide as high)
        zero=(
            float(np.exp(rng.normal(0.1, 0.2))),
            float(rng.uniform(0.55, 0.92) if rng.random() < 0.6 else rng.uniform(0.9, 1.05)),
        ),
    )


def _real_shapes(
    rng: np.random.Generator, glyphs: GlyphSource, digits: str, *, mixed: bool
) -> tuple[tuple[Shape, ...], ...]:
    """Return a real writer's shapes; if ``mixed``, in some cases every other digit's is from the table."""
    shapes = glyphs.writer_shapes(rng, digits)
    if not mixed or rng.random() >= 0.3:
        return shapes
    spread = rng.uniform(0.01, 0.04)
    return tuple(
        choose_allographs(rng, d, spread) if own and rng.random() < 0.5 else own for d, own in enumerate(shapes)
    )


def _table_shapes(rng: np.random.Generator, digits: str) -> tuple[tuple[Shape, ...], ...]:
    spread, loose = rng.uniform(0.01, 0.05), 0.35 * rng.random()
    return tuple(choose_allographs(rng, d, spread, loose) if str(d) in digits else () for d in range(10))


def _school_two(rng: np.random.Generator) -> tuple[Shape, ...]:
    chosen = SCHOOL_TWOS[int(rng.integers(len(SCHOOL_TWOS)))]
    return (warp(shape_from_strokes(chosen, rng, 0.02, 0.1), rng, 0.02),)


def _draw_gap(rng: np.random.Generator) -> float:
    """Draw the space between digits: mostly a little, sometimes any; digits written one by one stand far apart."""
    kind = pick(rng, (0.74, 0.16, 0.1))
    low, high = ((0.0, 0.0), (-0.2, 0.6), (0.6, 2.2))[kind]
    return float(rng.normal(0.11, 0.08) if kind == 0 else rng.uniform(low, high))
