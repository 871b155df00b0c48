"""Who makes a doubt and who judges it agree on its kind."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from schemas.form_template import FieldSpec
from tests.unit.test_cell_rows import draw_row, make_recognizers
from worker.decision.fields import AcceptPolicy, decide_field
from worker.doubts import EXCUSED_BY, Doubt, DoubtKind, Witness, describe_doubt
from worker.fields.cell_rows import read_cell_rows
from worker.values import Alternative, Box, FieldStatus, RawReading

LUHN = FieldSpec.model_validate(
    {"name": "a", "box_mm": [0, 0, 10, 10], "rules": [{"rule": "check_digit", "scheme": "luhn"}]}
)
KEEPS_LUHN = "79927398713"
OF_A_RULE_KEPT = frozenset({Witness.CHECK_DIGIT, Witness.CHECK_DIGIT_REFUTES_RIVAL})


@pytest.mark.parametrize("kind", DoubtKind)
def test_every_kind_has_words_and_a_judge(kind: DoubtKind) -> None:
    assert kind in EXCUSED_BY
    words = describe_doubt(Doubt(kind, position=2, readings=("17", "11"), found=0.5, needed=0.9, subject="x"))
    assert words and "{" not in words and "None" not in words


@pytest.mark.parametrize("kind", DoubtKind)
def test_a_kept_check_digit_excuses_only_what_the_table_says(kind: DoubtKind) -> None:
    doubted = RawReading(KEEPS_LUHN, 0.97, Box(0, 0, 9, 9), doubts=(Doubt(kind),), accept_threshold=0.99)
    rival = replace(doubted, alternatives=(Alternative("79927398712", 0.1),))
    decided = decide_field(LUHN, rival, AcceptPolicy())
    excused = not EXCUSED_BY[kind].isdisjoint(OF_A_RULE_KEPT)
    assert decided.status is (FieldStatus.ACCEPTED if excused else FieldStatus.REVIEW)
    assert decided.doubts == (() if excused else (Doubt(kind),))


@pytest.mark.parametrize(
    "kind",
    [
        DoubtKind.EMPTY_CELL,
        DoubtKind.DIGITS_FAR_APART,
        DoubtKind.UNREAD_MARK,
        DoubtKind.UNREAD_INK,
        DoubtKind.STRUCK_DIGIT,
        DoubtKind.UNEXPECTED_MARK,
        DoubtKind.DAMAGED_FILE,
        DoubtKind.REGISTRATION_UNCERTAIN,
    ],
)
def test_no_witness_excuses_what_is_wrong_with_the_paper(kind: DoubtKind) -> None:
    assert EXCUSED_BY[kind] == frozenset()


def test_an_empty_cell_that_the_reader_names_outlives_a_kept_check_digit() -> None:
    """The reader of rows makes this doubt, and the decision judges it: no word of it decides anything."""
    faded = draw_row("79927").grey.copy()
    width = faded.shape[1] // 5
    faded[:, 2 * width : 3 * width] = faded.max()
    crop = replace(draw_row("79927"), grey=faded)
    (read,) = read_cell_rows([crop], make_recognizers("7992", "7992"))
    assert Doubt(DoubtKind.EMPTY_CELL, position=3) in read.doubts
    sure = replace(read, text=KEEPS_LUHN, confidence=0.98, accept_threshold=0.99, marks=(), rival_marks=())
    assert decide_field(LUHN, sure, AcceptPolicy()).status is FieldStatus.REVIEW


@pytest.mark.parametrize(("found", "needed"), [(0.9968, 0.99686), (0.99685999, 0.99686), (0.4, 0.99)])
def test_too_little_confidence_is_said_in_numbers_that_differ(found: float, needed: float) -> None:
    words = describe_doubt(Doubt(DoubtKind.LOW_CONFIDENCE, found=found, needed=needed)).split()
    assert words[1] != words[5] and np.isclose(float(words[1]), found, atol=1e-3)


def test_a_mark_without_a_name_is_not_shown_as_if_it_stood_there() -> None:
    unnamed = Doubt(DoubtKind.UNEXPECTED_MARK, readings=("#", "8#30"))
    assert describe_doubt(unnamed) == "a mark that no reader can name, shown as #: 8#30"


def test_a_reading_of_nothing_and_places_beyond_the_fifth_are_said() -> None:
    """`two readings are close: 1 /` said nothing, and of fourteen places five were named as if they were all."""
    close = Doubt(DoubtKind.CLOSE_READINGS, readings=("1", ""))
    assert describe_doubt(close) == "two readings are close: 1 / nothing"
    assert describe_doubt(replace(close, kind=DoubtKind.NEAR_TIE)) == "it may as well say nothing"
    places = tuple((10 * i, 5, 20, 30) for i in range(14))
    lost = describe_doubt(Doubt(DoubtKind.WRITING_IN_NO_FIELD, places_px=places))
    assert lost.endswith("20 x 30 at 40, 5 and 9 more")
    assert describe_doubt(Doubt(DoubtKind.WRITING_IN_NO_FIELD, places_px=places[:5])).endswith("20 x 30 at 40, 5")


def test_one_digit_is_told_as_one() -> None:
    few, more = (Doubt(DoubtKind.WRONG_COUNT, found=n, explanation="6 to 11") for n in (1, 2))
    assert [describe_doubt(few), describe_doubt(more)] == [
        "1 digit read, 6 to 11 expected",
        "2 digits read, 6 to 11 expected",
    ]
