from __future__ import annotations

import cv2
import numpy as np
import pytest

from worker.fields.line_reader import normalization as line_normalization
from worker.fields.line_reader import transcription
from worker.fields.line_reader.normalization import DIGIT_HEIGHT, LINE_HEIGHT, normalize_line
from worker.synthesis.fields import draw_field
from worker.synthesis.glyphs import draw_hand
from worker.synthesis.lines import write_line
from worker.synthesis.pen import Pen, draw_ink
from worker.values import Box


def draw_clean(text: str = "407283", seed: int = 0) -> np.ndarray:
    """Draw a number on plain paper; seed 0 writes it 134 px high, some others 17 px, too small to change."""
    return draw_field(np.random.default_rng(seed), text, clean=True).grey


def ink_rows(image: np.ndarray) -> int:
    rows = np.flatnonzero((image > 127).any(axis=1))
    return int(rows[-1] - rows[0] + 1)


@pytest.mark.train
def test_training_and_worker_share_one_function() -> None:
    from worker.training.fields import samples

    assert samples.normalize_line is transcription.normalize_line
    rng = np.random.default_rng(5)
    line = next(found for found in (samples.draw_line(rng) for _ in range(20)) if found is not None)
    again = np.random.default_rng(5)
    again.random()  # whether the field is blank
    grey = draw_field(again, samples.draw_text(again), struck_share=samples.STRUCK_SHARE).grey
    assert np.array_equal(line.image, normalize_line(grey).image)


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0, 5.0])
def test_digits_fill_the_same_rows_at_any_resolution(scale: float) -> None:
    grey = cv2.resize(draw_clean(), None, fx=2 * scale, fy=2 * scale, interpolation=cv2.INTER_AREA)
    line = normalize_line(grey)
    assert line.image.shape[0] == LINE_HEIGHT and line.image.shape[1] % 4 == 0
    assert DIGIT_HEIGHT * 0.8 <= ink_rows(line.image) <= LINE_HEIGHT


def test_light_and_contrast_do_not_matter() -> None:
    grey = draw_clean()
    faint = (140 + grey.astype(np.float32) * 0.3 + np.linspace(-20, 20, grey.shape[1])).astype(np.uint8)
    plain, dim = normalize_line(grey).image, normalize_line(faint).image
    assert dim.shape[0] == plain.shape[0] and abs(dim.shape[1] - plain.shape[1]) <= 8
    width = min(dim.shape[1], plain.shape[1])
    assert np.mean((dim[:, :width] > 127) != (plain[:, :width] > 127)) < 0.06


def test_a_frame_does_not_shrink_the_digits() -> None:
    grey = cv2.copyMakeBorder(draw_clean(), 20, 20, 20, 20, cv2.BORDER_CONSTANT, value=250)
    framed = grey.copy()
    cv2.rectangle(framed, (3, 3), (grey.shape[1] - 4, grey.shape[0] - 4), 40, 2)
    assert normalize_line(framed).scale == pytest.approx(normalize_line(grey).scale, rel=0.12)


@pytest.mark.parametrize("text", ["5", "1", "17", "40", "258"])
def test_a_wide_frame_with_paper_around_it_is_no_part_of_its_number(text: str) -> None:
    """Its sides, shorter than the crop, had been the line: of 32 lone digits in such boxes nine were accepted."""
    rng, others = np.random.default_rng(1), 0
    for seed in range(80):
        plain, _, _ = _draw_lone(seed, text)
        paper, room, at = int(rng.integers(4, 17)), rng.uniform(0, 480), rng.uniform()
        left, right = (paper + 12 + round(room * share) for share in (at, 1 - at))
        grey = cv2.copyMakeBorder(plain, paper + 6, paper + 6, left, right, cv2.BORDER_CONSTANT, value=235)
        framed, thickness = grey.copy(), int(rng.integers(1, 4))
        cv2.rectangle(framed, (paper, paper), (grey.shape[1] - paper - 1, grey.shape[0] - paper - 1), 60, thickness)
        without, within = normalize_line(grey), normalize_line(framed)
        others += within.scale != pytest.approx(without.scale, rel=0.15) or abs(within.x0 - without.x0) > 8
    assert others <= 2


def test_pencil_in_a_black_frame_is_still_found() -> None:
    grey = np.full((110, 300), 240, np.uint8)
    cv2.putText(grey, "4703", (60, 75), cv2.FONT_HERSHEY_SIMPLEX, 1.6, 185, 3, cv2.LINE_AA)
    cv2.rectangle(grey, (12, 12), (287, 97), 30, 2)
    line = normalize_line(grey)
    assert line.ink and line.x0 < 60 and line.x0 + line.image.shape[1] / line.scale > 190


@pytest.mark.parametrize("grey", [np.full((40, 200), 230, np.uint8), np.zeros((30, 90), np.uint8)])
def test_a_crop_without_contrast_has_no_ink(grey: np.ndarray) -> None:
    assert normalize_line(grey).ink == 0


def test_paper_grain_is_not_ink() -> None:
    grain = np.random.default_rng(0).normal(225, 4, (60, 240)).clip(0, 255).astype(np.uint8)
    assert normalize_line(grain).ink == 0


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (2, 2), (7, 3)])
def test_tiny_crops_are_read_without_error(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    assert normalize_line(rng.integers(0, 256, shape, dtype=np.uint8)).image.shape[0] == LINE_HEIGHT


def test_line_columns_lead_back_to_the_crop() -> None:
    grey = np.full((60, 300), 240, np.uint8)
    cv2.rectangle(grey, (100, 15), (110, 45), 20, -1)
    cv2.rectangle(grey, (200, 15), (210, 45), 20, -1)
    line = normalize_line(grey)
    columns = np.flatnonzero((line.image > 127).any(axis=0))
    both = line.to_crop_box(Box(columns[0], 0, columns[-1] + 1 - columns[0], LINE_HEIGHT))
    assert (both.x, both.x + both.w) == pytest.approx((100, 211), abs=1.5)


def plain_percentile(values: np.ndarray, weights: np.ndarray, percent: float) -> float:
    order = np.argsort(values, kind="stable")
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, percent / 100 * total[-1])])


def plain_gutters(grey: np.ndarray) -> np.ndarray:
    height, width = grey.shape
    bright = np.searchsorted(np.cumsum(np.bincount(grey.ravel(), minlength=256)), 95 / 100 * grey.size)
    size = max(9, height // 5)
    dark = (grey < line_normalization.GUTTER_TONE * bright).astype(np.uint8)
    solid = cv2.morphologyEx(dark, cv2.MORPH_OPEN, np.ones((size, size), np.uint8))
    gutters = np.zeros((height, width), np.uint8)
    for axis, place in ((0, solid[:, 0]), (0, solid[:, -1]), (1, solid[0]), (1, solid[-1])):
        along = (place.mean() > 0.6) * solid.mean(axis=axis) > 0.6
        gutters[(slice(None), along) if axis == 0 else along] = 1
    rim = max(5, size // 2) | 1
    return cv2.dilate(gutters, np.ones((rim, rim), np.uint8)).astype(bool)


@pytest.mark.parametrize("seed", range(12))
def test_quick_forms_give_what_the_plain_ones_gave_when_the_models_were_trained(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(seed)
    grey = draw_field(rng, str(rng.integers(10, 10**7))).grey.copy()
    if seed % 3 == 1:
        grey[:, : grey.shape[1] // 7] = 10  # a gutter
    quick = normalize_line(grey)
    monkeypatch.setattr(line_normalization, "_weighted_percentile", plain_percentile)
    monkeypatch.setattr(line_normalization, "_solid_areas", plain_gutters)
    plain = normalize_line(grey)
    assert np.array_equal(quick.image, plain.image)
    assert (quick.scale, quick.x0, quick.y0, quick.ink) == (plain.scale, plain.x0, plain.y0, plain.ink)


def test_digits_in_a_deep_shadow_belong_to_the_line_and_those_in_a_gutter_do_not() -> None:
    """A shadow of 60 % along a side had been taken for a gutter, and 506284 was read 5062, surely."""
    grey = np.full((60, 300), 235, np.uint8)
    cv2.putText(grey, "506284", (20, 44), cv2.FONT_HERSHEY_SIMPLEX, 1.4, 60, 3)
    whole = normalize_line(grey)
    shaded, gutter = grey.astype(np.float32), grey.copy()
    shaded[:, 115:] *= 0.42
    gutter[:, 115:] = gutter[:, 115:] // 12
    in_shade, in_gutter = normalize_line(shaded.astype(np.uint8)), normalize_line(gutter)
    assert abs(in_shade.image.shape[1] - whole.image.shape[1]) <= 8
    assert in_gutter.image.shape[1] < 0.7 * whole.image.shape[1]


def _with_strokes(*strokes: tuple[float, float, float]) -> tuple[np.ndarray, float]:
    """Return digits with room at their right, level strokes drawn there, and the last digit's right end in pixels.

    A stroke is where it begins, how long it is (in heights of the digits, from that end) and how far down.
    """
    grey = cv2.copyMakeBorder(draw_clean(), 0, 0, 0, 400, cv2.BORDER_CONSTANT, value=250)
    sample = draw_field(np.random.default_rng(0), "407283", clean=True)
    end = float((sample.boxes[:, 0] + sample.boxes[:, 2]).max())
    top, height = float(sample.boxes[:, 1].min()), float(sample.boxes[:, 3].max())
    for start, length, down in strokes:
        x, y = round(end + start * height), round(top + down * height)
        cv2.line(grey, (x, y), (round(x + length * height), y), 30, max(2, round(0.08 * height)))
    return grey, end


def _reach(grey: np.ndarray, end: float) -> float:
    """Return how many heights of the digits the line's ink reaches beyond the last one."""
    line = normalize_line(grey)
    columns = np.flatnonzero((line.image > 127).any(axis=0))
    return (line.to_crop_box(Box(columns[-1], 0, 1, LINE_HEIGHT)).x - end) * line.scale / DIGIT_HEIGHT


@pytest.mark.parametrize("length", [0.3, 0.7, 2.0])
def test_a_line_reaches_to_the_dash_behind_its_last_digit(length: float) -> None:
    assert _reach(*_with_strokes((0.4, length, 0.5))) == pytest.approx(min(0.4 + length, 1.4), abs=0.3)


def test_a_line_does_not_reach_to_what_is_far_below_or_is_a_rule() -> None:
    for far in ((1.5, 0.6, 0.5), (0.4, 0.6, 1.15), (0.2, 5.0, 0.5)):
        assert _reach(*_with_strokes(far)) < 0.3, far


@pytest.mark.parametrize("drop", [0.0, 0.15])
def test_a_line_reaches_to_the_point_or_comma_before_its_first_digit(drop: float) -> None:
    """The reader saw `.75` from the 7 on, and read 75."""
    grey = cv2.copyMakeBorder(draw_clean(), 0, 0, 400, 0, cv2.BORDER_CONSTANT, value=250)
    sample = draw_field(np.random.default_rng(0), "407283", clean=True)
    left, height = 400 + float(sample.boxes[:, 0].min()), float(sample.boxes[:, 3].max())
    foot, size = float(sample.boxes[:, 1].min()) + height, 0.1 * height
    before = normalize_line(grey)
    x, y = round(left - 0.4 * height), round(foot - size / 2)
    cv2.line(grey, (x, y), (x, round(y + drop * height)), 30, round(size))
    reached = normalize_line(grey)
    assert before.x0 - reached.x0 == pytest.approx(0.4 * height, abs=0.15 * height)


def _draw_lone(seed: int, text: str) -> tuple[np.ndarray, float, float]:
    """Draw a number with room around it; return the crop and where its ink begins and ends, in rows."""
    rng = np.random.default_rng([seed, int(text)])
    pen = Pen(width=float(rng.uniform(0.06, 0.14)))
    shape = np.concatenate(write_line(rng, draw_hand(rng), text, pen.width).shapes).astype(np.float32)
    height = float(rng.uniform(28, 80))
    low, high = shape.reshape(-1, 2).min(axis=0), shape.reshape(-1, 2).max(axis=0)
    left, right, above, below = rng.uniform(0.2, 1.0, 4) * height
    points = (shape - low) * height + np.float32([left, above])
    rows, columns = (high - low)[::-1] * height + [above + below, left + right]
    grey = np.full((round(rows), round(columns)), 235, np.uint8)
    grey -= (draw_ink(rng, points, grey.shape, pen, height) * 0.75).astype(np.uint8)
    inked = np.flatnonzero((grey < 150).any(axis=1))
    return grey, float(inked[0]), float(inked[-1] + 1)


@pytest.mark.parametrize("digit", "023456789")
def test_no_stroke_of_a_lone_digit_is_taken_for_a_rule(digit: str) -> None:
    """A 9 whose wide ring was taken for a rule was read without its tail, and accepted as 0."""
    cut = 0
    for seed in range(60):
        grey, top, bottom = _draw_lone(seed, digit)
        line = normalize_line(grey)
        margin = (LINE_HEIGHT - DIGIT_HEIGHT) / 2 / line.scale
        off = max(abs(line.y0 + margin - top), abs(line.y0 + LINE_HEIGHT / line.scale - margin - bottom))
        cut += not line.ink or off > 0.2 * (bottom - top)
    assert cut <= 4, "the bar of a 5 may stand apart"


def test_a_minus_is_read_where_the_line_falls() -> None:
    """-70.135,57 on a falling line was accepted as 70.135,57: the sign stands above the line's middle rows."""
    grey = np.full((90, 260), 240, np.uint8)
    for i in range(4):
        cv2.ellipse(grey, (90 + 45 * i, 30 + 9 * i), (12, 18), 0, 0, 360, 30, 4)
    cv2.line(grey, (25, 14), (62, 14), 30, 4)
    line = normalize_line(grey)
    assert line.x0 <= 40, "three fifths of the sign are within the line"
