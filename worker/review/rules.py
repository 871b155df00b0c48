"""Which rules across the fields of a page do not hold for the values that stand now, and which field is suspected."""

from __future__ import annotations

from collections.abc import Sequence

from schemas.form_template import FormTemplate
from worker.decision.forms import BrokenRule, find_broken_rules
from worker.grammar.meaning import parse_typed
from worker.grammar.misfit import Misfit
from worker.store.results import box_of
from worker.store.review_queue import AnyRow, Leased
from worker.store.reviews import UNREADABLE, grammar_of
from worker.values import Alternative, Box, DigitReading, FieldReading, FieldStatus


def broken_rules(template: FormTemplate, fields: Sequence[Leased]) -> list[BrokenRule]:
    """Return the rules that do not hold: what a person decided counts as certain, the rest as the machine read it."""
    if not template.rules:
        return []
    return find_broken_rules(template, [_as_reading(leased) for leased in fields])


def _as_reading(leased: Leased) -> FieldReading:
    row = leased.field
    grammar = grammar_of(row)
    by_person = row.origin == "reviewer"
    stands = row.final_text if by_person else row.written or row.text
    value = None if stands in ("", UNREADABLE) else parse_typed(grammar, stands)
    return FieldReading(
        name=row.name,
        text="".join(c for c in stands if c.isdigit()),
        confidence=1.0 if by_person else row.confidence,
        status=FieldStatus(row.status),
        box_px=Box(*box_of(row)),
        digits=() if by_person else tuple(_as_digit(digit) for digit in leased.digits),
        alternatives=() if by_person else tuple(Alternative(a["text"], a["confidence"]) for a in row.alternatives),
        value=None if isinstance(value, Misfit) else value,
        grammar=grammar,
    )


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
