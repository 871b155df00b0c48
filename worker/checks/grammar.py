"""What may be written on a check, country by country: amounts as integers in minor units, dates in figures."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from typing import Literal

from worker.checks.places import Zone
from worker.decision import parse_date
from worker.values import Money

Country = Literal["US", "IN", "CL", "EU"]


@dataclass(frozen=True, slots=True)
class CheckLocale:
    """A country's checks: currency, how amounts and dates are written, and where the fields usually stand.

    ``decimals`` of the currency are written where ``decimals_usual``: an amount that shows none may have lost
    its point. ``date_order`` is that of day, month and year.
    """

    country: Country
    currency: str
    sign: str
    decimals: int
    decimals_usual: bool
    date_order: Literal["MDY", "DMY"]
    amount_zone: Zone
    date_zone: Zone
    number_zone: Zone | None = None


LOCALES: dict[str, CheckLocale] = {
    "US": CheckLocale(
        "US",
        "USD",
        "$",
        2,
        True,
        "MDY",
        Zone(0.6, 0.22, 0.99, 0.62),
        Zone(0.55, 0.16, 0.92, 0.33),
        Zone(0.7, 0.03, 0.97, 0.2),
    ),
    "IN": CheckLocale(
        "IN",
        "INR",
        "₹",
        2,
        False,
        "DMY",
        Zone(0.66, 0.26, 0.99, 0.62),
        Zone(0.66, 0.02, 0.99, 0.26),
    ),
    "CL": CheckLocale(
        "CL",
        "CLP",
        "$",
        0,
        False,
        "DMY",
        Zone(0.55, 0.02, 0.99, 0.36),
        Zone(0.4, 0.18, 0.99, 0.48),
    ),
    "EU": CheckLocale(
        "EU",
        "EUR",
        "€",
        2,
        True,
        "DMY",
        Zone(0.6, 0.2, 0.99, 0.6),
        Zone(0.45, 0.45, 0.99, 0.75),
    ),
}
"""The countries known. US places are those of the development specimens; the others' follow the printed
standards of their banks and were never measured on whole checks."""

_HUNDREDTHS = re.compile(r"(\d[\d.,]*?)[.,\-#]?(\d\d)/1[0o]{2}")
_WHOLE_MARKS = re.compile(r"[.,/][-=]")
_LEFT_MARKS = "$#=-*"


def parse_amount(written: str, locale: CheckLocale) -> Money | str:
    """Return the amount that marks and digits spell, or what is wrong with them, as half a sentence.

    Points and commas are taken for each other, because a small mark looks like both: the lengths of the groups
    tell what they part. ``$ # = -`` before the digits and ``- =`` after them only fill the line; ``/-``, ``.-``
    and ``,-`` after them say that no decimals follow.
    """
    text = written.lstrip(_LEFT_MARKS)
    hundredths = _HUNDREDTHS.fullmatch(text.rstrip("-=#"))
    if hundredths and locale.decimals == 2:
        whole = _whole_units(re.split("[.,]", hundredths[1]), locale)
        return _money(whole, hundredths[2], locale) if whole else f"{written} fits no amount in {locale.country}"
    core = text.rstrip("-=/#.,")
    ended = _WHOLE_MARKS.match(text[len(core) :]) is not None
    groups = re.split("[.,]", core)
    if not core or not all(g.isdigit() for g in groups):
        return f"{written or 'nothing'} is no amount"
    decimals = ""
    if len(groups) > 1 and locale.decimals and len(groups[-1]) == locale.decimals:
        groups, decimals = groups[:-1], groups[-1]
    whole = _whole_units(groups, locale)
    if not whole:
        return f"the groups of {written} fit no amount in {locale.country}"
    if locale.decimals_usual and not decimals and not ended:
        return f"{written} shows no decimals: the point may be lost"
    return _money(whole, decimals, locale)


def _whole_units(groups: list[str], locale: CheckLocale) -> str:
    """Return the digits of whole units, '' where their groups are not the country's: 1,23,456 in India."""
    if len(groups) == 1:
        return groups[0]
    inner = (2, 3) if locale.country == "IN" else (3,)
    grouped = 1 <= len(groups[0]) <= 3 and len(groups[-1]) == 3 and all(len(g) in inner for g in groups[1:-1])
    return "".join(groups) if grouped else ""


def _money(whole: str, decimals: str, locale: CheckLocale) -> Money:
    return Money(int(whole) * 10**locale.decimals + int(decimals or "0"), locale.currency)


def parse_written_date(written: str, locale: CheckLocale) -> dt.date | str:
    """Return the date that figures spell, or what is wrong with them; words are for a person to read."""
    groups = [g for g in re.split(r"[^0-9]+", written) if g]
    if len(groups) == 3:
        return _date_of_groups(groups, locale) or f"{written} is no date ({locale.date_order})"
    digits = "".join(groups)
    if len(digits) in (6, 8) and len(groups) <= 3:
        forms = {"MDY": ("MMDDYY", "MMDDYYYY"), "DMY": ("DDMMYY", "DDMMYYYY")}[locale.date_order]
        date = parse_date(digits, forms[len(digits) // 2 - 3])
        return date or f"{written} is no date ({locale.date_order})"
    return "no date in figures can be told"


def _date_of_groups(groups: list[str], locale: CheckLocale) -> dt.date | None:
    if len(groups[0]) == 4:
        year, month, day = groups
    elif locale.date_order == "MDY":
        month, day, year = groups
    else:
        day, month, year = groups
    if len(year) not in (2, 4) or len(month) > 2 or len(day) > 2:
        return None
    return parse_date(f"{day:0>2}{month:0>2}{year}", "DDMM" + "Y" * len(year))
