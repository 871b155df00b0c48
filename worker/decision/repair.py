"""Offer a person the close reading that keeps a broken rule; none is accepted by itself."""

from __future__ import annotations

from schemas.rules import CheckDigitRule, FieldRule
from worker.grammar.rules import broken_by
from worker.values import Alternative, FieldReading, RawReading

CLOSE_DIGIT = 0.01
"""Least probability of a digit's runner-up that may repair a number."""


def find_repair(rule: FieldRule, read: RawReading) -> Alternative | None:
    """Return the one close reading that keeps a broken check digit; None if none or several do.

    Close readings are the runners-up, and the text with one digit changed to its own runner-up. A repair is offered to
    a person and never accepted, because one wrong number in ten passes a check digit by chance.
    """
    if not isinstance(rule, CheckDigitRule):
        return None
    close = {a.text: a for a in (*change_one_digit(read), *read.alternatives)}
    keeping = [a for a in close.values() if a.text != read.text and broken_by(rule, a.text) is None]
    return keeping[0] if len(keeping) == 1 else None


def change_one_digit(read: RawReading | FieldReading) -> list[Alternative]:
    """Return the text with each digit in turn changed to its runner-up, if that is likely enough."""
    if len(read.digits) != len(read.text):
        return []
    changed = []
    for i, digit in enumerate(read.digits):
        (_, first), (second, probability) = digit.top(2)
        if probability >= CLOSE_DIGIT:
            text = f"{read.text[:i]}{second}{read.text[i + 1 :]}"
            changed.append(Alternative(text, read.confidence * probability / max(first, 1e-6)))
    return changed
