"""Drawn forms hold what their truth says, where their template says; the samples can be drawn again."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from schemas.form_template import FormTemplate
from worker.synthesis.form_designs import draw_template
from worker.synthesis.forms import draw_blank, draw_form
from worker.synthesis.glyphs import draw_hand
from worker.synthesis.pages import (
    Distortion,
    distort_form,
    draw_distortion,
    draw_free_page,
    homography_of,
    photograph,
)
from worker.synthesis.pen import Pen
from worker.synthesis.samples import (
    DPI,
    TRUTH_COLUMNS,
    blank_card,
    card_values,
    draw_card,
    draw_samples,
    load,
    truth_rows,
    with_luhn,
)

SAMPLES = Path(__file__).parents[2] / "samples"
MAX_SAMPLES_BYTES = 3_000_000


@pytest.fixture(scope="module")
def card() -> FormTemplate:
    return load("meter-card")


def field_ink(grey: np.ndarray, homography: np.ndarray, template: FormTemplate, name: str) -> int:
    """Count the dark pixels well inside a field, or for cells inside its cells."""
    field = next(f for f in template.fields if f.name == name)
    x, y, w, h = field.box_mm
    cells, total = field.cells or 1, 0
    for i in range(cells):
        left, right = x + w * i / cells + 1, x + w * (i + 1) / cells - 1
        corners = np.array([[[left, y + 1], [right, y + 1], [right, y + h - 1], [left, y + h - 1]]])
        mask = cv2.fillPoly(
            np.zeros(grey.shape, np.uint8), [cv2.perspectiveTransform(corners, homography)[0].astype(int)], 1
        )
        total += int(((grey < 128) & (mask > 0)).sum())
    return total


def test_every_shipped_template_of_ours_is_valid_and_draws() -> None:
    for name in ("meter-card", "sample-check"):
        template = load(name)
        page = draw_blank(template, 100)
        width, height = (round(side * 100 / 25.4) for side in template.page_mm)
        assert page.shape == (height, width)
        assert 0.005 < (page < 128).mean() < 0.2


def test_the_print_lies_where_the_template_says(card: FormTemplate) -> None:
    scale = 200 / 25.4
    page = draw_blank(card, 200)
    for mark in card.landmarks:
        x, y, w, h = (v * scale for v in mark.box_mm)
        if mark.kind in ("corner_mark", "blob"):
            assert page[round(y) + 1 : round(y + h) - 1, round(x) + 1 : round(x + w) - 1].max() < 30
        elif mark.kind == "box":
            for row in (y, y + h):
                assert page[round(row) - 1 : round(row) + 2, round(x + 3) : round(x + w - 3)].min(axis=0).max() < 128


def test_only_filled_fields_hold_ink(card: FormTemplate) -> None:
    rng = np.random.default_rng(1)
    values = card_values(rng)
    del values["route"]
    sample = draw_form(rng, card, values, writer=(draw_hand(rng), Pen(0.1)))
    for field in card.fields:
        ink = field_ink(sample.grey, sample.page_from_mm, card, field.name)
        blank = field_ink(draw_blank(card, 200), sample.page_from_mm, card, field.name)
        assert (ink > blank + 20) == bool(sample.digits[field.name]), field.name
    assert sample.digits["route"] == ""
    assert sample.digits["customer"] == values["customer"]


def test_a_value_for_no_field_is_refused(card: FormTemplate) -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(KeyError, match="no field shoe_size"):
        draw_form(rng, card, {"shoe_size": "42"}, writer=(draw_hand(rng), Pen(0.1)))


@pytest.mark.parametrize("seed", range(4))
def test_the_homography_follows_a_distortion(card: FormTemplate, seed: int) -> None:
    rng = np.random.default_rng(seed)
    blank = draw_form(rng, card, {}, writer=(draw_hand(rng), Pen(0.1)))
    moved = distort_form(blank, draw_distortion(rng, skew_deg=8, perspective=0.08))
    for mark in card.landmarks:
        if mark.kind == "corner_mark":
            x, y, w, h = mark.box_mm
            at = (
                cv2.perspectiveTransform(np.array([[[x + w / 2, y + h / 2]]]), moved.page_from_mm)[0, 0]
                .round()
                .astype(int)
            )
            if (at >= 5).all() and at[0] < moved.grey.shape[1] - 5 and at[1] < moved.grey.shape[0] - 5:
                assert moved.grey[at[1], at[0]] < 60
    assert not np.array_equal(blank.grey, moved.grey)


def test_no_distortion_moves_nothing() -> None:
    assert np.allclose(homography_of(Distortion(), (300, 200)), np.eye(3))


def test_skew_turns_clockwise() -> None:
    matrix = homography_of(Distortion(skew_deg=5), (300, 200))
    (x0, y0), (x1, y1) = cv2.perspectiveTransform(np.array([[[50.0, 100.0], [250.0, 100.0]]]), matrix)[0]
    assert np.isclose(np.degrees(np.arctan2(y1 - y0, x1 - x0)), 5)


def test_designs_are_valid_and_differ() -> None:
    designs = [draw_template(np.random.default_rng(i), f"form-{i}") for i in range(12)]
    assert len({d.version for d in designs}) == 12
    assert all(len(d.fields) >= 4 and len(d.landmarks) >= 4 for d in designs)
    for design in designs[:3]:
        assert (draw_blank(design, 72) < 128).any()


def test_a_free_page_has_a_row_of_ink_for_each_line() -> None:
    rng = np.random.default_rng(2)
    page = draw_free_page(rng, [["12", "345"], ["6"], ["78"]], (draw_hand(rng), Pen(0.1)), size=(600, 800))
    rows = cv2.dilate(((page < 128).any(axis=1)).astype(np.uint8), np.ones(15))
    assert cv2.connectedComponents(rows)[0] - 1 == 3
    assert photograph(rng, page).shape == page.shape


def test_luhn() -> None:
    assert with_luhn("7992739871") == "79927398713"  # the example of ISO/IEC 7812-1


def test_a_card_s_readings_agree() -> None:
    for number in range(20):
        digits = draw_card(number).digits
        assert int(digits["current_reading"]) - int(digits["previous_reading"]) == int(digits["consumption"])
        assert digits["customer"] == with_luhn(digits["customer"][:-1])


def test_samples_have_the_shipped_truth() -> None:
    samples = draw_samples()
    with (SAMPLES / "truth.csv").open(newline="") as file:
        shipped = list(csv.reader(file))
    assert tuple(shipped[0]) == TRUTH_COLUMNS
    assert [[f, str(p), n, d] for f, p, n, d in truth_rows(samples)] == shipped[1:]
    assert {s.path for s in samples} == {
        str(p.relative_to(SAMPLES)) for p in SAMPLES.rglob("*") if p.is_file() and p.suffix not in (".csv", ".md")
    }


@pytest.mark.parametrize("path", ["meter-card/card-1.png", "meter-card/card-2.png", "meter-card/cards-4-6.tiff"])
def test_shipped_cards_hold_ink_where_their_truth_says(card: FormTemplate, path: str) -> None:
    blank, scale = draw_blank(card, DPI), np.diag([DPI / 25.4, DPI / 25.4, 1.0])
    with (SAMPLES / "truth.csv").open(newline="") as file:
        truth = [row for row in csv.DictReader(file) if row["file"] == path]
    assert {row["field"] for row in truth} == {field.name for field in card.fields}
    image = Image.open(SAMPLES / path)
    for row in truth:
        image.seek(int(row["page"]))
        page = np.array(image.convert("L"))
        added = field_ink(page, scale, card, row["field"]) - field_ink(blank, scale, card, row["field"])
        assert (added > 20) == bool(row["digits"]), row


def test_samples_are_small_and_of_every_kind() -> None:
    samples = draw_samples()
    assert sum(len(s.content) for s in samples) < MAX_SAMPLES_BYTES
    assert {Path(s.path).suffix for s in samples} == {".png", ".jpg", ".tiff", ".pdf"}
    tiff = Image.open(io.BytesIO(next(s.content for s in samples if s.path.endswith(".tiff"))))
    assert (tiff.mode, tiff.n_frames, tiff.info["compression"]) == ("1", 3, "group4")  # type: ignore[attr-defined]
    assert round(tiff.info["dpi"][0]) == DPI
    damaged = next(s.content for s in samples if s.path == "damaged.jpg")
    with pytest.raises(OSError, match="truncated"):
        Image.open(io.BytesIO(damaged)).load()


def test_the_blank_card_is_a_pdf() -> None:
    assert blank_card().startswith(b"%PDF")
