"""A signature, a scribble or a tally in a field is no number, and no blank either."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from schemas.form_template import FieldSpec
from worker.decision.fields import AcceptPolicy, decide_field
from worker.fields.judging.scrawls import holds_scrawl
from worker.fields.reading import read_fields
from worker.models.runtime import load_recognizers
from worker.synthesis.fields import draw_blank_field, draw_line_on_paper
from worker.synthesis.glyphs import Shape, segments_of
from worker.synthesis.lines import NOTHING, WrittenLine
from worker.synthesis.pen import Pen
from worker.values import Box, FieldCrop, FieldStatus, Grey


def wind(length: float, turns: float, swing: float) -> Shape:
    """Return the loops of a signature, so many digit heights long."""
    t = np.linspace(0, 1, 90, dtype=np.float32)
    x = length * t + 0.12 * np.cos(2 * np.pi * turns * t)
    return segments_of(np.stack([x, 0.6 + swing * np.sin(2 * np.pi * turns * t)], axis=1).astype(np.float32))


def draw_signature(seed: int) -> Grey:
    """Draw a signature on any paper of the generator."""
    rng = np.random.default_rng([8, seed])
    line = WrittenLine((wind(rng.uniform(2, 5), rng.uniform(5, 12), rng.uniform(0.15, 0.4)),), NOTHING, NOTHING)
    return draw_line_on_paper(rng, "", line, Pen(width=0.07)).grey


def draw_tally(seed: int) -> Grey:
    """Draw three tallies of five on any paper of the generator."""
    rng = np.random.default_rng([9, seed])
    bars = [[(0.22 * i, 0.0), (0.22 * i + rng.normal(0, 0.03), 1.0)] for i in range(4)]
    one = np.array([*bars, [(-0.15, 0.8), (0.85, 0.2)]], np.float32)
    shapes = tuple(one + np.array([1.3 * i, 0], np.float32) for i in range(3))
    return draw_line_on_paper(rng, "", WrittenLine(shapes, NOTHING, NOTHING), Pen(width=0.07)).grey


def find_statuses(greys: Sequence[Grey]) -> set[FieldStatus]:
    """Read drawn boxes; return what becomes of them."""
    spec = FieldSpec.model_validate({"name": "f", "box_mm": (0, 0, 12, 8)})
    crops = [FieldCrop(spec, grey, Box(0, 0, grey.shape[1], grey.shape[0]), np.eye(3)) for grey in greys]
    reads = read_fields(crops, load_recognizers())
    return {decide_field(spec, read, AcceptPolicy()).status for read in reads}


def test_signatures_go_to_a_person() -> None:
    """Readers and strokes that stand out had called these blank."""
    assert find_statuses([draw_signature(seed) for seed in (1, 15, 101, 126, 141, 142, 146, 205)]) == {
        FieldStatus.REVIEW
    }


def test_blank_fields_hold_no_scrawl() -> None:
    rng = np.random.default_rng(7)
    assert sum(holds_scrawl(draw_blank_field(rng)) for _ in range(400)) <= 2


def test_tallies_that_no_reader_can_name_go_to_a_person() -> None:
    """They had been called blank: the readers see signs there, and no digit."""
    assert find_statuses([draw_tally(seed) for seed in (10, 19, 22, 34, 37)]) == {FieldStatus.REVIEW}
