"""Small marks and lines among the numbers of a page without a form: kept with their number, or named by the page."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from worker.doubts import DoubtKind
from worker.fields.free_pages.writing import find_free_writing
from worker.fields.locating.joined_ink import take_out_underlines
from worker.models.runtime import load_recognizers
from worker.synthesis.allographs import ALLOGRAPHS
from worker.synthesis.glyphs import shape_from_strokes
from worker.synthesis.pen import Pen, draw_ink
from worker.values import Box, FieldCrop, Grey, Page

HEIGHT = 60


def write(page: Grey, text: str, left: int, top: int, *, height: int = HEIGHT, pen: float = 0.07) -> None:
    """Write digits on a page, in place; each begins 0.75 heights behind the one before."""
    rng = np.random.default_rng(1)
    shapes = [shape_from_strokes(ALLOGRAPHS[digit][0][0]) for digit in text]
    line = np.concatenate([shape + np.float32([0.75 * k, 0]) for k, shape in enumerate(shapes)]).astype(np.float32)
    ink = draw_ink(rng, line * height + np.float32([left, top]), page.shape, Pen(width=pen), height)
    page -= (ink * 0.7).astype(np.uint8)


def paper() -> Grey:
    return np.full((500, 700), 235, np.uint8)


def has_ink(crop: FieldCrop, at_px: tuple[float, float], *, below: int = 170) -> bool:
    """Tell whether a crop shows ink at a place of the page."""
    x, y = (np.linalg.inv(crop.page_from_crop) @ [*at_px, 1.0])[:2]
    near = crop.grey[max(0, int(y) - 2) : int(y) + 3, max(0, int(x) - 2) : int(x) + 3]
    return bool(near.size and near.min() < below)


def named_places(grey: Grey) -> list[Box]:
    doubts = find_free_writing(Page("s", 0, grey), load_recognizers()).doubts
    return [Box(*place) for d in doubts if d.kind is DoubtKind.WRITING_IN_NO_FIELD for place in d.places_px]


def test_a_point_as_thin_as_a_thin_pen_is_cut_with_its_number() -> None:
    """`20.6` was accepted as 206: its point was smaller than 0.08 of its height, and was painted over."""
    page = paper()
    write(page, "206", 100, 200, height=100, pen=0.06)
    cv2.circle(page, (241, 297), 3, 60, -1, cv2.LINE_AA)
    (crop,) = find_free_writing(Page("s", 0, page)).fields
    assert has_ink(crop, (241, 297))


def test_a_point_is_kept_on_a_ruled_sheet_that_lies_on_a_dark_table() -> None:
    """`40.9` was accepted as 409: beside a table top darker than any pen its point was too faint for a pen's ink."""
    page = np.full((900, 1100), 20, np.uint8)
    page[::2] = page[:60] = page[:, :60] = 90
    sheet = page[120:780, 120:980]
    sheet[:] = 200
    for y in range(60, 640, 120):
        cv2.line(sheet, (20, y), (840, y), 90, 2)
    for row in range(4):
        for left in (60, 340, 620):
            write(sheet, "409", left, 85 + 120 * row, height=50, pen=0.09)
    at = (134, 134)
    np.maximum(sheet, 100, out=sheet)
    cv2.circle(sheet, at, 2, 140, -1, cv2.LINE_AA)
    crops = find_free_writing(Page("s", 0, page), load_recognizers()).fields
    point = (at[0] + 120, at[1] + 120)
    (crop,) = (crop for crop in crops if abs(crop.box_px.x - 181) < 5 and abs(crop.box_px.y - 205) < 5)
    assert has_ink(crop, point, below=210)


def test_a_number_that_a_flash_has_bleached_is_named_and_none_beside_it_is_whole() -> None:
    """Numbers in the highlight of a flash were no ink: a 0 had no word, and the first digits of another stood alone."""
    page = np.full((500, 700), 200, np.uint8)
    write(page, "4072", 100, 60)
    write(page, "915", 80, 250)
    write(page, "72", 221, 250)
    write(page, "0", 400, 380)
    y, x = np.mgrid[:500, :700]
    light = 1 / (1 + np.exp(-(x - 212) / 4)) * (y > 180)
    page = np.clip(page + light * (232 - 0.85 * page), 0, 255).astype(np.uint8)
    found = find_free_writing(Page("s", 0, page), load_recognizers())
    places = [Box(*place) for d in found.doubts for place in d.places_px]
    assert any(abs(place.x - 400) < 25 and abs(place.y - 380) < 25 for place in places)
    assert not any(crop.complete for crop in found.fields if crop.box_px.y > 180)
    assert any(crop.complete for crop in found.fields if crop.box_px.y < 180)


def test_a_comma_over_a_digit_of_the_next_row_belongs_to_its_own() -> None:
    """`60,02` was accepted as 6002: its comma was taken for the flag of a 5 under it."""
    for row in (72, 76, 80):
        page = paper()
        write(page, "6002", 120, 150)
        write(page, "3553", 100, 150 + row)
        comma = (203, 150 + 56)
        cv2.line(page, comma, (comma[0] - 4, comma[1] + 9), 60, 5, cv2.LINE_AA)
        upper = find_free_writing(Page("s", 0, page)).fields[0]
        assert has_ink(upper, comma), row


def test_a_number_struck_out_in_its_lower_half_is_named() -> None:
    """Such a line was taken for an underline, or cut the digits into halves too low to be any, and nobody was told."""
    for share in (0.4, 0.55, 0.7):
        page = paper()
        write(page, "4072", 100, 60)
        write(page, "915", 400, 60)
        write(page, "206752", 100, 250)
        y = 250 + round(share * HEIGHT)
        cv2.line(page, (90, y), (375, y + 2), 70, 4, cv2.LINE_AA)
        found = find_free_writing(Page("s", 0, page), load_recognizers())
        boxes = [crop.box_px for crop in found.fields] + [Box(*p) for d in found.doubts for p in d.places_px]
        near = [box for box in boxes if box.y < y < box.y + box.h]
        assert near, share
        assert min(box.x for box in near) < 150, share
        assert max(box.x + box.w for box in near) > 310, share


def test_a_1_on_its_foot_is_named_on_a_page_on_its_side() -> None:
    """On its side the 1 lies along its foot, as a line under something does."""
    page = paper()
    for k, text in enumerate(("4072", "915", "2263")):
        write(page, text, 60 + 200 * k, 60)
        write(page, text[::-1], 60 + 200 * k, 180)
    cv2.line(page, (300, 300), (300, 360), 70, 5, cv2.LINE_AA)
    cv2.line(page, (288, 361), (313, 361), 70, 4, cv2.LINE_AA)
    turned = np.ascontiguousarray(np.rot90(page, 3))
    found = find_free_writing(Page("s", 0, turned), load_recognizers())
    boxes = [crop.box_px for crop in found.fields] + [Box(*p) for d in found.doubts for p in d.places_px]
    x, y = page.shape[0] - 330, 300
    assert any(box.x <= x <= box.x + box.w and box.y - 5 <= y <= box.y + box.h + 5 for box in boxes)


@pytest.mark.parametrize("tone", [10, 40, 120, 180])
def test_numbers_of_a_table_are_whole_however_dark_its_rules_are(tone: int) -> None:
    """Rules darker than the pen were taken for strokes along them, and no number of the table was accepted."""
    page = paper()
    for row in range(4):
        cv2.line(page, (40, 40 + 110 * row), (640, 40 + 110 * row), tone, 3)
        cv2.line(page, (40 + 200 * row, 40), (40 + 200 * row, 370), tone, 3)
    for row in range(3):
        for column in range(3):
            write(page, "25", 72 + 200 * column, 65 + 110 * row)
    fields = find_free_writing(Page("s", 0, page), load_recognizers()).fields
    assert [crop.complete for crop in fields] == [True] * 9


def test_a_stroke_along_a_pale_rule_still_counts() -> None:
    page = paper()
    for row in range(4):
        cv2.line(page, (40, 40 + 110 * row), (640, 40 + 110 * row), 170, 3)
        cv2.line(page, (40 + 200 * row, 40), (40 + 200 * row, 370), 170, 3)
    for row in range(3):
        for column in range(3):
            write(page, "25", 65 + 200 * column, 65 + 110 * row)
    cv2.line(page, (240, 175), (240, 235), 60, 4, cv2.LINE_AA)
    fields = find_free_writing(Page("s", 0, page), load_recognizers()).fields
    assert not all(crop.complete for crop in fields if 160 < crop.box_px.y < 200)


def test_lines_of_plain_pages_are_not_named() -> None:
    page = paper()
    write(page, "4072", 100, 60)
    write(page, "915", 400, 60)
    cv2.line(page, (95, 128), (290, 130), 70, 4, cv2.LINE_AA)
    for y in (250, 320, 390):
        cv2.line(page, (0, y), (699, y + 2), 120, 2, cv2.LINE_AA)
    assert named_places(page) == []


def test_the_foot_of_a_wide_digit_is_no_underline() -> None:
    """`62` was accepted as 67, and the bar of a 4 was taken out, too: both are lines below what they join."""
    page = paper()
    points = np.array([[150, 170], [200, 152], [222, 166], [150, 230], [232, 232]], np.int32)
    cv2.polylines(page, [points], False, 60, 5, cv2.LINE_AA)
    write(page, "6", 80, 170)
    (crop,) = find_free_writing(Page("s", 0, page)).fields
    assert all(has_ink(crop, (x, 231)) for x in (170, 190, 210))


@pytest.mark.parametrize(
    ("rings", "line", "goes"), [((60, 130), (25, 165), True), ((90,), (50, 130), True), ((90,), (85, 140), False)]
)
def test_an_underline_joins_digits_or_reaches_past_one_on_both_sides(
    rings: tuple[int, ...], line: tuple[int, int], goes: bool
) -> None:
    ink = np.zeros((120, 200), np.uint8)
    for x in rings:
        cv2.ellipse(ink, (x, 56), (16, 22), 0, 0, 360, 1, 3)
    cv2.line(ink, (line[0], 70), (line[1], 70), 1, 3)
    bare = take_out_underlines(ink, smallest=20, hidden=12)
    assert bool(bare[70, line[1] - 6]) is not goes


def test_a_digit_that_touches_its_ring_and_two_numbers_in_one_are_not_whole() -> None:
    """What is taken out as a ring may be a digit's: a ringed 2008 lost the loop of its 2."""
    page = paper()
    write(page, "38", 120, 150)
    cv2.ellipse(page, (160, 182), (90, 60), 0, 0, 360, 60, 3)
    (crop,) = find_free_writing(Page("s", 0, page)).fields
    assert crop.complete
    write(page, "1", 190, 176)
    assert not any(crop.complete for crop in find_free_writing(Page("s", 0, page)).fields)
    page = paper()
    write(page, "38", 120, 150)
    write(page, "46", 330, 150)
    cv2.ellipse(page, (265, 182), (215, 80), 0, 0, 360, 60, 3)
    fields = find_free_writing(Page("s", 0, page)).fields
    assert len(fields) == 2
    assert not any(crop.complete for crop in fields)


@pytest.mark.parametrize("rows_px", [50, 52, 53, 54, 60])
def test_a_table_of_wide_cells_is_no_row_of_cells_for_one_digit(rows_px: int) -> None:
    """Two rows of a table with cells of 128 x 51 pixels were read as one number each, right across their rules."""
    page = np.full((500, 900), 240, np.uint8)
    for k in range(6):
        cv2.line(page, (100 + 130 * k, 60), (100 + 130 * k, 60 + 5 * rows_px), 60, 2)
        cv2.line(page, (100, 60 + rows_px * k), (750, 60 + rows_px * k), 60, 2)
    for row, column, text in ((0, 0, "03"), (1, 1, "5"), (1, 3, "40"), (2, 2, "9"), (3, 4, "27"), (4, 0, "6")):
        write(page, text, 120 + 130 * column, 70 + rows_px * row, height=32)
    fields = find_free_writing(Page("s", 0, page)).fields
    assert len(fields) == 6
    assert max(crop.box_px.w for crop in fields) < 130


def test_a_row_whose_dividers_run_on_below_it_is_a_tables() -> None:
    """A table's other rows may be hidden: its cells still hold a number each."""
    page = np.full((500, 900), 240, np.uint8)
    for k in range(6):
        cv2.line(page, (100 + 90 * k, 60), (100 + 90 * k, 200), 60, 2)
    for y in (60, 130):
        cv2.line(page, (100, y), (550, y), 60, 2)
    for column, text in ((0, "03"), (2, "5"), (3, "40")):
        write(page, text, 112 + 90 * column, 75, height=40)
    assert [crop.spec.layout for crop in find_free_writing(Page("s", 0, page)).fields] == ["free"] * 3


def test_writing_in_deep_shadow_is_named_and_what_leads_there_is_not_whole() -> None:
    page = paper()
    write(page, "38", 80, 150)
    write(page, "4602", 330, 150)
    write(page, "71", 560, 300)
    light = np.clip(np.interp(np.arange(700), [400, 460], [1.0, 0.25]), 0, 1)
    page = (page * light).astype(np.uint8)
    writing = find_free_writing(Page("s", 0, page))
    places = [place for doubt in writing.doubts for place in doubt.places_px]
    assert any(x <= 580 <= x + w and y <= 330 <= y + h for x, y, w, h in places)
    assert [crop.complete for crop in writing.fields] == [True] + [False] * (len(writing.fields) - 1)


def test_an_open_4_is_not_cut_out_on_its_side() -> None:
    """Its two strokes were taken for two digits of a steep number, and what was cut was accepted as 1."""
    page = paper()
    cv2.polylines(page, [np.array([(205, 180), (222, 218), (236, 232), (262, 236)])], False, 40, 7, cv2.LINE_AA)
    cv2.polylines(page, [np.array([(278, 190), (280, 230), (264, 270), (262, 300)])], False, 40, 7, cv2.LINE_AA)
    write(page, "26", 400, 190, height=110)
    crop = min(find_free_writing(Page("s", 0, page), load_recognizers()).fields, key=lambda field: field.box_px.x)
    assert has_ink(crop, (222, 218))
    assert has_ink(crop, (280, 230))
    assert abs(crop.page_from_crop[0, 1]) < 0.01, "it stands upright"
