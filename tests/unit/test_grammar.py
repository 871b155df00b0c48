"""What figures and marks mean in a field of each kind, and what other marks may make of them."""

import datetime as dt
from decimal import Decimal

import pytest

from schemas.form_template import FieldGrammar
from worker.grammar.locales import LOCALES, grammar_of
from worker.grammar.meaning import find_meaning, parse_typed, parse_written, show_written, spell_value
from worker.grammar.misfit import Misfit, MisfitKind
from worker.values import Box, Money, RawReading, RivalMarks, Value

UNEXPECTED, MISSING, NO_VALUE = MisfitKind.UNEXPECTED_MARK, MisfitKind.MISSING_MARK, MisfitKind.NO_VALUE
EUR = {"kind": "amount", "currency": "EUR"}


def grammar(**keys: object) -> FieldGrammar:
    return FieldGrammar.model_validate(keys)


CASES: list[tuple[dict[str, object], str, Value | MisfitKind]] = [
    ({}, "00423", "00423"),
    ({}, "423.", "423"),
    *(({}, text, UNEXPECTED) for text in ("-264", "12.5", "3,75", "12-15", "12/21/91", "$5", "4285#", "12-", "7#3")),
    ({"kind": "number"}, "0042", 42),
    *(({"kind": "number"}, text, UNEXPECTED) for text in ("-264", "12.5", "12.345", "1.234.5", "$5", "12-15", "8-")),
    ({"kind": "number"}, "1.234.567", 1234567),
    ({"kind": "number", "separator": ","}, "12.345", 12345),
    ({"kind": "number", "separator": "."}, "12.345", UNEXPECTED),
    ({"kind": "number", "signed": True}, "-264", -264),
    ({"kind": "number", "signed": True}, "264-", UNEXPECTED),
    ({"kind": "number", "decimals": 1}, "27.3", Decimal("27.3")),
    ({"kind": "number", "decimals": 1}, "27,3", Decimal("27.3")),
    ({"kind": "number", "decimals": 1}, "273", MISSING),
    ({"kind": "number", "decimals": 1}, "2.73", NO_VALUE),
    ({"kind": "number", "decimals": 1, "cents": "optional"}, "273", 273),
    ({"kind": "number", "decimals": 1, "cents": "implied"}, "273", Decimal("27.3")),
    ({"kind": "number", "decimals": 3}, "1.250", NO_VALUE),
    ({"kind": "number", "decimals": 3, "separator": "."}, "1.250", Decimal("1.250")),
    ({"kind": "number", "decimals": 3, "separator": ",", "cents": "optional"}, "1.250", 1250),
    ({"kind": "number", "decimals": 1, "unit": "%"}, "27.3#", Decimal("27.3")),
    ({"kind": "number", "decimals": 1}, "27.3#", UNEXPECTED),
    ({"kind": "number", "unit": "m3"}, "4285#3", 4285),
    ({"kind": "number", "unit": "m3"}, "4285##", 4285),
    (EUR, "125", MISSING),
    (EUR, "12.5", NO_VALUE),
    (EUR, "1.25", Money(125, "EUR")),
    (EUR, "1.250", MISSING),
    (EUR, "1.250,00", Money(125000, "EUR")),
    (EUR, "50/100", UNEXPECTED),
    (EUR, "1250/100", Money(1250, "EUR")),
    (EUR, "-1.25", UNEXPECTED),
    (EUR, "1#25", UNEXPECTED),
    (EUR, "12,-", Money(1200, "EUR")),
    (EUR, "12/-", Money(1200, "EUR")),
    (EUR | {"signed": True}, "-1.25", Money(-125, "EUR")),
    (EUR | {"signed": True}, "1.25-", UNEXPECTED),
    (EUR | {"cents": "optional"}, "125", Money(12500, "EUR")),
    (EUR | {"cents": "optional", "separator": ","}, "1.250", Money(125000, "EUR")),
    (EUR | {"cents": "optional", "separator": "."}, "1.250", NO_VALUE),
    (EUR | {"cents": "implied"}, "125", Money(125, "EUR")),
    (EUR | {"cents": "implied"}, "5", Money(5, "EUR")),
    (EUR | {"filled": True}, "-12.50-", Money(1250, "EUR")),
    ({"filled": True}, "##6", "6"),
    ({"filled": True}, "-06=", "06"),
    ({"filled": True}, "6#3", UNEXPECTED),
    ({"filled": True}, "##", NO_VALUE),
    ({"kind": "number", "filled": True}, "##6-", 6),
    ({"kind": "number"}, "##6", UNEXPECTED),
    ({"kind": "amount", "decimals": 2}, "12.50", Decimal("12.50")),
    ({"kind": "amount", "currency": "INR", "cents": "optional"}, "3,75,000/-", Money(37_500_000, "INR")),
    ({"kind": "amount"}, "3,75,000/-", Decimal(375_000)),
    ({"kind": "amount"}, "2,14,00,000/-", Decimal(21_400_000)),
    ({"kind": "amount"}, "1,234,56,000", NO_VALUE),
    ({"kind": "amount"}, "123,45,000", NO_VALUE),
    ({"kind": "number"}, "3,75,000", UNEXPECTED),
    (EUR | {"cents": "optional"}, "3,75,000", NO_VALUE),
    ({"kind": "amount", "currency": "JPY"}, "12,000", Money(12000, "JPY")),
    ({"kind": "amount", "currency": "JPY"}, "12-000", Money(12000, "JPY")),
    ({"kind": "amount", "currency": "JPY"}, "1-265-000-", Money(1_265_000, "JPY")),
    ({"kind": "amount", "currency": "JPY"}, "20.-244-.000", Money(20_244_000, "JPY")),
    ({"kind": "amount", "currency": "JPY"}, "1265-.", Money(1265, "JPY")),
    ({"kind": "amount", "currency": "JPY", "signed": True}, "12-000", UNEXPECTED),
    ({"kind": "amount", "currency": "JPY"}, "12-0000", UNEXPECTED),
    (EUR, "1-265,50", Money(126550, "EUR")),
    (EUR, "12-50", UNEXPECTED),
    ({"kind": "amount", "currency": "GBP", "separator": ".", "cents": "optional"}, "1-265", Money(126500, "GBP")),
    ({"kind": "number"}, "12-000", UNEXPECTED),
    ({"kind": "amount", "currency": "CLP", "separator": ","}, "4,693", Money(4693, "CLP")),
    ({"kind": "amount", "currency": "CLP", "separator": ","}, "46,93", NO_VALUE),
    ({"kind": "time"}, "8#30", dt.time(8, 30)),
    ({"kind": "time"}, "8.30", dt.time(8, 30)),
    ({"kind": "time"}, "0830", dt.time(8, 30)),
    *(({"kind": "time"}, text, NO_VALUE) for text in ("8#75", "2430", "8#3", "12345", "")),
    ({"kind": "time"}, "8-30", UNEXPECTED),
    ({"kind": "date", "order": "MDY"}, "12/21/91", dt.date(1991, 12, 21)),
    ({"kind": "date", "order": "DMY"}, "12/21/91", NO_VALUE),
    ({"kind": "date", "order": "DMY"}, "2024-01-31", dt.date(2024, 1, 31)),
    ({"kind": "date", "order": "DMY"}, "-1/2/2024", UNEXPECTED),
    ({"kind": "date", "order": "MDY"}, "12121191", NO_VALUE),
    ({"rules": [{"rule": "date", "format": "DDMMYYYY"}]}, "1/2/24", NO_VALUE),
    ({"rules": [{"rule": "date", "format": "DDMMYYYY"}]}, "1/2/2024", dt.date(2024, 2, 1)),
]


@pytest.mark.parametrize(("keys", "written", "meant"), CASES, ids=[f"{k.get('kind', '')} {w}" for k, w, _ in CASES])
def test_figures_mean_one_thing_in_a_field_or_nothing(keys: dict[str, object], written: str, meant: object) -> None:
    found = parse_written(grammar(**keys), written)
    assert (found.kind if isinstance(found, Misfit) else found) == meant
    assert isinstance(meant, MisfitKind) or type(found) is type(meant)


@pytest.mark.parametrize("written", ["01/02/2024", "31/12/91", "12/31/91", "24-2-29", "31122024", "123191"])
def test_a_date_whose_order_nobody_tells_has_no_value_and_no_fault(written: str) -> None:
    assert parse_written(grammar(kind="date"), written) is None


@pytest.mark.parametrize("written", ["317", "3/7", "1010193", "99/99/99", "45126789", "1/2/3/2024"])
def test_what_is_no_day_in_any_order_is_no_date(written: str) -> None:
    found = parse_written(grammar(kind="date"), written)
    assert isinstance(found, Misfit) and found.kind is NO_VALUE


@pytest.mark.parametrize(
    ("keys", "typed", "meant"),
    [
        (EUR, "1 234,50 €", Money(123450, "EUR")),
        (EUR, "EUR 12.50", Money(1250, "EUR")),
        (EUR, "£12.50", None),
        (EUR, "$12.50", None),
        ({"kind": "amount", "currency": "CLP"}, "$12.500", Money(12500, "CLP")),
        ({"kind": "amount", "currency": "CHF"}, "1'234.50", Money(123450, "CHF")),
        ({"kind": "number", "signed": True}, "\u2212264", -264),
        ({"kind": "number", "unit": "m3"}, "4285 m3", 4285),
        ({"kind": "time"}, "8:30", dt.time(8, 30)),
        ({"kind": "date", "order": "DMY"}, "31 1 2024", dt.date(2024, 1, 31)),
    ],
)
def test_what_people_type_is_parsed_by_the_same_grammar(keys: dict[str, object], typed: str, meant: object) -> None:
    found = parse_typed(grammar(**keys), typed)
    assert found == meant if meant is not None else isinstance(found, Misfit)


def reading(text: str, marks: tuple[str, ...] = (), **rivals: float) -> RawReading:
    """Return a reading; each rival names its marks by gap, ``_`` for none."""
    others = tuple(RivalMarks(tuple(c.strip("_") for c in name.split("|")), p) for name, p in rivals.items())
    return RawReading(text, 0.999, Box(0, 0, 1, 1), marks=marks, rival_marks=others)


MINUS = {"-|_|_|_": 0.02}
POINT = {"_|_|.|_": 0.15}


@pytest.mark.parametrize(
    ("keys", "marks", "rivals", "doubted"),
    [
        ({}, (), MINUS, True),
        ({}, (), {"-|_|_|_": 0.005}, False),
        ({}, (), POINT, True),
        ({}, (), {"_|_|.|_": 0.02}, False),
        ({}, (), {"_|_|_|.": 0.5}, False),
        ({"kind": "number", "signed": True}, (), MINUS, True),
        (EUR | {"filled": True, "cents": "optional"}, (), MINUS, False),
        (EUR | {"cents": "optional"}, (), MINUS, True),
        (EUR | {"cents": "optional"}, (), {"_|.|_|_": 0.15}, True),
        (EUR | {"cents": "optional"}, (), POINT, True),  # 23,6: nine of 40 were taken for 236
        (EUR | {"cents": "optional"}, (), {"_|_|.|_": 0.02}, False),
        (EUR | {"cents": "optional"}, (), {"_|_|_|.": 0.15}, False),
        (EUR | {"cents": "optional"}, ("", ".", "", ""), {"_|_|_|_": 0.5}, True),
        (EUR, ("", ".", "", ""), {"_|_|_|_": 0.5}, False),
        (EUR, ("", ".", "", ""), {"_|,|_|_": 0.4}, False),
    ],
)
def test_faint_marks_count_where_they_would_change_what_is_meant(
    keys: dict[str, object], marks: tuple[str, ...], rivals: dict[str, float], doubted: bool
) -> None:
    meaning = find_meaning(grammar(**keys), reading("125", marks, **rivals))
    assert meaning.misfit is None
    assert (meaning.rival is not None) == doubted


def test_a_mark_that_only_one_network_sees_counts_where_the_form_asks_for_it() -> None:
    seen = reading("125", ("", "", "", ""), **{"_|.|_|_": 0.5})
    assert find_meaning(grammar(**EUR), seen).value == Money(125, "EUR")
    assert find_meaning(grammar(**EUR), seen).written == "1.25"


@pytest.mark.parametrize("kind", ["number", "amount"])
@pytest.mark.parametrize("mark", [".", ",", "-", "/"])
def test_a_mark_that_was_seen_within_a_number_is_not_left_out_for_the_grammar(kind: str, mark: str) -> None:
    """A currency with two decimals takes no 23,6, and one of two networks may not see the comma."""
    optional = grammar(kind=kind, decimals=2, cents="optional")
    for at in (1, 2):
        marks = tuple(mark if gap == at else "" for gap in range(4))
        meaning = find_meaning(optional, reading("236", marks, **{"_|_|_|_": 0.6}))
        assert meaning.written != "236" and meaning.value != 236


def test_a_mark_that_only_one_network_misses_stays_a_doubt_in_a_code() -> None:
    seen = reading("125", ("", ".", "", ""), **{"_|_|_|_": 0.5})
    assert find_meaning(grammar(), seen).misfit is not None


def test_values_are_spelt_without_fractions_or_exponents() -> None:
    values = (Money(-125, "EUR"), Decimal("1E+2"), Decimal("12.50"), 7, dt.time(8, 5), dt.date(2024, 1, 2), "007")
    assert [spell_value(v) for v in values] == ["-125", "100", "12.50", "7", "08:05", "2024-01-02", "007"]


def test_marks_are_shown_as_people_write_them() -> None:
    assert show_written(grammar(kind="time"), "8#30") == "8:30"
    assert show_written(grammar(kind="number", decimals=1, unit="%"), "27.3#") == "27.3 %"
    assert show_written(grammar(**EUR), "$12.50") == "\u00a412.50"


@pytest.mark.parametrize("country", LOCALES)
def test_every_country_has_a_grammar_for_every_kind(country: str) -> None:
    for kind in ("code", "number", "amount", "date", "time"):
        assert grammar_of(kind, country).kind == kind


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"kind": "code", "decimals": 2}, "'decimals' needs"),
        ({"kind": "date", "signed": True}, "'signed' needs"),
        ({"kind": "amount", "unit": "kg"}, "'unit' needs"),
        ({"kind": "number", "currency": "EUR"}, "'currency' needs"),
        ({"kind": "mark", "digits": 3}, "has no 'digits'"),
    ],
)
def test_a_key_of_another_kind_is_refused(keys: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        grammar(**keys)


@pytest.mark.parametrize(
    ("grammar", "written", "told"),
    [
        ({"kind": "amount", "currency": "EUR"}, "12,5", "12,5 is no amount with 2 decimals"),
        ({"kind": "number", "decimals": 1}, "1.2.3", "1.2.3 is no number with at most 1 decimal"),
        ({"kind": "amount", "currency": "JPY"}, "12.50", "12.50 is no amount without decimals"),
    ],
)
def test_decimals_that_do_not_fit_say_which_ones_do(grammar: dict[str, object], written: str, told: str) -> None:
    found = parse_typed(FieldGrammar.model_validate(grammar), written)
    assert isinstance(found, Misfit) and found.explanation == told
