"""Normalization: one size, place and contrast whatever the crop."""

from __future__ import annotations

import inspect

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from worker.digits.normalization import BOX, SIZE, normalize_digit, normalize_digits


def draw_seven(height: int, width: int, pen: int) -> np.ndarray:
    ink = np.zeros((height, width), np.uint8)
    corners = np.array([[0.2, 0.15], [0.8, 0.15], [0.4, 0.9]]) * [width, height]
    cv2.polylines(ink, [corners.astype(np.int32)], False, 255, pen, cv2.LINE_AA)
    return ink


def difference(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(int) - other).mean())


@pytest.mark.parametrize("scale", [0.5, 2, 5])
def test_size_of_the_crop_does_not_matter(scale: float) -> None:
    seven = draw_seven(60, 45, 5)
    other = cv2.resize(seven, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    assert difference(normalize_digit(seven), normalize_digit(other)) < 12


def test_place_in_the_crop_does_not_matter() -> None:
    seven = draw_seven(60, 45, 5)
    moved = np.zeros((120, 150), np.uint8)
    moved[50:110, 90:135] = seven
    assert difference(normalize_digit(seven), normalize_digit(moved)) < 3


def test_faint_noisy_background_and_low_contrast_are_taken_out() -> None:
    seven = draw_seven(60, 45, 5)
    rng = np.random.default_rng(1)
    faint = (30 + seven * 0.4 + rng.normal(0, 4, seven.shape)).clip(0, 255).astype(np.uint8)
    assert difference(normalize_digit(seven), normalize_digit(faint)) < 12


def test_a_speck_does_not_shrink_the_digit() -> None:
    seven = draw_seven(60, 45, 5)
    dirty = seven.copy()
    dirty[57:59, 0:2] = 255
    assert difference(normalize_digit(seven), normalize_digit(dirty)) < 3


def test_aspect_is_kept() -> None:
    one = np.full((40, 6), 255, np.uint8)
    assert cv2.boundingRect(normalize_digit(one))[2:] == (3, BOX)


@pytest.mark.parametrize("shape", [(1, 1), (40, 30), (300, 20)])
@pytest.mark.parametrize("level", [0, 9, 200])
def test_a_crop_of_one_level_is_blank_or_filled(shape: tuple[int, int], level: int) -> None:
    normalized = normalize_digit(np.full(shape, level, np.uint8))
    assert normalized.any() == (level == 200)


@settings(max_examples=60, deadline=None)
@given(arrays(np.uint8, st.tuples(st.integers(1, 70), st.integers(1, 70))))
def test_any_crop_gives_one_image(ink: np.ndarray) -> None:
    before = ink.copy()
    normalized = normalize_digit(ink)
    assert normalized.shape == (SIZE, SIZE)
    assert normalized.dtype == np.uint8
    assert np.array_equal(ink, before)


def test_a_list_and_an_array_of_crops_give_the_same() -> None:
    crops = [draw_seven(30, 30, pen) for pen in (1, 2, 3)]
    assert np.array_equal(normalize_digits(crops), normalize_digits(np.stack(crops)))
    assert normalize_digits([]).shape == (0, SIZE, SIZE)


@pytest.mark.train
def test_training_and_worker_call_one_function() -> None:
    from worker.digits import classification
    from worker.training.digits import augmentation, data

    for room in (classification, augmentation, data):
        assert room.normalize_digits is normalize_digits
    assert "normalize_digits(" in inspect.getsource(augmentation.augment)
