"""What is drawn means what it was drawn for, and no dropped mark changes that without a doubt."""

import numpy as np
import pytest

from schemas.form_template import FieldGrammar
from worker.fields.line_reader.decoding import ALPHABET
from worker.grammar.meaning import Meaning, find_meaning
from worker.synthesis.written_values import KINDS, draw_written_value
from worker.values import Box, Marks, RawReading, RivalMarks

FIELDS = 2000


def split_text(text: str) -> tuple[str, Marks]:
    """Return the digits of a text and the marks among them, signs without a name as the line reader shows them."""
    digits, marks = "", [""]
    for sign in text:
        if sign.isdigit():
            digits += sign
            marks.append("")
        else:
            marks[-1] += sign if sign in ALPHABET else "#"
    return digits, tuple(marks)


def mean(grammar: FieldGrammar, text: str, marks: Marks, *rivals: RivalMarks) -> Meaning:
    return find_meaning(grammar, RawReading(text, 0.999, Box(0, 0, 1, 1), marks=marks, rival_marks=rivals))


@pytest.mark.parametrize("kind", KINDS)
def test_drawn_values_mean_what_they_were_drawn_for(kind: str) -> None:
    rng = np.random.default_rng([1, KINDS.index(kind)])
    for _ in range(FIELDS):
        drawn = draw_written_value(rng, kind)
        found = mean(drawn.grammar, *split_text(drawn.text))
        assert found.value == drawn.value, drawn
        assert (found.misfit is None) == (drawn.value is not None), drawn


@pytest.mark.parametrize("kind", KINDS)
def test_no_dropped_mark_changes_a_value_while_one_network_may_see_it(kind: str) -> None:
    rng = np.random.default_rng([2, KINDS.index(kind)])
    for _ in range(FIELDS):
        drawn = draw_written_value(rng, kind)
        digits, marks = split_text(drawn.text)
        for k in (k for k, mark in enumerate(marks) if mark):
            seen = (*marks[:k], "", *marks[k + 1 :])
            found = mean(drawn.grammar, digits, seen, RivalMarks(marks, 0.3))
            accepted = found.misfit is None and found.rival is None
            assert not accepted or found.value == drawn.value, (drawn, found)
