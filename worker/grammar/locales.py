"""How countries write amounts and dates: their currency, decimal mark, grouping and order of day, month and year."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from schemas.form_template import DateOrder, FieldGrammar, FieldKind

Separator = Literal[",", ".", "either"]


@dataclass(frozen=True, slots=True)
class WritingLocale:
    """A country's way to write. ``cents`` says whether decimals of amounts are always written there."""

    currency: str
    separator: Separator
    order: DateOrder
    cents: Literal["required", "optional"] = "required"


_EURO = WritingLocale("EUR", ",", "DMY")
LOCALES: dict[str, WritingLocale] = {
    **dict.fromkeys(("AT", "BE", "DE", "ES", "FI", "FR", "GR", "IT", "NL", "PT"), _EURO),
    "AU": WritingLocale("AUD", ".", "DMY"),
    "BR": WritingLocale("BRL", ",", "DMY"),
    "CA": WritingLocale("CAD", "either", "YMD"),
    "CH": WritingLocale("CHF", ".", "DMY"),
    "CL": WritingLocale("CLP", ",", "DMY", "optional"),
    "CN": WritingLocale("CNY", ".", "YMD"),
    "CZ": WritingLocale("CZK", ",", "DMY"),
    "DK": WritingLocale("DKK", ",", "DMY"),
    "EU": WritingLocale("EUR", "either", "DMY"),
    "GB": WritingLocale("GBP", ".", "DMY"),
    "IE": WritingLocale("EUR", ".", "DMY"),
    "IN": WritingLocale("INR", ".", "DMY", "optional"),
    "JP": WritingLocale("JPY", ".", "YMD", "optional"),
    "MX": WritingLocale("MXN", ".", "DMY"),
    "NO": WritingLocale("NOK", ",", "DMY"),
    "PL": WritingLocale("PLN", ",", "DMY"),
    "SE": WritingLocale("SEK", ",", "YMD"),
    "US": WritingLocale("USD", ".", "MDY"),
}
"""By country (ISO 3166), and ``EU`` for euros with either mark. Decimal marks, orders of dates and currencies are those
of the Unicode Common Locale Data Repository (CLDR 44)."""


def grammar_of(kind: FieldKind, country: str | None) -> FieldGrammar:
    """Return the grammar of one field that no template describes; a number may have decimals and a sign there.

    Without a country, an amount has two decimals of no currency, and a date's order is open.
    """
    locale = LOCALES[country] if country else None
    held: dict[str, Any] = {"kind": kind}
    if kind == "amount":
        held |= {"currency": locale.currency, "cents": locale.cents} if locale else {"decimals": 2}
    if kind == "number":
        held |= {"signed": True, "decimals": 6, "cents": "optional"}
    if locale and kind in ("number", "amount"):
        held["separator"] = locale.separator
    if locale and kind == "date":
        held["order"] = locale.order
    return FieldGrammar.model_validate(held)
