"""The edge of a photographed sheet is no print."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from worker.forms.drafting import draft_template
from worker.registration.registration import register_page
from worker.values import Page

PX = 6.0
"""Pixels a millimetre: 152 dpi, as a telephone's picture of A4."""
SHEET, WITHIN_MM = (140, 120), 25
"""Width and height of the drawn sheet in mm, and how far it lies within the picture."""


def draw_sheet(*, frame: bool = False) -> NDArray[np.uint8]:
    page = np.full((round(SHEET[1] * PX), round(SHEET[0] * PX)), 235, np.uint8)
    boxes = [(15.0 + 45 * (i % 2), 20.0 + 18 * (i // 2), 38.0 + 3 * (i // 2), 9.0) for i in range(8)]
    for x, y, w, h in boxes + ([(6.0, 8.0, 128.0, 104.0)] if frame else []):
        cv2.rectangle(page, (round(x * PX), round(y * PX)), (round((x + w) * PX), round((y + h) * PX)), 40, 2)
    cv2.putText(page, "Claim", (round(15 * PX), round(14 * PX)), cv2.FONT_HERSHEY_SIMPLEX, 1, 40, 2)
    return page


def photograph(sheet: NDArray[np.uint8], table: int, angle: float = 0.8) -> Page:
    """Lay a sheet on a table of some grey, a little askew, in an uneven light."""
    height, width = (round((side + 2 * WITHIN_MM) * PX) for side in SHEET[::-1])
    lay = cv2.getRotationMatrix2D((sheet.shape[1] / 2, sheet.shape[0] / 2), angle, 1)
    lay[:, 2] += WITHIN_MM * PX
    picture = cv2.warpAffine(sheet, lay, (width, height), borderValue=table).astype(float)
    picture *= np.linspace(0.85, 1.0, width)
    picture += np.random.default_rng(7).normal(0, 3, picture.shape)
    return Page("", 0, cv2.GaussianBlur(picture.clip(0, 255).astype(np.uint8), (3, 3), 0), dpi=25.4 * PX)


@pytest.mark.parametrize("table", [20, 90, 150, 190])
def test_the_edge_of_a_sheet_on_a_table_is_no_landmark(table: int) -> None:
    page = photograph(draw_sheet(), table)
    drafted = draft_template(page, "claim")
    assert len(drafted.fields) == 8
    assert all(mark.box_mm[2] < 60 for mark in drafted.landmarks)
    on_another_table = photograph(draw_sheet(), 235, angle=-1.5)
    assert register_page(on_another_table, drafted).quality > 0.9


def test_a_printed_frame_around_all_fields_stays_a_landmark() -> None:
    for table in (20, 235):
        drafted = draft_template(photograph(draw_sheet(frame=True), table), "claim")
        (frame,) = [mark for mark in drafted.landmarks if mark.box_mm[2] > 60]
        assert frame.box_mm[2] == pytest.approx(128, abs=2)


def test_white_boxes_on_shaded_paper_stay_landmarks() -> None:
    sheet = np.full((round(SHEET[1] * PX), round(SHEET[0] * PX)), 235, np.uint8)
    sheet[round(10 * PX) : round(80 * PX)] = 180
    for i in range(3):
        corner, end = (round(15 * PX), round((20 + 18 * i) * PX)), (round(75 * PX), round((29 + 18 * i) * PX))
        cv2.rectangle(sheet, corner, end, 235, -1)
        cv2.rectangle(sheet, corner, end, 40, 2)
    drafted = draft_template(Page("", 0, sheet, dpi=25.4 * PX), "claim")
    assert sum(mark.kind == "box" for mark in drafted.landmarks) >= 3
