"""Real pens' strokes as shapes: traced, told apart, swapped within a hand, and drawn as fields."""

from __future__ import annotations

import hashlib
from itertools import pairwise

import numpy as np
import pytest

from worker.synthesis.pens import draw_written_number, lay_out_number, rewrite_number, trace_stroke
from worker.training.general.pens import is_held_out, spell


def _upright(x: float, top: float = 0.0, foot: float = 100.0) -> np.ndarray:
    return np.array([[x, top], [x + 1, (top + foot) / 2], [x, foot]], np.float32)


@pytest.mark.parametrize("writer", ["aga000", "ap013", "lex001", "w", ""])
def test_a_writer_is_held_out_by_the_first_digit_of_its_codes_hash(writer: str) -> None:
    assert is_held_out(writer) == (hashlib.sha256(writer.encode()).hexdigest()[0] in "01234")


def test_about_five_of_sixteen_writers_are_held_out() -> None:
    share = np.mean([is_held_out(f"writer{i}") for i in range(3000)])
    assert 0.28 < share < 0.345


def test_a_label_is_spelt_in_the_alphabet() -> None:
    assert spell("( 2 1 2 ) 753-8675") == "#212#753-8675"
    assert spell("$1,000.50") == "$1,000.50"
    assert spell("20%") == "20#"


def test_a_tap_of_the_pen_is_a_dot() -> None:
    assert len(trace_stroke(np.array([[0.5, 0.5]], np.float32))) == 1


def test_a_fast_pens_gaps_are_bent_round_and_pass_the_recorded_points() -> None:
    quarter = np.linspace(0, np.pi, 7)
    points = np.stack([np.cos(quarter), np.sin(quarter)], axis=1).astype(np.float32)
    shape = trace_stroke(points)
    radii = np.linalg.norm(shape.reshape(-1, 2), axis=1)
    assert len(shape) > 20
    assert abs(radii - 1).max() < 0.025  # the chords between the points are 0.034 off
    for point in points:
        assert np.linalg.norm(shape.reshape(-1, 2) - point, axis=1).min() < 1e-5


def test_signs_are_told_apart_and_digits_stand_on_the_line() -> None:
    dash = np.array([[70, 55], [110, 55]], np.float32)
    number = lay_out_number("1-1", [_upright(20), dash, _upright(160)])
    assert number.is_split
    first, middle, last = number.shapes
    assert (first[..., 1].min(), first[..., 1].max()) == pytest.approx((0, 1), abs=0.01)
    assert middle[..., 1].mean() == pytest.approx(0.55, abs=0.02)
    assert first[..., 0].min() == pytest.approx(0) and last[..., 0].min() == pytest.approx(1.4, abs=0.02)


def test_a_crossed_seven_is_one_sign() -> None:
    seven = np.array([[0, 0], [50, 0], [20, 100]], np.float32)
    bar = np.array([[10, 50], [45, 50]], np.float32)
    number = lay_out_number("71", [seven, bar, _upright(90)])
    assert number.is_split and len(number.shapes) == 2


def test_a_number_in_one_stroke_stays_in_one_piece() -> None:
    joined = np.array([[0, 0], [0, 100], [50, 60], [60, 0], [60, 100]], np.float32)
    number = lay_out_number("11", [joined])
    assert not number.is_split
    assert rewrite_number(np.random.default_rng(0), number, [[trace_stroke(joined)]] * 10, 1.0) is number


def test_swapped_digits_keep_the_gaps_between_signs() -> None:
    number = lay_out_number("111", [_upright(0), _upright(50), _upright(120)])
    wide = lay_out_number("0", [np.array([[0, 0], [80, 50], [0, 100]], np.float32)]).shapes[0]
    swapped = rewrite_number(np.random.default_rng(0), number, [[wide], *([[]] * 9)], 1.0)
    assert swapped.text == "000"
    spans = [(s[..., 0].min(), s[..., 0].max()) for s in swapped.shapes]
    gaps = [right[0] - left[1] for left, right in pairwise(spans)]
    assert gaps == pytest.approx([0.49, 0.69], abs=0.02)


def test_a_written_number_is_drawn_with_a_box_for_each_sign() -> None:
    number = lay_out_number("1-1", [_upright(20), np.array([[70, 55], [110, 55]], np.float32), _upright(160)])
    for seed in range(5):
        sample = draw_written_number(np.random.default_rng(seed), number)
        assert sample.text == "1-1" and sample.boxes.shape == (3, 4)
        assert sample.grey.dtype == np.uint8 and (sample.boxes[:, 0].argsort() == np.arange(3)).all()
