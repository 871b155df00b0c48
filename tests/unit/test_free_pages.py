"""Free pages: numbers found in reading order, whichever way the page lies, and none where there is none."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from worker.fields.free_pages import tables
from worker.fields.free_pages.sketch import sketch_page
from worker.fields.free_pages.writing import find_free_writing
from worker.models.runtime import load_recognizers
from worker.output.drawing import COLOURS, draw_reading
from worker.synthesis.allographs import ALLOGRAPHS
from worker.synthesis.glyphs import shape_from_strokes
from worker.synthesis.pen import Pen, draw_ink
from worker.values import Box, FieldReading, FieldStatus, Grey, Page, PageReading, Recognizers


@pytest.fixture(scope="module")
def recognizers() -> Recognizers:
    return load_recognizers()


def sheet(lines: dict[tuple[int, int], str], *, tone: int = 225) -> Grey:
    page = np.full((600, 800), tone, np.uint8)
    for place, text in lines.items():
        cv2.putText(page, text, place, cv2.FONT_HERSHEY_SIMPLEX, 2, 40, 4, cv2.LINE_AA)
    return page


def names(grey: Grey) -> list[str]:
    return [crop.spec.name for crop in find_free_writing(Page("s", 0, grey)).fields]


def test_numbers_come_in_reading_order_grouped_by_line_and_gap() -> None:
    grey = sheet({(460, 160): "907", (80, 150): "123", (90, 330): "45678"})
    crops = find_free_writing(Page("s", 0, grey)).fields
    assert [c.spec.name for c in crops] == ["line1_1", "line1_2", "line2_1"]
    assert [round(c.box_px.x / 10) for c in crops] == pytest.approx([9, 46, 9], abs=1)


def test_shadows_rims_and_ruled_paper_hold_no_digits() -> None:
    grey = sheet({})
    grey[:, 500:] = 130
    grey[540:] = 20
    grey[100:520:40] = 150
    assert names(grey) == []


def test_ruled_paper_gives_up_its_digits() -> None:
    grey = sheet({(90, 330): "4567"})
    for y in range(60, 600, 60):
        cv2.line(grey, (0, y), (799, y + 3), 120, 2)
    assert names(grey) == ["line1_1"]


@pytest.mark.parametrize("pitch", [24, 60, 90])
def test_squared_paper_is_no_form(pitch: int) -> None:
    grey = sheet({(90, 150): "4567", (90, 330): "12", (500, 330): "803"})
    for along in range(20, 800, pitch):
        cv2.line(grey, (along, 0), (along - 4, 599), 120, 1)
        cv2.line(grey, (0, along), (799, along + 5), 120, 1)
    crops = find_free_writing(Page("s", 0, grey)).fields
    assert [(crop.spec.name, crop.spec.layout) for crop in crops] == [
        ("line1_1", "free"),
        ("line2_1", "free"),
        ("line2_2", "free"),
    ]


def test_a_table_gives_a_number_for_each_cell_with_its_row_and_column() -> None:
    grey = sheet({(20 + 100 * k, 75 + 80 * row): str(k) for k in range(0, 8, 2) for row in range(6)})
    for k in range(9):
        cv2.line(grey, (4 + 99 * k, 10), (4 + 99 * k, 490), 60, 2)
    for row in range(7):
        cv2.line(grey, (4, 10 + 80 * row), (796, 10 + 80 * row), 60, 2)
    crops = find_free_writing(Page("s", 0, grey)).fields
    assert [crop.spec.name for crop in crops] == [f"r{r}c{c}" for r in range(1, 7) for c in (1, 3, 5, 7)]
    assert {crop.spec.layout for crop in crops} == {"free"}


def test_a_digit_that_lies_over_a_rule_of_a_table_sends_both_cells_to_a_person() -> None:
    grey = sheet({(20 + 100 * k, 75 + 80 * row): str(k) for k in range(0, 8, 2) for row in range(6)})
    for y in (34, 52, 70):  # what a rule leaves of a 3
        cv2.line(grey, (92, y), (113, y), 40, 4)
    for k in range(9):
        cv2.line(grey, (4 + 99 * k, 10), (4 + 99 * k, 490), 60, 2)
    for row in range(7):
        cv2.line(grey, (4, 10 + 80 * row), (796, 10 + 80 * row), 60, 2)
    incomplete = [crop.spec.name for crop in find_free_writing(Page("s", 0, grey)).fields if not crop.complete]
    assert "r1c1" in incomplete
    assert set(incomplete) <= {"r1c1", "r1c2"}


def test_a_table_of_wide_cells_is_not_read_along_its_columns(recognizers: Recognizers) -> None:
    """Only its columns are rows of cells, on their side: it was read sideways, and small digits had no word."""
    grey = np.full((1000, 700), 225, np.uint8)
    for row in range(9):
        cv2.line(grey, (50, 60 + 60 * row), (650, 60 + 60 * row), 60, 2)
    for column in range(5):
        cv2.line(grey, (50 + 150 * column, 60), (50 + 150 * column, 540), 60, 2)
    for row in range(8):
        for column in range(4):
            at = (95 + 150 * column, 106 + 60 * row)
            cv2.putText(grey, str(23 + 17 * row + 5 * column)[:3], at, cv2.FONT_HERSHEY_SIMPLEX, 1.1, 40, 3)
    fields = find_free_writing(Page("s", 0, grey), recognizers).fields
    assert [crop.spec.name for crop in fields] == [f"line{r}_{n}" for r in range(1, 9) for n in range(1, 5)]
    assert all(crop.upright and crop.grey.shape[1] > crop.grey.shape[0] for crop in fields)


def test_small_digits_in_high_cells_are_in_a_field() -> None:
    """Ink lower than a fifth of the cell had no word, as a 14 that fell below the least height of digits."""
    grey = np.full((1000, 1400), 225, np.uint8)
    for k in range(7):
        cv2.line(grey, (60 + 200 * k, 100), (60 + 200 * k, 800), 60, 2)
    for row in range(6):
        cv2.line(grey, (60, 100 + 140 * row), (1260, 100 + 140 * row), 60, 2)
        for k in range(6):
            size = 0.65 if (row, k) == (1, 1) else 1.0  # 14 and 22 pixels
            cv2.putText(grey, "58", (130 + 200 * k, 180 + 140 * row), cv2.FONT_HERSHEY_SIMPLEX, size, 40, 2)
    assert {"r1c1", "r2c2", "r5c6"} <= set(names(grey))


@pytest.mark.parametrize("lost", range(6))
def test_a_row_of_a_table_that_is_not_found_is_named_by_the_page(lost: int) -> None:
    """Whatever hides its dividers, what stands in it is in a field or in the doubt of the page."""
    grey = sheet({(20 + 100 * k, 75 + 80 * row): str(k) for k in range(0, 8, 2) for row in range(6) if row != lost})
    for k in range(9):
        cv2.line(grey, (4 + 99 * k, 10), (4 + 99 * k, 490), 60, 2)
    cv2.rectangle(grey, (8, 14 + 80 * lost), (792, 86 + 80 * lost), 225, -1)
    for row in range(7):
        cv2.line(grey, (4, 10 + 80 * row), (796, 10 + 80 * row), 60, 2)
    cv2.putText(grey, "57", (240, 89 + 80 * lost), cv2.FONT_HERSHEY_SIMPLEX, 2, 40, 4, cv2.LINE_AA)
    writing = find_free_writing(Page("s", 0, grey))
    places = [Box(*map(float, place)) for doubt in writing.doubts for place in doubt.places_px]
    boxes = [*places, *(crop.box_px for crop in writing.fields)]
    for x in (258, 298):  # the middle of either digit
        assert any(b.x <= x <= b.x + b.w and b.y <= 66 + 80 * lost <= b.y + b.h for b in boxes), (x, boxes)


def test_a_column_of_printed_words_gives_no_fields_and_is_named_by_the_page() -> None:
    grey = sheet({(20 + 100 * k, 75 + 80 * row): str(k) for k in range(2, 8, 2) for row in range(6)})
    for row, word in enumerate(["Bread", "Butter", "Salt", "Honey", "Dill", "Salad"]):
        cv2.putText(grey, word, (14, 60 + 80 * row), cv2.FONT_HERSHEY_SIMPLEX, 0.8, 40, 2, cv2.LINE_AA)
    for k in range(9):
        cv2.line(grey, (4 + 99 * k, 10), (4 + 99 * k, 490), 60, 2)
    for row in range(7):
        cv2.line(grey, (4, 10 + 80 * row), (796, 10 + 80 * row), 60, 2)
    writing = find_free_writing(Page("s", 0, grey))
    assert [crop.spec.name for crop in writing.fields] == [f"r{r}c{c}" for r in range(1, 7) for c in (3, 5, 7)]
    (doubt,) = writing.doubts
    assert {round((y - 40) / 80) for x, y, _, _ in doubt.places_px if x < 100} == set(range(6))


@pytest.mark.parametrize("columns", [[260], [150, 260], [60, 160, 260, 360, 460]])
def test_a_rule_between_columns_parts_their_numbers_and_none_is_sure(columns: list[int]) -> None:
    grey = sheet({(190, 150): "46", (275, 150): "9", (190, 300): "83", (275, 300): "71", (560, 300): "502"})
    for x in columns:
        cv2.line(grey, (x, 60), (x, 400), 90, 2)
    crops = find_free_writing(Page("s", 0, grey)).fields
    widths = [round(crop.box_px.w / 10) for crop in crops]
    assert [crop.complete for crop in crops] == [False, False, False, False, True]
    assert max(widths[:4]) < 8


def test_a_number_that_goes_on_past_the_rim_is_not_complete() -> None:
    grey = sheet({(650, 150): "4567", (90, 330): "802"})
    assert [crop.complete for crop in find_free_writing(Page("s", 0, grey[:, :757])).fields] == [False, True]


def test_underlined_and_ringed_numbers_are_cut_without_their_lines() -> None:
    grey = sheet({(90, 150): "4567", (90, 330): "803", (500, 330): "12"})
    cv2.line(grey, (80, 156), (270, 158), 40, 3)
    cv2.ellipse(grey, (545, 310), (90, 60), 0, 0, 360, 40, 3)
    crops = find_free_writing(Page("s", 0, grey)).fields
    assert [crop.spec.name for crop in crops] == ["line1_1", "line2_1", "line2_2"]
    assert [round(crop.box_px.w / 10) for crop in crops] == pytest.approx([14, 11, 7], abs=2)
    assert all(crop.complete for crop in crops)


@pytest.mark.parametrize(("joined", "thickness"), [(False, 7), (True, 3)])
def test_a_ring_around_one_digit_is_no_zero_that_is_sure(joined: bool, thickness: int) -> None:
    grey = sheet({(90, 150): "4567", (320, 330): "7"})
    cv2.ellipse(grey, (341, 308), (34, 40), 0, 0, 360, 40, thickness)
    if joined:
        cv2.line(grey, (341, 325), (341, 348), 40, 3)
    first, second = find_free_writing(Page("s", 0, grey)).fields
    assert first.complete
    assert second.complete is (not joined)
    assert (second.box_px.w < 50) is (not joined)


@pytest.mark.parametrize("at", [(210, 100), (60, 100)])
def test_ink_that_continues_a_number_comes_with_it_and_is_never_passed_over(at: tuple[int, int]) -> None:
    grey = sheet({(90, 150): "456"})
    cv2.rectangle(grey, at, (at[0] + 22, at[1] + 24), 40, -1)  # too low for a digit beside these
    (crop,) = find_free_writing(Page("s", 0, grey)).fields
    assert not crop.complete
    assert crop.box_px.w > 125


@pytest.mark.parametrize("pitch", [40, 60])
def test_squared_paper_as_black_as_ink_gives_up_its_numbers_and_none_is_complete(pitch: int) -> None:
    grey = np.where(sheet({(95, 165): "4567", (95, 345): "803"}) < 128, 0, 255).astype(np.uint8)
    for along in range(20, 800, pitch):
        cv2.line(grey, (along, 0), (along, 599), 0, 1)
        cv2.line(grey, (0, along), (799, along), 0, 1)
    crops = find_free_writing(Page("s", 0, grey)).fields
    assert [crop.spec.name for crop in crops] == ["line1_1", "line2_1"]
    assert not any(crop.complete for crop in crops)


def test_a_rule_between_digits_that_stand_on_it_goes() -> None:
    grey = sheet({(90, 330): "2 2 2 2"})
    for y in (150, 240, 329, 420, 510):
        cv2.line(grey, (0, y), (799, y), 120, 2)
    (crop,) = find_free_writing(Page("s", 0, grey)).fields
    assert crop.box_px.w < 400


def test_a_digit_of_a_broad_pen_is_no_blob_and_a_blot_is() -> None:
    six = (shape_from_strokes(ALLOGRAPHS["6"][14][0]) * 46 + np.array([180, 285])).astype(np.float32)
    ink = draw_ink(np.random.default_rng(0), six, (600, 800), Pen(0.25), 46.0)
    grey = np.where(ink > 127, np.uint8(40), sheet({(90, 330): "41"}))
    cv2.circle(grey, (600, 310), 24, 40, -1)
    (crop,) = find_free_writing(Page("s", 0, grey)).fields
    assert crop.box_px.x + crop.box_px.w == pytest.approx(214, abs=6)


@pytest.mark.parametrize("ruled", [False, True])
def test_a_dash_between_two_numbers_parts_none_that_is_complete(ruled: bool) -> None:
    """Paper with rules has its marks painted over no more."""
    grey = sheet({(90, 330): "4567", (350, 330): "890"})
    for y in range(78, 600, 130 if ruled else 1000):
        cv2.line(grey, (0, y), (799, y), 130 if ruled else 225, 2)
    assert all(crop.complete for crop in find_free_writing(Page("s", 0, grey)).fields)
    cv2.line(grey, (268, 310), (310, 310), 40, 4)
    crops = find_free_writing(Page("s", 0, grey)).fields
    assert [crop.spec.name for crop in crops] == ["line1_1", "line1_2"]
    assert not any(crop.complete for crop in crops)


def test_a_point_between_digits_on_ruled_paper_is_cut_with_its_number() -> None:
    grey = sheet({(90, 330): "45", (188, 330): "67"})
    for y in range(78, 600, 130):
        cv2.line(grey, (0, y), (799, y), 130, 2)
    cv2.circle(grey, (178, 326), 5, 40, -1)
    (crop,) = find_free_writing(Page("s", 0, grey)).fields
    x, y = (np.linalg.inv(crop.page_from_crop) @ (178, 326, 1))[:2]
    assert crop.grey[round(y), round(x)] < 120


def test_a_tilted_number_is_cut_upright() -> None:
    grey = sheet({(200, 300): "12345"})
    turn = cv2.getRotationMatrix2D((400, 300), 12, 1)
    tilted = np.asarray(cv2.warpAffine(grey, turn, (800, 600), borderValue=225), np.uint8)
    (crop,) = find_free_writing(Page("s", 0, tilted)).fields
    assert crop.grey.shape[1] > 2.5 * crop.grey.shape[0]
    slope = np.rad2deg(np.arctan2(crop.page_from_crop[1, 0], crop.page_from_crop[0, 0]))
    assert slope == pytest.approx(-12, abs=2.5)


def test_a_printed_row_of_cells_makes_the_page_a_form() -> None:
    grey = sheet({(80, 150): "999"})
    for k in range(7):
        cv2.rectangle(grey, (100 + 60 * k, 300), (160 + 60 * k, 370), 40, 2)
    (crop,) = find_free_writing(Page("s", 0, grey)).fields
    assert (crop.spec.layout, crop.spec.cells) == ("cells", 7)


@pytest.mark.parametrize("shape", [(1, 1), (9, 9), (5, 3000), (3000, 12)])
@pytest.mark.parametrize("tone", [0, 128, 255])
def test_empty_pages_of_any_shape_are_empty(shape: tuple[int, int], tone: int) -> None:
    assert names(np.full(shape, tone, np.uint8)) == []


def test_the_picture_shows_status_and_problem() -> None:
    page = Page("s", 0, sheet({}))
    fields = tuple(
        FieldReading(f"f{k}", "12", 0.5, status, Box(100, 100 + 150 * k, 200, 80))
        for k, status in enumerate(FieldStatus)
    )
    picture = draw_reading(page, PageReading(0, 800, 600, fields, problem="not registered"))
    assert picture.shape == (600, 800, 3)
    for colour in COLOURS.values():
        assert (picture == colour).all(axis=2).any()


def test_squared_paper_at_one_turn_is_squared_paper_at_all(
    monkeypatch: pytest.MonkeyPatch, recognizers: Recognizers
) -> None:
    """A sheet of which one row of squares showed on its side was read as that one row: 70 digits had no field."""
    page = Page("s", 0, sheet({(90, 150): "4567"}))
    rows = tables.Form(sketch_page(page), find_free_writing(page).fields)
    for squared_at in range(4):
        forms = iter([replace(rows, is_squared=turn == squared_at, fields=rows.fields) for turn in range(4)])
        monkeypatch.setattr(tables, "_cell_rows", lambda page, sketch, forms=forms: next(forms))
        assert not tables.find_printed_rows(page, rows.sketch, recognizers).fields
