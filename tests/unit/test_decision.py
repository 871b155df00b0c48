import datetime as dt
from dataclasses import replace
from decimal import Decimal

import pytest
from pydantic import ValidationError

from schemas.form_template import FieldSpec, FormTemplate
from tests.support.readings import reasons_of
from worker.decision.fields import AcceptPolicy, decide_field
from worker.decision.forms import decide_form
from worker.doubts import Doubt, DoubtKind
from worker.grammar.rules import find_check_digit_scheme, number_of
from worker.grammar.times import parse_date
from worker.values import Alternative, Box, FieldReading, FieldStatus, Money, RawReading

BOX = Box(0, 0, 10, 10)


def spec(**keys: object) -> FieldSpec:
    return FieldSpec.model_validate({"name": "a", "box_mm": [0, 0, 10, 10], **keys})


def read(text: str, confidence: float = 0.999, **keys: object) -> RawReading:
    return RawReading(text, confidence, BOX, **keys)  # type: ignore[arg-type]


def decide(field: FieldSpec, reading: RawReading, **policy: float) -> FieldReading:
    return decide_field(field, reading, AcceptPolicy(**policy))


def test_a_sure_field_that_keeps_its_grammar_is_accepted_without_reasons() -> None:
    decided = decide(spec(digits=3), read("701"))
    assert (decided.status, reasons_of(decided), decided.text) == (FieldStatus.ACCEPTED, (), "701")


def test_a_field_that_is_keyed_twice_is_never_accepted_unseen() -> None:
    decided = decide(spec(verify="double"), read("701"))
    assert (decided.status, [d.kind for d in decided.doubts]) == (FieldStatus.REVIEW, [DoubtKind.KEYED_TWICE])
    kept = {"rules": [{"rule": "check_digit", "scheme": "luhn"}], "verify": "double"}
    assert decide(spec(**kept), read("79927398713", 0.99)).status is FieldStatus.REVIEW
    assert decide(spec(verify="double"), read("", blank=True)).status is FieldStatus.REVIEW


@pytest.mark.parametrize(("text", "is_twice"), [("9999", False), ("10000", True), ("250000", True)])
def test_an_amount_from_the_bound_on_is_keyed_twice(text: str, is_twice: bool) -> None:
    decided = decide(
        spec(kind="amount", currency="EUR", cents="implied", verify="double", verify_from=10_000), read(text)
    )
    assert (decided.status is FieldStatus.REVIEW) == is_twice
    assert (DoubtKind.KEYED_TWICE in [doubt.kind for doubt in decided.doubts]) == is_twice


def test_a_bound_needs_double_keying_and_a_number() -> None:
    with pytest.raises(ValidationError, match="verify_from"):
        spec(kind="amount", verify_from=10_000)
    with pytest.raises(ValidationError, match="verify_from"):
        spec(verify="double", verify_from=10_000)


def test_the_reader_s_own_threshold_counts_and_the_policy_s_goes_before_it() -> None:
    sure = read("701", 0.98, accept_threshold=0.97)
    assert decide(spec(), sure).status is FieldStatus.ACCEPTED
    assert reasons_of(decide(spec(), sure, accept_threshold=0.99)) == ("confidence 0.980 is below the 0.990 needed",)
    assert decide(spec(), read("701", 0.98)).status is FieldStatus.REVIEW


def test_without_enough_labelled_fields_nothing_is_accepted_and_it_is_said() -> None:
    decided = decide(spec(), read("701", 0.9999, accept_threshold=None))
    assert decided.status is FieldStatus.REVIEW
    assert "not calibrated" in reasons_of(decided)[0]


MEANINGS = [
    ({"rules": [{"rule": "date", "format": "DDMMYY"}]}, "310124", dt.date(2024, 1, 31)),
    ({"rules": [{"rule": "date"}]}, "31022024", None),
    ({"rules": [{"rule": "date", "not_after": "2023-12-31"}]}, "01012024", dt.date(2024, 1, 1)),
    ({"kind": "amount", "decimals": 2, "currency": "EUR", "cents": "implied"}, "123450", Money(123450, "EUR")),
    ({"kind": "amount", "decimals": 2, "currency": "EUR", "cents": "optional"}, "1234", Money(123400, "EUR")),
    ({"kind": "amount", "decimals": 2, "currency": "EUR"}, "123450", None),
    ({"kind": "amount", "decimals": 2, "cents": "implied"}, "123450", Decimal("1234.50")),
    ({"kind": "amount", "decimals": 2, "layout": "cells", "cells": 6}, "123450", Decimal("1234.50")),
    ({"kind": "number"}, "0042", 42),
    ({}, "0042", "0042"),
    ({"kind": "amount", "currency": "CLP"}, "", None),
]


@pytest.mark.parametrize(("keys", "text", "value"), MEANINGS)
def test_a_field_says_what_its_digits_mean_where_its_form_tells(
    keys: dict[str, object], text: str, value: object
) -> None:
    assert decide(spec(**keys), read(text)).value == value


def test_a_currency_needs_an_amount() -> None:
    with pytest.raises(ValueError, match="'currency' needs"):
        spec(currency="EUR")


BROKEN = [
    ({"digits": 3}, "7012", "4 digits read, 3 expected"),
    ({"digits": {"min": 2, "max": 4}}, "7", "1 digit read, 2 to 4 expected"),
    ({"digits": {"min": 2, "max": 4}}, "12345", "5 digits read, 2 to 4 expected"),
    ({"rules": [{"rule": "range", "max": 120}]}, "121", "rule range: 121 is more than 120"),
    ({"rules": [{"rule": "range", "min": 5}]}, "4", "rule range: 4 is less than 5"),
    ({"rules": [{"rule": "pattern", "regex": "19[0-9]{2}"}]}, "2024", "rule pattern: 2024 does not match 19[0-9]{2}"),
    ({"rules": [{"rule": "list", "values": ["10", "20"]}]}, "30", "rule list: 30 is not on the list"),
    ({"rules": [{"rule": "date"}]}, "31022024", "rule date: 31022024 is no date (DDMMYYYY)"),
    ({"rules": [{"rule": "date", "not_after": "2024-12-31"}]}, "01012025", "rule date: 2025-01-01 is after 2024-12-31"),
    ({"rules": [{"rule": "date", "not_before": "2024-01-01"}]}, "31122023", "date: 2023-12-31 is before 2024-01-01"),
    ({"rules": [{"rule": "check_digit", "scheme": "luhn"}]}, "79927398710", "79927398710 is wrong (luhn)"),
    ({"rules": [{"rule": "check_digit", "scheme": "us.rtn"}]}, "111000026", "is wrong (us.rtn)"),
]


@pytest.mark.parametrize(("keys", "text", "reason"), BROKEN, ids=[b[2] for b in BROKEN])
def test_broken_grammar_or_rule_sends_a_sure_reading_to_review_and_keeps_its_text(
    keys: dict[str, object], text: str, reason: str
) -> None:
    decided = decide(spec(**keys), read(text))
    assert decided.status is FieldStatus.REVIEW
    assert decided.text == text
    assert len(reasons_of(decided)) == 1
    assert reason in reasons_of(decided)[0]


KEPT = [
    ({"digits": {"min": 2, "max": 4}}, "123"),
    ({"rules": [{"rule": "range", "min": 5, "max": 5}]}, "5"),
    ({"rules": [{"rule": "date", "format": "YYMMDD"}]}, "240229"),
    ({"rules": [{"rule": "check_digit", "scheme": "luhn"}]}, "79927398713"),
    ({"rules": [{"rule": "check_digit", "scheme": "us.rtn"}]}, "111000025"),
    ({"rules": [{"rule": "check_digit", "scheme": "iso7064.mod_97_10"}]}, "999912345678901214179"),
]


@pytest.mark.parametrize(("keys", "text"), KEPT, ids=[k[1] for k in KEPT])
def test_kept_rules_say_nothing(keys: dict[str, object], text: str) -> None:
    assert reasons_of(decide(spec(**keys), read(text))) == ()


def test_an_empty_field_is_blank_unless_it_must_be_filled_or_is_doubted() -> None:
    empty = read("", 0.999, blank=True)
    assert decide(spec(digits=3), empty).status is FieldStatus.BLANK
    assert reasons_of(decide(spec(optional=False), empty)) == ("empty, but must be filled",)
    assert decide(spec(), read("", 0.5, blank=True)).status is FieldStatus.REVIEW


def test_nothing_read_that_is_not_blank_is_reviewed() -> None:
    assert reasons_of(decide(spec(), read("", 0.999))) == ("nothing could be read",)


def test_a_field_off_its_place_is_reviewed() -> None:
    decided = decide(spec(), read("701", registration=0.6))
    assert reasons_of(decided) == ("its place on the page is uncertain: 60% of the print around it is found",)


def test_the_reader_s_doubts_come_first_and_a_near_tie_is_named() -> None:
    doubtful = read("701", 0.999, doubts=(Doubt(DoubtKind.TOUCHING_DIGITS),), alternatives=(Alternative("101", 0.97),))
    assert reasons_of(decide(spec(), doubtful)) == ("touching digits", "it may as well say 101")


def test_alternatives_that_keep_the_broken_rule_are_offered_first() -> None:
    field = spec(rules=[{"rule": "check_digit", "scheme": "luhn"}])
    others = (Alternative("79927398715", 0.02), Alternative("79927398713", 0.01))
    decided = decide(field, read("79927398710", alternatives=others))
    assert [a.text for a in decided.alternatives] == ["79927398713", "79927398715"]
    assert decided.text == "79927398710"


def form(*rules: dict[str, object]) -> FormTemplate:
    fields = [{"name": n, "box_mm": [0, 20 * i, 10, 10]} for i, n in enumerate("abc")]
    return FormTemplate.model_validate({"name": "x", "page_mm": [99, 99], "fields": fields, "rules": list(rules)})


def fields(*texts: str) -> list[FieldReading]:
    return [FieldReading(n, t, 0.999, FieldStatus.ACCEPTED, BOX) for n, t in zip("abc", texts, strict=True)]


ACROSS = [
    ({"rule": "sum", "fields": ["a", "b"], "total": "c"}, ("1", "2", "3"), ("1", "2", "4"), "makes 3, but c says 4"),
    (
        {"rule": "difference", "minuend": "a", "subtrahend": "b", "result": "c"},
        ("9", "2", "7"),
        ("9", "2", "6"),
        "makes 7, but c says 6",
    ),
    ({"rule": "equal", "fields": ["a", "b"]}, ("12", "12", ""), ("12", "13", ""), "a 12 differs from b 13"),
    ({"rule": "at_least_one", "fields": ["a", "b"]}, ("", "1", ""), ("", "", "1"), "none of a, b is filled"),
]


@pytest.mark.parametrize(("rule", "kept", "broken", "reason"), ACROSS, ids=[str(a[0]["rule"]) for a in ACROSS])
def test_rules_across_fields_send_every_named_field_to_review(rule, kept, broken, reason) -> None:
    template = form(rule)
    assert all(f.status is FieldStatus.ACCEPTED for f in decide_form(template, fields(*kept)))
    decided = {f.name: f for f in decide_form(template, fields(*broken))}
    named = {"a", "b", *([] if rule["rule"] in ("equal", "at_least_one") else ["c"])}
    assert {n for n, f in decided.items() if f.status is FieldStatus.REVIEW} == named
    assert all(reasons_of(decided[n]) == (f"rule {rule['rule']}: {reason}",) for n in named)


def unsure(*texts: str, confidence: float = 0.99, needed: float = 0.995) -> list[FieldReading]:
    reads = [read(t, confidence, doubts=(Doubt(DoubtKind.TOUCHING_DIGITS),), accept_threshold=needed) for t in texts]
    return [replace(decide(spec(), r), name=n) for n, r in zip("abc", reads, strict=True)]


def test_a_sum_that_adds_up_raises_all_its_fields_to_what_they_are_worth_together() -> None:
    decided = decide_form(form({"rule": "sum", "fields": ["a", "b"], "total": "c"}), unsure("17", "25", "42"))
    together = 0.99**3
    assert all(f.confidence == pytest.approx(10 * together / (10 * together + 1 - together)) for f in decided)
    assert all((f.status, f.doubts) == (FieldStatus.ACCEPTED, ()) for f in decided)
    assert decided[2].validation_sources == ("sum with a, b",)


def test_a_sum_that_is_kept_to_the_cent_answers_whether_a_mark_is_there() -> None:
    """With another sign or decimal mark it would not be kept; the same number twice may be misread alike."""
    doubt = Doubt(DoubtKind.UNSURE_MARK, readings=("17", "-17"))
    readings = [replace(each, doubts=(doubt,)) for each in unsure("17", "25", "42", confidence=0.9999)]
    decided = decide_form(form({"rule": "sum", "fields": ["a", "b"], "total": "c"}), readings)
    assert [(f.status, f.doubts, f.confidence >= 0.9999) for f in decided] == [(FieldStatus.ACCEPTED, (), True)] * 3
    twice = [replace(each, doubts=(doubt,)) for each in unsure("17", "17", "42", confidence=0.9999)]
    equal = decide_form(form({"rule": "equal", "fields": ["a", "b"]}), twice)
    assert [f.doubts for f in equal] == [(doubt,)] * 3


def test_a_sum_confirms_nothing_where_a_field_is_empty_and_no_evidence_counts_twice() -> None:
    total = {"rule": "sum", "fields": ["a", "b"], "total": "c"}
    assert all(not f.validation_sources for f in decide_form(form(total), fields("", "42", "42")))
    turned = {"rule": "difference", "minuend": "c", "subtrahend": "b", "result": "a"}
    readings = unsure("17", "25", "42", confidence=0.9)
    once = decide_form(form(total), readings)
    twice = decide_form(form(total, turned), readings)
    assert [f.confidence for f in once] == [f.confidence for f in twice]


def test_blank_rows_count_as_nothing_and_the_sum_speaks_for_the_others() -> None:
    rule = {"rule": "sum", "fields": ["a", "b", "d"], "total": "c"}
    names = [{"name": n, "box_mm": [0, 20 * i, 10, 10]} for i, n in enumerate("abcd")]
    template = FormTemplate.model_validate({"name": "x", "page_mm": [99, 99], "fields": names, "rules": [rule]})
    blank = FieldReading("d", "", 0.999, FieldStatus.BLANK, BOX)
    decided = decide_form(template, [*unsure("17", "25", "42"), blank])
    assert [f.status for f in decided] == [FieldStatus.ACCEPTED] * 3 + [FieldStatus.BLANK]
    doubted = replace(blank, status=FieldStatus.REVIEW)
    assert all(not f.validation_sources for f in decide_form(template, [*unsure("17", "25", "42"), doubted]))


def sure(*texts: str, needed: float | None = 0.995) -> list[FieldReading]:
    return [replace(f, accept_threshold=needed) for f in fields(*texts)]


def test_the_one_field_whose_close_reading_mends_a_sum_is_to_blame() -> None:
    template = form({"rule": "sum", "fields": ["a", "b"], "total": "c"})
    a, b, c = sure("17", "25", "48")
    doubtful = replace(c, confidence=0.6, alternatives=(Alternative("42", 0.3),), status=FieldStatus.REVIEW)
    decided = decide_form(template, [a, b, doubtful])
    assert [f.status for f in decided] == [FieldStatus.ACCEPTED, FieldStatus.ACCEPTED, FieldStatus.REVIEW]
    assert reasons_of(decided[2]) == ("rule sum: makes 42, but c says 48; only 42 keeps it",)
    unlikely = replace(doubtful, alternatives=(Alternative("42", 0.001),))
    assert {f.status for f in decide_form(template, [a, b, unlikely])} == {FieldStatus.REVIEW}
    not_calibrated = [replace(f, accept_threshold=None) for f in (a, b, doubtful)]
    assert {f.status for f in decide_form(template, not_calibrated)} == {FieldStatus.REVIEW}


def test_where_nothing_or_several_readings_mend_a_sum_all_are_asked_for_and_the_least_sure_is_named() -> None:
    template = form({"rule": "sum", "fields": ["a", "b"], "total": "c"})
    a, b, c = sure("17", "25", "48")
    two = [replace(a, alternatives=(Alternative("23", 0.1),)), b, replace(c, alternatives=(Alternative("42", 0.1),))]
    for readings in ([a, b, c], two):
        readings = [readings[0], replace(readings[1], confidence=0.9), readings[2]]
        decided = decide_form(template, readings)
        assert {reasons_of(f)[-1] for f in decided} == {"rule sum: makes 42, but c says 48; the least sure is b"}


def test_negative_numbers_are_added_with_their_sign() -> None:
    template = form({"rule": "sum", "fields": ["a", "b"], "total": "c"})
    a, b, c = sure("30", "12", "18")
    kept = decide_form(template, [replace(a, value=30), replace(b, value=-12), replace(c, value=18)])
    assert all(f.validation_sources for f in kept)


def test_the_same_number_twice_is_worth_less_than_a_sum() -> None:
    readings = unsure("17", "17", "9", confidence=0.99)
    decided = decide_form(form({"rule": "equal", "fields": ["a", "b"]}), readings)
    assert 0.99 < decided[0].confidence < 0.995
    assert decided[0].status is FieldStatus.REVIEW
    assert decided[2] == readings[2]


def test_dates_are_parsed_by_their_form() -> None:
    assert parse_date("05031999", "DDMMYYYY") == dt.date(1999, 3, 5)
    assert parse_date("990305", "YYMMDD") == dt.date(1999, 3, 5)
    assert parse_date("690305", "YYMMDD") == dt.date(2069, 3, 5)
    assert parse_date("30021999", "DDMMYYYY") is None
    assert parse_date("0503", "DDMMYYYY") is None


def test_amounts_are_integers_of_minor_units() -> None:
    assert number_of("1234.56") == 123456
    assert number_of("") == 0


def test_only_checks_of_stdnum_are_found() -> None:
    assert find_check_digit_scheme("iban") is not None
    assert find_check_digit_scheme("numdb") is None
    assert find_check_digit_scheme("nowhere") is None


@pytest.mark.parametrize(
    ("sign", "currency", "accepted"),
    [
        ("", "EUR", True),
        ("€", "EUR", True),
        ("£", "EUR", False),
        ("¤", "EUR", False),
        ("$", "CLP", True),
        ("$", "INR", False),
    ],
)
def test_a_currency_sign_decides_or_the_amount_goes_to_review(sign: str, currency: str, accepted: bool) -> None:
    amount = spec(kind="amount", currency=currency, cents="optional")
    written = read("125", marks=("$" if sign else "", "", "", ""), sign=sign)
    decided = decide(amount, written)
    assert (decided.status is FieldStatus.ACCEPTED) == accepted
    assert decided.written == sign + "125"
