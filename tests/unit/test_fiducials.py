from __future__ import annotations

import cv2
import numpy as np
import pytest

from schemas.form_template import FormTemplate
from tests.benchmarks.distortions import distort_page
from tests.unit.test_registration import LIMIT, PX_PER_MM, worst_field_mm
from worker.registration.registration import identify_form, register_page
from worker.synthesis.forms import draw_blank
from worker.values import FormPages, Page

PLACES = ((10, 10), (188, 10), (188, 275), (10, 275))


def marked(numbers: list[int], *, name: str = "marked", boxes: int = 0) -> FormTemplate:
    """Return a page of fields without print, with markers of 12 mm in its corners, and some boxes."""
    fields = [{"name": f"f{i}", "box_mm": [40, 50 + 40 * i, 60, 9]} for i in range(5)]
    marks = [
        {"kind": "aruco", "number": n, "box_mm": [x, y, 12, 12]} for n, (x, y) in zip(numbers, PLACES, strict=False)
    ]
    marks += [{"kind": "box", "box_mm": f["box_mm"]} for f in fields[:boxes]]
    return FormTemplate.model_validate({"name": name, "page_mm": [210, 297], "fields": fields, "landmarks": marks})


def page_of(template: FormTemplate, *, seed: int | None = None) -> tuple[Page, np.ndarray]:
    """Draw the page with lines of text between its fields, distorted by a seed; return it and its truth."""
    grey = np.array(draw_blank(template, 300))
    for y in range(900, 3100, 470):
        cv2.putText(grey, "Some text that is print 0123456789", (300, y), cv2.FONT_HERSHEY_SIMPLEX, 2.0, 40, 4)
    truth = np.diag([PX_PER_MM, PX_PER_MM, 1.0])
    if seed is None:
        return Page("", 0, grey), truth
    distorted = distort_page(grey, np.random.default_rng([6, seed]))
    return Page("", 0, distorted.grey), distorted.homography @ truth


@pytest.mark.parametrize("seed", range(4))
def test_markers_alone_keep_fields_in_place(seed: int) -> None:
    template = marked([1, 2, 3, 4])
    page, truth = page_of(template, seed=seed)
    found = register_page(page, template)
    assert found.quality > LIMIT
    assert worst_field_mm(found.page_from_mm, truth, template) < 0.8


def test_other_markers_are_another_form() -> None:
    page, _ = page_of(marked([1, 2, 3, 4]))
    assert register_page(page, marked([1, 7, 8, 9])).quality < LIMIT


def test_one_marker_without_lines_places_nothing() -> None:
    template = marked([5])
    page, _ = page_of(template)
    assert register_page(page, template).quality == 0


def test_a_marker_hidden_or_moved_lowers_the_quality() -> None:
    template = marked([1, 2, 3, 4])
    page, _ = page_of(template)
    grey = np.array(page.grey)
    grey[: round(30 * PX_PER_MM), : round(40 * PX_PER_MM)] = 255
    hidden = register_page(Page("", 0, grey), template)
    assert hidden.quality == pytest.approx(0.75, abs=0.01)
    moved = marked([1, 2, 4, 3])
    assert register_page(page, moved).quality < LIMIT


def test_pages_of_one_print_are_told_by_their_markers() -> None:
    first, second = (marked(n, name=name, boxes=5) for n, name in (([1, 2, 3, 4], "one"), ([5, 6, 7, 8], "two")))
    for template in (first, second):
        page, truth = page_of(template, seed=1)
        found = identify_form(page, FormPages((first, second)))
        assert found.template is template, found.problem
        assert found.registration is not None
        assert worst_field_mm(found.registration.page_from_mm, truth, template) < 0.8


def cornered(places: tuple[tuple[int, int], ...]) -> FormTemplate:
    """Return two equal boxes, which fit in two ways, and solid marks that tell which."""
    boxes = [[60, 100, 60, 9], [60, 130, 60, 9]]
    marks = [{"kind": "corner_mark", "box_mm": [x, y, 6, 6]} for x, y in places]
    content = {
        "name": "cornered",
        "page_mm": [210, 297],
        "fields": [{"name": f"f{i}", "box_mm": b} for i, b in enumerate(boxes)],
        "landmarks": [*marks, *({"kind": "box", "box_mm": b} for b in boxes)],
    }
    return FormTemplate.model_validate(content)


@pytest.mark.parametrize("seed", range(3))
def test_corner_marks_seed_and_confirm_a_form_of_few_boxes(seed: int) -> None:
    template = cornered(((10, 10), (190, 10), (10, 280)))
    page, truth = page_of(template, seed=seed)
    found = register_page(page, template)
    assert found.quality > LIMIT
    assert worst_field_mm(found.page_from_mm, truth, template) < 0.8
