"""The meaning of figures in a field of a kind, as a typed value, and how figures are shown to people."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from decimal import Decimal

from schemas.form_template import FieldGrammar
from schemas.rules import DateRule
from worker.doubts import UNNAMED_MARK
from worker.grammar.misfit import Misfit, MisfitKind, no_value, unexpected
from worker.grammar.numbers import ANY_SIGN, LINE_FILL, parse_amount, parse_number
from worker.grammar.times import miss_every_order, parse_time, parse_written_date
from worker.values import Marks, Money, RawReading, RivalMarks, Tick, Value, spell_marks

CURRENCY_SIGNS = {"€": "EUR", "£": "GBP", "₹": "INR", "¥": "JPY", "$": "USD", "₩": "KRW", "₽": "RUB", "₺": "TRY"}
"""Signs that people type, each with its currency; other countries use ``$`` as well."""
UNTOLD_SIGN = "¤"
"""Shown for a currency sign that cannot be told from others."""
FAINT_MARK = 0.08
"""A mark to which networks and general reader together give this may stand there (docs/lab-notebook/reading.md)."""
FAINT_MINUS = 0.01
"""The same for a minus sign before the digits."""
CLEAR_MARK = 0.3
"""The same for a mark that would leave the field without a value."""
AS_LIKELY = 0.5
"""What one of two networks sees has this probability."""
DOLLARS = frozenset({"USD", "CAD", "AUD", "NZD", "CLP", "MXN", "ARS", "COP", "HKD", "SGD"})


def is_sign_of(sign: str, currency: str) -> bool:
    """Tell whether a sign is that of a currency."""
    return currency in DOLLARS if sign == "$" else CURRENCY_SIGNS.get(sign) == currency


def parse_written(grammar: FieldGrammar, written: str) -> Value | Misfit | None:
    """Return what figures and marks mean, or how they miss the grammar; None if they mean nothing by themselves.

    ``written`` is over the line reader's alphabet. A date of unknown order has no value; it is a misfit where it is no
    day in any order.
    """
    if grammar.kind == "code":
        return _parse_code(written, grammar)
    if grammar.kind == "number":
        return parse_number(written, grammar)
    if grammar.kind == "amount":
        return parse_amount(written, grammar)
    if grammar.kind == "time":
        return parse_time(written)
    if grammar.kind == "mark":
        return Tick.TICKED if written else Tick.EMPTY
    if grammar.kind == "text":
        return None
    formats = [rule.format for rule in grammar.rules if isinstance(rule, DateRule)]
    years = (formats[0].count("Y"),) if formats else (2, 4)
    if grammar.date_order is None:
        return miss_every_order(written, year_digits=years)
    return parse_written_date(written, grammar.date_order, year_digits=years)


def parse_typed(grammar: FieldGrammar, typed: str) -> Value | Misfit | None:
    """Return what a person's answer means in a field; it may hold spaces, currency signs and units."""
    text = typed.replace("\u2212", "-").replace("'", "").replace("\u2019", "")
    text = re.sub(r"\s+", "" if grammar.kind != "date" else "-", text.strip())
    for sign in CURRENCY_SIGNS:
        if sign in text and grammar.kind == "amount":
            if grammar.currency and not is_sign_of(sign, grammar.currency):
                return no_value(f"{sign} is not the sign of {grammar.currency}")
            text = text.replace(sign, "")
    if grammar.kind == "amount" and grammar.currency:
        text = text.removeprefix(grammar.currency).removesuffix(grammar.currency)
    return parse_written(grammar, text)


def _parse_code(written: str, grammar: FieldGrammar) -> str | Misfit:
    """Return the digits of a code; a point or comma behind them ends a sentence, any other mark is a misfit.

    In a ``filled`` field, lines, signs and crossed cells on both sides only fill its space.
    """
    core = written.strip(LINE_FILL).rstrip(".,") if grammar.filled else written.rstrip(".,")
    if core.isdigit():
        return core
    stray = re.search(r"[^0-9]", core)
    return unexpected(stray[0], written) if stray else no_value("nothing is no number")


def show_written(grammar: FieldGrammar, written: str) -> str:
    """Return figures and marks as a person would write them: a colon, a unit's name, a sign of no certain currency."""
    shown = written.replace(ANY_SIGN, UNTOLD_SIGN)
    if grammar.kind == "time":
        return re.sub(r"(?<=\d)[#.,:h]{1,2}(?=\d)", ":", shown)
    if grammar.unit and UNNAMED_MARK in shown:
        figures = "".join(c for c in grammar.unit if c.isdigit())
        return re.sub(rf"#+(?:{figures})?$", f" {grammar.unit}", shown)
    return shown


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a reading means in its field: ``written`` with its value or misfit, and other marks that may stand there.

    ``rival`` is the likeliest other writing of the same digits that would mean something else.
    """

    written: str
    value: Value | None = None
    misfit: Misfit | None = None
    rival: RivalMarks | None = None


def find_meaning(grammar: FieldGrammar, read: RawReading) -> Meaning:
    """Return what a reading means, and whether marks that a network sees there would make it mean something else.

    Where the surest network's marks miss the grammar and those of another fit it, the other's count: a mark that the
    form asks for is hardly made up. One that was seen within a number is not made up, either, whatever the form asks.
    """
    marks, found = read.marks, parse_written(grammar, read.written)
    for rival in read.rival_marks:
        if not isinstance(found, Misfit) or found.kind is MisfitKind.UNEXPECTED_MARK or rival.probability < AS_LIKELY:
            break
        if grammar.kind in ("number", "amount") and _drops_mark(read.marks, rival.marks):
            continue
        other = parse_written(grammar, spell_marks(read.text, rival.marks))
        if not isinstance(other, Misfit):
            marks, found = rival.marks, other
    written = spell_marks(read.text, marks)
    if isinstance(found, Misfit):
        return Meaning(written, misfit=found)
    likely = (r for r in read.rival_marks if r.marks != marks and r.probability >= _least(r.marks, written))
    return Meaning(written, found, rival=next((r for r in likely if _would_change(grammar, found, written, r)), None))


def _drops_mark(seen: Marks, rival: Marks) -> bool:
    """Tell whether a mark before or between the digits is left out."""
    return any(len(other) < len(own) for own, other in zip(seen[:-1], rival, strict=False))


def _least(rival: Marks, written: str) -> float:
    """Return the probability from which a rival counts: a minus sign stands alone, and print seldom looks like one."""
    return FAINT_MINUS if rival[0].startswith("-") and not written.startswith("-") else FAINT_MARK


def _would_change(grammar: FieldGrammar, found: Value | None, written: str, rival: RivalMarks) -> bool:
    """Tell whether other marks would change what is meant, and are likely enough for it.

    Where they give another value, or are none of the field's, a faint one is enough, and so is one that parts too few
    or too many decimals from digits that may have some. Where they leave no value otherwise, people hardly wrote them,
    and they must be clear; the digits of a date or a time are one all the same. That a mark was seen in vain, where one
    is asked for, is no doubt.
    """
    digits = "".join(c for c in written if c.isdigit())
    other = parse_written(grammar, spell_marks(digits, rival.marks))
    if other == found:
        return False
    if not isinstance(other, Misfit):
        return True
    is_time = grammar.kind in ("date", "time")
    if other.kind is MisfitKind.MISSING_MARK or (other.kind is MisfitKind.NO_VALUE and is_time):
        return False
    strange = other.kind is MisfitKind.UNEXPECTED_MARK and other.mark != "=" and not is_time
    may_part = written.isdigit() and grammar.cents == "optional" and grammar.decimal_places > 0
    return strange or (may_part and _parts_decimals(rival.marks)) or rival.probability >= CLEAR_MARK


def _parts_decimals(marks: Marks) -> bool:
    """Tell whether a point or comma stands where decimals may begin: not before groups of three."""
    count = len(marks) - 1
    return any(set(mark) & {".", ","} and (count - at) % 3 for at, mark in enumerate(marks[:-1]) if at)


def spell_value(value: Value) -> str:
    """Return a value as text that sorts and compares by itself: minor units, a plain number, an ISO date or time."""
    if isinstance(value, Money):
        return str(value.minor_units)
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, dt.time):
        return value.isoformat("minutes")
    return value.isoformat() if isinstance(value, dt.date) else str(value)
