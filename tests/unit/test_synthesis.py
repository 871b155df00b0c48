"""What the generator draws is what it says it drew."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
import pytest

from worker.synthesis.allographs import ALLOGRAPHS, LETTERS
from worker.synthesis.digits import add_remnants, draw_digit, draw_non_digit
from worker.synthesis.fields import _neighbouring_rows, _tilt, draw_field
from worker.synthesis.glyphs import draw_chain, draw_hand, shape_from_strokes
from worker.synthesis.lines import DEEPEST_OVERLAP, write_line
from worker.synthesis.numbers import ALPHABET, draw_measured, draw_number, group_lakhs, group_thousands, named
from worker.synthesis.pen import GlyphBank, Pen, draw_ink, repen, shape_of_image, thin


def drawn(text: str, size: int = 28) -> np.ndarray:
    segments = (shape_from_strokes(text) * (size - 8) + np.array([6, 4])).astype(np.float32)
    return draw_ink(np.random.default_rng(0), segments, (size, size), Pen(0.12), size - 8.0)


@pytest.fixture(scope="module")
def bank() -> GlyphBank:
    images = np.stack([drawn(ALLOGRAPHS[str(d)][i][0]) for d in range(10) for i in range(4)])
    return GlyphBank(images, np.repeat(np.arange(10), 4), np.tile(np.arange(4), 10))


@pytest.mark.parametrize("digit", sorted(ALLOGRAPHS))
def test_every_allograph_fills_its_box(digit: str) -> None:
    assert len(ALLOGRAPHS[digit]) >= 10
    for text, weight in ALLOGRAPHS[digit]:
        shape = shape_from_strokes(text)
        low, high = shape.min(axis=(0, 1)), shape.max(axis=(0, 1))
        assert weight > 0
        assert -0.2 <= low[1] <= 0.1, text
        assert 0.9 <= high[1] <= 1.25, text
        assert high[0] - low[0] <= 1.3, text


def test_letters_are_shapes() -> None:
    for text in LETTERS.values():
        assert len(shape_from_strokes(text)) > 3


def test_a_smooth_curve_runs_through_its_points_and_a_corner_cuts_it() -> None:
    smooth = shape_from_strokes("0,0 50,50 100,0").reshape(-1, 2)
    corner = shape_from_strokes("0,0 50,50! 100,0").reshape(-1, 2)
    for points in (smooth, corner):
        assert np.abs(points - [0.5, 0.5]).max(axis=1).min() < 1e-6
    assert smooth[:, 1].max() <= 0.52
    straightness = np.abs(corner[:, 1] - np.minimum(corner[:, 0], 1 - corner[:, 0])).max()
    assert straightness < 1e-6


@pytest.mark.parametrize("clean", [True, False])
def test_a_field_is_the_same_for_the_same_seed(clean: bool) -> None:
    for seed in range(12):
        a, b = (draw_field(np.random.default_rng(seed), clean=clean) for _ in range(2))
        assert a.text == b.text
        assert np.array_equal(a.grey, b.grey)
        assert np.array_equal(a.boxes, b.boxes)


def test_fields_differ_between_seeds() -> None:
    assert len({draw_field(np.random.default_rng(seed)).grey.tobytes() for seed in range(20)}) == 20


def test_a_field_s_boxes_hold_its_ink() -> None:
    for seed in range(150):
        sample = draw_field(np.random.default_rng(seed), clean=True)
        H, W = sample.grey.shape
        assert sample.grey.dtype == np.uint8
        assert sample.boxes.shape == (len(sample.text), 4)
        assert set(sample.text) <= set(ALPHABET)
        x, y, w, h = sample.boxes.T
        assert (x >= 0).all() and (y >= 0).all()
        assert (x + w <= W + 1e-3).all() and (y + h <= H + 1e-3).all()
        paper = int(np.median(sample.grey))
        whole = sample.boxes.round().astype(int)
        for sign, (left, top, width, height) in zip(sample.text, whole, strict=True):
            inside = sample.grey[top : top + height, left : left + width]
            assert not sign.isdigit() or inside.min() < paper - 8, (seed, sign)


def test_a_field_that_lies_askew_has_its_boxes_where_its_ink_went() -> None:
    sample = draw_field(np.random.default_rng(2), "123456789", clean=True, in_cells=True)
    turned, boxes = _tilt(sample.grey, sample.boxes, 3.0)
    moved = np.abs(boxes[:, 1] - sample.boxes[:, 1])
    assert moved[[0, -1]].min() > 2 and moved[4] < moved[[0, -1]].min()
    paper = int(np.median(turned))
    for left, top, width, height in boxes.round().astype(int):
        ink = (turned < paper - 40)[max(0, top) : top + height, max(0, left) : left + width]
        middle = np.argwhere(ink).mean(axis=0) / ink.shape
        assert np.abs(middle - 0.5).max() < 0.2


def test_a_field_holds_the_text_it_was_asked_for() -> None:
    for text in ("0", "1234567890", "1.234.567,-", "12,34,567/-", "$12=", "#1#", "12345/100", "05/11/2026"):
        assert draw_field(np.random.default_rng(1), text).text == text


def test_digits_come_in_reading_order() -> None:
    for seed in range(60):
        sample = draw_field(np.random.default_rng(seed), "123456", clean=True)
        middles = sample.boxes[:, 0] + sample.boxes[:, 2] / 2
        assert (np.diff(middles) > 0).mean() >= 0.8


def test_a_1_never_hides_in_its_neighbours() -> None:
    for seed in range(100):
        rng = np.random.default_rng(seed)
        upright = replace(draw_hand(rng), gap=-0.6, slant=0.0, growth=0.0, drift=0.0)
        for before, after in pairwise(write_line(rng, upright, "70143126", 0.1).shapes):
            narrower = min(np.ptp(shape[..., 0]) for shape in (before, after))
            overlap = before[..., 0].max() - after[..., 0].min()
            assert overlap <= DEEPEST_OVERLAP * narrower - 0.08 + 1e-4, seed


@pytest.mark.parametrize("count", [2, 3, 6])
def test_a_chain_of_zeros_is_one_line_of_as_many_shapes(count: int) -> None:
    for seed in range(30):
        chain = draw_chain(np.random.default_rng(seed), count)
        assert len(chain) == count
        middles = [(shape[..., 0].min() + shape[..., 0].max()) / 2 for shape in chain]
        assert (np.diff(middles) > 0).all()
        for before, after in pairwise(chain):
            assert np.allclose(before[-1, 1], after[0, 0], atol=1e-5)
        points = np.concatenate(chain)[..., 1]
        assert points.min() > -0.4 and points.max() < 1.2


def test_real_glyphs_join_a_field(bank: GlyphBank) -> None:
    for seed in range(10):
        sample = draw_field(np.random.default_rng(seed), "0123456789", glyphs=bank)
        assert len(sample.boxes) == 10


def test_a_hand_of_a_bank_takes_one_writer(bank: GlyphBank) -> None:
    hand = draw_hand(np.random.default_rng(0), bank, real_share=1.0, digits="07")
    assert len(hand.shapes[0]) > 0 and len(hand.shapes[7]) > 0
    assert hand.shapes[3] == ()


def test_a_bank_without_a_digit_is_refused() -> None:
    with pytest.raises(ValueError, match="every digit"):
        GlyphBank(np.zeros((2, 28, 28), np.uint8), np.array([0, 1]))


def test_thinning_leaves_lines_one_pixel_wide_and_whole() -> None:
    ring = cv2.circle(np.zeros((60, 60), np.uint8), (30, 30), 20, 255, 7)
    skeleton = thin(ring)
    assert cv2.connectedComponents(skeleton.astype(np.uint8))[0] == 2
    assert abs(int(skeleton.sum()) - 2 * np.pi * 20 * 0.9) < 20
    assert not (cv2.erode(skeleton.astype(np.uint8), np.ones((2, 2))) > 0).any()


def test_an_empty_image_has_no_shape() -> None:
    assert shape_of_image(np.zeros((28, 28), np.uint8)).shape == (0, 2, 2)


@pytest.mark.parametrize("text", [ALLOGRAPHS[d][0][0] for d in "0123456789"])
def test_repen_keeps_the_shape_and_changes_the_width(text: str) -> None:
    rng = np.random.default_rng(0)
    ink = drawn(text, 56)
    thin_ink, thick_ink = (repen(rng, ink, Pen(width)) for width in (0.05, 0.2))
    assert (thin_ink > 128).sum() < (ink > 128).sum() < (thick_ink > 128).sum()
    near = cv2.dilate(ink, np.ones((7, 7)))
    assert ((thin_ink > 128) & (near == 0)).sum() <= 0.05 * (thin_ink > 128).sum()


def test_single_glyphs_have_ink_and_labels() -> None:
    rng = np.random.default_rng(0)
    labels = set()
    for _ in range(200):
        ink, label = draw_digit(rng, remnants=0.0)
        labels.add(label)
        assert ink.dtype == np.uint8 and ink.max() > 60 and min(ink.shape) >= 6
    assert labels == set(range(10))


def test_non_digits_are_images() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        ink = draw_non_digit(rng)
        assert ink.ndim == 2 and ink.dtype == np.uint8 and min(ink.shape) >= 2


def test_remnants_leave_their_source_alone() -> None:
    ink = np.zeros((40, 30), np.uint8)
    assert max(int(add_remnants(np.random.default_rng(s), ink).max()) for s in range(10)) > 0
    assert ink.max() == 0


def test_grouping() -> None:
    assert group_thousands("1234567", ".") == "1.234.567"
    assert group_lakhs("1234567", ",") == "12,34,567"
    assert group_lakhs("123", ",") == "123"


def test_numbers_keep_to_the_alphabet() -> None:
    rng = np.random.default_rng(0)
    texts = [draw_number(rng) for _ in range(2000)]
    assert all(t and set(t) <= set(ALPHABET) and any(c.isdigit() for c in t) for t in texts)
    assert all(any(mark in t for t in texts) for mark in ALPHABET)


@pytest.mark.parametrize("seed", range(12))
def test_a_struck_run_is_named_and_more_ink_than_the_digits_alone(seed: int) -> None:
    plain = draw_field(np.random.default_rng(seed), "40861", clean=True, in_cells=False, real_share=0)
    struck = draw_field(np.random.default_rng(seed), "40861", clean=True, in_cells=False, real_share=0, struck_share=1)
    assert plain.text == "40861"
    assert "#" in struck.text and len(struck.text) == 5
    assert all(sign in ("#", digit) for sign, digit in zip(struck.text, "40861", strict=True))
    assert "#" * struck.text.count("#") in struck.text  # one run


def test_rows_above_and_below_reach_into_a_field_beside_its_line() -> None:
    rng = np.random.default_rng(4)
    reaching, beside = 0, []
    for _ in range(40):
        size = (int(rng.integers(60, 120)), 300)
        box = np.array([40.0, 20.0, 200.0, size[0] - 20.0], np.float32)
        rows = _neighbouring_rows(rng, box, size).reshape(-1, 2)
        inside = rows[(rows[:, 1] > 0) & (rows[:, 1] < size[0])]
        reaching += len(inside) > 0
        beside += list((inside[:, 1] < box[1]) | (inside[:, 1] > box[3]))
    assert reaching > 30
    assert np.mean(beside) > 0.8  # tall digits and tails may touch the line, as on paper


def test_measured_numbers_are_drawn_with_every_sign_and_named_by_the_readers_alphabet() -> None:
    rng = np.random.default_rng(4)
    texts = [draw_measured(rng) for _ in range(400)]
    assert {sign for text in texts for sign in text} == set("0123456789.,-/:'%°mkglh")
    assert {named(sign) for text in texts for sign in text} == set("0123456789.,-/#")
    assert any(text[0] in ".," for text in texts) and any(text[0] == "-" for text in texts)
    for text in texts[:30]:
        sample = draw_field(rng, text, clean=True)
        assert sample.text == text and len(sample.boxes) == len(text)
        for sign, (x, y, w, h) in zip(text, sample.boxes.round().astype(int).tolist(), strict=True):
            ink = sample.grey[max(0, y) : y + h, max(0, x) : x + w]
            assert ink.min() < np.median(sample.grey) - 25, (text, sign)


@pytest.mark.parametrize("seed", range(6))
def test_a_sign_that_leaves_no_ink_changes_nothing_else(seed: int) -> None:
    whole, without, nothing = (
        draw_field(np.random.default_rng(seed), "12.5", in_cells=False, hidden=hidden) for hidden in ((), {2}, range(4))
    )
    assert (whole.boxes == without.boxes).all() and whole.text == without.text
    x, y, w, h = (int(v) for v in whole.boxes[2])
    elsewhere = np.ones(whole.grey.shape, bool)
    elsewhere[max(0, y - 12) : y + h + 12, max(0, x - 12) : x + w + 12] = False
    changed = np.abs(whole.grey.astype(int) - without.grey)
    assert changed[elsewhere].mean() < 3
    assert nothing.grey.astype(int).sum() > without.grey.astype(int).sum()
