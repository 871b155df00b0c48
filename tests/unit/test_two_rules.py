"""The two rules on drawn fields, by the real readers: nothing written is called blank, or accepted as another value.

The long form is ``python -m tests.benchmarks.accuracy.measure_two_rules``: 2,000 fields, with the few that break one.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from tests.benchmarks.accuracy.measure_two_rules import (
    BROKEN,
    FRAGMENT,
    SILENT,
    WRONG_DIGITS,
    WRONG_MARKS,
    DrawnField,
    can_be_seen,
    draw_any_field,
    judge_field,
    read_drawn,
)
from worker.models.runtime import load_recognizers
from worker.synthesis.fields import draw_field
from worker.values import FieldReading, FieldStatus

FIELDS, SEED = 96, 8


@pytest.fixture(scope="module")
def read() -> list[tuple[DrawnField, FieldReading]]:
    rng = np.random.default_rng(SEED)
    drawn = [draw_any_field(rng) for _ in range(FIELDS)]
    return list(zip(drawn, read_drawn(drawn, load_recognizers()), strict=True))


def test_no_ink_is_passed_over_and_an_accepted_number_means_what_was_written(
    read: list[tuple[DrawnField, FieldReading]],
) -> None:
    fates = [(one.written.text, judge_field(one, found), found.written) for one, found in read]
    assert [fate for fate in fates if fate[1] in BROKEN] == []


def test_the_sample_has_numbers_that_are_accepted_and_blanks_that_are_called_blank(
    read: list[tuple[DrawnField, FieldReading]],
) -> None:
    counts = Counter(judge_field(one, found) for one, found in read)
    assert counts["accepted right"] >= FIELDS // 8
    assert counts["empty, blank"] >= FIELDS // 20


def test_what_breaks_a_rule_is_told(read: list[tuple[DrawnField, FieldReading]]) -> None:
    one, found = next((one, f) for one, f in read if f.status is FieldStatus.ACCEPTED and len(f.text) > 2)
    dropped = DrawnField(one.written.__class__(one.written.grammar, f"-{found.text}", None), one.crop)
    other = DrawnField(one.written.__class__(one.written.grammar, "9" * 9, "9" * 9), one.crop)
    longer = DrawnField(one.written.__class__(one.written.grammar, f"{found.text}7", f"{found.text}7"), one.crop)
    assert judge_field(dropped, found) == WRONG_MARKS
    assert judge_field(other, found) == WRONG_DIGITS
    assert judge_field(longer, found) == FRAGMENT
    blank = next(f for _, f in read if f.status is FieldStatus.BLANK)
    assert judge_field(one, blank) == SILENT


def test_writing_that_the_scan_lost_is_told_from_writing_that_can_be_seen() -> None:
    seen = []
    for seed in range(20):
        sample = draw_field(np.random.default_rng(seed), "4071", in_cells=False)
        bare = draw_field(np.random.default_rng(seed), "4071", in_cells=False, inked=False)
        seen.append(can_be_seen(sample, bare.grey))
        assert not can_be_seen(bare, bare.grey)
    assert all(seen)
