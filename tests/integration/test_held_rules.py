"""A person's answer that breaks a rule across fields takes back what the rule had made the machine accept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from sqlalchemy import Engine, select

from schemas.form_template import FormTemplate
from tests.support.readings import make_field, make_page, read
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
