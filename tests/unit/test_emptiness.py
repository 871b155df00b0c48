"""Empty fields with their print and texture are blank, though their form asks for digits; written ones are not."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tests.benchmarks.accuracy.measure_blanks import draw, read
from worker.fields.judging.emptiness import hides_writing
from worker.models.runtime import load_recognizers
from worker.values import FieldStatus, Grey, Recognizers


@pytest.fixture(scope="module")
def recognizers() -> Recognizers:
    return load_recognizers()


@pytest.mark.parametrize("cells", [0, 6])
def test_drawn_empty_fields_are_blank(cells: int, recognizers: Recognizers) -> None:
    rng = np.random.default_rng([41, cells])
    found = [read(draw(rng, cells, written=False), cells, recognizers).status.value for _ in range(40)]
    assert found.count("blank") >= 37  # 83 % were, before anyone asked what the reader makes of no digit at all
    assert "accepted" not in found


@pytest.mark.parametrize("cells", [0, 6])
def test_drawn_written_fields_are_not(cells: int, recognizers: Recognizers) -> None:
    rng = np.random.default_rng([42, cells])
    found = [read(draw(rng, cells, written=True), cells, recognizers).status.value for _ in range(30)]
    assert found.count("blank") <= 1


def numbered_row(cells: int, *, written: bool) -> Grey:
    """Draw a row of cells with their numbers printed under them, and perhaps the same numbers written into them."""
    grey = np.full((125, 20 + 72 * cells), 200, np.uint8)
    for k in range(cells):
        cv2.rectangle(grey, (10 + 72 * k, 30), (82 + 72 * k, 95), 130, 1)
        cv2.putText(grey, str(k + 1), (40 + 72 * k, 118), cv2.FONT_HERSHEY_DUPLEX, 0.6, 90, 2, cv2.LINE_AA)
        if written:
            cv2.putText(grey, str(k + 1), (30 + 72 * k, 85), cv2.FONT_HERSHEY_SIMPLEX, 1.4, 60, 3, cv2.LINE_AA)
    return grey


@pytest.mark.parametrize("cells", [3, 5, 8])
def test_the_numbers_of_cells_are_no_writing(cells: int, recognizers: Recognizers) -> None:
    assert read(numbered_row(cells, written=False), cells, recognizers).status is FieldStatus.BLANK
    assert read(numbered_row(cells, written=True), cells, recognizers).status is not FieldStatus.BLANK


@pytest.mark.parametrize("cells", [0, 3])
def test_black_that_hides_what_is_written_is_not_blank(cells: int, recognizers: Recognizers) -> None:
    black = np.zeros((15, 39), np.uint8)
    for x in (6, 17, 29):
        black[5:12, x : x + 6 : 3] = 255
    assert hides_writing(black)
    assert read(black, cells, recognizers).status is FieldStatus.REVIEW
    assert not hides_writing(np.full((30, 90), 40, np.uint8) + np.arange(90, dtype=np.uint8))
    assert not hides_writing(np.full((30, 90), 255, np.uint8))


@pytest.mark.parametrize("gap", [2, 3, 4])
@pytest.mark.parametrize("kind", ["dots", "lines", "grain"])
@pytest.mark.parametrize("size", [(60, 240), (98, 180)])
def test_a_fine_pattern_hides_no_writing_however_black_it_is(gap: int, kind: str, size: tuple[int, int]) -> None:
    y, x = np.mgrid[: size[0], : size[1]]
    if kind == "dots":
        is_white = (x % (gap + 1) == 0) & (y % (gap + 1) == 0)
    elif kind == "lines":
        is_white = (x + 2 * y) % (gap + 1) == 0
    else:
        is_white = np.random.default_rng(gap).random(size) < 1 / gap**2 + 0.05
    grey = np.where(is_white, 255, 0).astype(np.uint8)
    assert (grey == 0).mean() > 0.55
    assert not hides_writing(grey)
    grey[size[0] // 3 :] = 0
    assert hides_writing(grey)


def wavy_row(cells: int, turn: float, *, written: bool = False) -> Grey:
    """Draw a row of cells on paper with wavy lines, which look like 7s and 4s to whoever sees one cell alone."""
    height, width = 74, 30 + 66 * cells
    y, x = np.mgrid[:height, :width].astype(np.float32)
    phase = (np.cos(turn) * x + np.sin(turn) * y + 5 * np.sin(x / 30 + y / 50)) / 9
    grey = (245 - 75 * np.exp(-(((phase % 1) - 0.5) ** 2) * 25)).astype(np.uint8)
    for k in range(cells + 1):
        cv2.line(grey, (15 + 66 * k, 8), (15 + 66 * k, 66), 60, 1)
    for level in (8, 66):
        cv2.line(grey, (15, level), (15 + 66 * cells, level), 60, 1)
    if written:
        for k in range(cells):
            cv2.putText(
                grey, str((3 * k + 2) % 10), (32 + 66 * k, 56), cv2.FONT_HERSHEY_SIMPLEX, 1.4, 40, 3, cv2.LINE_AA
            )
    return grey


@pytest.mark.parametrize("turn", [0.5, 0.9, 1.3, 1.9, 2.4])
def test_patterned_paper_in_cells_is_no_writing(turn: float, recognizers: Recognizers) -> None:
    assert read(wavy_row(5, turn), 5, recognizers).status is FieldStatus.BLANK
    assert read(wavy_row(5, turn, written=True), 5, recognizers).status is not FieldStatus.BLANK
