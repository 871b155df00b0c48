"""The general reader's picture of a line."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from schemas.form_template import FieldSpec
from worker.fields.cutting.cleaning import clean_field
from worker.fields.line_reader.decoding import ALPHABET
from worker.fields.line_reader.general_line import FILL, LEAST_GENERAL_WIDTH, cut_extent, cut_general_line
from worker.fields.line_reader.normalization import normalize_line
from worker.models.runtime import load_recognizers
from worker.synthesis.fields import draw_field
from worker.values import Box, Extent, FieldCrop


def _crop(grey: np.ndarray) -> FieldCrop:
    height, width = grey.shape
    spec = FieldSpec(name="field", box_mm=(0, 0, 100, 20))
    return FieldCrop(spec, grey, Box(0, 0, width, height), np.eye(3))


def _find_and_cut(crop: FieldCrop) -> np.ndarray:
    """Cut the line as the readers do, which look for it without print in a crop that is higher than wide."""
    height, width = crop.grey.shape
    seen = clean_field(crop) if height > width else crop
    return cut_general_line(crop, seen, normalize_line(seen.grey))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("text", ["7", "12.345", "0123456789"])
def test_a_cut_has_48_rows_and_whole_steps_of_columns(seed: int, text: str) -> None:
    cut = _find_and_cut(_crop(draw_field(np.random.default_rng(seed), text).grey))
    assert cut.dtype == np.uint8 and cut.shape[0] == 48
    assert cut.shape[1] >= LEAST_GENERAL_WIDTH and cut.shape[1] % 8 == 0


def test_a_short_line_is_filled_up_with_middle_grey() -> None:
    cut = cut_extent(np.full((100, 100), 250, np.uint8), Extent(10, 20, 50, 68))
    assert (cut[:, :40] == 250).all() and (cut[:, 40:] == FILL).all()


def test_an_empty_extent_is_all_middle_grey() -> None:
    assert (cut_extent(np.zeros((30, 30), np.uint8), Extent(12, 5, 12, 25)) == FILL).all()


def test_a_field_without_ink_gives_a_cut_too() -> None:
    assert _find_and_cut(_crop(np.full((60, 200), 240, np.uint8))).shape[0] == 48


def test_the_cut_keeps_raw_greys() -> None:
    """Paper is not flattened: its shade is part of what the general reader was taught on."""
    sample = draw_field(np.random.default_rng(3), "47114711", clean=True)  # wide: no filling up with middle grey
    darker = (sample.grey * 0.6).astype(np.uint8)
    assert np.median(_find_and_cut(_crop(darker))) == pytest.approx(0.6 * np.median(sample.grey), abs=12)


def test_a_line_of_a_tall_crop_is_cut_at_its_place() -> None:
    """In a crop higher than wide the line is found in the cleaned crop, and cut out of the raw one."""
    line = cv2.resize(draw_field(np.random.default_rng(1), "305", clean=True).grey, (96, 48))
    paper = np.full((3 * line.shape[1], line.shape[1] + 40), 235, np.uint8)
    paper[line.shape[1] : line.shape[1] + line.shape[0], 20 : 20 + line.shape[1]] = line
    cut = _find_and_cut(_crop(paper))
    ink = (cut < 120).any(axis=0)
    assert ink.any() and (cut < 120).mean() > 0.02


def test_the_shipped_general_reader_answers_every_eight_columns() -> None:
    recognizers = load_recognizers()
    assert recognizers.transcribe_general is not None
    cuts = [_find_and_cut(_crop(draw_field(np.random.default_rng(seed), "2026").grey)) for seed in range(3)]
    for cut, answer in zip(cuts, recognizers.transcribe_general(cuts), strict=True):
        assert answer.shape == (cut.shape[1] // 8, len(ALPHABET) + 1)
        assert np.exp(answer).sum(axis=1) == pytest.approx(np.ones(len(answer)), abs=1e-4)
    assert "general" in recognizers.versions
