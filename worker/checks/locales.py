"""The checks of the known countries: what they show, and where. How a country writes is ``worker.grammar.locales``'."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from schemas.form_template import FieldGrammar
from worker.checks.places import Zone
from worker.grammar.locales import LOCALES as WRITING
from worker.grammar.locales import WritingLocale

Country = Literal["US", "IN", "CL", "EU"]


@dataclass(frozen=True, slots=True)
class CheckLocale:
    """A country's checks: the sign before their amounts, and where the fields usually stand.

    ``has_micr`` says that the fields of their MICR line are known.
    """

    country: Country
    sign: str
    amount_zone: Zone
    date_zone: Zone
    number_zone: Zone | None = None
    has_micr: bool = False

    @property
    def writing(self) -> WritingLocale:
        """How the country writes amounts and dates."""
        return WRITING[self.country]

    @property
    def amount_grammar(self) -> FieldGrammar:
        """How amounts are written: either mark may part thousands, and lines fill the space on both sides."""
        return FieldGrammar(kind="amount", currency=self.writing.currency, cents=self.writing.cents, filled=True)

    @property
    def date_grammar(self) -> FieldGrammar:
        """How dates are written in figures."""
        return FieldGrammar(kind="date", order=self.writing.order)


LOCALES: dict[str, CheckLocale] = {
    "US": CheckLocale(
        "US",
        sign="$",
        amount_zone=Zone(0.6, 0.22, 0.99, 0.62),
        date_zone=Zone(0.55, 0.16, 0.92, 0.33),
        number_zone=Zone(0.7, 0.03, 0.97, 0.2),
        has_micr=True,
    ),
    "IN": CheckLocale("IN", sign="₹", amount_zone=Zone(0.66, 0.26, 0.99, 0.62), date_zone=Zone(0.66, 0.02, 0.99, 0.26)),
    "CL": CheckLocale("CL", sign="$", amount_zone=Zone(0.55, 0.02, 0.99, 0.36), date_zone=Zone(0.4, 0.18, 0.99, 0.48)),
    "EU": CheckLocale("EU", sign="€", amount_zone=Zone(0.6, 0.2, 0.99, 0.6), date_zone=Zone(0.45, 0.45, 0.99, 0.75)),
}
"""The known countries. The US places are those of the development specimens; the others follow the printed standards of
their banks and were never measured on whole checks."""
