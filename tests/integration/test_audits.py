"""Audits on both databases: drawn with the result, keyed blind among the rest, a slip corrects nothing, all counted."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import Engine

from tests.support.readings import claim, make_field, make_page, register
from worker.review.items import show_field
from worker.store import webhooks
from worker.store.audits import AuditCount, count_audits
from worker.store.jobs import store_readings
from worker.store.purge import purge_older_than
from worker.store.results import Selection, iter_pages
from worker.store.review_history import undo_review
from worker.store.review_queue import Leased, Wanted, take_fields
from worker.store.reviews import Review, Seen, correct_field
from worker.values import FieldStatus, PageReading

SUM = make_field("sum", "701", FieldStatus.ACCEPTED)
PAGE = make_page(0, SUM, make_field("rest", "", FieldStatus.BLANK))
SUPERVISOR = Wanted(level="supervisor")


def store(engine: Engine, *pages: PageReading, share: float = 1.0, job: str | None = None) -> str:
    job = job or register(engine)
    taken = claim(engine, job)
    assert taken is not None and store_readings(engine, taken, taken.scan, pages or (PAGE,), audit_share=share)
    return job


def take(engine: Engine, who: str, wanted: Wanted | None = None, count: int = 8) -> list[Leased]:
    return take_fields(engine, wanted or Wanted(), who=who, station=f"station-{who}", count=count, lease_s=60)


def key(engine: Engine, leased: Leased, text: str, who: str) -> Review:
    seen = Seen("blind", "", len(text), 1.0)
    return correct_field(engine, leased.field.id, text, who=who, claim=leased.claim, seen=seen)


def held(engine: Engine) -> tuple[str | None, str | None]:
    (page,) = iter_pages(engine, Selection())
    return page.fields[0].final, page.fields[0].origin


def test_only_what_the_machine_accepted_is_drawn_with_the_share_that_is_noted(engine: Engine) -> None:
    doubted = make_field("count", "38", FieldStatus.REVIEW, 0.7)
    store(engine, make_page(0, SUM, doubted, make_field("rest", "", FieldStatus.BLANK)))
    store(engine, share=0.0)
    with engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT field_id, source, template, probability FROM audits").all()
    assert [tuple(row) for row in rows] == [(1, "test", "sample-form", 1.0)]


def test_about_the_share_is_drawn(engine: Engine) -> None:
    """Of 400 fields at 25 %, 100 with a deviation of 8.7: five of them are never left by chance."""
    store(engine, make_page(0, *(make_field(f"f{i}", "1", FieldStatus.ACCEPTED) for i in range(400))), share=0.25)
    (count,) = count_audits(engine)
    assert 56 < count.drawn < 144


def test_a_key_like_the_machines_shows_it_right_and_changes_nothing(engine: Engine) -> None:
    store(engine)
    (leased,) = take(engine, "anna")
    assert leased.audited and show_field(leased).mode == "blind" and show_field(leased).text == ""
    key(engine, leased, "701", "anna")
    assert count_audits(engine) == [AuditCount("test", "sample-form", 1, 1, 0)]
    assert held(engine) == ("701", "machine") and take(engine, "anna") == []


def test_a_slip_of_one_person_takes_no_right_number_away(engine: Engine) -> None:
    store(engine)
    (leased,) = take(engine, "anna")
    assert key(engine, leased, "107", "anna").action == "key"
    assert held(engine) == ("701", "machine") and count_audits(engine)[0].audited == 0
    assert take(engine, "berta") == [] and take(engine, "anna", SUPERVISOR) == [], "another person, who may decide"
    (again,) = take(engine, "berta", SUPERVISOR)
    assert show_field(again).mode == "blind"
    key(engine, again, "701", "berta")
    assert count_audits(engine) == [AuditCount("test", "sample-form", 1, 1, 0)]
    assert held(engine) == ("701", "machine")


def test_a_wrong_number_is_corrected_counted_and_told(engine: Engine) -> None:
    webhooks.add_endpoint(engine, "https://example.org/", ["field.corrected_after_acceptance"])
    store(engine)
    for who, wanted in (("anna", None), ("berta", SUPERVISOR)):
        (leased,) = take(engine, who, wanted)
        key(engine, leased, "107", who)
    assert count_audits(engine) == [AuditCount("test", "sample-form", 1, 1, 1)]
    assert held(engine) == ("107", "reviewer")
    assert webhooks.count_messages(engine)["due"] == 1


def test_a_command_that_corrects_an_audited_field_decides_it(engine: Engine) -> None:
    store(engine)
    correct_field(engine, 1, None, who="anna")
    correct_field(engine, 1, "701", who="anna")
    assert count_audits(engine)[0].audited == 0, "who confirms has seen the reading"
    correct_field(engine, 1, "107", who="anna")
    assert count_audits(engine)[0].wrong == 1


def test_an_answer_that_is_taken_back_is_asked_again(engine: Engine) -> None:
    store(engine)
    (leased,) = take(engine, "anna")
    review = key(engine, leased, "701", "anna")
    undo_review(engine, review.id, who="anna")
    assert count_audits(engine) == [AuditCount("test", "sample-form", 1, 0, 0)]
    assert held(engine) == ("701", "machine")


def test_audits_lie_among_what_waits_and_fill_the_rest(engine: Engine) -> None:
    waiting = [make_field(f"w{i}", "38", FieldStatus.REVIEW, 0.7) for i in range(100)]
    accepted = [make_field(f"a{i}", "12", FieldStatus.ACCEPTED) for i in range(100)]
    store(engine, make_page(0, *waiting, *accepted))
    taken = take(engine, "anna", count=100)
    audited = [leased for leased in taken if leased.audited]
    assert len(taken) == 100 and 1 <= len(audited) <= 40
    names = [leased.field.name for leased in taken if not leased.audited]
    assert names == [f"w{i}" for i in range(len(names))], "the longest waiting first, as without audits"
    for _ in range(3):
        take(engine, "berta", count=60)
    assert len(take(engine, "carla", count=100)) <= 100


@pytest.mark.parametrize("answered", [True, False])
def test_what_was_found_outlives_reading_again_and_purging(engine: Engine, answered: bool) -> None:
    job = store(engine)
    if answered:
        key(engine, take(engine, "anna")[0], "701", "anna")
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE jobs SET state = 'queued'")
    store(engine, share=0.0, job=job)
    kept = [AuditCount("test", "sample-form", 1, 1, 0)] if answered else []
    assert count_audits(engine) == kept
    purge_older_than(engine, timedelta(seconds=-60), remove_scan=lambda *_: True)
    assert count_audits(engine) == kept and list(iter_pages(engine, Selection())) == []
