"""Rule of free pages, on drawn ones: no number is passed over in silence, and no part of one is accepted."""

from __future__ import annotations

import numpy as np
import pytest

from tests.benchmarks.accuracy.measure_free_writing import follow_numbers, read_sample
from worker.models.runtime import load_recognizers
from worker.synthesis.free_pages import draw_free_page_sample
from worker.values import Recognizers

PAGES = 12
"""The long form is ``python -m tests.benchmarks.accuracy.measure_free_writing``: 300 pages."""


@pytest.fixture(scope="module")
def recognizers() -> Recognizers:
    return load_recognizers()


@pytest.mark.parametrize("page", range(PAGES))
def test_every_number_is_read_or_named_and_none_is_accepted_in_part(page: int, recognizers: Recognizers) -> None:
    sample = draw_free_page_sample(np.random.default_rng([62, page]))
    fates = follow_numbers(sample, read_sample(sample, recognizers))
    silent = ("lost", "fragment accepted", "accepted wrong")
    assert [(f.number.text, f.outcome, f.reads) for f in fates if f.outcome in silent] == []


def test_a_page_is_the_same_for_the_same_seed() -> None:
    first, again = (draw_free_page_sample(np.random.default_rng(7)) for _ in range(2))
    assert (first.grey == again.grey).all()
    assert first.numbers == again.numbers
