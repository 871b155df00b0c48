"""Which rules across the fields of a page do not hold for the values that stand now, and which field is suspected."""

from __future__ import annotations

from collections.abc import Sequence

from schemas.form_template import FormTemplate
from worker.decision.forms import BrokenRule, find_broken_rules
from worker.store.held_rules import standing_reading
from worker.store.results import box_of
from worker.store.review_queue import AnyRow, Leased
from worker.values import Box, DigitReading


def broken_rules(template: FormTemplate, fields: Sequence[Leased]) -> list[BrokenRule]:
    """Return the rules that do not hold: what a person decided counts as certain, the rest as the machine read it."""
    if not template.rules:
        return []
    readings = [standing_reading(leased.field, [_as_digit(digit) for digit in leased.digits]) for leased in fields]
    return find_broken_rules(template, readings)


def _as_digit(row: AnyRow) -> DigitReading:
    import numpy as np  # 13 MB, which only pages with rules across fields ask for

    probabilities = np.zeros(10, np.float32)
    for digit, confidence in (
        (row.third_digit, row.third_confidence),
        (row.second_digit, row.second_confidence),
        (row.digit, row.confidence),
    ):
        probabilities[digit] = confidence
    return DigitReading(row.position, probabilities, row.outlier, Box(*box_of(row)))
