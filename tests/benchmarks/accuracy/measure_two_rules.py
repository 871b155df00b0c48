"""The two rules over drawn fields: no ink is passed over in silence, and an accepted number means what was written.

``python -m tests.benchmarks.accuracy.measure_two_rules [--fields 2000] [--seed 7] [--wrong]``

Fields of every kind are drawn, with marks that do not belong there, too, lone digits and plain 1s, digits struck out,
rows of cells, and blank ones; the shipped models read and decide them. Free pages have ``measure_free_writing``.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

import click
import numpy as np

from schemas.form_template import FieldGrammar, FieldSpec
from worker.decision.fields import AcceptPolicy, decide_field
from worker.fields.reading import read_fields
from worker.models.runtime import load_recognizers
from worker.synthesis.fields import draw_blank_field, draw_field
from worker.synthesis.glyphs import pick
from worker.synthesis.written_values import KINDS, WrittenValue, draw_written_value
from worker.values import Box, FieldCrop, FieldReading, FieldStatus, Grey, Recognizers

BATCH = 32
SILENT, WRONG_DIGITS, WRONG_MARKS, FRAGMENT = "passed over", "wrong digits", "wrong marks", "fragment"
BROKEN = (SILENT, WRONG_DIGITS, WRONG_MARKS, FRAGMENT)
"""What the rules forbid: called blank though something is written; accepted with other digits, with a mark dropped or
read otherwise, and in part."""


@dataclass(frozen=True, slots=True, eq=False)
class DrawnField:
    """A field that was drawn: ``written`` has no text where nothing is written."""

    written: WrittenValue
    crop: FieldCrop


def draw_any_field(rng: np.random.Generator) -> DrawnField:
    """Draw a field of any kind, perhaps blank."""
    code = FieldGrammar(kind="code")
    shape = pick(rng, (0.5, 0.15, 0.1, 0.15, 0.1))
    if shape == 0:
        written = draw_written_value(rng, KINDS[int(rng.integers(len(KINDS)))])
        return DrawnField(written, _crop(draw_field(rng, written.text, in_cells=False).grey, written.grammar))
    if shape == 1:
        cells = int(rng.integers(3, 10))
        text = "".join(map(str, rng.integers(0, 10, cells)))
        written = WrittenValue(code, text, text)
        return DrawnField(written, _crop(draw_field(rng, text, in_cells=True).grey, code, cells))
    if shape == 2:
        text = "1" * int(rng.integers(1, 5)) if rng.random() < 0.5 else str(rng.integers(10))
        return DrawnField(WrittenValue(code, text, text), _crop(draw_field(rng, text, in_cells=False).grey, code))
    if shape == 3:
        cells = int(rng.integers(3, 10)) if rng.random() < 0.5 else 0
        return DrawnField(WrittenValue(code, "", None), _crop(draw_blank_field(rng, cells=cells), code, cells))
    digits = "".join(map(str, rng.integers(0, 10, int(rng.integers(2, 6)))))
    struck = int(rng.integers(len(digits)))
    text = f"{digits[:struck]}#{digits[struck:]}"
    return DrawnField(WrittenValue(code, text, None), _crop(draw_field(rng, text, in_cells=False).grey, code))


def judge_field(drawn: DrawnField, read: FieldReading) -> str:
    """Return what became of a field: one of ``BROKEN``, or what is allowed."""
    text = drawn.written.text
    if not text:
        return f"empty, {read.status.value}"
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
