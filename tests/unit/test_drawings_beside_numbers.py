"""Pictures, large writing, braces and arrows on a page without a form: no number vanishes, and none is made of them."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from tests.unit.test_free_page_strokes import write
from worker.fields.free_pages.writing import find_free_writing
from worker.models.runtime import load_recognizers
from worker.values import FieldCrop, Grey, Page

TEXTS = ("4072", "915", "2026", "38", "650", "8341")
PLACES = [(40 + 37 * (3 * row % 5), 40 + 75 * row) for row in range(len(TEXTS))]
HEIGHT = 32


def numbers_beside(draw: Callable[[Grey], None]) -> tuple[FieldCrop, ...]:
    """Return the fields of a page of six numbers at the left, with a drawing at the right."""
    page = np.full((800, 1100), 240, np.uint8)
    for text, place in zip(TEXTS, PLACES, strict=True):
        write(page, text, *place, height=HEIGHT, pen=0.09)
    draw(page)
    return find_free_writing(Page("s", 0, page), load_recognizers()).fields


def field_at(fields: tuple[FieldCrop, ...], x: float, y: float) -> list[FieldCrop]:
    return [f for f in fields if f.box_px.x < x < f.box_px.x + f.box_px.w and f.box_px.y < y < f.box_px.y + f.box_px.h]


def draw_logo(page: Grey) -> None:
    cv2.circle(page, (520, 240), 130, 30, -1)
    cv2.circle(page, (520, 240), 70, 235, -1)


def draw_squares(page: Grey) -> None:
    squares = np.random.default_rng(3).integers(0, 2, (29, 29)) * 205 + 30
    page[110:400, 380:670] = np.kron(squares, np.ones((10, 10))).astype(np.uint8)


def draw_dark_label(page: Grey) -> None:
    page[80:420, 340:660] = 50


def write_large(page: Grey) -> None:
    write(page, "36", 340, 130, height=220, pen=0.08)


@pytest.mark.parametrize("draw", [draw_logo, draw_squares, draw_dark_label, write_large])
def test_numbers_beside_a_picture_or_large_writing_have_fields(draw: Callable[[Grey], None]) -> None:
    """All six had no field, and nothing was said: the picture's ink had told how high digits are on this page."""
    fields = numbers_beside(draw)
    for text, (x, y) in zip(TEXTS, PLACES, strict=True):
        assert field_at(fields, x + HEIGHT / 2, y + HEIGHT / 2), text


def test_what_towers_over_the_digits_is_never_sure() -> None:
    """The ring of a logo was accepted as 0."""
    fields = numbers_beside(draw_logo)
    (ring,) = (f for f in fields if f.box_px.h > 5 * HEIGHT)
    assert not ring.complete
    assert sum(f.complete for f in fields) >= len(TEXTS) / 2, "the others are as they were"


BRACE = [(600, 60), (640, 90), (640, 350), (680, 380), (640, 410), (640, 680), (600, 710)]
OPENING = [(1250 - x, y) for x, y in BRACE]


@pytest.mark.parametrize("points", [BRACE, OPENING])
def test_the_tips_of_a_brace_are_no_sure_digits(points: list[tuple[int, int]]) -> None:
    """Its straight parts were taken out as rules, and each tip was accepted as 1."""

    def draw(page: Grey) -> None:
        cv2.polylines(page, [np.array(points)], False, 60, 3, cv2.LINE_AA)

    fields = numbers_beside(draw)
    tips = [f for f in fields if f.box_px.x > 300]
    assert tips, "they are shown"
    assert not any(f.complete for f in tips)
    assert sum(f.complete for f in fields) >= len(TEXTS) / 2, "the others are as they were"
