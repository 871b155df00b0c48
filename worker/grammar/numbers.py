"""Parse numbers and amounts: sign, groups of thousands, decimal mark, cents as hundredths, unit, currency sign.

A small mark looks like a point and like a comma. If a grammar accepts either as the decimal mark, the lengths of the
groups tell what the marks separate. In an amount, a point of thousands may be as long as a dash.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal

from schemas.form_template import FieldGrammar
from worker.doubts import UNNAMED_MARK
from worker.grammar.misfit import Misfit, missing, no_value, unexpected
from worker.values import Money

_HUNDREDTHS = re.compile(r"(\d[\d.,]*?)[.,\-#]?(\d\d)/1[0o]{2}")
"""Cents over a hundred: 25 50/100."""
ANY_SIGN = "$"
"""What the line reader writes for any currency sign."""
LINE_FILL = f"{ANY_SIGN}{UNNAMED_MARK}=-*"
"""Signs that only fill the space of a ``filled`` field, on both sides of its digits."""


@dataclass(frozen=True, slots=True)
class _Parts:
    """A number in parts: ``decimals`` is '' if none are written; ``closed`` whole units say that none follow."""

    negative: bool
    whole: str
    decimals: str
    closed: bool = False


def parse_number(written: str, grammar: FieldGrammar) -> int | Decimal | Misfit:
    """Return the quantity that figures spell: an integer, or a decimal number with its scale."""
    parts = _take_apart(_without_unit(written, grammar), grammar)
    if isinstance(parts, Misfit):
        return parts
    sign = "-" if parts.negative else ""
    if parts.decimals:
        return Decimal(f"{sign}{parts.whole}.{parts.decimals}")
    if grammar.decimal_places and not parts.closed and grammar.cents == "required":
        return missing(_decimal_mark(grammar), written)
    return int(sign + parts.whole)


def parse_amount(written: str, grammar: FieldGrammar) -> Money | Decimal | Misfit:
    """Return the money that figures spell, in minor units; a decimal number if the grammar names no currency.

    ``/-``, ``.-`` and ``,-`` after whole units say that no decimals follow. In a ``filled`` field, ``$ # = -``
    before the digits and ``- =`` after them only fill the line.
    """
    places = grammar.decimal_places
    if UNNAMED_MARK in written.strip(UNNAMED_MARK) or (written.startswith(UNNAMED_MARK) and not grammar.filled):
        return unexpected(UNNAMED_MARK, written)
    parts = _hundredths(written, grammar) or _take_apart(written, grammar)
    if isinstance(parts, Misfit):
        return parts
    if places and not parts.decimals and not parts.closed and grammar.cents == "required":
        return missing(_decimal_mark(grammar), written)
    if parts.decimals and len(parts.decimals) != places:
        return no_value(f"{written} shows {len(parts.decimals)} decimals, not {places}")
    minor_units = int(parts.whole) * 10**places + int(parts.decimals or "0")
    minor_units = -minor_units if parts.negative else minor_units
    if grammar.currency is None:
        return Decimal(minor_units).scaleb(-places)
    return Money(minor_units, grammar.currency)


def _no_fit(written: str, grammar: FieldGrammar) -> Misfit:
    """Say that the digits stand in groups that make no number of the grammar, and which decimals it has."""
    places = grammar.decimal_places
    most = "at most " if grammar.kind == "number" else ""
    decimals = f"with {most}{places} decimal{'s' * (places != 1)}" if places else "without decimals"
    return no_value(f"{written} is no {grammar.kind} {decimals}")


def _hundredths(written: str, grammar: FieldGrammar) -> _Parts | Misfit | None:
    """Return an amount whose cents are written over a hundred; None if it is no such amount."""
    negative, text = _split_sign(written.lstrip(ANY_SIGN), grammar)
    found = _HUNDREDTHS.fullmatch(text.rstrip("-=#"))
    if found is None or grammar.decimal_places != 2:
        return None
    whole = _join_groups(re.split("[.,]", found[1]), grammar)
    return _Parts(negative, whole, found[2]) if whole else _no_fit(written, grammar)


def _take_apart(written: str, grammar: FieldGrammar) -> _Parts | Misfit:
    text = written
    if grammar.kind == "amount":
        text = re.sub(r"^(-?)\$", r"\1", text)
    elif ANY_SIGN in text:
        return unexpected(ANY_SIGN, written)
    negative, text = _split_sign(text, grammar)
    core = text.rstrip("-=/#.,")
    ending = text[len(core) :]
    core = _with_thousands(core, grammar)
    groups = re.split("[.,]", core)
    if not core or not all(g.isdigit() for g in groups):
        stray = re.search(r"[^0-9.,]", core)
        return unexpected(stray[0], written) if stray else no_value(f"{written or 'nothing'} is no number")
    problem = _misplaced_ending(ending, grammar)
    if problem:
        return unexpected(problem, written)
    marks = re.findall("[.,]", core)
    split = _split_decimals(groups, marks, grammar)
    if split is None:
        whole_numbers = grammar.kind == "number" and not grammar.decimal_places
        return unexpected(marks[-1], written) if whole_numbers else _no_fit(written, grammar)
    closed = bool(re.match("[.,/]{1,2}[-=]", ending))
    return _Parts(negative, *split, closed=closed)


def _split_sign(text: str, grammar: FieldGrammar) -> tuple[bool, str]:
    """Return whether a minus sign leads, and the rest; a line that leads may only fill."""
    if grammar.filled:
        return False, text.lstrip(LINE_FILL)
    if text.startswith("-") and grammar.signed:
        return True, text[1:].lstrip(ANY_SIGN)
    return False, text


def _with_thousands(core: str, grammar: FieldGrammar) -> str:
    """Return an amount with a mark of thousands for every dash before three digits, alone or with a point.

    A dash before two digits may part cents or be a slip, and is left to a person; so is one where a minus may stand.
    """
    if grammar.kind != "amount" or grammar.signed:
        return core
    return re.sub(r"(?<=\d)[.,]?-[.,]?(?=\d{3}(?!\d))", "," if grammar.separator == "." else ".", core)


def _misplaced_ending(ending: str, grammar: FieldGrammar) -> str:
    """Return the mark behind the digits that says something which the grammar does not take; '' if none does.

    A line behind an amount closes it, and may be a minus where amounts may be negative. Behind any other number it may
    lead to what was not read.
    """
    if grammar.filled or not ending.strip(".,"):
        return ""
    if grammar.kind == "amount" and not grammar.signed:
        return "" if re.fullmatch(r"[.,/]{0,2}[-=]+[.,]?#?|/", ending) else ending[0]
    if grammar.kind == "amount" and re.fullmatch("[.,/]{1,2}[-=]+", ending):
        return ""
    return ending[0]


def _split_decimals(groups: list[str], marks: list[str], grammar: FieldGrammar) -> tuple[str, str] | None:
    """Return whole units and decimals, or None if the groups fit no number of the grammar."""
    places = grammar.decimal_places
    if len(groups) == 1:
        if grammar.cents == "implied" and places:
            digits = groups[0].zfill(places + 1)
            return digits[:-places], digits[-places:]
        return groups[0], ""
    if _has_decimals(groups, marks, grammar):
        whole = _join_groups(groups[:-1], grammar)
        return (whole, groups[-1]) if whole else None
    if _may_be_decimals(marks, grammar):
        return None
    whole = _join_groups(groups, grammar)
    return (whole, "") if whole else None


def _has_decimals(groups: list[str], marks: list[str], grammar: FieldGrammar) -> bool:
    """Tell whether the last group is decimals: by its mark if that is told for sure, else by its length.

    Only a group of three may be thousands, so a group of another length is decimals whatever its mark looks like.
    """
    places, length = grammar.decimal_places, len(groups[-1])
    if grammar.kind == "amount":
        if length != places:
            return False
    elif not 1 <= length <= places:
        return False
    if length != 3:
        return True
    return marks[-1] == grammar.separator and marks[-1] not in marks[:-1]


def _may_be_decimals(marks: list[str], grammar: FieldGrammar) -> bool:
    """Tell whether a group of three may as well be decimals: thousands are parted, or the field has too few places."""
    if grammar.kind == "amount" and not grammar.decimal_places:
        return False  # pesos have no cents
    if grammar.separator == "either":
        return grammar.kind == "number" and len(marks) == 1
    return marks[-1] == grammar.separator and marks.count(grammar.separator) == 1


def _join_groups(groups: list[str], grammar: FieldGrammar) -> str:
    """Return the digits of whole units; '' if their groups are not those of thousands.

    Rupees are grouped as 1,23,456. So may an amount be whose currency nobody names, if all of its groups are.
    """
    if len(groups) == 1:
        return groups[0]
    first, inner, last = len(groups[0]), {len(g) for g in groups[1:-1]}, len(groups[-1])
    fits = 1 <= first <= 3 and inner <= {3}
    if grammar.currency == "INR":
        fits = 1 <= first <= 3 and inner <= {2, 3}
    elif grammar.kind == "amount" and grammar.currency is None:
        fits = fits or (1 <= first <= 2 and inner == {2})
    return "".join(groups) if fits and last == 3 else ""


def _without_unit(written: str, grammar: FieldGrammar) -> str:
    """Drop the unit behind a number: as a person types it, or as marks that the reader cannot name, with its digits."""
    if not grammar.unit:
        return written
    if written.endswith(grammar.unit):
        return written[: -len(grammar.unit)]
    figures = "".join(c for c in grammar.unit if c.isdigit())
    return re.sub(rf"#+(?:{figures})?$", "", written)


def _decimal_mark(grammar: FieldGrammar) -> str:
    return "." if grammar.separator == "either" else grammar.separator
