import cv2
import numpy as np
import pytest

from schemas.form_template import FormTemplate
from tests.benchmarks.distortions import distort_page
from tests.support.data import PROJECT
from worker.forms.templates import load_templates
from worker.imaging.geometry import corners_of, project
from worker.registration.registration import identify_form, register_by_corners, register_page
from worker.values import FormPages, Page

PX_PER_MM = 300 / 25.4
LIMIT = 0.5


@pytest.fixture(scope="module")
def nist() -> FormTemplate:
    return load_templates()["nist-hsf"]


def draw_form(template: FormTemplate, seed: int = 0, *, written: bool = True) -> np.ndarray:
    """Draw the form's print at 300 dpi with scribbles in its fields."""
    rng = np.random.default_rng(seed)
    width, height = (round(side * PX_PER_MM) for side in template.page_mm)
    page = np.full((height, width), 250, np.uint8)
    for mark in template.landmarks:
        x, y, w, h = (round(v * PX_PER_MM) for v in mark.box_mm)
        cv2.rectangle(page, (x, y), (x + w, y + h), 20, 5 if mark.kind == "box" else cv2.FILLED)
    for field in template.fields if written else ():
        x, y, w, h = (v * PX_PER_MM for v in field.box_mm)
        points = np.cumsum(rng.normal(0, h / 5, (12, 2)), 0) + np.array([x + w / 2, y + h / 2])
        cv2.polylines(page, [points.astype(np.int32)], False, 40, 5)
    return page


def worst_field_mm(found_from_mm: np.ndarray, true_from_mm: np.ndarray, template: FormTemplate) -> float:
    corners = corners_of(np.array([f.box_mm for f in template.fields])).reshape(-1, 2)
    back = project(np.linalg.inv(true_from_mm), project(found_from_mm, corners))
    return float(np.hypot(*(back - corners).T).max())


def register_distorted(template: FormTemplate, seed: int) -> tuple[float, float]:
    distorted = distort_page(draw_form(template, seed), np.random.default_rng([3, seed]))
    found = register_page(Page("", 0, distorted.grey), template)
    truth = distorted.homography @ np.diag([PX_PER_MM, PX_PER_MM, 1.0])
    return found.quality, worst_field_mm(found.page_from_mm, truth, template)


@pytest.mark.parametrize("seed", range(6))
def test_fields_keep_their_place_through_skew_turn_scale_and_perspective(nist: FormTemplate, seed: int) -> None:
    quality, worst_mm = register_distorted(nist, seed)
    assert quality > 0.9
    assert worst_mm < 0.5


def test_a_page_with_its_lower_half_missing_is_registered_and_the_rest_in_place(nist: FormTemplate) -> None:
    page = draw_form(nist)[: round(150 * PX_PER_MM)]
    found = register_page(Page("", 0, page), nist)
    assert found.quality > LIMIT
    assert worst_field_mm(found.page_from_mm, np.diag([PX_PER_MM, PX_PER_MM, 1.0]), nist) < 0.5


def blank_page() -> np.ndarray:
    return np.full((3300, 2560), 255, np.uint8)


def black_page() -> np.ndarray:
    return np.zeros((3300, 2560), np.uint8)


def page_of_text() -> np.ndarray:
    page = blank_page()
    rng = np.random.default_rng(1)
    for y in range(200, 3200, 60):
        text = "".join(rng.choice(list("aegkodb 0468B"), 70))
        cv2.putText(page, text, (150, y), cv2.FONT_HERSHEY_SIMPLEX, 1.2, 0, 3)
    return page


def page_of_grid() -> np.ndarray:
    page = blank_page()
    page[::120], page[:, ::300] = 0, 0
    return page


def page_of_noise() -> np.ndarray:
    return np.random.default_rng(2).integers(0, 256, (1650, 1280), dtype=np.uint8)


def page_of_other_boxes() -> np.ndarray:
    page = blank_page()
    rng = np.random.default_rng(4)
    for row in range(12):
        for column in range(3):
            x, y = 200 + 760 * column + int(rng.integers(0, 90)), 300 + 230 * row
            cv2.rectangle(page, (x, y), (x + int(rng.integers(100, 650)), y + 90), 0, 6)
    return page


STRANGERS = [blank_page, black_page, page_of_text, page_of_grid, page_of_noise, page_of_other_boxes]


@pytest.mark.parametrize("stranger", STRANGERS, ids=lambda f: f.__name__)
def test_a_page_that_is_not_the_form_is_refused_and_said_to_be_so(nist: FormTemplate, stranger) -> None:
    found = identify_form(Page("", 0, stranger()), FormPages((nist,)))
    assert found.template is None
    assert found.problem is not None and found.problem.startswith("unregistered: nist-hsf")


def test_a_tiny_picture_is_refused_not_fatal(nist: FormTemplate) -> None:
    for shape in [(1, 1), (1, 3000), (7, 5)]:
        assert register_page(Page("", 0, np.full(shape, 255, np.uint8)), nist).quality < LIMIT


def shifted_rows(name: str, rows: list[float]) -> FormTemplate:
    boxes = [[30.0, y, 60.0, 8.0] for y in rows]
    return FormTemplate.model_validate(
        {
            "name": name,
            "page_mm": [210, 297],
            "fields": [{"name": f"f{i:02d}", "box_mm": b} for i, b in enumerate(boxes)],
            "landmarks": [{"kind": "box", "box_mm": b} for b in boxes],
        }
    )


def test_a_ladder_of_equal_boxes_that_fits_in_two_places_is_doubted() -> None:
    page = draw_form(shifted_rows("ten", [30.0 + 20 * i for i in range(10)]))
    nine = shifted_rows("nine", [30.0 + 20 * i for i in range(9)])
    assert register_page(Page("", 0, page), nine).quality < LIMIT


def draw_table(rows: int, columns: int, *, head: bool) -> FormTemplate:
    """Return a table of equal cells, perhaps under a box that it has on one side only."""
    cells = [[15.0 + 11.0 * c, 30.0 + 6.2 * r, 11.0, 6.2] for r in range(rows) for c in range(columns)]
    boxes = [*([[15.0, 12.0, 60.0, 10.0]] if head else []), *cells][:200]
    return FormTemplate.model_validate(
        {
            "name": "table",
            "page_mm": [210, 297],
            "fields": [
                {"name": f"f{i:03d}", "box_mm": [x + 0.5, y + 0.5, 10.0, 5.2]} for i, (x, y, _, _) in enumerate(cells)
            ],
            "landmarks": [{"kind": "box", "box_mm": b} for b in boxes],
        }
    )


@pytest.mark.parametrize(("rows", "columns"), [(6, 4), (12, 5), (25, 8)])
def test_a_table_that_is_the_same_upside_down_is_doubted(rows: int, columns: int) -> None:
    """Its cells would be read in the wrong order, 6 as 9, where the sheet lies the other way round."""
    table = draw_table(rows, columns, head=False)
    page = draw_form(table)
    for shown in (page, np.ascontiguousarray(page[::-1, ::-1])):
        assert register_page(Page("", 0, shown), table).quality < LIMIT


@pytest.mark.parametrize(("rows", "columns"), [(25, 8), (40, 5), (12, 16)])
def test_a_large_table_of_equal_cells_is_found_in_its_own_rows(rows: int, columns: int) -> None:
    """The first rows of a table fit all others as well: boxes and guesses are sampled from the whole page."""
    table = draw_table(rows, columns, head=True)
    found = register_page(Page("", 0, draw_form(table)), table)
    assert found.quality > 0.9
    corners = np.array([[15.0, 30.0], [15.0 + 11.0 * columns, 30.0], [15.0, 30.0 + 6.2 * rows]])
    px_per_mm = project(found.page_from_mm, np.array([[0.0, 0.0], [100.0, 0.0]]))[1, 0] / 100
    assert np.abs(project(found.page_from_mm, corners) - corners * px_per_mm).max() < 1.0 * px_per_mm


def test_each_page_finds_its_own_form_among_several(nist: FormTemplate) -> None:
    first = shifted_rows("first", [30.0, 60.0, 75.0, 120.0])
    second = shifted_rows("second", [30.0, 45.0, 90.0, 120.0, 150.0])
    for template in (first, second, nist):
        page = Page("", 0, draw_form(template, 5))
        found = identify_form(page, FormPages((first, second, nist)))
        assert found.template is template
        assert found.registration is not None and found.registration.version == template.version


def test_two_templates_of_one_geometry_are_told_to_be_ambiguous() -> None:
    rows = [30.0, 60.0, 75.0, 120.0]
    page = Page("", 0, draw_form(shifted_rows("one", rows)))
    found = identify_form(page, FormPages((shifted_rows("one", rows), shifted_rows("two", rows))))
    assert found.template is None
    assert found.problem == "unregistered: could be one or two: name the template"


def test_each_page_of_a_named_form_is_known_and_a_page_of_another_form_is_reported(nist: FormTemplate) -> None:
    front = shifted_rows("front", [30.0, 60.0, 75.0, 120.0])
    back = shifted_rows("back", [30.0, 45.0, 90.0, 120.0, 150.0])
    survey = FormPages((front, back), "survey", (nist,))
    for template in (front, back):
        assert identify_form(Page("", 0, draw_form(template, 5)), survey).template is template
    stranger = identify_form(Page("", 0, draw_form(nist, 5)), survey)
    assert stranger.template is None
    assert stranger.problem is not None
    assert stranger.problem == "unregistered: not survey, but a page of nist-hsf (registration 1.00)"
    nothing = identify_form(Page("", 0, page_of_text()), survey)
    assert nothing.template is None
    assert nothing.problem is not None and nothing.problem.startswith("unregistered: no page of survey, the likest is")


def block(x: float, y: float) -> FormTemplate:
    """Return a page with a row of nine cells and three squares beside it, as a code has: a block in a page's corner."""
    boxes = [[x + 25 + 7.7 * i, y + 4, 7.7, 9.3] for i in range(9)]
    squares = [[x, y, 5.2, 5.2], [x + 12, y, 5.2, 5.2], [x, y + 12, 5.2, 5.2]]
    return FormTemplate.model_validate(
        {
            "name": "block",
            "page_mm": [210, 280],
            "fields": [{"name": "id", "box_mm": [x + 25, y + 4, 69.3, 9.3], "layout": "cells", "cells": 9}],
            "landmarks": [{"kind": "box", "box_mm": b} for b in (*boxes, *squares)],
        }
    )


@pytest.mark.parametrize(("x", "y", "turn"), [(20, 30, 0), (80, 200, 0), (60, 100, 4), (30, 150, -7)])
def test_a_block_that_lies_elsewhere_on_its_page_is_found_by_one_template(x: float, y: float, turn: float) -> None:
    drawn = draw_form(block(x, y))
    height, width = drawn.shape
    tilt = cv2.getRotationMatrix2D((width / 2, height / 2), turn, 0.8)
    page = np.asarray(cv2.warpAffine(drawn, tilt, (width, height), borderValue=255), np.uint8)
    template = block(20, 30)
    found = register_page(Page("", 0, page), template)
    shift = np.array([[1, 0, x - 20], [0, 1, y - 30], [0, 0, 1]], dtype=np.float64)
    truth = np.vstack([tilt, [0, 0, 1]]) @ np.diag([PX_PER_MM, PX_PER_MM, 1.0]) @ shift
    assert found.quality > LIMIT
    assert worst_field_mm(found.page_from_mm, truth, template) < 0.5


def test_a_lone_row_of_cells_is_a_ladder_and_is_refused() -> None:
    alone = block(20, 30)
    alone = alone.model_copy(update={"landmarks": alone.landmarks[:9]})
    longer = draw_form(block(20, 30), written=False)
    x, y, w, h = (round(v * PX_PER_MM) for v in (20 + 25 + 69.3, 34, 7.7, 9.3))
    cv2.rectangle(longer, (x, y), (x + w, y + h), 20, 5)
    assert register_page(Page("", 0, longer), alone).quality < LIMIT


COVERED = (180, 540)
"""Rows of a sample card, in pixels, of which the rest is covered: too little of its print is left to find it."""


def covered_card() -> tuple[FormTemplate, np.ndarray]:
    """Return the template of the sample card, and a card of which two rows of fields show."""
    card = cv2.imread(str(PROJECT / "samples" / "meter-card" / "card-1.png"), cv2.IMREAD_GRAYSCALE)
    assert card is not None
    card[: COVERED[0]], card[COVERED[1] :] = 250, 250
    return load_templates(None)["meter-card"], card


def test_corners_placed_by_hand_register_a_page_that_shows_too_little_of_its_form() -> None:
    template, card = covered_card()
    page = Page("s", 0, card, 200.0)
    assert identify_form(page, FormPages((template,))).template is None
    box, px_per_mm = (6.0, 6.0, 198.0, 136.0), 200 / 25.4
    true = corners_of(np.array([box]))[0] * px_per_mm
    shaken = true + np.random.default_rng(0).uniform(-1.5, 1.5, true.shape) * px_per_mm
    placed = register_by_corners(page, template, box_mm=box, corners_px=[(x, y) for x, y in shaken])
    off_mm = np.abs(project(placed.page_from_mm, corners_of(np.array([box]))[0]) - true).max() / px_per_mm
    assert off_mm < 0.5 and placed.quality > 0.3
    assert placed.print_found is not None


def test_corners_beside_which_no_print_is_found_count_as_they_are_and_vouch_for_nothing() -> None:
    template, card = covered_card()
    corners = [(500.0, 500.0), (1600.0, 520.0), (1590.0, 1100.0), (480.0, 1090.0)]
    placed = register_by_corners(Page("s", 0, card, 200.0), template, box_mm=(6, 6, 198, 136), corners_px=corners)
    assert placed.quality == 0 and placed.print_found is None
    there = project(placed.page_from_mm, corners_of(np.array([[6.0, 6.0, 198.0, 136.0]]))[0])
    np.testing.assert_allclose(there, corners, atol=0.01)
