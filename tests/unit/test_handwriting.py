"""Free pages with print: what is no handwriting of digits gives no numbers."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from worker.fields.cutting.segmentation import InkPart
from worker.fields.free_pages.writing import find_free_writing
from worker.fields.locating.handwriting import looks_written, may_be_number, without_print
from worker.fields.locating.number_lines import Glyph
from worker.models.runtime import load_recognizers
from worker.synthesis.pages import draw_free_page
from worker.synthesis.samples import draw_writer
from worker.values import Grey, Page, Recognizers

TEXT = "the account holder must sign below and send both forms back within thirty"


@pytest.fixture(scope="module")
def recognizers() -> Recognizers:
    return load_recognizers()


def glyph(height: int, width: int = 10) -> Glyph:
    return Glyph((InkPart(0, 0, np.ones((height, width), np.uint8)),))


def printed_page() -> Grey:
    page = np.full((900, 1200), 240, np.uint8)
    for y in range(60, 880, 45):
        cv2.putText(page, TEXT, (40, y), cv2.FONT_HERSHEY_COMPLEX, 0.8, 50, 1, cv2.LINE_AA)
    return page


def test_a_page_of_print_holds_no_numbers(recognizers: Recognizers) -> None:
    assert find_free_writing(Page("s", 0, printed_page())).fields
    assert find_free_writing(Page("s", 0, printed_page()), recognizers).fields == ()


def test_handwriting_alone_is_all_kept(recognizers: Recognizers) -> None:
    rng = np.random.default_rng(11)
    page = Page("s", 0, draw_free_page(rng, [["40718", "223"], ["95060"]], draw_writer(rng)))
    crops = find_free_writing(page, recognizers).fields
    assert [c.spec.name for c in crops] == [c.spec.name for c in find_free_writing(page).fields]
    assert len(crops) == 3


def test_digits_larger_than_the_print_around_stay() -> None:
    letters, digits = [glyph(20) for _ in range(30)], [glyph(45) for _ in range(4)]
    seen_as_digits = [glyph(20) for _ in range(10)]
    strangeness = dict.fromkeys(letters, 0.9) | dict.fromkeys([*seen_as_digits, *digits], 0.0)
    assert without_print(strangeness) == digits
    assert without_print(dict.fromkeys(seen_as_digits, 0.0)) == seen_as_digits


def test_joined_digits_are_no_print_that_others_must_be_larger_than() -> None:
    """Pages of numbers whose digits touch had no field at all: 20 pairs of digits were letters, and all was print."""
    pairs, digits, letters = ([glyph(20, w) for _ in range(20)] for w in (30, 15, 12))
    strangeness = dict.fromkeys(pairs, 0.9) | dict.fromkeys(digits, 0.0)
    assert without_print(strangeness) == [*pairs, *digits]
    assert without_print(strangeness | dict.fromkeys(letters, 0.9)) == []


def test_a_word_is_no_number_and_what_may_be_joined_digits_is_told_from_a_mark() -> None:
    word, number = [glyph(20) for _ in range(4)], [glyph(20) for _ in range(3)]
    strangeness = dict(zip([*word, *number], [0.9, 0.1, 0.9, 0.8, 0.0, 0.6, 0.1], strict=True))
    assert looks_written(number, strangeness)
    assert not looks_written(word, strangeness)
    assert [may_be_number(n) for n in ([glyph(20, 30)], [glyph(20)], number)] == [True, False, True]
