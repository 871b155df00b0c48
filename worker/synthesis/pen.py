"""Pens: shapes to ink, and real digits back to shapes, so that any pen can redraw any writer's digit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.synthesis.glyphs import Shape, pick

Ink = NDArray[Any]
"""(H, W) uint8, white ink on black."""

SHIFT = 4
OVERSAMPLING = 2
THINNING_SIZE = 40


@dataclass(frozen=True, slots=True)
class Pen:
    """How a pen leaves ink: ``width`` in units of digit height; the others are shares of 1.

    ``pressure`` is how far the width swings along the stroke, ``nib`` how much broader strokes are
    downwards than across, ``gaps`` the share of segments that leave no ink, ``blobs`` the chance of a blot
    at a stroke's point, ``grain`` the roughness of the ink.
    """

    width: float
    pressure: float = 0.0
    nib: float = 0.0
    gaps: float = 0.0
    blobs: float = 0.0
    grain: float = 0.0


def draw_pen(rng: np.random.Generator) -> Pen:
    """Draw a pen, from a fine ballpoint to a marker."""
    low, high = ((0.03, 0.08), (0.07, 0.13), (0.12, 0.2))[pick(rng, (0.4, 0.45, 0.15))]
    width = float(rng.uniform(low, high))
    return Pen(
        width=width,
        pressure=float(rng.uniform(0, 0.35)),
        nib=float(rng.uniform(0.2, 0.5)) if rng.random() < 0.15 else 0.0,
        gaps=float(rng.uniform(0.01, 0.1)) if rng.random() < 0.1 else 0.0,
        blobs=float(rng.uniform(0.2, 1)) if rng.random() < 0.1 else 0.0,
        grain=float(rng.uniform(0.1, 0.5)) if rng.random() < 0.4 else 0.0,
    )


def draw_ink(rng: np.random.Generator, segments: Shape, size: tuple[int, int], pen: Pen, height_px: float) -> Ink:
    """Draw segments, given in pixels, with a pen: (H, W) uint8, white ink on black.

    ``size`` is (H, W); ``height_px`` is the height of the writing, to which the pen's width is relative.
    """
    H, W = size
    canvas = np.zeros((H * OVERSAMPLING, W * OVERSAMPLING), np.uint8)
    widths = segment_widths(rng, segments, pen, height_px) * OVERSAMPLING
    if pen.gaps > 0:
        inked = rng.random(len(segments)) > pen.gaps
        segments, widths = segments[inked], widths[inked]
    fixed = np.round((segments + 0.5) * (OVERSAMPLING << SHIFT) - (1 << SHIFT) / 2).astype(np.int32)
    thickness = np.maximum(1, np.round(widths)).astype(np.int32)
    for level in np.unique(thickness):
        cv2.polylines(canvas, list(fixed[thickness == level]), False, 255, int(level), cv2.LINE_8, SHIFT)
    if len(segments) and rng.random() < pen.blobs:
        x, y = fixed[int(rng.integers(len(fixed))), 0]
        radius = int(pen.width * height_px * OVERSAMPLING * rng.uniform(0.6, 1.3) * (1 << SHIFT))
        cv2.circle(canvas, (int(x), int(y)), radius, 255, -1, cv2.LINE_8, SHIFT)
    ink = cv2.resize(canvas, (W, H), interpolation=cv2.INTER_AREA)
    return roughen(rng, ink, pen.grain) if pen.grain > 0 else ink


def segment_widths(rng: np.random.Generator, segments: Shape, pen: Pen, height_px: float) -> NDArray[Any]:
    """Return each segment's width in pixels: pressure swings slowly, a nib thins what runs across."""
    widths = np.full(len(segments), pen.width * height_px, np.float32)
    if pen.pressure > 0:
        k = rng.uniform(2, 7, 2) / height_px
        phase = segments[:, 0] @ k.astype(np.float32) + np.float32(rng.uniform(0, 6.28))
        widths *= 1 + np.float32(pen.pressure) * np.sin(phase)
    if pen.nib > 0:
        run = np.abs(segments[:, 1] - segments[:, 0])
        across = run[:, 0] / (run.sum(axis=1) + 1e-6)
        widths *= 1 - np.float32(pen.nib) * across
    return widths


def roughen(rng: np.random.Generator, ink: Ink, grain: float) -> Ink:
    """Let paper show through the ink in specks."""
    noise = rng.integers(0, 256, ink.shape, dtype=np.uint8)
    specks = cv2.blur(noise, (2, 2)).astype(np.float32) / 255
    return (ink * (1 - np.float32(grain) * specks)).astype(np.uint8)


def thin(ink: Ink) -> NDArray[np.bool_]:
    """Thin ink to lines one pixel wide (Zhang and Suen 1984): (H, W) bool."""
    p = np.pad(ink > 0, 1)
    while True:
        before = int(p.sum())
        for step in (0, 1):
            n = [np.roll(p, s, (0, 1)) for s in ((1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1))]
            count = np.sum(n, axis=0)
            turns = np.sum([~a & b for a, b in zip(n, [*n[1:], n[0]], strict=True)], axis=0)
            north, east, south, west = n[0], n[2], n[4], n[6]
            if step == 0:
                open_sides = ~(north & east & south) & ~(east & south & west)
            else:
                open_sides = ~(north & east & west) & ~(north & south & west)
            p = p & ~((count >= 2) & (count <= 6) & (turns == 1) & open_sides)
        if int(p.sum()) == before:
            return p[1:-1, 1:-1]


def shape_of_image(ink: Ink) -> Shape:
    """Turn a digit's image (white ink on black) into a shape: its skeleton, smoothed, in the unit box.

    An image without ink gives an empty shape.
    """
    bounds = cv2.boundingRect(ink)
    x, y, w, h = bounds
    if w == 0 or h == 0:
        return np.zeros((0, 2, 2), np.float32)
    scale = THINNING_SIZE / max(w, h)
    size = (max(3, round(w * scale)), max(3, round(h * scale)))
    large = cv2.copyMakeBorder(
        cv2.resize(ink[y : y + h, x : x + w], size, interpolation=cv2.INTER_LINEAR),
        2,
        2,
        2,
        2,
        cv2.BORDER_CONSTANT,
    )
    limit = 0.45 * int(large.max())
    skeleton = thin((large > limit).astype(np.uint8))
    points, edges = skeleton_graph(skeleton)
    if len(edges) == 0:
        return np.zeros((0, 2, 2), np.float32)
    points = smooth_graph(points, edges)
    low, high = points.min(axis=0), points.max(axis=0)
    height = max(high[1] - low[1], 0.4 * (high[0] - low[0]), 1e-3)
    placed: NDArray[Any] = (points - [low[0], high[1]]) / height + [0, 1]
    return placed.astype(np.float32)[edges]


def skeleton_graph(skeleton: NDArray[np.bool_]) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Return a skeleton's pixels as points (n, 2) of (x, y), and the edges (m, 2) between neighbours."""
    number = np.cumsum(skeleton).reshape(skeleton.shape) - 1
    ys, xs = np.nonzero(skeleton)
    edges = []
    padded = np.pad(skeleton, 1)
    for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
        there = padded[1 + dy : 1 + dy + skeleton.shape[0], 1 + dx : 1 + dx + skeleton.shape[1]]
        both = skeleton & there
        if dy and dx:  # no diagonal where two straight steps already join the pixels
            side = padded[1 : 1 + skeleton.shape[0], 1 + dx : 1 + dx + skeleton.shape[1]]
            below = padded[2 : 2 + skeleton.shape[0], 1 : 1 + skeleton.shape[1]]
            both &= ~side & ~below
        y, x = np.nonzero(both)
        edges.append(np.stack([number[y, x], number[y + dy, x + dx]], axis=1))
    return np.stack([xs, ys], axis=1).astype(np.float32), np.concatenate(edges)


def smooth_graph(points: NDArray[Any], edges: NDArray[np.intp], rounds: int = 3) -> NDArray[Any]:
    """Smooth a skeleton's steps: each inner point moves to the mean of itself and its neighbours."""
    n = len(points)
    degree = np.bincount(edges.ravel(), minlength=n)
    inner = degree >= 2
    for _ in range(rounds):
        total = np.zeros_like(points)
        for axis in (0, 1):
            total[:, axis] = np.bincount(edges[:, 0], points[edges[:, 1], axis], n) + np.bincount(
                edges[:, 1], points[edges[:, 0], axis], n
            )
        mean = (points + total) / (1 + degree[:, None])
        points = np.where(inner[:, None], mean, points).astype(np.float32)
    return points


def repen(rng: np.random.Generator, ink: Ink, pen: Pen) -> Ink:
    """Redraw a digit's image with another pen: same size, white ink on black."""
    shape = shape_of_image(ink)
    x, y, w, h = cv2.boundingRect(ink)
    if len(shape) == 0:
        return ink.copy()
    extent = shape[..., 0].max() - shape[..., 0].min()
    scale = np.array([w / max(extent, 0.2), h], np.float32)
    return draw_ink(rng, shape * scale + np.array([x, y], np.float32), ink.shape, pen, float(h))


class GlyphBank:
    """Real writers' digits, thinned on first use and kept.

    Parameters
    ----------
    images : (N, H, W) uint8, white ink on black.
    labels : (N,) digits.
    writers : (N,) ids, where the set knows its writers; a hand then takes all its digits from one of them.
    """

    def __init__(
        self,
        images: NDArray[np.uint8],
        labels: NDArray[np.integer],
        writers: NDArray[np.integer] | None = None,
    ) -> None:
        self._images = images
        self._shapes: dict[int, Shape] = {}
        self._of_digit = [np.nonzero(labels == d)[0] for d in range(10)]
        self._writers: list[list[NDArray[np.intp]]] = []
        if writers is not None:
            order = np.argsort(writers, kind="stable")
            groups = np.split(order, np.nonzero(np.diff(writers[order]))[0] + 1)
            self._writers = [[g[labels[g] == d] for d in range(10)] for g in groups if len(g) >= 20]
        if any(len(own) == 0 for own in self._of_digit):
            raise ValueError("a glyph bank needs every digit from 0 to 9")

    def shape(self, index: int) -> Shape:
        """Return one image's shape."""
        if index not in self._shapes:
            self._shapes[index] = shape_of_image(self._images[index])
        return self._shapes[index]

    def random_shape(self, rng: np.random.Generator, digit: int) -> Shape:
        """Return the shape of a random instance of a digit."""
        return self.shape(int(rng.choice(self._of_digit[digit])))

    def writer_shapes(self, rng: np.random.Generator, digits: str) -> tuple[tuple[Shape, ...], ...]:
        """Return one or two shapes for each digit asked for, of one writer where writers are known."""
        own = self._writers[int(rng.integers(len(self._writers)))] if self._writers else self._of_digit
        chosen: list[tuple[Shape, ...]] = []
        for digit in range(10):
            if str(digit) not in digits:
                chosen.append(())
                continue
            pool = own[digit] if len(own[digit]) else self._of_digit[digit]
            picks = pool[rng.integers(0, len(pool), 2)]
            shapes = tuple(s for s in (self.shape(int(i)) for i in picks) if len(s))
            chosen.append(shapes or (self.random_shape(rng, digit),))
        return tuple(chosen)
