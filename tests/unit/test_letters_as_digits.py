"""A letter that looks like a digit to the readers of lines goes to a person where the digit model takes it for none."""

from __future__ import annotations

import numpy as np
import pytest

from schemas.form_template import FieldSpec
from worker.decision.fields import AcceptPolicy, decide_field
from worker.doubts import DoubtKind
from worker.fields.reading import read_fields
from worker.models.runtime import load_recognizers
from worker.synthesis.allographs import LETTERS
from worker.synthesis.fields import draw_line_on_paper
from worker.synthesis.glyphs import shape_from_strokes, warp
from worker.synthesis.lines import NOTHING, WrittenLine
from worker.synthesis.pen import Pen
from worker.values import Box, FieldCrop, FieldStatus, Grey


def draw_letter(letter: str, seed: int) -> Grey:
    """Draw a letter on any paper of the generator."""
    rng = np.random.default_rng([10, seed])
    shape = warp(shape_from_strokes(LETTERS[letter], rng, 0.04), rng, 0.04)
    return draw_line_on_paper(rng, letter, WrittenLine((shape,), NOTHING, NOTHING), Pen(width=0.08)).grey


@pytest.mark.parametrize(("letter", "seed"), [("U", 3), ("U", 13), ("U", 38), ("u", 23), ("u", 33), ("h", 37)])
def test_a_letter_alone_goes_to_a_person(letter: str, seed: int) -> None:
    """These were accepted as 0 and 4."""
    grey = draw_letter(letter, seed)
    spec = FieldSpec.model_validate({"name": "f", "box_mm": (0, 0, 12, 8)})
    (read,) = read_fields(
        [FieldCrop(spec, grey, Box(0, 0, grey.shape[1], grey.shape[0]), np.eye(3))], load_recognizers()
    )
    decided = decide_field(spec, read, AcceptPolicy())
    assert decided.status is FieldStatus.REVIEW
    assert DoubtKind.MAY_BE_NO_DIGIT in {doubt.kind for doubt in decided.doubts}
