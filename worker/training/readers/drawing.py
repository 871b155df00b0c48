"""Draw a field once and cut it twice: as the general reader sees it, and as the line reader does."""

from __future__ import annotations

import multiprocessing as mp
import os
import queue
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.fields.line_reader.general_line import FILL, GENERAL_HEIGHT
from worker.fields.line_reader.normalization import LINE_HEIGHT, normalize_line
from worker.synthesis.glyphs import GlyphSource
from worker.training.fields.glyphs import load_shape_bank
from worker.training.fields.samples import LineSample, line_of
from worker.training.general.pens import PenBank, load_pen_bank
from worker.training.general.samples import (
    LEAST_TO_BINARIZE,
    binarize_cut,
    cut_sample,
    draw_training_field,
)

CHUNK = 256
MOST_TARGETS = 24
"""Characters of a line; longer ones are left out."""
BINARIZED_SHARE = 0.12
View = Literal["general", "line"]
CONTENT_WIDTHS: dict[View, tuple[int, ...]] = {"general": (136, 216, 312, 448), "line": (100, 180, 300, 480)}
"""Pictures are kept by width, each filled up to the least of these that holds it."""
HEIGHTS: dict[View, int] = {"general": GENERAL_HEIGHT, "line": LINE_HEIGHT}
FILLS: dict[View, int] = {"general": FILL, "line": 0}


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """Pictures of one view and width: (N, H, W) uint8, their own widths (N,), targets (N, 24) and lengths (N,)."""

    view: View
    bucket: int
    images: NDArray[np.uint8]
    widths: NDArray[np.int64]
    targets: NDArray[np.int64]
    lengths: NDArray[np.int64]


def draw_pair(
    rng: np.random.Generator, shapes: GlyphSource, pens: PenBank
) -> tuple[LineSample | None, LineSample | None]:
    """Draw a field; return what the general reader and what the line reader learn from it."""
    sample = draw_training_field(rng, shapes, pens)
    line = normalize_line(sample.grey)
    cut = cut_sample(rng, sample, line)
    if cut is not None and rng.random() < BINARIZED_SHARE and cut.image.std() > LEAST_TO_BINARIZE:
        cut = LineSample(binarize_cut(rng, cut.image), cut.target)
    is_split = len(sample.boxes) == len(sample.text)
    return cut, line_of(sample, line) if line.ink and is_split else None


def pack(view: View, samples: Sequence[LineSample]) -> list[Chunk]:
    """Sort samples of a view by width and pack each group; what is wider than the widest is left out."""
    limits = CONTENT_WIDTHS[view]
    groups: list[list[LineSample]] = [[] for _ in limits]
    for sample in samples:
        width = sample.image.shape[1]
        if width <= limits[-1] and len(sample.target) <= MOST_TARGETS:
            groups[int(np.searchsorted(limits, width))].append(sample)
    return [_pack_group(view, bucket, group) for bucket, group in enumerate(groups) if group]


def _pack_group(view: View, bucket: int, group: Sequence[LineSample]) -> Chunk:
    images = np.full((len(group), HEIGHTS[view], CONTENT_WIDTHS[view][bucket]), FILLS[view], np.uint8)
    targets = np.zeros((len(group), MOST_TARGETS), np.int64)
    for image, target, sample in zip(images, targets, group, strict=True):
        image[:, : sample.image.shape[1]] = sample.image
        target[: len(sample.target)] = sample.target
    widths = np.array([sample.image.shape[1] for sample in group])
    return Chunk(view, bucket, images, widths, targets, np.array([len(sample.target) for sample in group]))


def draw_chunks(seed: int, data_dir: Path, cache: Path, out: Queue[list[Chunk]]) -> None:
    """Draw pairs for as long as the parent lives, and hand them over packed."""
    cv2.setNumThreads(1)
    shapes, pens = load_shape_bank(data_dir, cache), load_pen_bank(data_dir, held_out=False)
    rng = np.random.default_rng(seed)
    parent = os.getppid()
    while os.getppid() == parent:
        pairs = [draw_pair(rng, shapes, pens) for _ in range(CHUNK)]
        cuts, lines = ([one for one in view if one is not None] for view in zip(*pairs, strict=True))
        chunks = pack("general", cuts) + pack("line", lines)
        while os.getppid() == parent:  # a killed trainer takes nothing any more
            with suppress(queue.Full):
                out.put(chunks, timeout=5)
                break
    out.cancel_join_thread()


def start_drawers(
    count: int, seed: int, data_dir: Path, cache: Path
) -> tuple[list[mp.process.BaseProcess], Queue[list[Chunk]]]:
    """Start ``count`` processes that draw; return them with the queue that their chunks come from."""
    load_shape_bank(data_dir, cache)  # made once, before the processes need it
    context = mp.get_context("spawn")
    chunks: Queue[list[Chunk]] = context.Queue(maxsize=4 * count)
    seeds = np.random.SeedSequence(seed).generate_state(count)
    drawers: list[mp.process.BaseProcess] = [
        context.Process(target=draw_chunks, args=(int(each), data_dir, cache, chunks), daemon=True) for each in seeds
    ]
    for drawer in drawers:
        drawer.start()
    return drawers, chunks
