from __future__ import annotations

import cv2
import numpy as np
import pytest

from worker.digits.framing import frame_digits
from worker.fields.line_reader.alignment import cut_lines, cut_symbols, to_page_box
from worker.fields.line_reader.decoding import Symbol
from worker.fields.line_reader.normalization import Line
from worker.values import Box


def slanted_bars(slant: float) -> np.ndarray:
    line = np.zeros((40, 120), np.uint8)
    for x in (20, 50, 80):
        cv2.line(line, (round(x + slant * 14), 6), (round(x - slant * 14), 33), 255, 3)
    return line


def symbols(text: str = "111", centres: tuple[int, ...] = (5, 12, 20)) -> list[Symbol]:
    return [Symbol(c, at, at + 1, at) for c, at in zip(text, centres, strict=True)]


@pytest.mark.parametrize("slant", [0.0, 0.5, 0.9])
def test_every_digit_gets_its_own_ink_also_where_upright_cuts_would_not(slant: float) -> None:
    line = slanted_bars(slant)
    cuts = cut_symbols(line, symbols())
    alone = np.count_nonzero(slanted_bars(slant)) / 3
    for cut, x in zip(cuts, (20, 50, 80), strict=True):
        assert np.count_nonzero(cut.ink > 110) == pytest.approx(alone, rel=0.15)
        assert cut.box.x + cut.box.w / 2 == pytest.approx(x, abs=2)
        assert cut.touching == 0


def test_touching_digits_are_told() -> None:
    line = slanted_bars(0.0)
    cv2.line(line, (20, 20), (50, 20), 255, 4)
    assert [cut.touching > 0 for cut in cut_symbols(line, symbols())] == [True, True, False]


def test_lines_cut_together_are_cut_as_each_alone() -> None:
    lines = [slanted_bars(slant) for slant in (0.0, 0.5, 0.9)]
    for line in lines[:2]:
        cv2.line(line, (15, 20), (85, 24), 255, 4)  # no clear column: the seams are found side by side
    together = cut_lines(lines, [symbols(), symbols("11", (5, 12)), symbols()])
    alone = [
        cut_symbols(lines[0], symbols()),
        cut_symbols(lines[1], symbols("11", (5, 12))),
        cut_symbols(lines[2], symbols()),
    ]
    for row, own in zip(together, alone, strict=True):
        assert [(c.box, c.touching) for c in row] == [(c.box, c.touching) for c in own]
        assert all(np.array_equal(a.ink, b.ink) for a, b in zip(row, own, strict=True))
    assert together[0][0].touching > 0


def test_a_digit_that_is_called_whole_is_framed_as_if_it_were_looked_at() -> None:
    line = slanted_bars(0.5)
    cv2.circle(line, (56, 30), 2, 255, -1)  # a dot beside the second digit
    cuts = cut_symbols(line, symbols())
    assert [cut.whole for cut in cuts] == [True, False, True]
    inks = [cut.ink for cut in cuts]
    assert np.array_equal(frame_digits(inks, [cut.whole for cut in cuts]), frame_digits(inks))


def test_a_mark_keeps_its_ink_from_its_neighbours() -> None:
    line = slanted_bars(0.0)
    cv2.circle(line, (35, 32), 2, 255, -1)
    cuts = cut_symbols(line, symbols("1.11", (5, 8, 12, 20)))
    assert cuts[0].box.x + cuts[0].box.w < 30 and cuts[2].box.x > 40


def test_a_symbol_without_ink_has_a_box_at_its_place() -> None:
    cuts = cut_symbols(np.zeros((40, 120), np.uint8), symbols())
    assert [round(c.box.x + c.box.w / 2) for c in cuts] == [22, 50, 82]


def test_boxes_lead_back_to_the_page() -> None:
    line = Line(np.zeros((40, 8), np.uint8), 2.0, 10.0, 5.0, 1)
    in_crop = line.to_crop_box(Box(4, 6, 8, 20))
    assert in_crop == Box(12, 8, 4, 10)
    turned = np.array([[0.0, -1, 100], [1, 0, 50], [0, 0, 1]])  # a quarter turn and a shift
    assert to_page_box(in_crop, turned) == Box(82, 62, 10, 4)


def test_two_symbols_in_one_column_crash_nothing() -> None:
    line = np.zeros((40, 40), np.uint8)
    line[8:32, 8:30] = 255
    cuts = cut_symbols(line, [Symbol(sign, 4, 5, 4) for sign in "111"])
    assert len(cuts) == 3 and all(cut.ink.size for cut in cuts)
