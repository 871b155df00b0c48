"""The promise for pages without a form: pages of held-out hands, read whole, and what was accepted of them.

A field is right if it reads one number, all of it and nothing else. Fields that were cut wrongly, and those of a page
that was turned the wrong way, count as they come out: as wrong ones where they would be accepted.
"""

from __future__ import annotations

import functools
import json
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from worker.calibration import Promise
from worker.decision.fields import AcceptPolicy, decide_field
from worker.fields.free_pages.writing import find_free_writing
from worker.fields.reading import read_fields
from worker.models.runtime import load_recognizers
from worker.synthesis.free_pages import FreePageSample, draw_cell_page_sample, draw_free_page_sample
from worker.training.general.pens import load_pen_bank
from worker.training.promise import choose_threshold
from worker.values import Box, FieldStatus, Page, Recognizers

Layout = Literal["free", "cells"]

RATES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05)
"""The substitution rates for which a threshold is looked for."""

SHOWN_ON, LOOKED_AT = 0, 1
"""Half of the held-out writers on whose pages the promise is shown; and half whose pages may be looked at."""

PAGES_A_SHARE = 10
"""So many pages are read before they are kept: what a stop costs."""

TOUCHES = 0.1
"""A field reads a number if it covers this share of the number's box."""


@dataclass(frozen=True, slots=True)
class SureField:
    """A field that only its confidence could send to a person; ``right`` tells whether it reads one whole number."""

    layout: str
    confidence: float
    right: bool


JudgedPages = dict[int, list[SureField]]
"""The sure fields of each page, by the page's number."""


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


def choose_page_promises(fields: Sequence[SureField], layout: Layout, *, least: float) -> tuple[Promise, ...]:
    """Return what is shown of each rate for fields of a layout, from the confidence ``least`` on.

    Below the threshold that the readers were judged with, what a reviewer is told kept fields from being sure; a laxer
    threshold would let them pass.
    """
    own = [field for field in fields if field.layout == layout and field.confidence >= least]
    confidences, right = [field.confidence for field in own], [field.right for field in own]
    return tuple(choose_threshold(confidences, right, max_substitution_rate=rate) for rate in RATES)


def judge_held_out_pages(
    data_dir: Path,
    layout: Layout,
    count: int,
    seed: int,
    *,
    kept: Path,
    processes: int,
    report: Callable[[str], None],
) -> list[SureField]:
    """Draw and read pages in several processes; return all fields that would be accepted for their confidence.

    Each page is added to the file ``kept`` once it is read. Pages that the file holds already are not read again.
    """
    judged = _read_kept(kept)
    missing = [page for page in range(count) if page not in judged]
    shares = [missing[first : first + PAGES_A_SHARE] for first in range(0, len(missing), PAGES_A_SHARE)]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_load_models) as pool:
        for job in as_completed([pool.submit(_judge_share, data_dir, layout, share, seed) for share in shares]):
            judged |= job.result()
            _keep_pages(kept, job.result())
            found = _fields_of(judged, count)
            wrong = sum(not field.right for field in found)
            report(f"{layout}: {len(judged)} pages read, {len(found)} fields, {wrong} wrong at any confidence")
    return _fields_of(judged, count)


def _fields_of(judged: JudgedPages, count: int) -> list[SureField]:
    return [field for page in sorted(judged) if page < count for field in judged[page]]


def _keep_pages(kept: Path, judged: JudgedPages) -> None:
    with kept.open("a", encoding="utf-8") as lines:
        for page, fields in judged.items():
            lines.write(json.dumps({"page": page, "fields": [asdict(field) for field in fields]}) + "\n")


def _read_kept(kept: Path) -> JudgedPages:
    """Return the pages of a file; a last line that was cut off, as by a power cut, is read again."""
    if not kept.exists():
        return {}
    whole = [line for line in kept.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n")]
    kept.write_text("".join(whole), encoding="utf-8")
    return {row["page"]: [SureField(**field) for field in row["fields"]] for row in map(json.loads, whole)}


@functools.cache
def _load_models() -> Recognizers:
    cv2.setNumThreads(1)
    return load_recognizers()


def _judge_share(data_dir: Path, layout: Layout, pages: Sequence[int], seed: int) -> JudgedPages:
    drawn = draw_held_out_pages(data_dir, layout, pages, seed)
    return {page: judge_page(sample, _load_models()) for page, sample in zip(pages, drawn, strict=True)}


def _share(number: Box, field: Box) -> float:
    """Return the share of a number's box that a field's box covers."""
    w = min(number.x + number.w, field.x + field.w) - max(number.x, field.x)
    h = min(number.y + number.h, field.y + field.h) - max(number.y, field.y)
    return max(0.0, w) * max(0.0, h) / max(number.w * number.h, 1.0)
