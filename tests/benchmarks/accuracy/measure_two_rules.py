"""The two rules over drawn fields: no ink is passed over in silence, and an accepted number means what was written.

``python -m tests.benchmarks.accuracy.measure_two_rules [--fields 2000] [--seed 7] [--wrong]``

Fields of every kind are drawn, with marks that do not belong there, too, lone digits and plain 1s, digits struck out,
rows of cells, and blank ones; the shipped models read and decide them. A field of which scan and pen left nothing that
anybody could see is counted apart, unless it is accepted: each is drawn a second time as if nobody had written, and its
writing cannot be seen where fewer pixels than a twentieth of its characters' boxes differ by more than 10 of 255. Of
written fields others change at least three times as many. Free pages have ``measure_free_writing``.
"""

from __future__ import annotations

import copy
import re
from collections import Counter
from dataclasses import dataclass

import click
import numpy as np

from schemas.form_template import FieldGrammar, FieldSpec
from worker.decision.fields import AcceptPolicy, decide_field
from worker.fields.reading import read_fields
from worker.models.runtime import load_recognizers
from worker.synthesis.fields import FieldSample, draw_blank_field, draw_field
from worker.synthesis.glyphs import pick
from worker.synthesis.written_values import KINDS, WrittenValue, draw_written_value
from worker.values import Box, FieldCrop, FieldReading, FieldStatus, Grey, Recognizers

BATCH = 32
SILENT, WRONG_DIGITS, WRONG_MARKS, FRAGMENT = "passed over", "wrong digits", "wrong marks", "fragment"
UNSEEN = "nothing to be seen"
LEAST_CHANGE, LEAST_SEEN = 10, 0.05
"""What makes writing visible: pixels that differ by more than the first, as many as this share of its boxes' area."""
BROKEN = (SILENT, WRONG_DIGITS, WRONG_MARKS, FRAGMENT)
"""What the rules forbid: called blank though something is written; accepted with other digits, with a mark dropped or
read otherwise, and in part."""


@dataclass(frozen=True, slots=True, eq=False)
class DrawnField:
    """A field that was drawn: ``written`` has no text where nothing is written.

    ``visible`` is False where nobody could see what was written.
    """

    written: WrittenValue
    crop: FieldCrop
    visible: bool = True


def _draw_written(rng: np.random.Generator, written: WrittenValue, cells: int = 0) -> DrawnField:
    again = copy.deepcopy(rng)
    sample = draw_field(rng, written.text, in_cells=bool(cells))
    bare = draw_field(again, written.text, in_cells=bool(cells), inked=False)
    return DrawnField(written, _crop(sample.grey, written.grammar, cells), can_be_seen(sample, bare.grey))


def can_be_seen(sample: FieldSample, bare: Grey) -> bool:
    """Tell whether a drawn field differs enough from ``bare``, the same field without its ink."""
    if sample.grey.shape != bare.shape:
        return True
    changed = np.abs(sample.grey.astype(np.int16) - bare) > LEAST_CHANGE
    return float(changed.sum()) >= LEAST_SEEN * float((sample.boxes[:, 2] * sample.boxes[:, 3]).sum())


def draw_any_field(rng: np.random.Generator) -> DrawnField:
    """Draw a field of any kind, perhaps blank."""
    code = FieldGrammar(kind="code")
    shape = pick(rng, (0.5, 0.15, 0.1, 0.15, 0.1))
    if shape == 0:
        written = draw_written_value(rng, KINDS[int(rng.integers(len(KINDS)))])
        return _draw_written(rng, written)
    if shape == 1:
        cells = int(rng.integers(3, 10))
        text = "".join(map(str, rng.integers(0, 10, cells)))
        return _draw_written(rng, WrittenValue(code, text, text), cells)
    if shape == 2:
        text = "1" * int(rng.integers(1, 5)) if rng.random() < 0.5 else str(rng.integers(10))
        return _draw_written(rng, WrittenValue(code, text, text))
    if shape == 3:
        cells = int(rng.integers(3, 10)) if rng.random() < 0.5 else 0
        return DrawnField(WrittenValue(code, "", None), _crop(draw_blank_field(rng, cells=cells), code, cells))
    digits = "".join(map(str, rng.integers(0, 10, int(rng.integers(2, 6)))))
    struck = int(rng.integers(len(digits)))
    text = f"{digits[:struck]}#{digits[struck:]}"
    return _draw_written(rng, WrittenValue(code, text, None))


def judge_field(drawn: DrawnField, read: FieldReading) -> str:
    """Return what became of a field: one of ``BROKEN``, or what is allowed."""
    text = drawn.written.text
    if not text:
        return f"empty, {read.status.value}"
    if not drawn.visible and read.status is not FieldStatus.ACCEPTED:
        return UNSEEN
    if read.status is FieldStatus.BLANK:
        return SILENT
    if read.status is FieldStatus.REVIEW:
        return "review"
    if read.value == drawn.written.value:
        return "accepted right"
    digits = re.sub(r"\D", "", text)
    if read.text == digits:
        return WRONG_MARKS
    return FRAGMENT if read.text in digits else WRONG_DIGITS


def read_drawn(fields: list[DrawnField], recognizers: Recognizers) -> list[FieldReading]:
    """Read drawn fields, and decide about them as the worker does."""
    found = []
    for start in range(0, len(fields), BATCH):
        crops = [field.crop for field in fields[start : start + BATCH]]
        reads = zip(crops, read_fields(crops, recognizers), strict=True)
        found += [decide_field(crop.spec, read, AcceptPolicy()) for crop, read in reads]
    return found


def _crop(grey: Grey, grammar: FieldGrammar, cells: int = 0) -> FieldCrop:
    height, width = grey.shape
    layout = {"layout": "cells", "cells": cells} if cells else {"layout": "free"}
    spec = FieldSpec.model_validate({"name": "drawn", "box_mm": (0, 0, 100, 20), **layout, **grammar.model_dump()})
    return FieldCrop(spec, grey, Box(0, 0, width, height), np.eye(3))


@click.command()
@click.option("--fields", default=2000, show_default=True)
@click.option("--seed", default=7, show_default=True)
@click.option("--wrong", is_flag=True, help="Also print every field that breaks a rule.")
def main(fields: int, seed: int, wrong: bool) -> None:
    """Print how many fields have each fate."""
    recognizers = load_recognizers()
    rng = np.random.default_rng(seed)
    counts: Counter[str] = Counter()
    for _ in range(0, fields, BATCH):
        drawn = [draw_any_field(rng) for _ in range(min(BATCH, fields - counts.total()))]
        for one, read in zip(drawn, read_drawn(drawn, recognizers), strict=True):
            fate = judge_field(one, read)
            counts[fate] += 1
            if wrong and fate in BROKEN:
                kind = one.crop.spec.kind
                click.echo(f"{fate}: {kind} {one.written.text}: {read.written or read.text} {read.confidence:.4f}")
    click.echo(f"{fields} fields: " + "   ".join(f"{fate} {n}" for fate, n in counts.most_common()))


if __name__ == "__main__":
    main()
