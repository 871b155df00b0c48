"""Print inside boxes: kept by the draft of a blank form, taken out of scans, and never writing with it."""

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from schemas.form_template import FieldSpec
from tests.unit.test_drafting import DPI, box, px
from worker.fields.locating.extraction import extract_fields
from worker.forms.drafting import draft_template, template_json
from worker.forms.printed import seems_blank
from worker.imaging.print_removal import decode_print, encode_print
from worker.registration.registration import register_page
from worker.values import Page

AT = ((20, 30), (20, 60), (20, 90))


def draw_form(*prints: str, written: str = "") -> Page:
    """Draw three boxes with print inside them; ``written`` goes into the first, right of its print."""
    page = np.full(px(148, 105), 255, np.uint8)
    box(page, 8, 8, 89, 130)
    for (x, y), text in zip(AT, prints, strict=True):
        box(page, x, y, 60, 11)
        cv2.putText(page, text, px(x + 3, y + 8), cv2.FONT_HERSHEY_DUPLEX, 1.0, 0, 2, cv2.LINE_AA)  # type: ignore[call-overload]
    if written:
        cv2.putText(page, written, px(44, 39), cv2.FONT_HERSHEY_SCRIPT_SIMPLEX, 1.2, 30, 3, cv2.LINE_AA)  # type: ignore[call-overload]
    return Page("", 0, page, dpi=DPI)


BLANK = draw_form("20", "2025", "m3")


def ink_of(page: Page) -> list[int]:
    """Return how many dark pixels each field's crop holds once the print is taken out."""
    template = draft_template(BLANK, "form", blank=True)
    return [int((crop.grey < 128).sum()) for crop in extract_fields(page, template, register_page(page, template))]


def test_a_blank_form_holds_no_ink() -> None:
    assert ink_of(BLANK) == [0, 0, 0]


@pytest.mark.parametrize("angle_deg", [-2.0, 1.0])
def test_neither_does_a_skewed_and_noisy_scan_of_it(angle_deg: float) -> None:
    height, width = BLANK.grey.shape
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), angle_deg, 0.98)
    skewed = cv2.warpAffine(BLANK.grey, turn, (width, height), borderValue=255)
    noisy = cv2.GaussianBlur(skewed, (0, 0), 1.0) + np.random.default_rng(1).normal(0, 8, skewed.shape)
    assert max(ink_of(Page("", 0, noisy.clip(0, 255).astype(np.uint8), dpi=DPI))) < 20


def test_what_is_written_beside_the_print_stays() -> None:
    beside_print = ink_of(draw_form("20", "2025", "m3", written="48"))[0]
    alone = draw_form("", "", "", written="48")
    template = draft_template(alone, "plain", blank=False)
    expected = extract_fields(alone, template, register_page(alone, template))[0].grey < 128
    assert beside_print == pytest.approx(expected.sum(), rel=0.1)


def test_a_stroke_across_the_print_is_not_torn() -> None:
    grey = BLANK.grey.copy()
    cv2.line(grey, px(21.5, 37.4), px(60, 34.2), 20, 4)  # type: ignore[call-overload]
    template = draft_template(BLANK, "form", blank=True)
    page = Page("", 0, grey, dpi=DPI)
    crop = extract_fields(page, template, register_page(page, template))[0].grey
    pieces = cv2.connectedComponentsWithStats((crop < 128).astype(np.uint8), connectivity=8)[2][1:]
    assert pieces[:, cv2.CC_STAT_WIDTH].max() > 0.8 * 38.5 / 62.4 * crop.shape[1]


def test_another_number_in_the_place_of_the_print_is_no_print() -> None:
    assert ink_of(draw_form("71", "2025", "m3"))[0] > 100


def test_without_being_told_only_sure_print_makes_a_form_blank() -> None:
    fields = draft_template(BLANK, "form").fields
    assert all(field.print is None for field in fields)
    assert not seems_blank(fields, BLANK.grey, DPI / 25.4, [])
    assert all(field.print for field in draft_template(BLANK, "form", blank=True).fields)


def test_the_picture_comes_back_as_it_was() -> None:
    mask = (np.random.default_rng(2).random((40, 300)) < 0.2).astype(np.uint8)
    assert (decode_print(encode_print(mask)) == mask).all()


def test_the_pictures_of_a_form_are_small() -> None:
    assert len(template_json(draft_template(BLANK, "form", blank=True))) < 6000


def test_a_picture_that_is_none_is_refused() -> None:
    with pytest.raises(ValidationError, match="print"):
        FieldSpec.model_validate({"name": "a", "box_mm": [0, 0, 9, 9], "print": "<svg>"})
    with pytest.raises(ValueError, match="no PNG"):
        decode_print("aGVsbG8=")
