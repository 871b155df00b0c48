"""Tell whether a value keeps the rules of its field."""

from __future__ import annotations

import datetime as dt
import functools
import importlib
import re
from collections.abc import Callable
from decimal import Decimal

from schemas.form_template import FieldGrammar
from schemas.rules import DateRule, FieldRule, ListRule, PatternRule, RangeRule
from worker.grammar.times import parse_date
from worker.values import Money, Value


def broken_by(rule: FieldRule, text: str, value: Value | None = None) -> str | None:
    """Return how a field breaks ``rule``, as half a sentence, or None.

    ``text`` is its digits, and ``value`` what they mean; without a value, the digits alone are judged.
    """
    if isinstance(rule, RangeRule):
        return _outside(rule, _number_of_value(value, text))
    if isinstance(rule, PatternRule):
        return None if re.fullmatch(rule.regex, text) else f"{text} does not match {rule.regex}"
    if isinstance(rule, ListRule):
        return None if text in rule.values else f"{text} is not on the list"
    if isinstance(rule, DateRule):
        return _wrong_date(rule, text, value if isinstance(value, dt.date) else parse_date(text, rule.format))
    check = find_check_digit_scheme(rule.scheme)
    return None if check is not None and check(text) else f"the check digit of {text} is wrong ({rule.scheme})"


@functools.lru_cache(maxsize=64)
def find_check_digit_scheme(scheme: str) -> Callable[[str], bool] | None:
    """Return python-stdnum's check of that name, or None if it has none."""
    try:
        module = importlib.import_module(f"stdnum.{scheme}")
    except ImportError:
        return None
    check: Callable[[str], bool] | None = getattr(module, "is_valid", None)
    return check


def wants_two_keyers(grammar: FieldGrammar, value: Value | None) -> bool:
    """Tell whether a value is one that two keyers must agree on; without a value, whether every value is."""
    if grammar.verify_from is None or grammar.verify != "double":
        return grammar.verify == "double"
    if not isinstance(value, Money | int | Decimal):
        return False
    return abs(Decimal(value.minor_units if isinstance(value, Money) else value)) >= grammar.verify_from


def number_of(text: str) -> int:
    """Return the integer that digits spell; 0 for an empty field."""
    return int("".join(c for c in text if c.isdigit()) or "0")


def _number_of_value(value: Value | None, text: str) -> int | Decimal:
    if isinstance(value, Money):
        return value.minor_units
    return value if isinstance(value, int | Decimal) else number_of(text)


def _outside(rule: RangeRule, number: int | Decimal) -> str | None:
    if rule.min is not None and number < rule.min:
        return f"{number} is less than {rule.min}"
    if rule.max is not None and number > rule.max:
        return f"{number} is more than {rule.max}"
    return None


def _wrong_date(rule: DateRule, text: str, date: dt.date | None) -> str | None:
    if date is None:
        return f"{text} is no date ({rule.format})"
    if rule.not_before is not None and date < rule.not_before:
        return f"{date} is before {rule.not_before}"
    if rule.not_after is not None and date > rule.not_after:
        return f"{date} is after {rule.not_after}"
    return None
