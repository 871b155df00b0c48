"""Fields of hands that never train: UNIPEN's held-out writers on drawn paper, with their truth.

Confidence is fitted and the promise shown on these instead of drawn hands: real digits, spacing and joins, by the ten
thousand.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import numpy as np

from schemas.form_template import FieldSpec
from worker.synthesis.fields import FieldSample, draw_field
from worker.synthesis.numbers import draw_number
from worker.synthesis.pens import draw_written_number
from worker.training.fields.calibration import kind_of
from worker.training.fields.truth import LabelledField
from worker.training.general.pens import PenBank, load_pen_bank
from worker.values import Box, FieldCrop

WHOLE_SHARE = 0.5
"""Of the fields: whole numbers as they were written, or with digits swapped; the others are the generator's texts."""
FREE, CELLS = "held-out pens", "held-out pens in cells"
"""The names of the two sets."""


def draw_held_out_fields(data_dir: Path, count: int, seed: int, *, half: int | None = None) -> list[LabelledField]:
    """Draw free fields of held-out writers: numbers, amounts, dates, telephone numbers on every paper and print.

    ``half`` 0 or 1 takes every second writer.
    Fields without digits and spoilt ones are left out; a whole number may hold signs like a telephone's brackets.
    """
    pens = load_pen_bank(data_dir, held_out=True, half=half)
    rng = np.random.default_rng([seed, 81])
    found: list[LabelledField] = []
    while len(found) < count:
        sample = _draw_free(rng, pens)
        digits = "".join(sign for sign in sample.text if sign.isdigit())
        if digits:
            spec = FieldSpec(name="drawn", box_mm=(0, 0, 100, 20), kind=_kind_of(sample.text))
            found.append(_label(FREE, sample, digits, spec))
    return found


def _draw_free(rng: np.random.Generator, pens: PenBank) -> FieldSample:
    if rng.random() < WHOLE_SHARE:
        return draw_written_number(rng, pens.pick_number(rng))
    text = draw_number(rng)
    while "#" in text:
        text = draw_number(rng)
    return draw_field(rng, text, glyphs=pens, real_share=1.0)


def draw_held_out_rows(data_dir: Path, count: int, seed: int, *, half: int | None = None) -> list[LabelledField]:
    """Draw rows of 3 to 10 cells with a digit of a held-out writer, one of every second if ``half``, in each."""
    pens = load_pen_bank(data_dir, held_out=True, half=half)
    rng = np.random.default_rng([seed, 82])
    found: list[LabelledField] = []
    for _ in range(count):
        cells = int(rng.integers(3, 11))
        digits = "".join(map(str, rng.integers(0, 10, cells)))
        sample = draw_field(rng, digits, glyphs=pens, real_share=1.0, in_cells=True)
        spec = FieldSpec(name="drawn", box_mm=(0, 0, 100, 20), layout="cells", cells=cells)
        found.append(_label(CELLS, sample, digits, spec))
    return found


def _kind_of(text: str) -> Literal["number", "amount", "date"]:
    """Return the kind of field in which a text would stand; a telephone number is a number, 12/5 a day."""
    if re.search(r"\d/\d", text) and not text.endswith("/100"):
        return "date"
    return "number" if "#" in text or re.fullmatch(r"(\d+-)?\d{3}-\d{4}", text) else kind_of(text)


def _label(source: str, sample: FieldSample, digits: str, spec: FieldSpec) -> LabelledField:
    height, width = sample.grey.shape
    return LabelledField(source, FieldCrop(spec, sample.grey, Box(0, 0, width, height), np.eye(3)), digits, True)
