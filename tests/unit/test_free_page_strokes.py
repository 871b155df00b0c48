"""Small marks and lines among the numbers of a page without a form: kept with their number, or named by the page."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from worker.doubts import DoubtKind
from worker.fields.free_pages.writing import find_free_writing
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


def has_ink(crop: FieldCrop, at_px: tuple[float, float]) -> bool:
    """Tell whether a crop shows ink at a place of the page."""
    x, y = (np.linalg.inv(crop.page_from_crop) @ [*at_px, 1.0])[:2]
    near = crop.grey[max(0, int(y) - 2) : int(y) + 3, max(0, int(x) - 2) : int(x) + 3]
    return bool(near.size and near.min() < 170)


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
