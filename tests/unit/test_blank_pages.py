"""Empty paper is told from paper with ink, however faint; a scan's blank backs need nobody."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest

from worker.doubts import Doubt, DoubtKind
from worker.imaging.blank_pages import is_blank_page
from worker.pipeline import excuse_blank_backs
from worker.synthesis.pages import draw_free_page
from worker.synthesis.samples import draw_writer
from worker.values import Grey, PageReading

SIZE = (1653, 2338)
"""A4 at 200 dpi, width and height."""


def paper(rng: np.random.Generator) -> np.ndarray:
    """Draw office paper: bright, lit a little unevenly."""
    sheet = np.full(SIZE[::-1], rng.uniform(225, 254), np.float32)
    return sheet + np.float32(rng.normal(0, 4)) * np.linspace(-1, 1, SIZE[0], dtype=np.float32)


def scan(rng: np.random.Generator, sheet: np.ndarray) -> Grey:
    """Add a scanner's noise and, mostly, JPEG."""
    noisy = sheet + rng.uniform(0.5, 4) * rng.standard_normal(sheet.shape, dtype=np.float32)
    pixels = noisy.clip(0, 255).astype(np.uint8)
    if rng.random() < 0.6:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(40, 92))]
        decoded = cv2.imdecode(cv2.imencode(".jpg", pixels, quality)[1], cv2.IMREAD_GRAYSCALE)
        assert decoded is not None
        return decoded.astype(np.uint8)
    return pixels


def soil(rng: np.random.Generator, sheet: np.ndarray) -> None:
    """Put dust, the shadow of an edge and punched holes on a sheet."""
    for _ in range(20):
        at = int(rng.integers(SIZE[0])), int(rng.integers(SIZE[1]))
        cv2.circle(sheet, at, int(rng.integers(0, 3)), float(rng.uniform(60, 200)), -1)
    sheet[:, : int(rng.integers(3, 20))] *= rng.uniform(0.2, 0.9)
    for y in (0.37, 0.63):
        hole = round(12 / 210 * SIZE[0]), round(y * SIZE[1])
        cv2.circle(sheet, hole, round(3 / 210 * SIZE[0]), float(rng.uniform(0, 120)), -1, cv2.LINE_AA)


def test_empty_paper_is_blank_whatever_its_noise() -> None:
    for seed in range(25):
        rng = np.random.default_rng([7, seed])
        assert is_blank_page(scan(rng, paper(rng))), seed


def test_dust_an_edge_and_punched_holes_are_no_writing() -> None:
    blank = 0
    for seed in range(25):
        rng = np.random.default_rng([8, seed])
        sheet = paper(rng)
        soil(rng, sheet)
        blank += is_blank_page(scan(rng, sheet))
    assert blank >= 24


@pytest.mark.parametrize("longer_mm", [210, 297, 420])
def test_punched_holes_are_no_writing_on_paper_of_any_size(longer_mm: int) -> None:
    blank = 0
    for seed in range(20):
        rng = np.random.default_rng([10, seed])
        px_per_mm = 200 / 25.4
        sheet = np.full((round(longer_mm * 0.707 * px_per_mm), round(longer_mm * px_per_mm)), 246, np.float32)
        for x in (-40, 40):
            at = round((longer_mm / 2 + x) * px_per_mm), round(12 * px_per_mm)
            cv2.circle(
                sheet, at, round(rng.uniform(2.75, 3.25) * px_per_mm), float(rng.uniform(0, 120)), -1, cv2.LINE_AA
            )
        blank += is_blank_page(scan(rng, sheet))
    assert blank >= 19


@pytest.mark.parametrize("down", [True, False])
def test_a_streak_from_edge_to_edge_is_no_writing_and_hides_none(down: bool) -> None:
    """A dirty scanner draws one, and the shadow of a fold is one."""
    for seed in range(15):
        rng = np.random.default_rng([11, seed])
        sheet, at = paper(rng), int(rng.integers(300, 1300))
        width, contrast = int(rng.integers(1, 6)), np.float32(rng.uniform(12, 120))
        where = (slice(None), slice(at, at + width)) if down else (slice(at, at + width), slice(None))
        sheet[where] -= contrast
        assert is_blank_page(scan(rng, sheet.copy())), seed
        digit = (slice(700, 745), slice(at + 60, at + 64)) if down else (slice(at + 60, at + 105), slice(800, 804))
        sheet[digit] -= 60
        assert not is_blank_page(scan(rng, sheet)), seed


@pytest.mark.parametrize("contrast", [8, 16, 40])
def test_one_faint_number_is_never_blank(contrast: int) -> None:
    for seed in range(25):
        rng = np.random.default_rng([9, seed])
        text = "".join(map(str, rng.integers(0, 10, int(rng.integers(1, 4)))))
        inked = draw_free_page(rng, [[text]], draw_writer(rng), size=SIZE) < 183
        sheet = cv2.GaussianBlur(paper(rng) - np.float32(contrast) * inked, (0, 0), 0.8)
        assert not is_blank_page(scan(rng, sheet)), seed


@pytest.mark.parametrize("shape", [(2338, 1653), (1170, 827), (200, 300), (9, 9)])
def test_white_is_blank_and_a_stroke_is_not_at_any_size(shape: tuple[int, int]) -> None:
    white = np.full(shape, 255, np.uint8)
    assert is_blank_page(white) or min(shape) < 10
    written = white.copy()
    middle, reach = shape[0] // 2, max(3, shape[0] // 20)
    written[middle - reach : middle + reach, shape[1] // 2 : shape[1] // 2 + max(1, shape[1] // 300)] = 90
    assert not is_blank_page(written)


NOT_FOUND = PageReading(0, 9, 9, problem="unregistered", blank=True)
NOTHING = PageReading(0, 9, 9, doubts=(Doubt(DoubtKind.NO_WRITING_FOUND),), blank=True)
WRITTEN = PageReading(0, 9, 9)
UNKNOWN = PageReading(0, 9, 9, problem="unregistered")


def test_blank_pages_need_nobody_where_another_page_holds_ink() -> None:
    for pages in itertools.product((NOT_FOUND, NOTHING, WRITTEN, UNKNOWN), repeat=3):
        excused = [reading for _, reading in excuse_blank_backs((None, page) for page in pages)]
        assert [page.blank for page in excused] == [page.blank for page in pages]
        only_blank = all(page.blank for page in pages)
        for before, after in zip(pages, excused, strict=True):
            needs_nobody = after.problem is None and not after.doubts
            assert needs_nobody if before.blank and not only_blank else after == before
