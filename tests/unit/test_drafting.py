import contextlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from schemas.form_template import FormTemplate
from tests.support.data import DATA_DIR, needs_data
from tests.unit.test_registration import draw_form
from worker.commands.template import template
from worker.errors import IcrError
from worker.forms.drafting import NothingToDraftError, draft_template, draw_fields, guess_dpi, template_json
from worker.forms.templates import find_template, load_template, load_templates
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
    assert guess_dpi(Page("", 0, np.zeros((1748, 2480), np.uint8))) == pytest.approx(300, abs=0.2)  # A5


@pytest.mark.parametrize("size", [(4000, 3000), (3000, 4000), (4000, 2667), (4032, 2268), (2149, 1584)])
def test_a_photo_is_taken_for_one_of_large_paper(size: tuple[int, int]) -> None:
    """A picture of A4 with some table around it had the proportions of A6, and its tick boxes were too small."""
    assert max(size) / guess_dpi(Page("", 0, np.zeros(size, np.uint8))) * 25.4 > 270


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


def draw_table(rows: int, columns: int, *, label_mm: float = 35.0, cell_mm: tuple[float, float] = (14.0, 8.0)) -> Page:
    """Draw a table whose first column is for labels, on an A5 page."""
    page = np.full(px(210, 148), 255, np.uint8)
    for r in range(rows):
        box(page, 12, 20 + cell_mm[1] * r, label_mm, cell_mm[1])
        cv2.putText(page, f"Item {r + 1}", px(14, 26 + cell_mm[1] * r), cv2.FONT_HERSHEY_SIMPLEX, 0.6, 0, 2)  # type: ignore[call-overload]
        for c in range(columns):
            box(page, 12 + label_mm + cell_mm[0] * c, 20 + cell_mm[1] * r, *cell_mm)
    return Page("", 0, page, dpi=DPI)


@pytest.mark.parametrize(("rows", "columns"), [(12, 6), (5, 3), (2, 4)])
def test_a_table_is_drafted_cell_by_cell_and_finds_itself(rows: int, columns: int) -> None:
    page = draw_table(rows, columns)
    drafted = draft_template(page, "table")
    names = {f.name for f in drafted.fields}
    named = "row{r}.c{c}" if rows > 2 else "r{r}c{c}"
    assert {named.format(r=r, c=c) for r in range(1, rows + 1) for c in range(2, columns + 2)} <= names
    assert all(f.layout == "free" for f in drafted.fields)
    assert register_page(page, drafted).quality > 0.9


def test_a_table_of_one_row_more_is_not_taken_for_the_drafted_one() -> None:
    """It fits in two places, and nothing tells which."""
    drafted = draft_template(draw_table(8, 5), "table")
    assert register_page(draw_table(9, 5), drafted).quality < drafted.min_registration


@pytest.mark.parametrize("seed", range(12))
def test_a_table_photographed_askew_is_drafted_and_finds_itself(seed: int) -> None:
    rng = np.random.default_rng(seed)
    page = draw_table(int(rng.integers(3, 13)), int(rng.integers(2, 6)))
    height, width = page.grey.shape
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    shift = rng.uniform(-0.06, 0.06, (4, 2)) * (width, height)
    middle = corners + np.array([90, 120], np.float32)
    lens = cv2.getPerspectiveTransform(corners, (middle + shift).astype(np.float32))
    photo = cv2.warpPerspective(page.grey, lens, (width + 180, height + 240), borderValue=60)
    drafted = draft_template(Page("", 0, photo, dpi=DPI), "photo")
    assert len(drafted.fields) >= 0.9 * len(draft_template(page, "flat").fields)
    assert register_page(Page("", 0, photo, dpi=DPI), drafted).quality > drafted.min_registration


def test_stacked_rows_of_narrow_cells_stay_rows_of_digits() -> None:
    page = np.full(px(210, 148), 255, np.uint8)
    for r in range(3):
        for c in range(8):
            box(page, 20 + 6 * c, 30 + 9 * r, 6, 9)
    assert [(f.layout, f.cells) for f in draft_template(Page("", 0, page, dpi=DPI), "rows").fields] == [
        ("cells", 8)
    ] * 3


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("Table Form.json", "Table Form.json"),
        ("CARD.JSON", "CARD.JSON"),
        ("card.v2", "card.v2.json"),
        ("Zählerkarte", "Zählerkarte.json"),
        ("", "scan.json"),
    ],
)
def test_any_file_name_gives_a_template_that_is_found(name: str, file: str, tmp_path: Path) -> None:
    scan = tmp_path / "scan.png"
    cv2.imwrite(str(scan), draw_table(4, 3).grey)
    done = draft(str(scan), "--dpi", str(DPI), "--out", str(tmp_path / name))
    assert done.exit_code == 0, done.output
    drafted = find_template(str(tmp_path / file), {})
    assert load_templates(tmp_path)[drafted.name] == drafted


def test_a_size_that_is_only_guessed_is_said(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "scan.png"), draw_table(4, 3).grey)
    assert "taken to be 147.9 x 210 mm; else --dpi" in draft(str(tmp_path / "scan.png")).output
    assert "taken to be" not in draft(str(tmp_path / "scan.png"), "--dpi", "200", "--out", str(tmp_path / "b")).output


def draft(*arguments: str) -> Result:
    return CliRunner().invoke(template, ["draft", *arguments])


@pytest.mark.parametrize("out", [None, "form.json", "form.png", "form-fields.json"])
def test_a_draft_writes_over_no_file_that_is_there(out: str | None, tmp_path: Path) -> None:
    """The picture had the name of the scan, and took its place."""
    scan = tmp_path / "form.png"
    cv2.imwrite(str(scan), draw_table(4, 3).grey)
    before = scan.read_bytes()
    options = () if out is None else ("--out", str(tmp_path / out))
    done = draft(str(scan), "--dpi", str(DPI), *options)
    assert scan.read_bytes() == before
    assert (done.exit_code == 0) == (out != "form.png"), done.output
    if out != "form.png":
        load_template(tmp_path / (out or "form.json"))
        assert (tmp_path / "form-fields.png").exists()
    again = draft(str(scan), "--dpi", str(DPI), *options)
    assert isinstance(again.exception, IcrError) and "is there already" in str(again.exception)


@pytest.mark.parametrize("dpi", ["-5", "0", "3", "99999", "nan"])
def test_a_resolution_that_no_scan_has_is_refused(dpi: str, tmp_path: Path) -> None:
    """These ended in a traceback, or in a page of any size."""
    cv2.imwrite(str(tmp_path / "scan.png"), draw_table(2, 2).grey)
    done = draft(str(tmp_path / "scan.png"), "--dpi", dpi)
    assert done.exit_code == 2 and "--dpi" in done.output


def test_a_name_too_long_for_a_file_is_said(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "scan.png"), draw_table(2, 2).grey)
    done = draft(str(tmp_path / "scan.png"), "--dpi", str(DPI), "--out", str(tmp_path / ("a" * 300 + ".json")))
    assert isinstance(done.exception, IcrError) and "too long" in str(done.exception)


@pytest.mark.parametrize("seed", range(8))
def test_a_draft_of_any_boxes_is_a_template_or_says_that_there_is_nothing(seed: int) -> None:
    """Boxes may overlap, lie in each other or reach over the page's rim."""
    rng = np.random.default_rng(seed)
    page = np.full(px(297, 210), 255, np.uint8)
    for _ in range(40):
        box(page, *rng.uniform(-5, 205, 2), *rng.uniform(3, 60, 2))
    with contextlib.suppress(NothingToDraftError):
        draft_template(Page("", 0, page, dpi=DPI), "any")


def test_the_rows_of_a_table_are_written_once() -> None:
    drafted = draft_template(draw_table(6, 3), "table")
    assert drafted.single_fields == ()
    assert [(rows.count, len(rows.fields)) for rows in drafted.rows] == [(6, 4)]
    assert drafted.rows[0].pitch_mm == pytest.approx(8, abs=0.1)
    assert FormTemplate.model_validate_json(template_json(drafted)) == drafted


@pytest.mark.parametrize("under", [1, 2])
def test_sums_under_a_table_leave_its_rows_alike(under: int) -> None:
    page = draw_table(6, 3).grey.copy()
    for r in range(under):
        box(page, 12 + 40 + 2 * 18, 20 + 8 * (6 + r), 18, 8)
    drafted = draft_template(Page("", 0, page, dpi=DPI), "claim")
    assert [(rows.count, len(rows.fields)) for rows in drafted.rows] == [(6, 4)]
    assert len(drafted.single_fields) == under


@pytest.mark.parametrize("side_mm", [3.6, 4.0, 5.0, 5.8])
@pytest.mark.parametrize("dpi", [150, 200, 300])
def test_tick_boxes_of_usual_size_are_fields(side_mm: float, dpi: int) -> None:
    page = np.full((round(100 / 25.4 * dpi), round(150 / 25.4 * dpi)), 255, np.uint8)
    scale = dpi / 25.4
    for i in range(3):
        left, top = 20.0 + 30 * i, 30.0 + 11 * i
        corner = (round((left + side_mm) * scale), round((top + side_mm) * scale))
        cv2.rectangle(page, (round(left * scale), round(top * scale)), corner, 0, max(1, round(0.25 * scale)))
    cv2.putText(page, "BODO 0 DO", (round(20 * scale), round(80 * scale)), cv2.FONT_HERSHEY_SIMPLEX, 0.25 * scale, 0, 2)
    fields = draft_template(Page("", 0, page, dpi=dpi), "ticks").fields
    assert len(fields) == 3
    assert all(abs(f.box_mm[2] - side_mm) < 0.6 for f in fields)


def test_a_high_box_holds_as_many_digits_as_people_write_in_it(form: Page) -> None:
    """They write 4 to 5 mm high, whatever the height of the box."""
    page = form.grey.copy()
    box(page, 150, 90, 24, 10)
    field = next(f for f in draft_template(Page("", 0, page, dpi=DPI), "d").fields if f.box_mm[0] > 140)
    assert field.digits is not None and field.digit_range[1] >= 9
