"""Dates and times of day in figures."""

from __future__ import annotations

import datetime as dt
import re

from schemas.form_template import DateOrder
from worker.grammar.misfit import Misfit, MisfitKind, no_value, unexpected

FIRST_YEAR, LAST_YEAR = 1800, 2199
"""A year of four figures outside of these is no year of a form: a separator was read as a digit."""


ORDERS: tuple[DateOrder, ...] = ("DMY", "MDY", "YMD")


def parse_date(text: str, form: str) -> dt.date | None:
    """Return the calendar date that digits spell in a form like DDMMYYYY; two-digit years are 1970 to 2069."""
    if len(text) != len(form) or not text.isdigit():
        return None
    year, month, day = (int("".join(c for c, f in zip(text, form, strict=True) if f == part)) for part in "YMD")
    if form.count("Y") == 2:
        year += 1900 if year >= 70 else 2000
    if not FIRST_YEAR <= year <= LAST_YEAR:
        return None
    try:
        return dt.date(year, month, day)
    except ValueError:
        return None


def may_be_day(digits: str, order: DateOrder | None) -> bool:
    """Tell whether eight digits spell a day of the calendar: in the field's order, or in any if nobody says which.

    Fewer digits may lack their leading zeros, and may always be one.
    """
    if len(digits) != 8:
        return True
    orders = (order,) if order else ORDERS
    forms = ("".join("YYYY" if part == "Y" else 2 * part for part in each) for each in orders)
    return any(parse_date(digits, form) is not None for form in (*forms, "YYYYMMDD"))


def parse_written_date(written: str, order: DateOrder, *, year_digits: tuple[int, ...]) -> dt.date | Misfit:
    """Return the date that figures spell in an order of day, month and year; words are for a person to read.

    ``year_digits`` are the numbers of figures that a year may have. A year of four that leads is taken for one
    whatever the order.
    """
    core = written.rstrip(".,")
    if not core[:1].isdigit() or not core[-1:].isdigit():
        return unexpected((core.strip("0123456789") or "-")[:1], written) if core else no_value("nothing is no date")
    groups = [g for g in re.split(r"[^0-9]+", core) if g]
    if len(groups) == 3:
        return _date_of_groups(groups, order, year_digits) or no_value(f"{written} is no date ({order})")
    digits = "".join(groups)
    if len(groups) <= 2 and len(digits) - 4 in year_digits:
        form = "".join("Y" * (len(digits) - 4) if part == "Y" else 2 * part for part in order)
        return parse_date(digits, form) or no_value(f"{written} is no date ({form})")
    return no_value("no date in figures can be told")


def miss_every_order(written: str, *, year_digits: tuple[int, ...]) -> Misfit | None:
    """Return why figures are no date in any order of day, month and year; None if they may be one."""
    found = [parse_written_date(written, order, year_digits=year_digits) for order in ORDERS]
    misfits = [misfit for misfit in found if isinstance(misfit, Misfit)]
    if len(misfits) < len(found):
        return None
    return misfits[0] if misfits[0].kind is MisfitKind.UNEXPECTED_MARK else no_value(f"{written} is no date")


def _date_of_groups(groups: list[str], order: DateOrder, year_digits: tuple[int, ...]) -> dt.date | None:
    by_part = dict(zip("YMD" if len(groups[0]) == 4 else order, groups, strict=True))
    year, month, day = by_part["Y"], by_part["M"], by_part["D"]
    if len(year) not in year_digits or len(month) > 2 or len(day) > 2:
        return None
    return parse_date(f"{day:0>2}{month:0>2}{year}", "DDMM" + "Y" * len(year))


def parse_time(written: str) -> dt.time | Misfit:
    """Return the time of day that figures spell: hours and minutes, with a colon, a point, a letter or nothing between.

    The reader has no name for a colon, and shows it as ``#`` or as a point.
    """
    found = re.fullmatch(r"(\d{1,2})[:.,#h]{0,2}(\d\d)[.,#h]?", written)
    if found is None:
        stray = re.search(r"[^0-9:.,#h]", written)
        return unexpected(stray[0], written) if stray else no_value(f"{written or 'nothing'} is no time of day")
    hour, minute = int(found[1]), int(found[2])
    if hour > 23 or minute > 59:
        return no_value(f"{written} is no time of day")
    return dt.time(hour, minute)
