"""Values as people write them into fields of every kind, with what they mean there: for tests of the grammar's reading.

A text may hold signs that the line reader has no names for (a colon, a percent sign, letters of a unit). Some texts do
not fit their field, as a minus sign in a code: such a field must never be accepted.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from schemas.form_template import FieldGrammar
from worker.synthesis.glyphs import pick
from worker.synthesis.numbers import group_lakhs, group_thousands
from worker.values import Money, Value

UNITS = ("%", "m", "kg", "km", "l")


@dataclass(frozen=True, slots=True)
class WrittenValue:
    """What stands in a field, the grammar of the field, and its value there; None where it has none."""

    grammar: FieldGrammar
    text: str
    value: Value | None


def draw_written_value(rng: np.random.Generator, kind: str) -> WrittenValue:
    """Draw a value of a kind, or figures that do not belong into such a field."""
    return _DRAWERS[kind](rng)


def _digits(rng: np.random.Generator, low: int, high: int) -> str:
    return "".join(map(str, rng.integers(0, 10, int(rng.integers(low, high + 1)))))


def _whole(rng: np.random.Generator, high: int) -> str:
    """Draw the digits of a number that does not begin with a 0."""
    return str(int(rng.integers(1, 10))) + _digits(rng, 0, high - 1)


def _draw_code(rng: np.random.Generator) -> WrittenValue:
    grammar = FieldGrammar(kind="code")
    digits = _digits(rng, 2, 7)
    kind = pick(rng, (0.4, 0.2, 0.15, 0.15, 0.1))
    if kind == 0:
        return WrittenValue(grammar, digits, digits)
    middle = int(rng.integers(1, len(digits)))
    parts = {
        1: f"-{digits}",
        2: f"{digits[:middle]}{rng.choice(['.', ','])}{digits[middle:]}",
        3: f"{digits[:middle]}-{digits[middle:]}",
        4: f"{digits}{rng.choice(UNITS)}",
    }
    return WrittenValue(grammar, parts[kind], None)


def _draw_number(rng: np.random.Generator) -> WrittenValue:
    separator = str(rng.choice([".", ","]))
    unit = str(rng.choice(UNITS)) if rng.random() < 0.25 else ""
    places, negative = int(rng.integers(0, 3)), bool(rng.random() < 0.3)
    keys = {"kind": "number", "decimals": places, "signed": True, "separator": separator, "unit": unit}
    grammar = FieldGrammar.model_validate(keys)
    whole, decimals = _whole(rng, 5), _digits(rng, places, places)
    shown = group_thousands(whole, "," if separator == "." else ".") if rng.random() < 0.25 else whole
    text = ("-" if negative else "") + shown + (separator + decimals if places else "")
    plain = ("-" if negative else "") + whole + ("." + decimals if places else "")
    value: Value = Decimal(plain) if places else int(plain)
    return WrittenValue(grammar, text + (unit if unit and rng.random() < 0.7 else ""), value)


def _draw_amount(rng: np.random.Generator) -> WrittenValue:
    currency, separator = (("EUR", ","), ("USD", "."), ("INR", "."))[pick(rng, (0.4, 0.4, 0.2))]
    cents = "optional" if currency == "INR" or rng.random() < 0.3 else "required"
    keys = {"kind": "amount", "currency": currency, "separator": separator, "cents": cents}
    grammar = FieldGrammar.model_validate(keys)
    whole, minor = _whole(rng, 6), _digits(rng, 2, 2)
    group = group_lakhs if currency == "INR" else group_thousands
    shown = group(whole, "," if separator == "." else ".") if rng.random() < 0.5 else whole
    kind = pick(rng, (0.5, 0.15, 0.1, 0.15, 0.1))
    if kind == 0:
        return WrittenValue(grammar, shown + separator + minor, Money(int(whole + minor), currency))
    if kind == 1:
        return WrittenValue(grammar, shown + str(rng.choice(["/-", ".-", ",-"])), Money(int(whole) * 100, currency))
    if kind == 2:
        return WrittenValue(grammar, f"{whole}{minor}/100", Money(int(whole + minor), currency))
    if kind == 3:
        return WrittenValue(grammar, shown, Money(int(whole) * 100, currency) if cents == "optional" else None)
    return WrittenValue(grammar, "-" + shown + separator + minor, None)


def _draw_date(rng: np.random.Generator) -> WrittenValue:
    day = dt.date(int(rng.integers(1930, 2040)), int(rng.integers(1, 13)), int(rng.integers(1, 29)))
    order = str(rng.choice(["DMY", "MDY"]))
    padded = rng.random() < 0.6
    parts = {"D": f"{day.day:02d}" if padded else str(day.day), "M": f"{day.month:02d}" if padded else str(day.month)}
    mark = str(rng.choice(["/", "-", "."]))
    text = mark.join([*(parts[part] for part in order[:2]), str(day.year)])
    return WrittenValue(FieldGrammar.model_validate({"kind": "date", "order": order}), text, day)


def _draw_time(rng: np.random.Generator) -> WrittenValue:
    hour, minute = int(rng.integers(24)), int(rng.integers(60))
    mark = (":", ".", "")[pick(rng, (0.7, 0.2, 0.1))]
    grammar = FieldGrammar(kind="time")
    if rng.random() < 0.1:
        return WrittenValue(grammar, f"{hour}{mark or ':'}{rng.integers(60, 100)}", None)
    shown = f"{hour:02d}" if not mark or rng.random() < 0.5 else str(hour)
    return WrittenValue(grammar, f"{shown}{mark}{minute:02d}", dt.time(hour, minute))


_DRAWERS: dict[str, Callable[[np.random.Generator], WrittenValue]] = {
    "code": _draw_code,
    "number": _draw_number,
    "amount": _draw_amount,
    "date": _draw_date,
    "time": _draw_time,
}
KINDS = tuple(_DRAWERS)
