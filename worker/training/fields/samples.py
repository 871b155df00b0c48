"""Written strings for the line reader: drawn in other processes, kept in a pool, varied when used."""

from __future__ import annotations

import multiprocessing as mp
import os
import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.queues import Queue
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.fields.line_reader.decoding import ALPHABET
from worker.fields.line_reader.normalization import LINE_HEIGHT, WIDTH_STRIDE, Line, normalize_line
from worker.synthesis.fields import FieldSample, draw_blank_field, draw_field
from worker.synthesis.glyphs import GlyphSource
from worker.synthesis.numbers import draw_measured, draw_number, named
from worker.training.fields.glyphs import load_shape_bank

Lines = NDArray[np.uint8]
CHUNK = 32
PATIENCE_S = 600
"""How long the first lines may take: on a busy machine the pens' strokes take minutes to load."""
MAX_TRAINING_WIDTH = 480
SMALLEST_DIGIT = 6
"""Least height of a digit in a line, in rows, to be worth training on."""
LEAST_OF_DIGIT, LEAST_OF_MARK = 0.65, 0.25
"""Least share of a character's width and height in the line to be in the target; the stub of a dash is a dash."""
STRUCK_SHARE = 0.03
"""Share of fields with struck digits, beside those that the texts themselves spoil."""
MEASURED_SHARE = 0.3
"""Share of texts whose marks carry their meaning: decimals, signs, times, units."""
BLANK_SHARE = 0.16
"""Share of empty fields that are drawn; about half of them show nothing that looks like ink and are left out."""


@dataclass(frozen=True, slots=True, eq=False)
class LineSample:
    """A line and the indices of its characters in ``ALPHABET``.

    ``image`` is (rows, W) uint8 as its reader sees it: (40, W) with 255 = ink for the line reader.
    """

    image: Lines
    target: NDArray[np.int64]


Drawer = Callable[[np.random.Generator], LineSample | None]
"""Draws one line; None if the drawing is not fit to train on."""
MakeDrawer = Callable[[Path, Path], Drawer]
"""Makes a drawer in the process that draws, from the folder of sets and the file that keeps their shapes."""
Vary = Callable[[LineSample, np.random.Generator], LineSample]


def draw_line(rng: np.random.Generator, glyphs: GlyphSource | None = None) -> LineSample | None:
    """Draw a field and normalize it; None if its line is too wide, too short for its text, or lacks a digit.

    Marks that the line leaves out are not in the target.
    """
    if rng.random() < BLANK_SHARE:
        return _draw_blank_line(rng)
    sample = draw_field(rng, draw_text(rng), glyphs=glyphs, struck_share=STRUCK_SHARE)
    return line_of(sample, normalize_line(sample.grey))


def line_of(sample: FieldSample, line: Line) -> LineSample | None:
    """Return a drawn field's normalized line with the characters it shows; None where it is not fit to train on."""
    image = line.image
    shown = find_shown(line, sample)
    target = np.array([ALPHABET.index(named(c)) for c, kept in zip(sample.text, shown, strict=True) if kept], np.int64)
    repeats = int((target[1:] == target[:-1]).sum())
    if image.shape[1] > MAX_TRAINING_WIDTH or image.shape[1] // WIDTH_STRIDE < len(target) + repeats:
        return None
    misses_a_digit = any(sign.isdigit() and not kept for sign, kept in zip(sample.text, shown, strict=True))
    return None if misses_a_digit else LineSample(image, target)


def find_shown(line: Line, sample: FieldSample) -> NDArray[np.bool_]:
    """Tell which characters lie in the line; digits that are too small to read count as absent."""
    left, top = ((sample.boxes[:, i] - start) * line.scale for i, start in ((0, line.x0), (1, line.y0)))
    width, height = sample.boxes[:, 2] * line.scale, sample.boxes[:, 3] * line.scale
    across = (left + width).clip(max=line.image.shape[1]) - left.clip(min=0)
    down = (top + height).clip(max=LINE_HEIGHT) - top.clip(min=0)
    digits = np.array([sign.isdigit() for sign in sample.text], bool)
    least = np.where(digits, LEAST_OF_DIGIT, LEAST_OF_MARK)
    return np.asarray((across > least * width) & (down > least * height) & (~digits | (down > SMALLEST_DIGIT)))


def _draw_blank_line(rng: np.random.Generator) -> LineSample | None:
    """Draw an empty field whose print or paper looks like ink; None if the normalization sees that it is empty."""
    cells = int(rng.integers(3, 10)) if rng.random() < 0.4 else 0
    line = normalize_line(draw_blank_field(rng, cells=cells))
    if not line.ink or line.image.shape[1] > MAX_TRAINING_WIDTH:
        return None
    return LineSample(line.image, np.zeros(0, np.int64))


def draw_text(rng: np.random.Generator) -> str:
    """Draw a text; long and spoilt ones and those with hundredths are rarer, because they cost most and occur least."""
    if rng.random() < MEASURED_SHARE:
        return draw_measured(rng)
    text = draw_number(rng)
    rare = "#" in text or "/100" in text or sum(c.isdigit() for c in text) > 8
    return draw_number(rng) if rare and rng.random() < 0.6 else text


def draw_with_shapes(data_dir: Path, cache: Path) -> Drawer:
    """Return the drawer of the line reader's lines, with shapes of real digits among those of the table."""
    glyphs = load_shape_bank(data_dir, cache)
    return lambda rng: draw_line(rng, glyphs)


def _draw_forever(
    seed: int, make_drawer: MakeDrawer, data_dir: Path, cache: Path, out: Queue[list[LineSample]]
) -> None:
    os.nice(4)  # the pool can be used again: the trainer goes first
    cv2.setNumThreads(1)
    draw = make_drawer(data_dir, cache)
    rng = np.random.default_rng(seed)
    parent = os.getppid()
    while os.getppid() == parent:
        chunk = [line for line in (draw(rng) for _ in range(CHUNK)) if line is not None]
        while os.getppid() == parent:  # a killed trainer takes nothing any more
            with suppress(queue.Full):
                out.put(chunk, timeout=5)
                break
    out.cancel_join_thread()  # nobody takes the rest, so do not wait to hand it over


def vary_line(sample: LineSample, rng: np.random.Generator) -> LineSample:
    """Shift, scale and slant a line a little and vary its contrast and margins, as if it had been found inexactly."""
    height, width = sample.image.shape
    scale_y = float(np.exp(rng.normal(0, 0.10)))
    scale_x = float(np.exp(rng.normal(0, 0.07))) * scale_y**0.6
    slant = rng.normal(0, 0.10)
    shift = rng.normal(0, 1.5)
    new_width = int(np.ceil((width * scale_x + abs(slant) * 20) / WIDTH_STRIDE)) * WIDTH_STRIDE
    if new_width // WIDTH_STRIDE < 2 * len(sample.target):
        return sample
    middle = height / 2
    offset = (new_width - width * scale_x) / 2
    if rng.random() < 0.15:  # empty paper beside the line, where nothing may be read
        spare = int(rng.integers(1, 16))
        new_width += WIDTH_STRIDE * spare
        offset += WIDTH_STRIDE * spare * rng.random()
    matrix = np.array(
        [
            [scale_x, slant * scale_y, offset - slant * scale_y * middle],
            [0, scale_y, middle * (1 - scale_y) + shift],
        ]
    )
    image = cv2.warpAffine(sample.image, matrix, (new_width, LINE_HEIGHT), flags=cv2.INTER_LINEAR, borderValue=0)
    if rng.random() < 0.2:  # as if scanned a little softer
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 0.9))
    if rng.random() < 0.5:
        gamma = float(np.exp(rng.normal(0, 0.35)))
        image = cv2.LUT(image, (255 * (np.arange(256) / 255) ** gamma).astype(np.uint8))
    return LineSample(np.asarray(image, np.uint8), sample.target)


@dataclass
class SamplePool:
    """The latest ``capacity`` drawn lines; ``processes`` keep drawing while the trainer takes from the pool.

    The trainer never waits for drawings: if it is faster, it takes a line again, with another variation.
    Drawing waits while it is ``most_ahead`` lines ahead of the trainer.
    """

    seed: int
    data_dir: Path
    cache: Path
    processes: int = 1
    capacity: int = 40_000
    make_drawer: MakeDrawer = draw_with_shapes
    vary: Vary = vary_line
    most_ahead: int | None = None
    samples: list[LineSample] = field(default_factory=list)
    drawn: int = 0
    used: int = 0
    _next: int = 0

    def __post_init__(self) -> None:
        load_shape_bank(self.data_dir, self.cache)  # made once, before the processes need it
        context = mp.get_context("spawn")
        self._queue: Queue[list[LineSample]] = context.Queue(maxsize=64)
        seeds = np.random.SeedSequence(self.seed).generate_state(self.processes)
        self._workers = [
            context.Process(
                target=_draw_forever,
                args=(int(s), self.make_drawer, self.data_dir, self.cache, self._queue),
                daemon=True,
            )
            for s in seeds
        ]
        for worker in self._workers:
            worker.start()
        self._arrived: queue.SimpleQueue[list[LineSample]] = queue.SimpleQueue()
        threading.Thread(target=self._collect, daemon=True).start()

    def _collect(self) -> None:
        """Take chunks off the pipe as they come, because a full pipe (64 KiB, half a chunk) would stop the drawing."""
        taken = 0
        while True:
            chunk = self._queue.get()
            self._arrived.put(chunk)
            taken += len(chunk)
            while self.most_ahead is not None and taken - self.used > self.most_ahead:
                time.sleep(0.2)

    def refill(self, *, at_least: int = 0) -> None:
        """Add all lines that were drawn since; wait until the pool holds ``at_least`` lines."""
        while True:
            try:
                chunk = self._arrived.get(block=len(self.samples) < at_least, timeout=PATIENCE_S)
            except queue.Empty:
                if len(self.samples) >= at_least:
                    return
                raise
            for sample in chunk:
                self._keep(sample)

    def _keep(self, sample: LineSample) -> None:
        self.drawn += 1
        if len(self.samples) < self.capacity:
            self.samples.append(sample)
        else:
            self.samples[self._next] = sample
            self._next = (self._next + 1) % self.capacity

    def batches(self, rng: np.random.Generator, *, size: int, count: int) -> list[list[LineSample]]:
        """Return ``count`` batches of lines of similar width, each line varied."""
        chosen = rng.integers(len(self.samples), size=size * count)
        self.used += size * count
        lines = sorted((self.vary(self.samples[i], rng) for i in chosen), key=lambda s: s.image.shape[1])
        batches = [lines[i : i + size] for i in range(0, len(lines), size)]
        rng.shuffle(batches)
        return batches

    def close(self) -> None:
        """Stop the drawing."""
        for worker in self._workers:
            worker.terminate()
            worker.join()


def stack_lines(batch: list[LineSample]) -> Lines:
    """Return the lines of a batch as (N, 40, W) uint8, padded on the right with empty paper."""
    width = max(s.image.shape[1] for s in batch)
    stacked = np.zeros((len(batch), LINE_HEIGHT, width), np.uint8)
    for row, sample in zip(stacked, batch, strict=True):
        row[:, : sample.image.shape[1]] = sample.image
    return stacked
