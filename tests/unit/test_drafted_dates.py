"""Dates in groups of cells are drafted as one field each, and two cells are no tick boxes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from schemas.form_template import FieldSpec
from worker.forms.drafting import draft_template
from worker.values import Page

DPI, PITCH_MM, HIGH_MM = 200, 5.5, 7.0
Sheet = NDArray[np.uint8]


def line(page: Sheet, *ends_mm: float) -> None:
    x, y, to_x, to_y = (round(end * DPI / 25.4) for end in ends_mm)
    cv2.line(page, (x, y), (to_x, to_y), (30,), 3)


def draw_cells(page: Sheet, x: float, y: float, count: int) -> None:
    for top in (y, y + HIGH_MM):
        line(page, x, top, x + count * PITCH_MM, top)
    for i in range(count + 1):
        line(page, x + i * PITCH_MM, y, x + i * PITCH_MM, y + HIGH_MM)


def draw_comb(page: Sheet, x: float, y: float, count: int) -> None:
    line(page, x, y + HIGH_MM, x + count * PITCH_MM, y + HIGH_MM)
    for i in range(count + 1):
        line(page, x + i * PITCH_MM, y + 0.55 * HIGH_MM, x + i * PITCH_MM, y + HIGH_MM)


def fields_of(draw: Callable[..., None], groups: tuple[int, ...], gap: float, **how: Any) -> tuple[FieldSpec, ...]:
    """Draft a sheet with two boxes and, below them, groups of cells with gaps of so many mm."""
    page = np.full((1169, 1654), 255, np.uint8)
    for left in (20, 120):
        cv2.rectangle(page, (left * 8, 120), (left * 8 + 480, 200), (30,), 3)
    x = 40.0
    for count in groups:
        draw(page, x, 60, count)
        x += count * PITCH_MM + gap
    return draft_template(Page("", 0, page, dpi=DPI), "drawn", **how).fields[2:]


@pytest.mark.parametrize("draw", [draw_cells, draw_comb], ids=["cells", "comb"])
@pytest.mark.parametrize("gap", [1.0, 2.0, 4.0])
@pytest.mark.parametrize("groups", [(2, 2, 4), (4, 2, 2)], ids=["DMY", "YMD"])
def test_day_month_and_year_in_groups_are_one_field(
    draw: Callable[..., None], gap: float, groups: tuple[int, ...]
) -> None:
    (date,) = fields_of(draw, groups, gap)
    assert (date.layout, date.cells) == ("cells", 8)
    assert date.box_mm[0] == pytest.approx(40, abs=0.6)
    assert date.box_mm[2] == pytest.approx(8 * PITCH_MM + 2 * gap, abs=1.2)


def test_groups_far_apart_are_fields_of_their_own_and_a_pair_of_cells_is_no_tick_box() -> None:
    found = fields_of(draw_cells, (2, 2, 4), 9.0)
    assert [(field.layout, field.cells) for field in found] == [("cells", 2), ("cells", 2), ("cells", 4)]


def test_boxes_that_share_no_line_stay_boxes() -> None:
    found = fields_of(draw_cells, (1, 1), 4.0)
    assert [field.layout for field in found] == ["free", "free"]


def test_a_short_line_with_three_stems_on_it_is_no_comb_by_itself() -> None:
    assert not fields_of(draw_comb, (2,), 0.0)


def test_the_teeth_of_a_comb_are_no_print_to_be_taken_out() -> None:
    (date,) = fields_of(draw_comb, (2, 2, 4), 2.0, blank=True)
    assert date.print is None
