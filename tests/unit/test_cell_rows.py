"""Rows of cells read by two readers that may agree, differ, or see nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from schemas.form_template import FieldSpec
from worker.calibration import FieldCalibration, Promise
from worker.decision.fields import AcceptPolicy, decide_field
from worker.doubts import Doubt, DoubtKind
from worker.fields.cell_rows import describe_row, gather_row_evidence, look_at_rows, read_cell_rows
from worker.fields.line_reader.decoding import ALPHABET
from worker.synthesis.fields import draw_blank_field, draw_field
from worker.values import Box, FieldCrop, FieldStatus, Grey, Recognizers

SURE = FieldCalibration(("length",), (0.0,), (1.0,), (0.0,), bias=10.0, promise=Promise(1.0, 0.0))
"""Finds every reading sure."""


def make_crop(grey: Grey, cells: int) -> FieldCrop:
    spec = FieldSpec(name="row", box_mm=(0, 0, 100, 20), layout="cells", cells=cells)
    return FieldCrop(spec, grey, Box(0, 0, grey.shape[1], grey.shape[0]), np.eye(3))


def draw_row(text: str) -> FieldCrop:
    return make_crop(draw_field(np.random.default_rng(4), text, clean=True, in_cells=True).grey, len(text))


def make_recognizers(line_reads: str, cells_read: str, general_reads: str | None = None) -> Recognizers:
    """Return readers that always answer the same: the line with one text, the cells with one digit after another."""

    def transcribe(lines: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
        return [answer[None] for answer in spell(lines, line_reads)]

    def spell(lines: Sequence[NDArray[np.uint8]], text: str) -> list[NDArray[np.float32]]:
        answers = []
        for line in lines:
            steps = line.shape[1] // 4
            odds = np.full((steps, len(ALPHABET) + 1), 1e-6, np.float32)
            odds[:, -1] = 1
            for k, digit in enumerate(text):
                at = int((k + 0.5) * steps / len(text))
                odds[at, -1], odds[at, int(digit)] = 1e-6, 1
            answers.append(np.log(odds / odds.sum(axis=1, keepdims=True)))
        return answers

    def classify(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        answers = np.full((len(images), 11), 1e-4, np.float32)
        for i in range(len(images)):
            answers[i, int(cells_read[i % len(cells_read)])] = 1
        return answers / answers.sum(axis=1, keepdims=True)

    general = None if general_reads is None else lambda lines: spell(lines, general_reads)
    return Recognizers(classify, transcribe, transcribe_general=general)


def test_agreement_is_evidence_and_a_difference_names_both_readings() -> None:
    (agreed,) = look_at_rows([draw_row("4071")], make_recognizers("4071", "4071"))
    (differing,) = look_at_rows([draw_row("4071")], make_recognizers("4071", "4077"))
    assert agreed.text == "4071"
    assert gather_row_evidence(agreed).cells_differ == 0
    assert gather_row_evidence(differing).cells_differ == 1
    (read,) = read_cell_rows([draw_row("4071")], make_recognizers("4071", "4077"))
    assert read.doubts == (Doubt(DoubtKind.CELLS_AND_LINE_DIFFER, readings=("4077", "4071")),)


def test_readers_that_fill_the_row_count_where_others_see_fewer_digits() -> None:
    (cells_fill,) = look_at_rows([draw_row("4071")], make_recognizers("407", "4071", general_reads="4071"))
    faded = draw_row("4071").grey.copy()
    faded[:, int(0.76 * faded.shape[1]) :] = faded.max()
    (line_fills,) = look_at_rows([make_crop(faded, 4)], make_recognizers("4071", "407"))
    assert cells_fill.text == "4071"
    assert line_fills.text == "4071"


def test_a_sure_line_counts_before_cells_that_were_cut_beside_its_digits() -> None:
    """A divider taken for a 1 pushes the digits behind it one cell on: 60828 was 1 6 8 2 8 to the cells."""
    (row,) = look_at_rows([draw_row("60828")], make_recognizers("60828", "16828"))
    assert (row.text, row.cells_text) == ("60828", "16828")
    evidence = gather_row_evidence(row)
    assert (evidence.cells_differ, evidence.full_row) == (1, 1)


def test_a_digit_lies_in_its_cell_unless_the_line_was_cut_elsewhere() -> None:
    (row,) = look_at_rows([draw_row("4071")], make_recognizers("4071", "4071"))
    cells = [d for d in row.cells if d is not None]
    assert [d.box_px for d in row.digits] == [d.box_px for d in cells]
    away = tuple(replace(d, box_px=d.box_px._replace(x=d.box_px.x + 2 * d.box_px.w)) for d in cells)
    assert replace(row, cells=away).digits == row.line.digits


def test_an_empty_row_is_blank_and_one_whose_ink_nobody_read_is_not() -> None:
    blank = make_crop(draw_blank_field(np.random.default_rng(1), cells=5), 5)
    (empty,) = read_cell_rows([blank], make_recognizers("", "1"))
    (unread,) = read_cell_rows([draw_row("4071")], make_recognizers("", "4071"))
    assert empty.blank
    assert not unread.blank
    assert [doubt.kind for doubt in unread.doubts] == [DoubtKind.UNREAD_INK]


@pytest.mark.parametrize(("line_reads", "is_doubted"), [("4", True), ("40", True), ("407", False), ("4071", False)])
def test_a_line_that_passes_over_cells_with_ink_is_doubted_however_sure(line_reads: str, *, is_doubted: bool) -> None:
    """Of eight digits in cells on grainy paper one was accepted."""
    (row,) = look_at_rows([draw_row("4071")], make_recognizers(line_reads, "4071"))
    row = replace(row, line=replace(row.line, text=line_reads, digits=row.line.digits[: len(line_reads)]))
    read = describe_row(row, SURE)
    assert (DoubtKind.CELLS_AND_LINE_DIFFER in {doubt.kind for doubt in read.doubts}) is is_doubted
    filled = replace(row.line.crop, spec=row.line.crop.spec.model_copy(update={"filled": True}))
    crossed = describe_row(replace(row, line=replace(row.line, crop=filled)), SURE)
    assert DoubtKind.CELLS_AND_LINE_DIFFER not in {doubt.kind for doubt in crossed.doubts}


def test_without_calibration_no_row_is_accepted() -> None:
    (read,) = read_cell_rows([draw_row("4071")], make_recognizers("4071", "4071"))
    assert read.accept_threshold is None
    assert (
        decide_field(FieldSpec(name="row", box_mm=(0, 0, 100, 20)), read, AcceptPolicy()).status is FieldStatus.REVIEW
    )


@pytest.mark.parametrize("text", ["07", "5561", "90210344"])
def test_every_cell_gives_its_digit_a_place(text: str) -> None:
    (read,) = read_cell_rows([draw_row(text)], make_recognizers(text, text))
    assert read.text == text
    boxes = [digit.box_px for digit in read.digits]
    assert all(a.x < b.x for a, b in pairwise(boxes))


@pytest.mark.parametrize(
    ("in_line", "in_cell", "doubted"), [(0.7, 0.1, False), (0.7, 0.9, True), (0.3, 0.8, True), (0.1, 0.95, False)]
)
def test_a_digit_of_a_row_is_doubted_where_both_of_its_cuts_look_altered(
    in_line: float, in_cell: float, doubted: bool
) -> None:
    answers = iter((in_line, in_cell))

    def see(frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        answer = np.zeros((len(frames), 10), np.float32)
        answer[1] = next(answers, 0.0)
        return answer

    recognizers = replace(make_recognizers("4071", "4071"), see_alterations=see)
    (read,) = read_cell_rows([draw_row("4071")], recognizers)
    struck = [doubt.position for doubt in read.doubts if doubt.kind is DoubtKind.STRUCK_DIGIT]
    assert struck == ([2] if doubted else [])
