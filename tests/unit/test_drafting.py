import cv2
import numpy as np
import pytest

from schemas.form_template import FormTemplate
from tests.support.data import DATA_DIR, needs_data
from tests.unit.test_registration import draw_form
from worker.forms.drafting import NothingToDraftError, draft_template, draw_fields, guess_dpi, template_json
from worker.forms.templates import load_templates
from worker.registration.deskew import deskew_page, estimate_skew
from worker.registration.registration import register_page
from worker.values import Page

DPI = 200
PX = DPI / 25.4


def px(*millimetres: float) -> tuple[int, ...]:
    return tuple(round(v * PX) for v in millimetres)


def box(page: np.ndarray, x: float, y: float, w: float, h: float) -> None:
    cv2.rectangle(page, px(x, y), px(x + w, y + h), 0, 3)  # type: ignore[call-overload]


@pytest.fixture
def form() -> Page:
    """Two boxes, a row of nine cells, a comb of six, a large box for words and a rule."""
    page = np.full(px(297, 210), 255, np.uint8)
    box(page, 20, 30, 40, 8)
    box(page, 90, 30.3, 25, 8)
    for i in range(9):
        box(page, 20 + 6 * i, 60, 6, 9)
    box(page, 20, 90, 48, 9)
    for i in range(1, 6):
        cv2.line(page, px(20 + 8 * i, 97), px(20 + 8 * i, 99), 0, 2)  # type: ignore[call-overload]
    box(page, 20, 120, 170, 60)
    cv2.line(page, px(20, 200), px(120, 200), 0, 3)  # type: ignore[call-overload]
    cv2.putText(page, "Amount 0123", px(20, 27), cv2.FONT_HERSHEY_SIMPLEX, 0.8, 0, 2)  # type: ignore[call-overload]
    return Page("", 0, page, dpi=DPI)


def overlap(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    w = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    h = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    shared = max(0.0, w) * max(0.0, h)
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)


def test_boxes_rows_of_cells_and_combs_become_fields_in_reading_order(form: Page) -> None:
    fields = draft_template(form, "drawn").fields
    assert [(f.name, f.layout, f.cells) for f in fields] == [
        ("f01", "free", None),
        ("f02", "free", None),
        ("f03", "cells", 9),
        ("f04", "cells", 6),
    ]
    truth = [(20, 30, 40, 8), (90, 30.3, 25, 8), (20, 60, 54, 9), (20, 90, 48, 9)]
    assert all(overlap(f.box_mm, t) > 0.88 for f, t in zip(fields, truth, strict=True))


@pytest.mark.parametrize("angle", [-3.0, 1.5])
def test_a_skewed_page_gives_the_same_fields(form: Page, angle: float) -> None:
    height, width = form.grey.shape
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1)
    skewed = Page("", 0, cv2.warpAffine(form.grey, turn, (width, height), borderValue=255), dpi=DPI)
    drafted = draft_template(skewed, "skewed")
    assert [(f.layout, f.cells) for f in drafted.fields] == [("free", None)] * 2 + [("cells", 9), ("cells", 6)]
    assert register_page(skewed, drafted).quality > 0.9


def test_a_digit_across_a_divider_does_not_part_the_row(form: Page) -> None:
    grey = form.grey.copy()
    cv2.line(grey, px(37, 62), px(42.5, 67.5), 0, 4)  # type: ignore[call-overload]
    grey[px(60.4)[0] : px(68.6)[0], px(43.5)[0] : px(44.5)[0]] = 255  # a divider that was not printed
    fields = draft_template(Page("", 0, grey, dpi=DPI), "worn").fields
    assert (fields[2].layout, fields[2].cells) == ("cells", 9)


def test_what_is_drafted_loads_again_and_registers(form: Page, tmp_path) -> None:
    drafted = draft_template(form, "drawn")
    assert FormTemplate.model_validate_json(template_json(drafted)) == drafted
    assert register_page(form, drafted).quality > 0.95


def test_the_picture_shows_every_field(form: Page) -> None:
    drafted = draft_template(form, "drawn")
    found = register_page(form, drafted)
    picture = draw_fields(form, drafted, found.page_from_mm)
    for field in drafted.fields:
        x, y, w, _ = (round(v * PX) for v in field.box_mm)
        assert (np.ptp(picture[y - 6 : y + 6, x : x + w].astype(int), axis=2) > 100).any()


def test_a_page_without_boxes_is_said_to_hold_none() -> None:
    with pytest.raises(NothingToDraftError):
        draft_template(Page("", 0, np.full((900, 700), 255, np.uint8)), "none")


def test_the_resolution_is_guessed_by_the_paper() -> None:
    assert guess_dpi(Page("", 0, np.zeros((3300, 2550), np.uint8))) == pytest.approx(300, abs=0.1)
    assert guess_dpi(Page("", 0, np.zeros((1654, 2339), np.uint8))) == pytest.approx(200, abs=0.1)


@pytest.mark.parametrize("angle", [-9.6, -2.3, 0.0, 0.6, 7.9])
def test_skew_is_estimated_to_a_tenth_of_a_degree(angle: float) -> None:
    page = draw_form(load_templates()["nist-hsf"])
    height, width = page.shape
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), -angle, 1)
    skewed = cv2.warpAffine(page, turn, (width, height), borderValue=255)
    assert estimate_skew(skewed) == pytest.approx(angle, abs=0.1)
    level, _ = deskew_page(skewed)
    assert estimate_skew(level) == pytest.approx(0, abs=0.1)


def test_a_page_without_ink_is_level() -> None:
    assert estimate_skew(np.full((500, 400), 255, np.uint8)) == 0.0


@needs_data("fields/nist_hsf_pages")
def test_every_field_of_the_filled_nist_page_is_drafted() -> None:
    path = DATA_DIR / "fields" / "nist_hsf_pages" / "images" / "hsf_f0002_01.png"
    page = Page("", 0, cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), dpi=300)
    drafted = draft_template(page, "hsf")
    known = load_templates()["nist-hsf"]
    on_page = register_page(page, known)
    drafted_on_page = register_page(page, drafted)
    to_known = np.linalg.inv(on_page.page_from_mm) @ drafted_on_page.page_from_mm
    boxes = [moved(f.box_mm, to_known) for f in drafted.fields]
    found = [max(overlap(f.box_mm, b) for b in boxes) > 0.8 for f in known.fields]
    spurious = [max(overlap(f.box_mm, b) for f in known.fields) < 0.5 for b in boxes]
    assert sum(found) >= 27  # of 28
    assert sum(spurious) <= 1  # the date's box may well be a field


def moved(box_mm: tuple[float, ...], homography: np.ndarray) -> tuple[float, ...]:
    x, y, w, h = box_mm
    points = cv2.perspectiveTransform(np.array([[[x, y], [x + w, y + h]]]), homography)[0]
    return (*points[0], *(points[1] - points[0]))
