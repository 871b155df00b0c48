"""Marks that no reader names are found by their ink, and a slash taken for a 1 is told."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from schemas.form_template import FieldSpec
from worker.decision.fields import AcceptPolicy, decide_field
from worker.doubts import DoubtKind
from worker.fields.judging.confidence import list_lasting_doubts
from worker.fields.judging.loose_marks import Place, changes_meaning, find_loose_marks
from worker.fields.line_reader.transcription import Transcript, transcribe
from worker.fields.reading import read_fields
from worker.models.runtime import load_recognizers
from worker.synthesis.fields import draw_field
from worker.synthesis.glyphs import draw_hand
from worker.synthesis.lines import write_line
from worker.synthesis.pen import Pen, draw_ink
from worker.values import Box, FieldCrop, FieldReading, FieldStatus, Grey, Recognizers

HEIGHT = 50


@pytest.fixture(scope="module")
def recognizers() -> Recognizers:
    return load_recognizers()


def cut(grey: Grey, kind: str = "code") -> FieldCrop:
    spec = FieldSpec.model_validate({"name": "f", "box_mm": (0, 0, 60, 15), "kind": kind})
    return FieldCrop(spec, grey, Box(0, 0, grey.shape[1], grey.shape[0]), np.eye(3))


def see(grey: Grey, recognizers: Recognizers, kind: str = "code") -> Transcript:
    return transcribe([cut(grey, kind)], recognizers)[0]


def see_digits(grey: Grey, recognizers: Recognizers, kind: str = "code") -> Transcript:
    """Return what the readers see of a line, as if they had named no mark."""
    return replace(see(grey, recognizers, kind), marks=())


def decide(grey: Grey, recognizers: Recognizers) -> FieldReading:
    crop = cut(grey)
    return decide_field(crop.spec, read_fields([crop], recognizers)[0], AcceptPolicy())


def write(seed: int, text: str, *, dab: tuple[float, float] | None = None, after: int = 0) -> Grey:
    """Write digits on plain paper, with a round dab.

    ``dab`` is its x off the left end of digit ``after``, or where that is the last one off the right end of the line,
    and its y under the line's top, both in heights.
    """
    rng = np.random.default_rng(seed)
    line = write_line(rng, draw_hand(rng), text, 0.08)
    shapes = [shape * HEIGHT + np.float32([90, 40]) for shape in line.shapes]
    grey = np.full((140, int(max(s[..., 0].max() for s in shapes)) + 80), 240, np.uint8)
    ink = draw_ink(rng, np.concatenate(shapes).astype(np.float32), grey.shape, Pen(width=0.08), HEIGHT)
    grey -= (ink * 0.75).astype(np.uint8)
    if dab is not None:
        ends = [s[..., 0].min() for s in shapes] + [max(s[..., 0].max() for s in shapes)]
        top, foot = min(s[..., 1].min() for s in shapes), max(s[..., 1].max() for s in shapes)
        at = (int(ends[after] + dab[0] * HEIGHT), int(top + dab[1] * (foot - top)))
        cv2.circle(grey, at, 4, 60, -1, cv2.LINE_AA)
    return grey


@pytest.mark.parametrize("dab", [(-0.3, 0.97), (-0.9, 0.95), (-0.4, 0.6)])
def test_a_dab_before_the_digits_is_a_mark(dab: tuple[float, float], recognizers: Recognizers) -> None:
    found = [find_loose_marks(see_digits(write(seed, "75", dab=dab), recognizers)) for seed in range(8)]
    assert sum([mark.place for mark in marks] == [Place.BEFORE] for marks in found) >= 6


@pytest.mark.parametrize("dab", [(-0.3, 0.97), (-0.9, 0.95), (-0.4, 0.6)])
def test_a_dab_before_the_digits_is_never_accepted_away(dab: tuple[float, float], recognizers: Recognizers) -> None:
    """Named by the readers or not: `.75` is not 75."""
    read = [decide(write(seed, "75", dab=dab), recognizers) for seed in range(8)]
    assert sum(one.status is FieldStatus.ACCEPTED for one in read) <= 1


def test_a_dab_on_patterned_paper_is_a_mark(recognizers: Recognizers) -> None:
    found = []
    for seed in range(8):
        grey = write(seed, "75", dab=(-0.3, 0.97))
        paper = grey.copy()
        for x, y in ((20, 12), (50, 20), (90, 10), (130, 14), (20, 110), (60, 118), (100, 112), (150, 120)):
            cv2.circle(paper, (x, y), 4, 130, -1, cv2.LINE_AA)
        found.append(find_loose_marks(see_digits(np.minimum(grey, paper), recognizers)))
    assert sum(Place.BEFORE in [mark.place for mark in marks] for marks in found) >= 6


def test_a_dab_at_the_top_behind_the_digits_is_a_mark(recognizers: Recognizers) -> None:
    seen = [see(write(seed, "21", dab=(0.25, 0.05), after=2), recognizers) for seed in range(8)]
    assert sum(changes_meaning(one) or "#" in one.written for one in seen) >= 6


def test_a_point_behind_the_last_digit_only_ends_the_number(recognizers: Recognizers) -> None:
    ended = [write(seed, "483", dab=(0.3, 0.97), after=3) for seed in range(8)]
    assert not any(changes_meaning(see_digits(grey, recognizers)) for grey in ended)


def test_grain_and_dotted_rules_are_no_marks(recognizers: Recognizers) -> None:
    grey = write(3, "483")
    for x in range(5, grey.shape[1], 17):
        cv2.circle(grey, (x, 98), 3, 60, -1, cv2.LINE_AA)
    assert not find_loose_marks(see(grey, recognizers))


def test_in_an_amount_only_a_mark_before_it_matters(recognizers: Recognizers) -> None:
    between = [see_digits(write(s, "4831", dab=(-0.05, 1.0), after=1), recognizers, "amount") for s in range(6)]
    assert not any(changes_meaning(one) for one in between)
    before = [see_digits(write(s, "75", dab=(-0.4, 0.97)), recognizers, "amount") for s in range(6)]
    assert sum(map(changes_meaning, before)) >= 4


def test_numbers_without_marks_have_none(recognizers: Recognizers) -> None:
    texts = ["".join(map(str, np.random.default_rng([5, seed]).integers(0, 10, 5))) for seed in range(30)]
    assert sum(changes_meaning(see(write(seed, text), recognizers)) for seed, text in enumerate(texts)) <= 1


@pytest.mark.parametrize("text", ["3/4", "12/13/82", "8/20/46", "5/8"])
def test_a_slash_is_hardly_accepted_as_a_1(text: str, recognizers: Recognizers) -> None:
    """Some slashes are as upright as a 1: two of twelve at most, here, where seven to ten were."""
    drawn = [draw_field(np.random.default_rng([9, seed]), text, in_cells=False).grey for seed in range(12)]
    assert sum(decide(grey, recognizers).status is FieldStatus.ACCEPTED for grey in drawn) <= 2


def test_what_a_slash_may_be_is_told(recognizers: Recognizers) -> None:
    reads = [
        decide(draw_field(np.random.default_rng([9, s]), "3/4", in_cells=False).grey, recognizers) for s in range(12)
    ]
    told = [doubt.readings for read in reads for doubt in read.doubts if doubt.kind is DoubtKind.UNSURE_MARK]
    assert ("314", "3/4") in told


@pytest.mark.parametrize(
    ("slashed", "kind", "is_doubted"),
    [
        ("1/59", "amount", False),
        ("1250/100", "amount", True),
        ("2/2/93", "amount", True),
        ("1/59", "code", True),
        ("1/59", "number", True),
        ("1159", "amount", False),
    ],
)
def test_one_slash_in_an_amount_counts_where_it_parts_cents(
    slashed: str, kind: str, recognizers: Recognizers, *, is_doubted: bool
) -> None:
    text = slashed.replace("/", "1")
    seen = see(write(3, text), recognizers)
    spec = FieldSpec.model_validate(
        {"name": "f", "box_mm": (0, 0, 60, 15), "kind": kind} | ({"currency": "GBP"} if kind == "amount" else {})
    )
    told = list_lasting_doubts(replace(seen, text=text, slashed=slashed, crop=replace(seen.crop, spec=spec)))
    assert any(doubt.kind is DoubtKind.UNSURE_MARK for doubt in told) is is_doubted


@pytest.mark.parametrize("kind", ["code", "number", "amount"])
def test_a_minus_that_no_reader_names_is_a_doubt(kind: str, recognizers: Recognizers) -> None:
    """-84,60 was accepted as 84,60: its sign had been cut off the line."""
    told = []
    for seed in range(8):
        grey = write(seed, "8460")
        cv2.line(grey, (30, 68), (70, 66), 60, 4, cv2.LINE_AA)
        seen = see(grey, recognizers, kind)
        told.append(changes_meaning(replace(seen, gap_marks=("", *seen.gap_marks[1:]))))
        assert not changes_meaning(replace(see(write(seed, "8460"), recognizers, kind), gap_marks=("",) * 5))
    assert sum(told) >= 7


@pytest.mark.parametrize("gap", [0.2, 0.9, 1.6])
def test_a_minus_far_before_the_number_is_a_doubt_too(gap: float, recognizers: Recognizers) -> None:
    """Of 32 numbers with a minus nine tenths of a digit before them 10 were accepted without it."""
    for seed in range(4):
        plain = write(seed, "334")
        grey = cv2.copyMakeBorder(plain, 0, 0, 200, 0, cv2.BORDER_CONSTANT, value=int(plain[0, 0]))
        first = see(grey, recognizers, "code").digit_boxes[0]
        end, level = round(first.x - gap * first.h), round(first.y + first.h / 2)
        cv2.line(grey, (end - round(first.h / 2), level), (end, level - 1), 60, 4, cv2.LINE_AA)
        seen = see(grey, recognizers, "code")
        assert "-" in seen.gap_marks[0] or changes_meaning(seen)
