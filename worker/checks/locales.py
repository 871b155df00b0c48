"""The checks of the known countries: how their amounts and dates are written, and where they stand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from schemas.form_template import FieldGrammar
from worker.checks.places import Zone

Country = Literal["US", "IN", "CL", "EU"]


@dataclass(frozen=True, slots=True)
class CheckLocale:
    """A country's checks: their currency and its sign, the order of dates, and where the fields usually stand.

    ``decimals_usual`` says that amounts always show their decimals there: one that shows none may have lost its point.
    """

    country: Country
    currency: str
    sign: str
    decimals_usual: bool
    date_order: Literal["MDY", "DMY"]
    amount_zone: Zone
    date_zone: Zone
    number_zone: Zone | None = None

    @property
    def amount_grammar(self) -> FieldGrammar:
        """How amounts are written: either mark may part thousands, and lines fill the space on both sides."""
        cents: Literal["required", "optional"] = "required" if self.decimals_usual else "optional"
        return FieldGrammar(kind="amount", currency=self.currency, cents=cents, filled=True)

    @property
    def date_grammar(self) -> FieldGrammar:
        """How dates are written in figures."""
        return FieldGrammar(kind="date", order=self.date_order)


LOCALES: dict[str, CheckLocale] = {
    "US": CheckLocale(
        "US",
        "USD",
        "$",
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
        False,
        "DMY",
        Zone(0.66, 0.26, 0.99, 0.62),
        Zone(0.66, 0.02, 0.99, 0.26),
    ),
    "CL": CheckLocale(
        "CL",
        "CLP",
        "$",
        False,
        "DMY",
        Zone(0.55, 0.02, 0.99, 0.36),
        Zone(0.4, 0.18, 0.99, 0.48),
    ),
    "EU": CheckLocale(
        "EU",
        "EUR",
        "€",
        True,
        "DMY",
        Zone(0.6, 0.2, 0.99, 0.6),
        Zone(0.45, 0.45, 0.99, 0.75),
    ),
}
"""The known countries. The US places are those of the development specimens; the others follow the printed standards of
their banks and were never measured on whole checks."""
