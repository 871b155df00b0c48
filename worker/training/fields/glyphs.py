"""Digits of real writers as pen strokes, from the sets marked for training; made once and kept in a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from worker.synthesis.glyphs import Shape, pick
from worker.synthesis.pen import shape_of_image
from worker.training.scanned_digits import HELD_OUT_SCANS, read_exams, read_swiss

HELD_OUT = 10
"""Every tenth MNIST writer is left out, as for the digit model's calibration."""
UNNAMED = -1
SHARES_OF_NAMED = (0.42, 0.16)
"""Of the hands asked for: MNIST's writers, and the Swiss ones; the others are of sets that name none."""
FIRST_SWISS = 1_000_000
"""Added to the writers' numbers of swiss_numbers."""


class ShapeBank:
    """Shapes of real digits, by writer where the set names them; a ``GlyphSource`` for ``draw_field``.

    Parameters
    ----------
    segments, offsets
        (m, 2, 2) float16, all shapes in a row; (n + 1,) where each begins.
    labels, writers
        (n,) the digit and the writer, ``UNNAMED`` where the set does not say.
    """

    def __init__(
        self,
        segments: NDArray[np.float16],
        offsets: NDArray[np.int64],
        labels: NDArray[np.int64],
        writers: NDArray[np.int64],
    ) -> None:
        self._segments, self._offsets = segments, offsets
        known = [int(w) for w in np.unique(writers) if w != UNNAMED]
        pools = ([w for w in known if w < FIRST_SWISS], [w for w in known if w >= FIRST_SWISS])
        self._pools = [[_by_digit(np.flatnonzero(writers == w), labels) for w in pool] for pool in pools]
        self._unnamed = [np.flatnonzero((labels == d) & (writers == UNNAMED)) for d in range(10)]
        self._all = [np.flatnonzero(labels == d) for d in range(10)]

    def _shape(self, index: int) -> Shape:
        return self._segments[self._offsets[index] : self._offsets[index + 1]].astype(np.float32)

    def writer_shapes(self, rng: np.random.Generator, digits: str) -> tuple[tuple[Shape, ...], ...]:
        """Return two shapes of each of ``digits`` (and none of the others), of one writer if the set names writers."""
        pool = [*self._pools, []][pick(rng, (*SHARES_OF_NAMED, 1 - sum(SHARES_OF_NAMED)))]
        own = pool[int(rng.integers(len(pool)))] if pool else self._unnamed
        return tuple(
            self._two_of(rng, shapes if len(shapes) else every) if str(digit) in digits else ()
            for digit, (shapes, every) in enumerate(zip(own, self._all, strict=True))
        )

    def _two_of(self, rng: np.random.Generator, pool: NDArray[np.intp]) -> tuple[Shape, ...]:
        return tuple(self._shape(int(pool[i])) for i in rng.integers(0, len(pool), 2))


def _by_digit(rows: NDArray[np.intp], labels: NDArray[np.int64]) -> list[NDArray[np.intp]]:
    return [rows[labels[rows] == digit] for digit in range(10)]


def load_shape_bank(data_dir: Path, cache: Path) -> ShapeBank:
    """Load the bank from ``cache``, or thin the sets' digits (a minute) and write it there."""
    if not cache.exists():
        _write_shapes(data_dir, cache)
    with np.load(cache, allow_pickle=False) as kept:
        return ShapeBank(*(kept[name] for name in ("segments", "offsets", "labels", "writers")))


def _write_shapes(data_dir: Path, cache: Path) -> None:
    images, labels, writers = read_sets(data_dir)
    shapes = [shape_of_image(image) for image in images]
    stretched, known = _read_stretched(data_dir)
    shapes += _unstretch([shape_of_image(image) for image in stretched], known, _widths(shapes, labels))
    labels, writers = np.concatenate([labels, known]), np.concatenate([writers, np.full(len(known), UNNAMED)])
    filled = np.array([len(s) > 0 for s in shapes])
    lengths = [len(s) for s in shapes if len(s)]
    cache.parent.mkdir(parents=True, exist_ok=True)
    partial = cache.with_suffix(".partial.npz")
    np.savez(
        partial,
        segments=np.concatenate(shapes).astype(np.float16),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        labels=labels[filled],
        writers=writers[filled],
    )
    partial.replace(cache)


def read_sets(data_dir: Path) -> tuple[list[NDArray[np.uint8]], NDArray[np.int64], NDArray[np.int64]]:
    """Return the sets' digits, (h, w) uint8 white on black, with their labels and writers, ``UNNAMED`` of some."""
    folder = data_dir / "digits"
    with np.load(folder / "mnist.npz", allow_pickle=False) as mnist:
        named = mnist["writer_train"].astype(np.int64)
        known = np.unique(named)
        chosen = np.isin(named, known[np.arange(len(known)) % HELD_OUT != 0])
        images, labels, writers = list(mnist["x_train"][chosen]), mnist["y_train"][chosen], named[chosen]
    for name, pictures, truth in (("optdigits32", "x_train", "y_train"), ("hwd1000", "images", "labels")):
        with np.load(folder / f"{name}.npz", allow_pickle=False) as other:
            images += list(other[pictures])
            labels = np.concatenate([labels, other[truth]])
            writers = np.concatenate([writers, np.full(len(other[truth]), UNNAMED)])
    exams, known_exams = read_exams(folder / "nsysu_digits" / "nsysu.npz")
    scanned, known_scanned, scanned_writers = _training_half(*read_swiss(folder / "swiss_numbers"))
    labels = np.concatenate([labels, known_exams, known_scanned])
    writers = np.concatenate([writers, np.full(len(exams), UNNAMED), scanned_writers])
    return images + exams + scanned, labels.astype(np.int64), writers.astype(np.int64)


def _training_half(
    images: list[NDArray[np.uint8]], labels: NDArray[np.int64], writers: NDArray[np.int64]
) -> tuple[list[NDArray[np.uint8]], NDArray[np.int64], NDArray[np.int64]]:
    """Leave every tenth scan out, and number the writers apart from MNIST's."""
    kept = np.flatnonzero(np.arange(len(labels)) % HELD_OUT_SCANS)
    return [images[i] for i in kept], labels[kept], FIRST_SWISS + writers[kept]


def _read_stretched(data_dir: Path) -> tuple[list[NDArray[np.uint8]], NDArray[np.int64]]:
    """Return Semeion's digits, which the set stretched to a square whatever their width was."""
    with np.load(data_dir / "digits" / "semeion.npz", allow_pickle=False) as semeion:
        return list(semeion["images"]), semeion["labels"].astype(np.int64)


def _widths(shapes: list[Shape], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the median width of each digit's shapes, in unit heights."""
    widths = np.array([np.ptp(s[..., 0]) if len(s) else 0.0 for s in shapes])
    return np.array([np.median(widths[labels == digit]) for digit in range(10)])


def _unstretch(shapes: list[Shape], labels: NDArray[np.int64], widths: NDArray[np.float64]) -> list[Shape]:
    """Give every shape the median width of its digit."""
    factors = [
        widths[d] / max(float(np.ptp(s[..., 0])) if len(s) else 1.0, 0.05) for s, d in zip(shapes, labels, strict=True)
    ]
    return [s * np.array([f, 1], np.float32) for s, f in zip(shapes, factors, strict=True)]
