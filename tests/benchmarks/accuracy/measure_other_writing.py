"""How often writing that is no number is accepted as one, or called blank: letters, words, signs, tallies, scribbles.

``ICR_DATA_DIR=... python -m tests.benchmarks.accuracy.measure_other_writing [--fields 60] [--seed 0] [--kind code]``

In the hands of UNIPEN's writers that train nothing, on every paper and print of the generator
(``tests.support.other_writing``). Of digits beside letters "its digits" are accepted without the letters, "another
number" with a digit more, less or other. With ``--pages`` the same on free pages, ten writings each; with
``--pictures`` what is accepted or called blank is written there.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
from numpy.typing import NDArray

from schemas.form_template import FieldSpec
from tests.benchmarks.accuracy.measure_free_writing import follow_numbers, read_sample
from tests.support.data import DATA_DIR
from tests.support.other_writing import GROUPS, OtherWriting, load_other_writing
from worker.bootstrap import build_runtime
from worker.decision.fields import AcceptPolicy, decide_field
from worker.fields.reading import read_fields
from worker.synthesis.forms import write_on
from worker.synthesis.free_pages import FreePageSample
from worker.synthesis.free_pages import WrittenNumber as NumberOnPage
from worker.synthesis.lines import NOTHING, WrittenLine
from worker.synthesis.pages import photograph
from worker.synthesis.paper import cut_texture
from worker.synthesis.pen import Pen
from worker.synthesis.pens import WrittenNumber, draw_written_number
from worker.values import Box, FieldCrop, FieldReading, FieldStatus, Grey, Recognizers

BATCH = 30
ITS_DIGITS, ANOTHER = "its digits", "another number"
OUTCOMES = ("blank", "review", ITS_DIGITS, ANOTHER)
WIDEST_PX, LEAST_SCALE = 500.0, 0.7
"""Of a writing on a page: what is so wide is made smaller, but no smaller than this share of the page's writing."""


def name_outcome(text: str, reading: FieldReading) -> str:
    """Name what became of a field in which ``text`` is written."""
    if reading.status is not FieldStatus.ACCEPTED:
        return reading.status.value
    digits = "".join(sign for sign in text if sign.isdigit())
    return ITS_DIGITS if digits == reading.text else ANOTHER


def read_group(
    group: str, count: int, asked: tuple[int, str], source: OtherWriting, recognizers: Recognizers
) -> list[tuple[str, Grey, FieldReading]]:
    """Draw so many fields of a group, by the seed in ``asked``, and read them as its kind: text, picture, reading."""
    seed, kind = asked
    rng = np.random.default_rng([seed, list(GROUPS).index(group)])
    spec = FieldSpec.model_validate({"name": "drawn", "box_mm": (0, 0, 100, 20), "kind": kind})
    found = []
    for start in range(0, count, BATCH):
        written = [GROUPS[group](rng, source) for _ in range(min(BATCH, count - start))]
        crops = [draw_written_number(rng, one).grey for one in written]
        fields = [FieldCrop(spec, grey, Box(0, 0, grey.shape[1], grey.shape[0]), np.eye(3)) for grey in crops]
        decided = [decide_field(spec, read, AcceptPolicy()) for read in read_fields(fields, recognizers)]
        found += [(one.text, grey, read) for one, grey, read in zip(written, crops, decided, strict=True)]
    return found


def draw_page(rng: np.random.Generator, source: OtherWriting) -> tuple[FreePageSample, list[str]]:
    """Draw a page of ten writings of any group, every second page photographed; return it and their groups."""
    page: NDArray[Any] = (238 + 1.5 * cut_texture(rng, (1600, 1200))).clip(0, 255).astype(np.uint8)
    pen, height = Pen(width=float(rng.uniform(0.05, 0.12))), float(rng.uniform(45, 80))
    groups = [list(GROUPS)[int(i)] for i in rng.integers(0, len(GROUPS), 10)]
    numbers = []
    for i, group in enumerate(groups):
        written = GROUPS[group](rng, source)
        while _extent_of(written)[1][0] * LEAST_SCALE * height > WIDEST_PX:
            written = GROUPS[group](rng, source)
        low, extent = _extent_of(written)
        scale = min(height, WIDEST_PX / float(extent[0]))
        corner = np.array([90 + 560 * (i % 2), 150 + 280 * (i // 2)], np.float32)
        line = WrittenLine(written.shapes, NOTHING, NOTHING)
        write_on(rng, page, line, pen, ((corner - low * scale).astype(np.float32), scale))
        digits = "".join(sign for sign in written.text if sign.isdigit())
        numbers.append(NumberOnPage(digits, Box(*corner.tolist(), *(extent * scale).tolist())))
    grey = photograph(rng, page) if rng.random() < 0.5 else page
    return FreePageSample(grey, tuple(numbers), "other writing"), groups


def _extent_of(written: WrittenNumber) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the left top corner and the size of a writing, in unit heights."""
    points = np.concatenate(written.shapes).reshape(-1, 2)
    return points.min(axis=0), np.maximum(np.ptp(points, axis=0), 0.05)


def _keep_picture(folder: Path, name: str, grey: Grey) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / f"{re.sub(r'[^0-9A-Za-z]+', '_', name)}.png"), grey)


def _print_line(group: str, counts: Counter[str], outcomes: Sequence[str]) -> None:
    parts = [f"{outcome} {counts[outcome]:>3}" for outcome in outcomes]
    click.echo(f"{group:<32}{counts.total():>5}   " + "   ".join(parts))


@click.command()
@click.option("--fields", default=60, show_default=True, help="Of each group.")
@click.option("--pages", default=0, show_default=True, help="So many free pages of any group instead.")
@click.option("--seed", default=0, show_default=True)
@click.option("--kind", default="code", show_default=True, help="What the field is said to hold: code, number, amount.")
@click.option("--group", "only", help="Those groups alone whose name holds this.")
@click.option("--pictures", type=click.Path(path_type=Path), help="A folder for what is not sent to review.")
def main(fields: int, pages: int, seed: int, kind: str, only: str | None, pictures: Path | None) -> None:
    """Print, for each group, what became of it."""
    source, recognizers = load_other_writing(DATA_DIR), build_runtime().recognizers()
    if pages:
        _measure_pages(pages, seed, source, recognizers)
        return
    total: dict[bool, Counter[str]] = {False: Counter(), True: Counter()}
    for group in GROUPS:
        if only and only not in group:
            continue
        found = read_group(group, fields, (seed, kind), source, recognizers)
        counts = Counter(name_outcome(text, reading) for text, _, reading in found)
        _print_line(group, counts, OUTCOMES)
        total[group.startswith("ALIKE")] += counts
        for i, (text, grey, reading) in enumerate(found):
            if pictures and reading.status is not FieldStatus.REVIEW:
                _keep_picture(pictures, f"{group} {i} {text} read {reading.text or 'blank'}", grey)
    for is_alike, counts in total.items():
        _print_line("all that are ALIKE" if is_alike else "all others", counts, OUTCOMES)


def _measure_pages(pages: int, seed: int, source: OtherWriting, recognizers: Recognizers) -> None:
    total: dict[bool, Counter[str]] = {False: Counter(), True: Counter()}
    for i in range(pages):
        sample, groups = draw_page(np.random.default_rng([seed, 1000 + i]), source)
        for group, fate in zip(groups, follow_numbers(sample, read_sample(sample, recognizers)), strict=True):
            total[group.startswith("ALIKE")][fate.outcome] += 1
            if fate.outcome not in ("review", "page doubt"):
                click.echo(f"page {i}, {group}: {fate.outcome} {fate.reads}")
    for is_alike, counts in total.items():
        _print_line("pages: ALIKE" if is_alike else "pages: others", counts, sorted(counts))


if __name__ == "__main__":
    main()
