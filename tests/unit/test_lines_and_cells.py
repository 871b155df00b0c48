"""Binarization, rule removal, cleaning, segmentation and cells, on drawn crops with known truth."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from schemas.form_template import FieldSpec
from worker.fields.cutting.cleaning import clean_field
from worker.fields.cutting.segmentation import segment_field
from worker.fields.locating.cell_ink import segment_cells
from worker.fields.locating.cells import announce_cells, detect_cell_row
from worker.imaging.binarization import flatten_background, ink_mask, stroke_width
from worker.imaging.line_removal import find_rules, remove_rules
from worker.values import Box, FieldCrop, Grey

ODD_CROPS = {
    "white": np.full((60, 200), 255, np.uint8),
    "black": np.zeros((60, 200), np.uint8),
    "one pixel": np.full((1, 1), 9, np.uint8),
    "a slit": np.full((5, 3000), 180, np.uint8),
    "tiny": np.full((7, 9), 90, np.uint8),
    "noise": np.random.default_rng(1).integers(0, 256, (40, 90), np.uint8),
}


def paper(height: int = 80, width: int = 400, tone: int = 235) -> Grey:
    return np.full((height, width), tone, np.uint8)


def write(page: Grey, text: str, x: int, y: int, *, size: float = 1.5, tone: int = 40) -> None:
    cv2.putText(page, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, size, tone, 3, cv2.LINE_AA)


def as_crop(grey: Grey) -> FieldCrop:
    height, width = grey.shape
    spec = FieldSpec(name="f", box_mm=(0, 0, 50, 10))
    return FieldCrop(spec, grey, Box(0, 0, width, height), np.eye(3))


def cells(text: str, *, tilt_deg: float = 0.0) -> Grey:
    """Draw a printed row of 50 x 60 px cells with a digit, or nothing for a blank, in each."""
    page = paper(120, 50 * len(text) + 60)
    for k, sign in enumerate(text):
        cv2.rectangle(page, (30 + 50 * k, 30), (80 + 50 * k, 90), 60, 2)
        if sign != " ":
            write(page, sign, 40 + 50 * k, 76, size=1.3)
    middle = (page.shape[1] / 2, 60)
    turn = cv2.getRotationMatrix2D(middle, tilt_deg, 1)
    return np.asarray(cv2.warpAffine(page, turn, page.shape[::-1], borderValue=235), np.uint8)


@pytest.mark.parametrize("name", ODD_CROPS)
def test_odd_crops_have_no_digits_worth_a_crash(name: str) -> None:
    crop = as_crop(ODD_CROPS[name])
    assert clean_field(crop).grey.size > 0
    assert isinstance(segment_field(crop), list)
    assert len(segment_cells(crop, 8)) == 8
    assert announce_cells(crop).spec.layout == "free"
    if name in ("white", "black", "one pixel", "a slit", "tiny"):
        assert segment_field(crop) == []
        assert segment_cells(crop, 8) == [None] * 8


def test_shadow_edge_is_no_ink_but_pencil_is() -> None:
    page = paper(200, 400)
    page[:, 230:] = 120
    write(page, "1", 100, 120, tone=150)
    write(page, "7", 300, 120, tone=30)
    ink = ink_mask(flatten_background(page))
    assert not ink[:, 215:250].any()
    assert ink[80:120, 95:130].sum() > 100
    assert ink[80:120, 295:330].sum() > 100


def test_stroke_width_is_the_pen_s() -> None:
    ink = np.zeros((100, 300), np.uint8)
    cv2.line(ink, (20, 20), (280, 80), 1, 7)
    assert 6 <= stroke_width(ink) <= 9


@pytest.mark.parametrize("slope_px", [0, 9, -14])
def test_rules_go_and_the_strokes_that_cross_them_stay(slope_px: int) -> None:
    clean = paper()
    write(clean, "2571", 60, 56)
    ruled = clean.copy()
    cv2.line(ruled, (0, 52), (399, 52 + slope_px), 60, 2, cv2.LINE_AA)
    wanted = ink_mask(flatten_background(clean)) > 0
    flat = flatten_background(ruled)
    ink = ink_mask(flat)
    rules = find_rules(ink, flat_length=160, upright_length=60)
    assert [r.upright for r in rules] == [False]
    assert rules[0].slope == pytest.approx(slope_px / 399, abs=0.004)
    left = remove_rules(flat, ink, rules)[1] > 0
    assert (left & ~cv2.dilate(wanted.astype(np.uint8), np.ones((5, 5))).astype(bool)).sum() < 100
    assert (left & wanted).sum() > 0.85 * wanted.sum()


def test_flat_bases_and_stems_are_no_rules() -> None:
    page = paper()
    write(page, "12571", 60, 56)
    ink = ink_mask(flatten_background(page))
    assert find_rules(ink, flat_length=160, upright_length=60) == []


def test_cleaning_takes_frame_and_gutter_and_leads_back_to_the_page() -> None:
    page = paper(120, 420)
    page[:, :30] = 4
    cv2.rectangle(page, (50, 20), (400, 100), 70, 2)
    write(page, "408", 150, 75)
    cleaned = clean_field(as_crop(page))
    assert cleaned.grey.shape[0] < 80
    assert cleaned.grey.shape[1] < 160
    x, y, _ = cleaned.page_from_crop @ [0, 0, 1]
    dark = np.argwhere(cleaned.grey < 120)
    assert 145 <= x + dark[:, 1].min() <= 160
    assert 35 <= y + dark[:, 0].min() <= 50
    assert len(segment_field(as_crop(page))) == 3


def test_a_tall_cell_s_digit_counts_and_not_the_printer_s_name_below_it() -> None:
    page = np.full((220, 130), 250, np.uint8)
    for y in range(0, 180, 30):  # a dotted rule
        cv2.line(page, (30, y + 3), (30, y + 24), 60, 2)
    cv2.putText(page, "7", (70, 92), cv2.FONT_HERSHEY_SIMPLEX, 0.9, 30, 2)
    cv2.putText(page, "Trykt for Kirke", (36, 214), cv2.FONT_HERSHEY_COMPLEX, 0.35, 0, 1)
    cleaned = clean_field(as_crop(page))
    left, top = cleaned.page_from_crop[:2, 2]
    height, width = cleaned.grey.shape
    assert 55 < left < 72 and left + width < 105
    assert 55 < top < 75 and top + height < 105


def test_cleaning_keeps_a_simple_crop_s_faint_strokes() -> None:
    page = paper()
    write(page, "63", 100, 56, tone=175)
    cleaned = clean_field(as_crop(page))
    assert np.unique(cleaned.grey).size > 10
    assert cleaned.grey.min() < 200


def test_touching_digits_are_cut_and_marks_are_not_digits() -> None:
    page = paper()
    write(page, "00", 60, 56)
    cv2.line(page, (85, 40), (95, 40), 40, 3)
    write(page, "7.", 150, 56)
    write(page, "-", 230, 56)
    left = [round(d.box_px.x) for d in segment_field(as_crop(page))]
    assert len(left) == 3
    assert left[0] < 65 < 80 < left[1] < 100 < 145 < left[2]


@pytest.mark.parametrize("tilt_deg", [0.0, 2.5, -3.0])
def test_cells_are_found_counted_and_blanks_known(tilt_deg: float) -> None:
    grey = cells("40 72 19", tilt_deg=tilt_deg)
    row = detect_cell_row(grey)
    assert row is not None
    assert row.count == 8
    found = segment_cells(as_crop(grey), 8)
    assert [d is not None for d in found] == [True, True, False, True, True, False, True, True]
    assert announce_cells(as_crop(grey)).spec.cells == 8


def test_a_digit_that_strays_over_its_divider_stays_whole() -> None:
    grey = cells("40  2")
    cv2.ellipse(grey, (130, 60), (16, 20), 0, 0, 360, 40, 3)
    found = segment_cells(as_crop(grey), 5)
    width = [0 if d is None else round(d.box_px.w) for d in found]
    assert sum(w > 25 for w in width) == 1 and max(width) >= 32


def test_zeros_in_a_row_are_no_cells() -> None:
    page = paper()
    for k in range(6):
        cv2.ellipse(page, (50 + 55 * k, 40), (24, 28), 0, 0, 360, 40, 3)
    assert detect_cell_row(page) is None


def test_digits_come_as_white_ink_on_black_in_page_pixels() -> None:
    page = paper()
    write(page, "5", 200, 56)
    (digit,) = segment_field(as_crop(page))
    assert digit.ink[0].max() == 0
    assert digit.ink.max() > 150
    assert 195 <= digit.box_px.x <= 212
