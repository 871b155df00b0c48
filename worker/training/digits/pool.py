"""The pool that the shipped model trains on: every set marked for training, drawn digits, and non-digits."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.digits.normalization import normalize_digits
from worker.models.card import DataSetEntry
from worker.synthesis.digits import draw_digit, draw_non_digit
from worker.synthesis.pen import draw_ink, draw_pen
from worker.training.digits import data
from worker.training.digits.data import TrainingSet
from worker.training.digits.non_digits import join_glyphs, make_non_digits
from worker.training.general.pens import load_pen_bank
from worker.values import NOT_A_DIGIT


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """Images (N, 28, 28) uint8, labels (N,) int64, and how likely each is drawn in an epoch, (N,) float64."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    weights: NDArray[np.float64]
    sources: tuple[DataSetEntry, ...]


SHARES = {
    "mnist": 0.30,
    "swiss_numbers": 0.10,
    "nsysu_digits": 0.02,
    "drawn_pens": 0.22,
    "optdigits32": 0.04,
    "semeion": 0.02,
    "hwd1000": 0.005,
    "printed_digits": 0.012,
    "drawn_digits": 0.15,
    "omniglot": 0.045,
    "joined_glyphs": 0.02,
    "made_non_digits": 0.02,
    "drawn_non_digits": 0.048,
}
"""The share of an epoch that each source gets, whatever its size; renormalized over those present."""

HARMED_SHARES = SHARES | {
    "mnist": 0.26,
    "optdigits32": 0.06,
    "semeion": 0.03,
    "hwd1000": 0.01,
    "printed_digits": 0.02,
    "drawn_digits": 0.28,
    "omniglot": 0.04,
    "joined_glyphs": 0.0,
    "made_non_digits": 0.03,
    "drawn_non_digits": 0.07,
}
"""The shares for the teacher that sees much harmed images."""

BOTH_SHARES = SHARES | {"mnist": 0.24}
"""The shares while the shipped network learns from its teachers: less of MNIST."""

DRAWN = 60_000
"""Digits drawn for a pool; at 1 ms each they cost a minute, and augmentation bends each anew."""

JOINED = 6000
"""Characters made of two glyphs each: more kinds than the alphabets have."""

KEPT_SHARE = {1: 1.0, 9: 0.9, 2: 0.7, 7: 0.8}
"""The share of drawn digits kept, 0.6 for the others: MNIST shows least how Europe writes these."""


def load_pool(data_dir: Path, *, seed: int, drawn: int = DRAWN) -> Pool:
    """Load every training set, draw digits and non-digits, and weigh the sources."""
    rng = np.random.default_rng(seed)
    real = [
        data.load_mnist(data_dir)[0],
        data.load_optdigits(data_dir),
        data.load_semeion(data_dir),
        data.load_hwd1000(data_dir),
        data.load_swiss(data_dir)[0],
        data.load_exams(data_dir),
    ]
    digits, labels = np.concatenate([s.images for s in real]), np.concatenate([s.labels for s in real])
    made = make_non_digits(digits, labels, 12000, rng)
    made_set = TrainingSet("made_non_digits", "ours", made, np.full(len(made), NOT_A_DIGIT))
    glyphs = data.load_glyphs(data_dir)
    others = [data.load_printed(data_dir), glyphs, made_set]
    drawn_sets = [draw_digits(drawn, rng), draw_non_digits(drawn // 2, rng), draw_pens(data_dir, drawn, rng)]
    joined = join_glyphs(glyphs.images, JOINED, rng)
    joined_set = TrainingSet("joined_glyphs", glyphs.licence, joined, np.full(len(joined), NOT_A_DIGIT))
    return mix_pool([*real, *others, *drawn_sets, joined_set])


def draw_digits(count: int, rng: np.random.Generator) -> TrainingSet:
    """Draw digits of writers that never were, leaning more than the generator's own, and more of some."""
    drawn = [draw_digit(rng) for _ in range(count)]
    kept = [(ink, label) for ink, label in drawn if rng.random() < KEPT_SHARE.get(label, 0.6)]
    images = normalize_digits(_lean(ink, rng.normal(0.06, 0.16)) for ink, _ in kept)
    return TrainingSet("drawn_digits", "ours", images, np.array([label for _, label in kept], np.int64))


def draw_pens(data_dir: Path, count: int, rng: np.random.Generator) -> TrainingSet:
    """Draw digits of recorded pens, none of them of a held-out writer, each with a pen of its own."""
    pens = load_pen_bank(data_dir, held_out=False)
    labels = rng.integers(0, 10, count)
    shapes = [pens.writer_shapes(rng, str(label))[label][0] for label in labels]
    images = normalize_digits(_draw_shape(rng, shape) for shape in shapes)
    return TrainingSet("drawn_pens", "CC BY 4.0 (UNIPEN, Pendigits); UCI repository (UJI)", images, labels)


def _draw_shape(rng: np.random.Generator, shape: NDArray[np.float32], height: int = 40) -> NDArray[np.uint8]:
    """Draw a shape (m, 2, 2) in unit heights: (h, w) uint8, white on black."""
    pen = draw_pen(rng)
    low = shape.reshape(-1, 2).min(axis=0)
    placed = ((shape - low) * height + 8).astype(np.float32)
    width = int(np.ceil(float(placed[..., 0].max()))) + 9
    return draw_ink(rng, placed, (height + 17, width), pen, height)


def _lean(ink: NDArray[np.uint8], slant: float) -> NDArray[np.uint8]:
    height, width = ink.shape
    margin = int(abs(slant) * height / 2) + 1
    shear = np.array([[1, -slant, slant * height / 2 + margin], [0, 1, 0]], np.float64)
    return cv2.warpAffine(ink, shear, (width + 2 * margin, height)).astype(np.uint8, copy=False)


def draw_non_digits(count: int, rng: np.random.Generator) -> TrainingSet:
    """Draw marks, letters, scribbles and remnants."""
    images = normalize_digits(draw_non_digit(rng) for _ in range(count))
    return TrainingSet("drawn_non_digits", "ours", images, np.full(len(images), NOT_A_DIGIT))


def looks_like_one(image: NDArray[np.uint8]) -> bool:
    """Say whether the ink is one upright stroke, slanted, bowed, broad or broken: a 1 to any reader."""
    moments = cv2.moments(image)
    across, along, mixed = moments["mu20"], moments["mu02"], moments["mu11"]
    spread = np.hypot(across - along, 2 * mixed)
    longer, shorter = across + along + spread, across + along - spread
    return bool(shorter < 0.1 * longer and along > across) or _is_narrow_stroke(image > 100)


def _is_narrow_stroke(ink: NDArray[np.bool_]) -> bool:
    """Say whether the ink is narrow and nearly every row of it is one run."""
    x, y, w, h = cv2.boundingRect(ink.astype(np.uint8))
    rows = np.pad(ink[y : y + h, x : x + w].astype(np.int8), ((0, 0), (1, 0)))
    runs = (np.diff(rows, axis=1) == 1).sum(axis=1)
    return bool(h >= 12 and w <= 0.45 * h and (runs <= 1).mean() > 0.85)


def without_ones(pool: TrainingSet) -> TrainingSet:
    """Return a set without the non-digits that are a 1 to any reader: print's uprights, halves of a 0, brackets."""
    samples = zip(pool.images, pool.labels, strict=True)
    return pool.take(np.array([label != NOT_A_DIGIT or not looks_like_one(image) for image, label in samples], bool))


def mix_pool(sets: Sequence[TrainingSet]) -> Pool:
    """Join training sets into one pool; raise ``DataUseError`` where one of them may not train."""
    data.require_training(sets)
    sets = [without_ones(each) for each in sets]
    weights = np.concatenate([np.full(len(each), SHARES[each.name] / len(each)) for each in sets])
    return Pool(
        np.concatenate([each.images for each in sets]),
        np.concatenate([each.labels for each in sets]),
        weights / weights.sum(),
        tuple(DataSetEntry(name=s.name, samples=len(s), used_for="training", licence=s.licence) for s in sets),
    )


def with_shares(pool: Pool, shares: Mapping[str, float]) -> Pool:
    """Return the pool with other shares for its sources."""
    counts = [line.samples for line in pool.sources]
    weights = np.repeat([shares[s.name] / s.samples for s in pool.sources], counts)
    return replace(pool, weights=weights / weights.sum()) if counts else pool


def cached_pool(data_dir: Path, *, seed: int, cache: Path) -> Pool:
    """Return the pool kept in a file, or make it and keep it: a training taken up does not draw anew."""
    if not cache.exists():
        pool = load_pool(data_dir, seed=seed)
        cache.parent.mkdir(parents=True, exist_ok=True)
        sources = json.dumps([line.model_dump() for line in pool.sources])
        np.savez(
            cache,
            images=pool.images,
            labels=pool.labels,
            weights=pool.weights,
            sources=np.array(sources),
        )
    with np.load(cache, allow_pickle=False) as stored:
        lines = tuple(DataSetEntry(**line) for line in json.loads(str(stored["sources"])))
        return Pool(stored["images"], stored["labels"], stored["weights"], lines)
