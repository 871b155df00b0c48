"""No drawn field is accepted that means something else because a mark was dropped."""

import pytest

from tests.benchmarks.accuracy.measure_values import count_outcomes
from worker.synthesis.written_values import KINDS

FIELDS = 64


@pytest.mark.parametrize("kind", KINDS)
def test_no_accepted_field_means_something_else_for_a_dropped_mark(kind: str) -> None:
    counts = count_outcomes(kind, FIELDS, seed=2)
    assert counts["wrong marks"] == 0
    assert counts["accepted"] > 0
