"""What the general reader learns on: the generator's fields and real pens' numbers, cut as the worker cuts them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.fields.line_reader.decoding import ALPHABET
from worker.fields.line_reader.general_line import (
    FILL,
    GENERAL_HEIGHT,
    GENERAL_STRIDE,
    LEAST_GENERAL_WIDTH,
    cut_extent,
    line_extent,
)
from worker.fields.line_reader.normalization import Line, normalize_line
from worker.synthesis.fields import FieldSample, draw_blank_field, draw_field
from worker.synthesis.glyphs import GlyphSource
from worker.synthesis.numbers import named
from worker.synthesis.pens import draw_written_number
from worker.training.fields.glyphs import load_shape_bank
from worker.training.fields.samples import STRUCK_SHARE, Drawer, LineSample, draw_text
from worker.training.general.pens import PenBank, load_pen_bank
from worker.values import Extent

BLANK_SHARE, CELLS_SHARE, WRITTEN_SHARE = 0.06, 0.12, 0.25
"""Shares of empty fields, of rows of cells, and whole numbers of real pens; the rest is the generator's fields."""
REAL_SHARE = 0.35
"""Of the generator's fields: those that take their digits from real writers."""
WORN_SHARE = 0.18
"""Of the generator's fields: those with remnants of a dotted rule, whose dots are no decimal points."""
PLAIN_SHARE = 0.6
"""Of the fields with such remnants: those with digits alone."""
WHOLE_CROP_SHARE = 0.08
"""Now and then the whole crop is the cut: the line was not found any closer."""
SLACK = 0.05
"""One sigma of how far each side of a cut is off, in heights of the cut."""
MOST_TRAINING_WIDTH = 448
LEAST_OF_DIGIT, LEAST_OF_MARK, LEAST_OF_NUMBER = 0.65, 0.25, 0.9
"""Share of a sign's, or of a whole number's, width and height that the cut must hold for it to be read."""
LEAST_DIGIT_ROWS = 7
LEAST_TO_BINARIZE = 25
"""Standard deviation of a cut's greys from which black and white keep what is written."""
LEAST_CONTRAST = 2.5
"""Standard deviation of a cut's greys below which nobody could read it."""


def make_drawer(data_dir: Path, cache: Path) -> Drawer:
    """Return the drawer of a training process: it knows the pens that train, and the digits of ``load_shape_bank``."""
    shapes, pens = load_shape_bank(data_dir, cache), load_pen_bank(data_dir, held_out=False)
    return lambda rng: draw_general_line(rng, shapes, pens)


def draw_general_line(rng: np.random.Generator, shapes: GlyphSource, pens: PenBank) -> LineSample | None:
    """Draw a field and cut out its line, (48, W) uint8 with 0 = ink; None where that is nothing to learn from."""
    sample = draw_training_field(rng, shapes, pens)
    return cut_sample(rng, sample, normalize_line(sample.grey))


def draw_training_field(rng: np.random.Generator, shapes: GlyphSource, pens: PenBank) -> FieldSample:
    """Draw a field to learn on: an empty one, a real pen's whole number, or one of the generator's texts."""
    kind = rng.random()
    if kind < BLANK_SHARE:
        cells = int(rng.integers(3, 10)) if rng.random() < 0.4 else 0
        return FieldSample(draw_blank_field(rng, cells=cells), "", np.zeros((0, 4), np.float32))
    if kind < BLANK_SHARE + WRITTEN_SHARE:
        return draw_written_number(rng, pens.pick_number(rng))
    in_cells = kind < BLANK_SHARE + WRITTEN_SHARE + CELLS_SHARE
    is_worn = not in_cells and rng.random() < WORN_SHARE
    plain = in_cells or (is_worn and rng.random() < PLAIN_SHARE)
    text = _draw_digits(rng) if plain else draw_text(rng)
    glyphs = pens if rng.random() < 0.5 else shapes
    return draw_field(
        rng,
        text,
        glyphs=glyphs,
        real_share=REAL_SHARE,
        in_cells=in_cells or None,
        struck_share=STRUCK_SHARE,
        worn_share=float(is_worn),
    )


def _draw_digits(rng: np.random.Generator) -> str:
    """Draw what stands in a row of cells: 2 to 10 digits, most often the eight of a date."""
    count = 8 if rng.random() < 0.3 else int(rng.integers(2, 11))
    return "".join(map(str, rng.integers(0, 10, count)))


def cut_sample(rng: np.random.Generator, sample: FieldSample, line: Line) -> LineSample | None:
    """Cut the line out of a drawn field, its extent a little off; None where it misses a digit or is too wide."""
    if not line.ink:
        return None
    extent = _loosen(rng, line_extent(line, sample.grey.shape), sample.grey.shape)
    scale = GENERAL_HEIGHT / max(extent.bottom - extent.top, 1.0)
    width = (extent.right - extent.left) * scale
    shown = _find_shown(sample, extent, scale)
    if shown is None or not GENERAL_STRIDE < width < MOST_TRAINING_WIDTH:
        return None
    target = np.array([ALPHABET.index(named(c)) for c, kept in zip(sample.text, shown, strict=True) if kept], np.int64)
    repeats = int((target[1:] == target[:-1]).sum())
    cut = cut_extent(sample.grey, extent)[:, : round(width)]
    if width // GENERAL_STRIDE < len(target) + repeats or cut.std() < LEAST_CONTRAST:
        return None
    return LineSample(cut, target)


def _loosen(rng: np.random.Generator, extent: Extent, shape: tuple[int, ...]) -> Extent:
    height, width = shape
    if rng.random() < WHOLE_CROP_SHARE:
        return Extent(0.0, 0.0, float(width), float(height))
    off = np.array([-1, -1, 1, 1]) * rng.normal(0.2 * SLACK, SLACK, 4) * (extent.bottom - extent.top)
    moved = (np.array(extent) + off).clip(0, [width, height, width, height])
    return Extent(*map(float, moved))


def _find_shown(sample: FieldSample, extent: Extent, scale: float) -> NDArray[np.bool_] | None:
    """Tell of every sign whether the cut shows it; None where a digit or an unsplit number is cut or tiny."""
    low, high = sample.boxes[:, :2], sample.boxes[:, :2] + sample.boxes[:, 2:]
    inside = np.minimum(high, extent[2:]) - np.maximum(low, extent[:2])
    shares = (inside / np.maximum(sample.boxes[:, 2:], 1e-3)).min(axis=1)
    is_large = sample.boxes[:, 3] * scale > LEAST_DIGIT_ROWS
    if len(sample.boxes) != len(sample.text):
        whole = shares[0] > LEAST_OF_NUMBER and is_large[0]
        return np.ones(len(sample.text), bool) if whole else None
    digits = np.array([sign.isdigit() for sign in sample.text], bool)
    shown = (shares > np.where(digits, LEAST_OF_DIGIT, LEAST_OF_MARK)) & (is_large | ~digits)
    return shown if shown[digits].all() else None


def vary_cut(sample: LineSample, rng: np.random.Generator) -> LineSample:
    """Stretch, slant and shift a cut a little, vary its contrast and brightness, soften it or add noise."""
    height, width = sample.image.shape
    stretch, slant = float(np.exp(rng.normal(0, 0.08))), float(rng.normal(0, 0.06))
    wide = max(GENERAL_STRIDE * (2 * len(sample.target) + 1) // 2, round(width * stretch))
    grow = float(np.exp(rng.normal(0, 0.05)))
    matrix = np.array(
        [[wide / width, slant, -slant * height / 2], [0, grow, height / 2 * (1 - grow) + rng.normal(0, 0.8)]]
    )
    image = cv2.warpAffine(
        sample.image, matrix, (wide, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    if rng.random() < 0.6:
        gain, middle = float(np.exp(rng.normal(0, 0.25))), float(rng.uniform(90, 200))
        greys = (np.arange(256) - middle) * gain + middle + rng.normal(0, 12)
        image = cv2.LUT(image, greys.clip(0, 255).astype(np.uint8))
    if rng.random() < 0.12 and image.std() > LEAST_TO_BINARIZE:
        image = binarize_cut(rng, np.asarray(image, np.uint8))
    if rng.random() < 0.15:
        image = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.3, 1.0)))
    if rng.random() < 0.15:
        noise = rng.normal(0, rng.uniform(1, 8), image.shape)
        image = (image + noise).clip(0, 255).astype(np.uint8)
    return LineSample(np.asarray(image, np.uint8), sample.target)


def binarize_cut(rng: np.random.Generator, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a cut as if its page had been kept in black and white, at fewer rows."""
    height, width = image.shape
    scale = float(rng.uniform(0.4, 1.0))
    size = (max(4, round(width * scale)), round(height * scale))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    _, black = cv2.threshold(small, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    return np.asarray(cv2.resize(black, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def stack_cuts(batch: list[LineSample]) -> NDArray[np.uint8]:
    """Return the cuts of a batch as (N, 48, W) uint8, filled up on the right with middle grey."""
    widest = max(LEAST_GENERAL_WIDTH, *(sample.image.shape[1] for sample in batch))
    stacked = np.full((len(batch), GENERAL_HEIGHT, -(-widest // GENERAL_STRIDE) * GENERAL_STRIDE), FILL, np.uint8)
    for row, sample in zip(stacked, batch, strict=True):
        row[:, : sample.image.shape[1]] = sample.image
    return stacked
