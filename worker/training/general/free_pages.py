"""The promise for pages without a form: pages of held-out hands, read whole, and what was accepted of them.

A field is right if it reads one number, all of it and nothing else. Fields that were cut wrongly, and those of a page
that was turned the wrong way, count as they come out: as wrong ones where they would be accepted.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from worker.calibration import Promise
from worker.decision.fields import AcceptPolicy, decide_field
from worker.fields.free_pages.writing import find_free_writing
from worker.fields.judging.promise import choose_threshold
from worker.fields.reading import read_fields
from worker.models.runtime import load_recognizers
from worker.synthesis.free_pages import FreePageSample, draw_cell_page_sample, draw_free_page_sample
from worker.training.general.pens import load_pen_bank
from worker.values import Box, FieldStatus, Page, Recognizers

Layout = Literal["free", "cells"]

RATES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05)
"""The substitution rates for which a threshold is looked for."""

SHOWN_ON, LOOKED_AT = 0, 1
"""Half of the held-out writers on whose pages the promise is shown; and half whose pages may be looked at."""

TOUCHES = 0.1
"""A field reads a number if it covers this share of the number's box."""


@dataclass(frozen=True, slots=True)
class SureField:
    """A field that only its confidence could send to a person; ``right`` tells whether it reads one whole number."""

    layout: str
    confidence: float
    right: bool


def draw_held_out_pages(
    data_dir: Path, layout: Layout, pages: Sequence[int], seed: int, *, half: int = SHOWN_ON
) -> Iterator[FreePageSample]:
    """Draw pages of numbers, or of rows of cells, each in the hand of a writer who never trains."""
    pens = load_pen_bank(data_dir, held_out=True, half=half)
    draw = draw_cell_page_sample if layout == "cells" else draw_free_page_sample
    for page in pages:
        yield draw(np.random.default_rng([seed, 83, page]), glyphs=pens)


def judge_page(sample: FreePageSample, recognizers: Recognizers) -> list[SureField]:
    """Read a page; return the fields of it that would be accepted if their confidence were enough."""
    crops = find_free_writing(Page("drawn", 0, sample.grey), recognizers).fields
    found = []
    for crop, read in zip(crops, read_fields(crops, recognizers), strict=True):
        if decide_field(crop.spec, read, AcceptPolicy(accept_threshold=0.0)).status is FieldStatus.ACCEPTED:
            under = [n.text for n in sample.numbers if _share(n.box_px, crop.box_px) > TOUCHES]
            found.append(SureField(crop.spec.layout, read.confidence, under == [read.text]))
    return found


def choose_page_promises(fields: Sequence[SureField], layout: Layout) -> tuple[Promise, ...]:
    """Return what is shown of each rate for fields of a layout."""
    own = [field for field in fields if field.layout == layout]
    confidences, right = [field.confidence for field in own], [field.right for field in own]
    return tuple(choose_threshold(confidences, right, max_substitution_rate=rate) for rate in RATES)


def judge_held_out_pages(
    data_dir: Path, layout: Layout, count: int, seed: int, *, processes: int, report: Callable[[str], None]
) -> list[SureField]:
    """Draw and read pages in several processes; return all fields that would be accepted for their confidence."""
    shares = [range(first, count, 4 * processes) for first in range(4 * processes)]
    found: list[SureField] = []
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        jobs = [pool.submit(_judge_share, data_dir, layout, share, seed) for share in shares]
        for done, job in enumerate(jobs, start=1):
            found += job.result()
            wrong = sum(not field.right for field in found)
            report(f"{layout}: {done} of {len(jobs)} parts read, {len(found)} fields, {wrong} wrong at any confidence")
    return found


def _judge_share(data_dir: Path, layout: Layout, pages: Sequence[int], seed: int) -> list[SureField]:
    cv2.setNumThreads(1)
    recognizers = load_recognizers()
    drawn = draw_held_out_pages(data_dir, layout, pages, seed)
    return [field for sample in drawn for field in judge_page(sample, recognizers)]


def _share(number: Box, field: Box) -> float:
    """Return the share of a number's box that a field's box covers."""
    w = min(number.x + number.w, field.x + field.w) - max(number.x, field.x)
    h = min(number.y + number.h, field.y + field.h) - max(number.y, field.y)
    return max(0.0, w) * max(0.0, h) / max(number.w * number.h, 1.0)
