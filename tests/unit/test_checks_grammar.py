from __future__ import annotations

import datetime as dt

import pytest

from worker.checks.locales import LOCALES
from worker.checks.policy import CheckPolicy, add_months
from worker.grammar.meaning import parse_written
from worker.grammar.misfit import Misfit
from worker.values import Money


@pytest.mark.parametrize(
    ("country", "written", "minor_units"),
    [
        ("US", "$200.00", 20000),
        ("US", "1,234.56", 123456),
        ("US", "1.234.56", 123456),
        ("US", "##75.5", None),
        ("US", "200-", None),
        ("US", "200.-", 20000),
        ("US", "25 50/100".replace(" ", ""), 2550),
        ("US", "20000", None),
        ("US", "12,34.50", None),
        ("US", "0.00", 0),
        ("US", "#", None),
        ("US", "", None),
        ("US", "=12.30=", 1230),
        ("IN", "3,97,000/-", 39_700_000),
        ("IN", "$110,00,00,000/-", 110_000_000_000),
        ("IN", "6520000/-", 652_000_000),
        ("IN", "5,750.10", 575_010),
        ("IN", "1,2345", None),
        ("IN", "35,000", 3_500_000),
        ("CL", "$1.234.567.-", 1_234_567),
        ("CL", "125.000", 125_000),
        ("CL", "125.00", None),
        ("EU", "1.234,50", 123_450),
        ("EU", "50", None),
        ("EU", "50,-", 5000),
    ],
)
def test_amounts_are_integers_of_minor_units(country: str, written: str, minor_units: int | None) -> None:
    locale = LOCALES[country]
    amount = parse_written(locale.amount_grammar, written)
    if minor_units is None:
        assert isinstance(amount, Misfit)
    else:
        assert amount == Money(minor_units, locale.writing.currency)


@pytest.mark.parametrize(
    ("country", "written", "date"),
    [
        ("US", "11/12/2019", dt.date(2019, 11, 12)),
        ("IN", "11/12/2019", dt.date(2019, 12, 11)),
        ("US", "5-5-15", dt.date(2015, 5, 5)),
        ("EU", "2019-11-12", dt.date(2019, 11, 12)),
        ("US", "11122019", dt.date(2019, 11, 12)),
        ("IN", "29022016", dt.date(2016, 2, 29)),
        ("US", "13/12/2019", None),
        ("US", "10625202019", None),
        ("US", "20,2019", None),
        ("IN", "31022016", None),
        ("US", "1/14/209", None),
        ("US", "", None),
    ],
)
def test_dates_follow_the_country(country: str, written: str, date: dt.date | None) -> None:
    found = parse_written(LOCALES[country].date_grammar, written)
    assert found == date if date else isinstance(found, Misfit)


def test_the_window_of_dates_is_closed_at_both_ends() -> None:
    rules = CheckPolicy(LOCALES["US"], dt.date(2024, 3, 31))
    assert rules.broken_by_date(dt.date(2023, 3, 31)) is None
    assert rules.broken_by_date(dt.date(2024, 4, 30)) is None
    assert "2024-05-01" in (rules.broken_by_date(dt.date(2024, 5, 1)) or "")
    assert rules.broken_by_date(dt.date(2023, 3, 30)) is not None


def test_months_end_where_the_month_does() -> None:
    assert add_months(dt.date(2024, 1, 31), 1) == dt.date(2024, 2, 29)
    assert add_months(dt.date(2024, 1, 15), -13) == dt.date(2022, 12, 15)


def test_amounts_beyond_the_limit_are_named() -> None:
    rules = CheckPolicy(LOCALES["US"], dt.date(2024, 1, 1), max_amount=100_000)
    assert rules.broken_by_amount(Money(100_000, "USD")) is None
    assert rules.broken_by_amount(Money(100_001, "USD")) is not None
    assert rules.broken_by_amount(Money(0, "USD")) == "the amount is nothing"
