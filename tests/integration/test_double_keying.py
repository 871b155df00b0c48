"""Fields that a template wants keyed twice: two keyers agree, the machine being one where it is sure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy import Engine, select

from schemas.form_template import FieldGrammar
from tests.support.readings import make_field, make_page, read
from worker.doubts import Doubt, DoubtKind
from worker.errors import InvalidReviewError
from worker.store.engine import reading
from worker.store.overview import count_key_errors
from worker.store.review_history import undo_review
from worker.store.review_queue import Wanted, take_fields
from worker.store.reviews import Review, correct_field
from worker.store.tables import FieldRow, ReviewRow
from worker.values import FieldStatus

AMOUNT = FieldGrammar(kind="amount", currency="EUR", verify="double")
TWICE = Doubt(DoubtKind.KEYED_TWICE)
LOW = Doubt(DoubtKind.LOW_CONFIDENCE, found=0.7, needed=0.98)
Key = Callable[[str, str], Review]


def make_key(engine: Engine, *doubts: Doubt, grammar: FieldGrammar = AMOUNT) -> tuple[int, Key]:
    """Write one amount that was read as 12.50; return its id and a function that keys it for a person."""
    field = replace(make_field("sum", "1250", FieldStatus.REVIEW), written="12.50", grammar=grammar, doubts=doubts)
    read(engine, make_page(0, field))
    with reading(engine) as connection:
        field_id = connection.execute(select(FieldRow.id)).scalar_one()
    return field_id, lambda who, number: correct_field(engine, field_id, number, who=who)


def final(engine: Engine) -> tuple[str | None, str | None]:
    with reading(engine) as connection:
        row = connection.execute(select(FieldRow.final_text, FieldRow.reviewed_value)).one()
        return row.final_text, row.reviewed_value


def take(engine: Engine, who: str, **wanted: object) -> int:
    query = Wanted(**wanted)  # type: ignore[arg-type]
    return len(take_fields(engine, query, who=who, station=f"of {who}", count=5, lease_s=0.0))


def test_a_sure_machine_is_the_first_keyer(engine: Engine) -> None:
    _, key = make_key(engine, TWICE)
    assert key("anna", "12,50").action == "correct", "12,50 and 12.50 mean the same"
    assert final(engine) == ("12,50", "1250")


def test_an_unsure_machine_is_none_and_nobody_keys_twice(engine: Engine) -> None:
    _, key = make_key(engine, TWICE, LOW)
    assert key("anna", "12.50").action == "key" and final(engine) == (None, None)
    assert (take(engine, "anna"), take(engine, "ben")) == (0, 1)
    with pytest.raises(InvalidReviewError, match="anna has keyed"):
        key("anna", "12.50")
    assert key("ben", "12.50").action == "correct"
    assert final(engine) == ("12.50", "1250")


def test_a_third_person_decides_a_mismatch(engine: Engine) -> None:
    _, key = make_key(engine, TWICE, LOW)
    assert [key("anna", "12.50").action, key("ben", "72.50").action, key("cara", "72.50").action] == [
        "key",
        "key",
        "correct",
    ]
    assert final(engine) == ("72.50", "7250")
    assert count_key_errors(engine) == {"anna": (1, 1), "ben": (1, 0)}


def test_three_who_differ_leave_it_to_a_supervisor_who_decides_alone(engine: Engine) -> None:
    _, key = make_key(engine, TWICE)
    assert [key("anna", "1.50").action, key("ben", "72.50").action] == ["key", "key"]
    assert (take(engine, "cara"), take(engine, "cara", level="supervisor")) == (0, 1)
    assert key("cara", "2.50").action == "correct"
    assert final(engine) == ("2.50", "250")


def test_a_number_from_the_bound_on_is_keyed_twice_whatever_the_machine_made_of_it(engine: Engine) -> None:
    grammar = FieldGrammar(kind="amount", currency="EUR", verify="double", verify_from=10_000)
    _, key = make_key(engine, LOW, grammar=grammar)  # read as 12.50
    assert key("anna", "1250.00").action == "key" and final(engine) == (None, None)
    (shown,) = take_fields(engine, Wanted(), who="ben", station="of ben", count=5, lease_s=0.0)
    assert DoubtKind.KEYED_TWICE in shown.doubts, "the second keyer sees no reading, either"
    assert key("ben", "12.50").action == "key", "a small number does not make it a field for one person again"
    assert key("cara", "1250.00").action == "correct"
    assert final(engine) == ("1250.00", "125000")


def test_a_number_below_the_bound_is_keyed_once(engine: Engine) -> None:
    grammar = FieldGrammar(kind="amount", currency="EUR", verify="double", verify_from=10_000)
    _, key = make_key(engine, LOW, grammar=grammar)
    assert key("anna", "99.99").action == "correct"
    assert key("anna", "100.00").action == "correct", "it was decided before"


def test_it_is_not_confirmed_unseen_and_a_key_is_taken_back(engine: Engine) -> None:
    field_id, key = make_key(engine, TWICE, LOW)
    with pytest.raises(InvalidReviewError, match="type the number"):
        correct_field(engine, field_id, None, who="anna")
    first = key("anna", "99.99")
    undo_review(engine, first.id, who="anna")
    assert key("anna", "12.50").action == "key", "what was taken back does not count"
    assert key("ben", "12.50").action == "correct"
    with reading(engine) as connection:
        assert connection.execute(select(ReviewRow.action).order_by(ReviewRow.id)).scalars().all() == [
            "key",
            "undo",
            "key",
            "correct",
        ]
