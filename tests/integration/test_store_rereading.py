"""Scans read again: the new reading takes the place of the old one, and people's decisions stay where they belong."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine, func, select

from tests.support.readings import PAGE, claim, make_field, make_page, read
from worker.errors import InvalidReviewError, StaleReviewError
from worker.store import rereading
from worker.store.engine import reading
from worker.store.jobs import get_job, store_readings
from worker.store.rereading import requeue_read_jobs
from worker.store.results import Selection, iter_pages
from worker.store.reviews import correct_field
from worker.store.tables import Base, DigitRow, DoubtRow, FieldRow, JobState, PageRow, ReviewRow
from worker.values import Box, FieldReading, FieldStatus, PageReading

REVIEW, ACCEPTED = FieldStatus.REVIEW, FieldStatus.ACCEPTED
TEMPLATES = ["sample-form"]


def reread(engine: Engine, job_id: str, *pages: PageReading) -> None:
    assert requeue_read_jobs(engine, templates=TEMPLATES) == [job_id]
    claimed = claim(engine, job_id)
    assert claimed is not None
    assert store_readings(engine, claimed, claimed.scan, pages)


def fields_of(engine: Engine) -> dict[str, tuple[str, str | None, str | None]]:
    (page,) = iter_pages(engine, Selection())
    return {f.name: (f.text, f.final, f.origin) for f in page.fields}


def correct(engine: Engine, name: str, number: str | None) -> None:
    (page,) = iter_pages(engine, Selection())
    (field,) = (f for f in page.fields if f.name == name)
    correct_field(engine, field.field_id, number, who="anna")


def count(engine: Engine, table: type[Base]) -> int:
    with reading(engine) as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar_one()


def moved(field: FieldReading, by: float) -> FieldReading:
    return replace(field, box_px=Box(field.box_px.x + by, *field.box_px[1:]))


def test_the_new_reading_replaces_the_old_one_row_by_row(engine: Engine) -> None:
    job_id = read(engine, make_page(0, make_field("sum", "701", REVIEW), make_field("gone", "5", REVIEW)))
    reread(engine, job_id, make_page(0, make_field("sum", "101", ACCEPTED)))
    assert fields_of(engine) == {"sum": ("101", "101", "machine")}
    assert [count(engine, table) for table in (PageRow, FieldRow, DigitRow, DoubtRow)] == [1, 1, 3, 0]
    record = get_job(engine, job_id)
    assert record is not None and record.state is JobState.DONE


def test_a_decision_stays_with_a_field_that_stayed(engine: Engine) -> None:
    sum_field, other = make_field("sum", "701", REVIEW), make_field("count", "38", REVIEW)
    job_id = read(engine, make_page(0, sum_field, other))
    correct(engine, "sum", "707")
    correct(engine, "sum", "708")
    again = moved(make_field("sum", "101", ACCEPTED), 3)
    reread(engine, job_id, make_page(0, again, other))
    assert fields_of(engine) == {"sum": ("101", "708", "reviewer"), "count": ("38", None, None)}
    with reading(engine) as connection:
        history = connection.execute(select(ReviewRow.before, ReviewRow.after, ReviewRow.who)).all()
    assert [tuple(row) for row in history] == [("701", "707", "anna"), ("707", "708", "anna")]


def test_a_decision_on_a_field_that_moved_or_was_renamed_is_asked_for_again(engine: Engine) -> None:
    sum_field, other = make_field("sum", "701", REVIEW), make_field("count", "38", REVIEW)
    job_id = read(engine, make_page(0, sum_field, other))
    correct(engine, "sum", "707")
    correct(engine, "count", None)
    renamed = make_field("amount", "38", REVIEW)
    reread(engine, job_id, make_page(0, moved(sum_field, 300), renamed))
    assert fields_of(engine) == {"sum": ("701", None, None), "amount": ("38", None, None)}
    assert count(engine, ReviewRow) == 0


def test_only_scans_of_the_template_are_read_again(engine: Engine) -> None:
    ours = read(engine, make_page(0, make_field("sum", "701", REVIEW)))
    read(engine, PageReading(0, 10, 20, template="other", template_version="1"))
    named = read(engine, PageReading(0, 10, 20, problem="does not register"), template="sample-form")
    assert requeue_read_jobs(engine, templates=TEMPLATES) == [ours, named]
    assert requeue_read_jobs(engine, templates=TEMPLATES) == [], "they are queued already"


def test_the_old_reading_is_there_until_the_new_one_is(engine: Engine) -> None:
    read(engine, make_page(0, make_field("sum", "701", ACCEPTED)))
    requeue_read_jobs(engine, templates=TEMPLATES)
    assert fields_of(engine) == {"sum": ("701", "701", "machine")}


def test_a_page_settled_by_a_person_stays_settled_while_it_says_the_same(engine: Engine) -> None:
    from worker.store.reviews import settle_page

    job_id = read(engine, PageReading(0, 10, 20, problem="unregistered"), template="sample-form")
    (page,) = iter_pages(engine, Selection())
    settle_page(engine, page.page_id, who="anna")
    reread(engine, job_id, PageReading(0, 10, 20, problem="unregistered"))
    (page,) = iter_pages(engine, Selection())
    assert page.settled_by == "anna"
    reread(engine, job_id, PageReading(0, 10, 20, problem="damaged"))
    (page,) = iter_pages(engine, Selection())
    assert page.settled_by is None


def test_a_decision_while_the_new_reading_is_written_is_kept_or_refused(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = read(engine, PAGE)
    told: list[str] = []

    def decide() -> None:
        try:
            correct(engine, "count", "39")
            told.append("kept")
        except (StaleReviewError, InvalidReviewError):
            told.append("refused")

    person = threading.Thread(target=decide)

    def delete_later(*arguments: Any) -> None:
        person.start()
        person.join(1)
        delete(*arguments)

    delete = rereading._delete_readings
    monkeypatch.setattr(rereading, "_delete_readings", delete_later)
    reread(engine, job, PAGE)
    person.join(30)
    assert told == (["kept"] if fields_of(engine)["count"][1] == "39" else ["refused"])
