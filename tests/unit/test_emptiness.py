"""Empty fields with their print and texture are blank, though their form asks for digits; written ones are not."""

from __future__ import annotations

import numpy as np
import pytest

from tests.benchmarks.accuracy.measure_blanks import draw, read
from worker.models.runtime import load_recognizers
from worker.values import Recognizers


@pytest.fixture(scope="module")
def recognizers() -> Recognizers:
    return load_recognizers()


@pytest.mark.parametrize("cells", [0, 6])
def test_drawn_empty_fields_are_blank(cells: int, recognizers: Recognizers) -> None:
    rng = np.random.default_rng([41, cells])
    found = [read(draw(rng, cells, written=False), cells, recognizers).status.value for _ in range(40)]
    assert found.count("blank") >= 37  # 83 % were, before anyone asked what the reader makes of no digit at all
    assert "accepted" not in found


@pytest.mark.parametrize("cells", [0, 6])
def test_drawn_written_fields_are_not(cells: int, recognizers: Recognizers) -> None:
    rng = np.random.default_rng([42, cells])
    found = [read(draw(rng, cells, written=True), cells, recognizers).status.value for _ in range(30)]
    assert found.count("blank") <= 1
