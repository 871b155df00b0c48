"""A person's answer that breaks a rule across fields takes back what the rule had made the machine accept."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace

import pytest
from sqlalchemy import Engine, select

from schemas.form_template import FormTemplate
from tests.support.readings import make_field, make_page, read
from worker.store import reviews
from worker.store.review_history import undo_review
from worker.store.review_queue import Wanted, count_waiting
from worker.store.reviews import correct_field
from worker.store.tables import DoubtRow, FieldRow
from worker.values import FieldStatus

TEMPLATE = FormTemplate.model_validate(
    {
        "name": "sample-form",
        "page_mm": [210, 297],
        "fields": [
            {"name": name, "box_mm": [10, 10 + 20 * i, 60, 10]} for i, name in enumerate(("a", "b", "total", "other"))
        ],
        "rules": [{"rule": "sum", "fields": ["a", "b"], "total": "total"}],
        "landmarks": [{"kind": "box", "box_mm": [x, y, 20, 20]} for x, y in ((150, 10), (150, 250), (10, 250))],
    }
)
TEMPLATES = {TEMPLATE.name: TEMPLATE}


def store(engine: Engine, *doubtful: str) -> None:
    texts = {"a": "17", "b": "20", "total": "37", "other": "5"}
    fields = [
        make_field(name, text, FieldStatus.REVIEW if name in doubtful else FieldStatus.ACCEPTED)
        for name, text in texts.items()
    ]
    read(engine, replace(make_page(0, *fields)))


def rows(engine: Engine) -> dict[str, tuple[str | None, str | None, str, Sequence[str]]]:
    query = select(FieldRow.name, FieldRow.final_text, FieldRow.origin, FieldRow.status, FieldRow.reasons)
    with engine.connect() as connection:
        return {row.name: tuple(row[1:]) for row in connection.execute(query)}


def test_what_the_machine_had_accepted_by_a_rule_waits_where_an_answer_breaks_it(engine: Engine) -> None:
    store(engine)
    correct_field(engine, 1, "11", who="ann", templates=TEMPLATES)
    found = rows(engine)
    assert found["a"][:2] == ("11", "reviewer") and found["other"][:2] == ("5", "machine")
    for name in ("b", "total"):
        final, origin, status, reasons = found[name]
        assert (final, origin, status) == (None, None, "accepted")
        assert reasons[-1].startswith("rule sum: makes 31, but total says 37")
    with engine.connect() as connection:
        kinds = connection.execute(select(DoubtRow.field_id, DoubtRow.kind).order_by(DoubtRow.position)).all()
    assert kinds == [(2, "rule_broken"), (3, "rule_broken")]
    assert count_waiting(engine, Wanted(template=TEMPLATE.name)) == 2


@pytest.mark.parametrize(("answer", "doubtful"), [("17", ()), ("11", ("b",))], ids=["kept", "b waits still"])
def test_a_rule_that_is_kept_or_still_lacks_a_number_takes_nothing_back(
    engine: Engine, answer: str, doubtful: tuple[str, ...]
) -> None:
    store(engine, *doubtful)
    correct_field(engine, 1, answer, who="ann", templates=TEMPLATES)
    assert rows(engine)["total"][:2] == ("37", "machine")


def test_the_last_number_of_a_rule_decides_about_the_others(engine: Engine) -> None:
    store(engine, "b")
    correct_field(engine, 1, "11", who="ann", templates=TEMPLATES)
    correct_field(engine, 2, None, who="ann", templates=TEMPLATES)
    assert {name: row[0] for name, row in rows(engine).items()} == {"a": "11", "b": "20", "total": None, "other": "5"}


def finals(engine: Engine) -> dict[str, str | None]:
    return {name: row[0] for name, row in rows(engine).items()}


def test_a_slip_of_the_keys_that_is_mended_sends_nobody_the_other_fields(engine: Engine) -> None:
    store(engine, "a")
    before = rows(engine)
    correct_field(engine, 1, "71", who="ann", templates=TEMPLATES)
    assert finals(engine) == {"a": "71", "b": None, "total": None, "other": "5"}
    correct_field(engine, 1, "17", who="bob", templates=TEMPLATES)
    after = rows(engine)
    assert after["a"][:2] == ("17", "reviewer")
    assert {name: after[name] for name in ("b", "total")} == {name: before[name] for name in ("b", "total")}
    with engine.connect() as connection:
        assert not connection.execute(select(DoubtRow).where(DoubtRow.kind == "rule_broken")).all()
    assert count_waiting(engine, Wanted(template=TEMPLATE.name)) == 0


def test_what_a_person_has_decided_meanwhile_is_not_taken_from_them(engine: Engine) -> None:
    store(engine, "a")
    correct_field(engine, 1, "71", who="ann", templates=TEMPLATES)
    correct_field(engine, 2, "22", who="bob", templates=TEMPLATES)
    correct_field(engine, 1, "15", who="ann", templates=TEMPLATES)
    found = rows(engine)
    assert found["b"][:2] == ("22", "reviewer") and found["total"][:2] == ("37", "machine")


def test_nothing_is_accepted_again_while_a_field_of_the_rule_waits_for_itself(engine: Engine) -> None:
    store(engine, "a", "b")
    correct_field(engine, 2, "20", who="ann", templates=TEMPLATES)
    correct_field(engine, 1, "71", who="ann", templates=TEMPLATES)
    waiting = correct_field(engine, 1, "17", who="ann", templates=TEMPLATES)
    assert finals(engine)["total"] == "37"
    undo_review(engine, waiting.id, who="ann", templates=TEMPLATES)
    assert finals(engine) == {"a": "71", "b": "20", "total": None, "other": "5"}


def test_an_act_that_is_taken_back_gives_the_others_back_or_takes_them_again(engine: Engine) -> None:
    store(engine)
    slip = correct_field(engine, 1, "11", who="ann", templates=TEMPLATES)
    undo_review(engine, slip.id, who="ann", templates=TEMPLATES)
    assert finals(engine) == {"a": "17", "b": "20", "total": "37", "other": "5"}
    correct_field(engine, 1, "11", who="ann", templates=TEMPLATES)
    mended = correct_field(engine, 1, "17", who="ann", templates=TEMPLATES)
    undo_review(engine, mended.id, who="ann", templates=TEMPLATES)
    assert finals(engine) == {"a": "11", "b": None, "total": None, "other": "5"}


def test_a_template_that_is_not_known_where_somebody_decides_is_named(engine: Engine) -> None:
    store(engine)
    assert correct_field(engine, 1, "11", who="ann", templates={}).unknown_template == TEMPLATE.name
    assert correct_field(engine, 1, "17", who="ann", templates=TEMPLATES).unknown_template is None


def test_two_people_who_fill_in_two_numbers_at_once_break_the_rule_together(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(engine, "a", "b")
    second = threading.Thread(
        target=correct_field, args=(engine, 2, "20"), kwargs={"who": "bob", "templates": TEMPLATES}
    )

    def announce_later(*_arguments: object, **_more: object) -> None:
        if second.ident is None:  # the first person's rules are held, and nothing is committed yet
            second.start()
            second.join(1)

    monkeypatch.setattr(reviews, "announce_review", announce_later)
    correct_field(engine, 1, "71", who="ann", templates=TEMPLATES)
    second.join(30)
    assert finals(engine) == {"a": "71", "b": "20", "total": None, "other": "5"}
