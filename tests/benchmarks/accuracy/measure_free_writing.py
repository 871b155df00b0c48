"""What becomes of every number of drawn free pages: accepted, in review, in a doubt of the page, or lost.

"Accepted" are those that nothing but the missing promise for free pages sends to a person.

``python -m tests.benchmarks.accuracy.measure_free_writing [--pages 300] [--seed 61] [--wrong]``
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import click
import numpy as np

from worker.decision.fields import AcceptPolicy
from worker.doubts import DoubtKind
from worker.models.runtime import load_recognizers
from worker.page_kinds import FreePage
from worker.pipeline import read_page
from worker.synthesis.free_pages import FreePageSample, WrittenNumber, draw_free_page_sample
from worker.values import Box, FieldReading, FieldStatus, Page, PageReading, Recognizers

COVERED = 0.5
"""Share of a number's box that a field, or a place in doubt, has to cover."""


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of one number; ``fragment`` is set where an accepted field reads only a part of it."""

    number: WrittenNumber
    outcome: str
    reads: str = ""


def follow_numbers(sample: FreePageSample, reading: PageReading) -> list[Fate]:
    """Return what became of every number of a page."""
    doubted = [Box(*map(float, place)) for doubt in reading.doubts for place in doubt.places_px]
    return [_follow(number, reading.fields, doubted) for number in sample.numbers]


def _follow(number: WrittenNumber, fields: tuple[FieldReading, ...], doubted: list[Box]) -> Fate:
    over = [f for f in fields if _share(number.box_px, f.box_px) > 0.1]
    reads = " ".join(f"{f.text or '?'}" for f in over)
    accepted = [f.text for f in over if f.text and all(d.kind is DoubtKind.NO_PROMISE for d in f.doubts)]
    if any(text != number.text for text in accepted):
        kind = "fragment accepted" if any(text in number.text for text in accepted) else "accepted wrong"
        return Fate(number, kind, reads)
    if accepted:
        return Fate(number, "accepted right", reads)
    waiting = [f for f in over if f.status is FieldStatus.REVIEW]
    if sum(_share(number.box_px, f.box_px) for f in waiting) >= COVERED:
        return Fate(number, "review", reads)
    if sum(_share(number.box_px, box) for box in doubted) >= COVERED:
        return Fate(number, "page doubt", reads)
    return Fate(number, "lost" if not waiting else "review of a part", reads)


def _share(number: Box, field: Box) -> float:
    """Return the share of a number's box that a field's box covers."""
    w = min(number.x + number.w, field.x + field.w) - max(number.x, field.x)
    h = min(number.y + number.h, field.y + field.h) - max(number.y, field.y)
    return max(0.0, w) * max(0.0, h) / max(number.w * number.h, 1.0)


def read_sample(sample: FreePageSample, recognizers: Recognizers) -> PageReading:
    """Read a drawn page as free writing."""
    return read_page(Page("drawn", 0, sample.grey), FreePage(), recognizers, AcceptPolicy())


@click.command()
@click.option("--pages", default=300, show_default=True)
@click.option("--seed", default=61, show_default=True)
@click.option("--wrong", is_flag=True, help="Also print every number that is lost or accepted wrongly.")
def main(pages: int, seed: int, wrong: bool) -> None:
    """Print how many numbers have each fate, in all and by kind of page."""
    recognizers = load_recognizers()
    total: Counter[str] = Counter()
    by_kind: dict[str, Counter[str]] = {}
    for i in range(pages):
        sample = draw_free_page_sample(np.random.default_rng([seed, i]))
        for fate in follow_numbers(sample, read_sample(sample, recognizers)):
            total[fate.outcome] += 1
            by_kind.setdefault(sample.kind.split(",")[0], Counter())[fate.outcome] += 1
            if wrong and fate.outcome not in ("accepted right", "review", "page doubt"):
                click.echo(f"page {i} ({sample.kind}): {fate.number.text} {fate.outcome}: {fate.reads}")
    for kind, counts in [*sorted(by_kind.items()), ("all", total)]:
        count = sum(counts.values())
        click.echo(f"{kind:<30}{count:>6} " + "   ".join(f"{n} {c} ({c / count:.1%})" for n, c in counts.most_common()))


if __name__ == "__main__":
    main()
