"""The limits of a check, and the day on which it is read."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from worker.checks.locales import CheckLocale
from worker.values import Money


@dataclass(frozen=True, slots=True)
class CheckPolicy:
    """The country, the window of dates around ``today``, and the largest amount in minor units, if there is one."""

    locale: CheckLocale
    today: dt.date
    months_back: int = 12
    months_ahead: int = 1
    max_amount: int | None = None

    def broken_by_date(self, date: dt.date) -> str | None:
        """Return how a date lies outside of the window, or None."""
        first, last = add_months(self.today, -self.months_back), add_months(self.today, self.months_ahead)
        if first <= date <= last:
            return None
        return f"{date} is not within {first} to {last}"

    def broken_by_amount(self, amount: Money) -> str | None:
        """Return how an amount breaks its limits, or None."""
        if amount.minor_units == 0:
            return "the amount is nothing"
        if self.max_amount is not None and amount.minor_units > self.max_amount:
            return f"{amount.minor_units} is more than {self.max_amount}"
        return None


def add_months(day: dt.date, months: int) -> dt.date:
    """Return the same day some months later, or the last of that month."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    year = min(max(year, dt.MINYEAR), dt.MAXYEAR)
    for last in (day.day, 30, 29, 28):
        try:
            return dt.date(year, month + 1, last)
        except ValueError:
            continue
    raise AssertionError("every month has a 28th")
