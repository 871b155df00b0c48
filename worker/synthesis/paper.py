"""Paper, and what a scanner, a copier or a telephone makes of it.

Papers are ``(H, W)`` in 0..255: uint8 until ink is added, then float32. Textures come from a small set of tiles that
are rendered once a process from fixed seeds, so a field costs a crop and not a rendering.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.synthesis.glyphs import pick

Paper = NDArray[Any]

TILE_H, TILE_W = 256, 768
TILES = 112


@lru_cache(maxsize=TILES)
def texture_tile(index: int) -> Paper:
    """Return a texture (256, 768), mean near 0, swing near 1; index runs from 0 to ``TILES`` - 1."""
    rng = np.random.default_rng(770_000 + index)
    kinds = (_dots, _weave, _fibres, _mottle, _words, _waves, _waves)
    makers = (*kinds, *(_guilloche,) * len(kinds))  # most amounts are written on a guilloche
    tile: Paper = makers[index % len(makers)](rng)
    tile = (tile - tile.mean()) / (tile.std() + 1e-6)
    return tile.astype(np.float32).clip(-3, 3)


def _grid() -> tuple[Paper, Paper]:
    y, x = np.mgrid[0:TILE_H, 0:TILE_W].astype(np.float32)
    return x, y


def _thin_lines(phase: Paper, sharpness: float) -> Paper:
    """Turn a phase (1 a line) into thin dark lines."""
    return -np.exp(-(((phase % 1) - 0.5) ** 2) * sharpness)


def _guilloche(rng: np.random.Generator) -> Paper:
    """Draw security print: families of wavy lines across each other, some around a far point, all unevenly inked."""
    x, y = _grid()
    total: Paper = np.zeros_like(x)
    spread = 0.4 if rng.random() < 0.4 else 1.5  # level lines, or a net
    for _ in range(int(rng.integers(2, 5))):
        angle = rng.uniform(-spread, spread)
        u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
        if rng.random() < 0.3:
            v = np.hypot(u - rng.uniform(0, TILE_W), v - rng.choice([-1, 1]) * rng.uniform(100, 500))
        swing = rng.uniform(2, 14) * np.sin(u / rng.uniform(8, 40) + v / rng.uniform(20, 80))
        swing += rng.uniform(0, 8) * np.sin(u / rng.uniform(30, 90))
        lines = _thin_lines((v + swing) / rng.uniform(4, 10), rng.uniform(15, 60))
        total += lines * _uneven(rng) if rng.random() < 0.6 else lines
    return total


def _uneven(rng: np.random.Generator) -> Paper:
    """Return how much of a print a scanner sees at each place: clouds, and gaps as in dotted lines."""
    return (0.2 + _noise(rng, every=32)) * (_noise(rng, every=2) > rng.uniform(0.1, 0.5))


def _noise(rng: np.random.Generator, *, every: int) -> Paper:
    coarse = rng.uniform(0, 1, (TILE_H // every, TILE_W // every)).astype(np.float32)
    return cv2.resize(coarse, (TILE_W, TILE_H), interpolation=cv2.INTER_LINEAR)


def _waves(rng: np.random.Generator) -> Paper:
    x, y = _grid()
    cx, cy = rng.uniform(-200, TILE_W + 200), rng.uniform(-200, TILE_H + 200)
    radius = np.hypot(x - cx, y - cy) + rng.uniform(0, 10) * np.sin(np.arctan2(y - cy, x - cx) * rng.integers(6, 40))
    return _thin_lines(radius / rng.uniform(4, 9), rng.uniform(15, 50))


def _dots(rng: np.random.Generator) -> Paper:
    x, y = _grid()
    angle, pitch = rng.uniform(0, 0.8), rng.uniform(2.2, 6)
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    dots = np.cos(2 * np.pi * u / pitch) * np.cos(2 * np.pi * v / (pitch * rng.uniform(0.8, 1.3)))
    return np.where(dots > rng.uniform(-0.2, 0.6), -1, 0) + 0.6 * _mottle(rng)


def _weave(rng: np.random.Generator) -> Paper:
    noise = rng.normal(0, 1, (TILE_H // 2, TILE_W // 2)).astype(np.float32)
    weave = cv2.resize(noise, (TILE_W, TILE_H), interpolation=cv2.INTER_NEAREST)
    x, y = _grid()
    return weave + rng.uniform(0, 1.5) * np.sin(x * rng.uniform(0.8, 2)) * np.sin(y * rng.uniform(0.8, 2))


def _fibres(rng: np.random.Generator) -> Paper:
    noise = rng.normal(0, 1, (TILE_H, TILE_W)).astype(np.float32)
    return cv2.GaussianBlur(noise, (0, 0), rng.uniform(0.8, 3), sigmaY=rng.uniform(0.5, 2))


def _mottle(rng: np.random.Generator) -> Paper:
    noise = rng.normal(0, 1, (TILE_H // 4, TILE_W // 4)).astype(np.float32)
    coarse = cv2.resize(cv2.GaussianBlur(noise, (0, 0), 1.5), (TILE_W, TILE_H), interpolation=cv2.INTER_CUBIC)
    return coarse * 3 + rng.normal(0, 0.6, (TILE_H, TILE_W)).astype(np.float32)


def _words(rng: np.random.Generator) -> Paper:
    """Draw security print: a short word repeated, with a lattice."""
    tile = np.full((TILE_H, TILE_W), 255, np.uint8)
    word = "".join(rng.choice(list("ABCDEIKNORST"), int(rng.integers(4, 9))))
    font = int(rng.choice([cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX_SMALL]))
    scale, step = rng.uniform(0.3, 0.7), int(rng.integers(12, 30))
    for row, y in enumerate(range(step, TILE_H + step, step)):
        cv2.putText(tile, f"{word} " * 20, (-37 * (row % 5), y), font, scale, 0, 1, cv2.LINE_AA)
    x, y2 = _grid()
    return tile.astype(np.float32) / 255 + 0.7 * _thin_lines((x + y2) / rng.uniform(10, 30), 30)


def draw_paper(rng: np.random.Generator, size: tuple[int, int], *, textured: float = 0.65) -> Paper:
    """Draw a piece of paper (H, W): tone, gradient and grain of a random kind, a share ``textured`` with a pattern."""
    H, W = size
    low, high = ((215, 255), (150, 225), (80, 160))[pick(rng, (0.5, 0.4, 0.1))]
    tone = rng.uniform(low, high)
    paper = np.full(size, tone, np.float32)
    if rng.random() < 0.5:
        slope = rng.normal(0, 12, 2).astype(np.float32)
        paper += slope[0] * np.linspace(-1, 1, W, dtype=np.float32)
        paper += (slope[1] * np.linspace(-1, 1, H, dtype=np.float32))[:, None]
    if rng.random() < textured:
        depth = rng.uniform(2, 18) if rng.random() < 0.4 else rng.uniform(10, 36)
        paper += np.float32(depth * tone / 220) * cut_texture(rng, size)
    if rng.random() < 0.5:
        paper += rng.uniform(0.5, 6) * rng.standard_normal(size, dtype=np.float32)
    return paper.clip(0, 255).astype(np.uint8)


def cut_texture(rng: np.random.Generator, size: tuple[int, int]) -> Paper:
    """Cut a random piece of a random texture tile, at a random scale."""
    H, W = size
    tile = texture_tile(int(rng.integers(TILES)))
    zoom = max(rng.uniform(0.6, 1.8), W / TILE_W, H / TILE_H)
    h, w = min(TILE_H, int(np.ceil(H / zoom))), min(TILE_W, int(np.ceil(W / zoom)))
    y, x = int(rng.integers(TILE_H - h + 1)), int(rng.integers(TILE_W - w + 1))
    piece = tile[y : y + h, x : x + w]
    if rng.random() < 0.5:
        piece = piece[:, ::-1]
    return cv2.resize(piece, (W, H), interpolation=cv2.INTER_LINEAR)


def add_ink(paper: Paper, ink: Paper, darkness: float) -> Paper:
    """Lay ink (white on black) over paper: ``darkness`` is the share of the light that full ink takes."""
    return paper * (1 - np.float32(darkness / 255) * ink)


def add_shadow(rng: np.random.Generator, paper: Paper) -> Paper:
    """Throw a soft shadow over part of the paper, as a hand or a telephone does."""
    H, W = paper.shape
    angle = rng.uniform(0, 6.28)
    across = np.cos(angle) * np.linspace(-1, 1, W, dtype=np.float32)
    down = (np.sin(angle) * np.linspace(-1, 1, H, dtype=np.float32))[:, None]
    edge = 1 / (1 + np.exp(-(across + down + rng.uniform(-0.8, 0.8)) * rng.uniform(2, 30)))
    light: Paper = 1 - rng.uniform(0.1, 0.6) * edge
    return paper * light.astype(np.float32)


def degrade(rng: np.random.Generator, grey: Paper) -> Paper:
    """Put a picture through a scanner or a camera: blur, contrast, noise, JPEG, coarse sampling, 1 bit."""
    H, W = grey.shape
    if rng.random() < 0.5:
        grey = cv2.GaussianBlur(grey, (0, 0), rng.uniform(0.3, 1.3) * min(1.0, H / 40))
    if rng.random() < 0.12:
        share = rng.uniform(0.45, 0.8)
        small = cv2.resize(grey, (max(4, int(W * share)), max(4, int(H * share))), interpolation=cv2.INTER_AREA)
        grey = cv2.resize(small, (W, H), interpolation=cv2.INTER_LINEAR)
    bilevel = rng.random() < 0.14
    if not bilevel and rng.random() < 0.12:
        grey = add_shadow(rng, grey)
    if rng.random() < 0.3:
        grey = grey * rng.uniform(0.5, 1.1) + rng.uniform(0, 60)
    if rng.random() < 0.3:
        grey = grey + rng.uniform(1, 9) * rng.standard_normal((H, W), dtype=np.float32)
    pixels = grey.clip(0, 255).astype(np.uint8)
    if bilevel:
        return binarize(rng, pixels)
    if rng.random() < 0.35:
        quality = int(rng.integers(25, 90))
        coded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        decoded = cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE)
        return pixels if decoded is None else decoded
    return pixels


def binarize(rng: np.random.Generator, grey: Paper) -> Paper:
    """Make a 1-bit scan, with a threshold that a scanner might choose."""
    level, bits = cv2.threshold(grey, 0, 255, cv2.THRESH_OTSU)
    if rng.random() < 0.6:
        _, bits = cv2.threshold(grey, level * rng.uniform(0.85, 1.12), 255, cv2.THRESH_BINARY)
    return bits
