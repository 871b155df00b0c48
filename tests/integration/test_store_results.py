"""Results, review by hand and retention, on SQLite and PostgreSQL."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import Engine, event, select, text, update

from tests.support.readings import PAGE, claim, make_field, make_page, read, register
from worker.errors import InvalidReviewError, StaleReviewError
from worker.store import jobs, purge, registering, results
from worker.store.engine import make_engine, reading, writing
from worker.store.results import Selection
from worker.store.reviews import correct_field
from worker.store.scan_tables import PurgeRow
from worker.store.summary import count_review_queue
from worker.store.tables import Base, DigitRow, FieldRow, JobRow, PageRow, ReviewRow, ScanRow
from worker.values import FieldStatus, PageReading


def rows(engine: Engine, table: type[Base]) -> list:
    with reading(engine) as connection:
        return list(connection.execute(select(table)).all())


def keep_files(_uri: str, _source: str) -> bool:
    return False


def awaiting(engine: Engine) -> int:
    (row,) = results.list_review_queue(engine, limit=1)
    return row.field_id


def test_pages_come_back_as_they_were_read(engine: Engine) -> None:
    first = read(engine, PAGE, make_page(1), reference="order 7")
    read(engine, PageReading(0, 10, 20, problem="does not register", registration=0.21))
    pages = list(results.iter_pages(engine, Selection(), with_digits=True))
    assert [(p.job == first, p.page, p.error) for p in pages] == [
        (True, 0, None),
        (True, 1, None),
        (False, 0, "does not register"),
    ]
    assert (pages[0].reference, pages[0].template, pages[0].registration) == ("order 7", "sample-form", 0.97)
    assert pages[0].model_versions == {"digits": "1.0"}
    total, count, rest = pages[0].fields
    assert (total.text, total.final, total.origin, total.status) == ("701", "701", "machine", "accepted")
    assert (count.text, count.final, count.origin, count.status) == ("38", None, None, "review")
    assert (rest.text, rest.final, rest.digits) == ("", "", [])
    assert [d.digit for d in total.digits] == [7, 0, 1]
    assert total.digits[1].box == (30, 30, 18, 28)
    assert count.alternatives[0].text == "999"


def test_batches_lose_and_double_nothing(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "BATCH", 2)
    ids = [read(engine) for _ in range(5)]
    assert [p.job for p in results.iter_pages(engine, Selection())] == ids
    queue = [row.field_id for row in results.iter_review_queue(engine)]
    assert queue == sorted(set(queue))
    assert len(queue) == 5 == count_review_queue(engine)
    digits = [(r.confidence, r.field_id, r.position) for r in results.iter_low_confidence(engine, below=0.95)]
    assert digits == sorted(set(digits))
    assert len(digits) == 5, "equal confidences are told apart by the rest of the key"


def test_selections(engine: Engine) -> None:
    one = read(engine, reference="a")
    read(engine, PageReading(0, 10, 20, template="other", template_version="1"), reference="b")
    wanted = {
        Selection(job=one): 1,
        Selection(reference="b"): 1,
        Selection(reference="c"): 0,
        Selection(template="sample-form"): 1,
        Selection(job=one, reference="b"): 0,
    }
    for selection, expected in wanted.items():
        assert len(list(results.iter_pages(engine, selection))) == expected, selection


@pytest.mark.parametrize("duplicates", ["link", "skip"])
def test_a_duplicates_results_are_found_under_its_own_id_and_reference(engine: Engine, duplicates: str) -> None:
    original = read(engine, sha256="ab" * 32, reference="first")
    again = register(engine, sha256="ab" * 32, duplicates=duplicates, reference="mine")
    for selection in (Selection(job=again), Selection(reference="mine")):
        (page,) = results.iter_pages(engine, selection)
        assert (page.job, page.reference, page.duplicate_of) == (again, "mine", original)
        assert [f.text for f in page.fields] == ["701", "38", ""]
    (page,) = results.iter_pages(engine, Selection(reference="first"))
    assert (page.job, page.reference, page.duplicate_of) == (original, "first", None)


def test_the_same_bytes_under_one_reference_are_one_result(engine: Engine) -> None:
    original = read(engine, sha256="ab" * 32, reference="order 7")
    for _ in range(2):
        register(engine, sha256="ab" * 32, duplicates="skip", reference="order 7")
    assert [p.job for p in results.iter_pages(engine, Selection(reference="order 7"))] == [original]
    assert len(list(results.iter_pages(engine, Selection()))) == 1


def test_jobs_without_a_result_say_why(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "BATCH", 2)
    refused = registering.record_invalid_job(engine, "bad", "colour: no such key", job_id="own", reference="order 7").id
    waiting = register(engine, sha256="cd" * 32, reference="order 7")
    duplicate = register(engine, sha256="cd" * 32, duplicates="skip", reference="order 7")
    read(engine, reference="order 7")
    found = [(row.id, row.state) for row in results.iter_jobs_without_result(engine, Selection(reference="order 7"))]
    assert sorted(found) == sorted([(refused, "failed"), (waiting, "queued"), (duplicate, "queued")])
    (row,) = results.iter_jobs_without_result(engine, Selection(job="own"))
    assert (row.error_reason, row.reference) == ("colour: no such key", "order 7")
    assert list(results.iter_jobs_without_result(engine, Selection())) == []
    assert list(results.iter_jobs_without_result(engine, Selection(job="unknown"))) == []


def test_low_confidence_digits_come_the_most_doubtful_first_with_their_field(engine: Engine) -> None:
    fields = [make_field(f"f{c}", "12", FieldStatus.ACCEPTED, c / 100) for c in (97, 60, 98, 80, 94)]
    read(engine, make_page(0, *fields))
    found = list(results.iter_low_confidence(engine, below=0.95))
    assert [row.name for row in found] == ["f60", "f80", "f94"]
    assert (found[0].digit, found[0].position, found[0].machine_text, found[0].page) == (1, 0, "12", 0)
    assert [row.name for row in results.iter_low_confidence(engine, below=0.99)][-1] == "f98"


def test_a_correction_holds_and_what_the_machine_read_stays(engine: Engine) -> None:
    job = read(engine)
    field_id = awaiting(engine)
    review = correct_field(engine, field_id, "39", who="anna")
    assert (review.action, review.before, review.after, review.name) == ("correct", "38", "39", "count")
    assert results.list_review_queue(engine, limit=5) == []
    (page,) = results.iter_pages(engine, Selection(job=job))
    assert [(f.text, f.final, f.origin) for f in page.fields if f.field_id == field_id] == [("38", "39", "reviewer")]
    with pytest.raises(StaleReviewError, match="'38' and is '39' by now"):  # ben saw the 38, and says it is right
        correct_field(engine, field_id, None, who="ben")
    correct_field(engine, field_id, "39", who="ben")
    kept = [(r.action, r.before, r.after, r.who) for r in rows(engine, ReviewRow)]
    assert kept == [("correct", "38", "39", "anna"), ("correct", "39", "39", "ben")]
    assert rows(engine, ReviewRow)[0].created_at.tzinfo is not None


def test_confirming_takes_the_machines_word(engine: Engine) -> None:
    read(engine)
    field_id = awaiting(engine)
    assert correct_field(engine, field_id, None, who="anna").after == "38"
    assert count_review_queue(engine) == 0


@pytest.mark.parametrize("number", ["12a", "=1+1", "--", " 7", "1" * 100, "7\n"])
def test_what_is_no_number_is_refused(engine: Engine, number: str) -> None:
    read(engine)
    with pytest.raises(InvalidReviewError, match="no number"):
        correct_field(engine, awaiting(engine), number, who="anna")


def test_a_review_needs_a_field_and_a_name(engine: Engine) -> None:
    read(engine)
    with pytest.raises(InvalidReviewError, match="no field 999"):
        correct_field(engine, 999, "1", who="anna")
    with pytest.raises(InvalidReviewError, match="--by"):
        correct_field(engine, awaiting(engine), "1", who=" ")
    assert rows(engine, ReviewRow) == []


def age(engine: Engine, job_id: str, days: float) -> None:
    with writing(engine) as connection:
        ended = connection.execute(select(JobRow.finished_at).where(JobRow.id == job_id)).scalar_one()
        assert ended is not None
        earlier = ended - timedelta(days=days)
        connection.execute(update(JobRow).where(JobRow.id == job_id).values(finished_at=earlier))


def test_a_purge_deletes_what_is_old_and_keeps_its_counts(engine: Engine) -> None:
    old, young, waiting = read(engine), read(engine), register(engine)
    correct_field(engine, awaiting(engine), "39", who="anna")
    age(engine, old, 100)
    removed: list[tuple[str, str]] = []
    counts = purge.purge_older_than(engine, timedelta(days=90), remove_scan=lambda *scan: not removed.append(scan))
    assert removed == [(f"/scans/{old}.png", "test")]
    assert {r.id for r in rows(engine, JobRow)} == {young, waiting}
    assert [len(rows(engine, t)) for t in (ScanRow, PageRow, FieldRow, DigitRow, ReviewRow)] == [
        2,
        1,
        3,
        5,
        0,
    ]
    (kept,) = rows(engine, PurgeRow)
    assert (kept.jobs, kept.scans, kept.pages, kept.digits, kept.reviews) == (1, 1, 1, 5, 1)
    assert (kept.fields_accepted, kept.fields_review, kept.fields_blank) == (1, 1, 1)
    assert (counts.jobs, counts.digits, counts.files, counts.kept_jobs) == (1, 5, 1, 0)
    assert kept.finished_at is not None


def test_what_awaits_review_is_purged_only_if_asked_for(engine: Engine) -> None:
    field, page, done = read(engine), read(engine, PageReading(0, 9, 9, problem="unregistered")), register(engine)
    taken = claim(engine, done)
    assert taken is not None
    jobs.fail_job(engine, taken, kind="x", reason="y")
    for job_id in (field, page, done):
        age(engine, job_id, 100)
    plan = purge.plan_purge(engine, timedelta(days=90))
    assert (plan.jobs, plan.pages, plan.fields, plan.awaiting_jobs) == (1, 0, 0, 2)
    plan = purge.plan_purge(engine, timedelta(days=90), with_review=True)
    assert (plan.jobs, plan.pages, plan.fields, plan.awaiting_jobs) == (3, 2, 3, 0)
    counts = purge.purge_older_than(engine, timedelta(days=90), remove_scan=keep_files)
    assert (counts.jobs, counts.awaiting_jobs) == (1, 2)
    assert {row.id for row in rows(engine, JobRow)} == {field, page}
    assert purge.purge_older_than(engine, timedelta(days=90), remove_scan=keep_files, with_review=True).jobs == 2


def test_an_export_never_shows_a_page_whose_fields_a_purge_took(engine: Engine) -> None:
    """The purge comes between the two statements that read pages and fields."""
    job_id = read(engine)
    age(engine, job_id, 2)
    purged = False

    def purge_now(*args: object) -> None:
        nonlocal purged
        statement = str(args[2])
        if not purged and statement.startswith("SELECT pages") and "fields" not in statement:
            purged = True
            other = make_engine(engine.url.render_as_string(hide_password=False))
            purge.purge_older_than(other, timedelta(days=1), remove_scan=keep_files, with_review=True)
            other.dispose()

    event.listen(engine, "after_cursor_execute", purge_now)
    (page,) = results.iter_pages(engine, Selection())
    assert purged and len(page.fields) == 3
    assert list(results.iter_pages(engine, Selection())) == []


def test_a_purged_field_id_never_comes_back(engine: Engine) -> None:
    job = read(engine)
    field_id = awaiting(engine)
    age(engine, job, 2)
    purge.purge_older_than(engine, timedelta(days=1), remove_scan=keep_files, with_review=True)
    read(engine)
    assert awaiting(engine) > field_id


def test_an_interrupted_purge_goes_on_where_it_stopped(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purge, "BATCH", 2)
    for job_id in [read(engine) for _ in range(5)]:
        age(engine, job_id, 2)
    calls: list[str] = []

    def stop_at_the_fourth(uri: str, _source: str) -> bool:
        calls.append(uri)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return True

    with pytest.raises(KeyboardInterrupt):
        purge.purge_older_than(engine, timedelta(days=1), remove_scan=stop_at_the_fourth, with_review=True)
    assert len(rows(engine, JobRow)) == 3, "rows outlive their files, never the other way round"
    assert purge.purge_older_than(engine, timedelta(days=1), remove_scan=keep_files, with_review=True).jobs == 3
    assert sum(row.jobs for row in rows(engine, PurgeRow)) == 5
    assert rows(engine, DigitRow) == []


def test_rows_stay_while_their_file_cannot_be_deleted(engine: Engine) -> None:
    first, second = read(engine), read(engine)
    age(engine, first, 2)
    age(engine, second, 3)

    def refuse_the_first(uri: str, _source: str) -> bool:
        if first in uri:
            raise PermissionError
        return True

    counts = purge.purge_older_than(engine, timedelta(days=1), remove_scan=refuse_the_first, with_review=True)
    assert (counts.jobs, counts.kept_jobs) == (1, 1)
    assert [r.id for r in rows(engine, JobRow)] == [first]


def test_an_original_outlives_the_jobs_that_are_linked_to_it(engine: Engine) -> None:
    original = read(engine, sha256="ab" * 32)
    linked = register(engine, sha256="ab" * 32, duplicates="link")
    age(engine, original, 100)
    assert purge.purge_older_than(engine, timedelta(days=90), remove_scan=keep_files, with_review=True).jobs == 0
    age(engine, linked, 95)
    counts = purge.purge_older_than(engine, timedelta(days=90), remove_scan=keep_files, with_review=True)
    assert (counts.jobs, counts.scans) == (2, 1)


def test_failed_messages_are_purged_too(engine: Engine) -> None:
    ticket = registering.record_invalid_job(engine, "{", "no JSON")
    age(engine, ticket.id, 100)
    assert purge.purge_older_than(engine, timedelta(days=90), remove_scan=keep_files, with_review=True).jobs == 1


def test_a_job_retried_meanwhile_is_not_purged_and_keeps_its_file(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look for old jobs and their deletion somebody runs ``icr retry``."""
    job_id = register(engine)
    claimed = claim(engine, job_id)
    assert claimed is not None
    jobs.fail_job(engine, claimed, kind="unreadable_scan", reason="truncated")
    age(engine, job_id, 100)
    look, removed = purge._next_batch, []

    def look_then_retry(*args: object) -> object:
        found = look(*args)  # type: ignore[arg-type]
        jobs.retry_jobs(engine)
        return found

    monkeypatch.setattr(purge, "_next_batch", look_then_retry)
    counts = purge.purge_older_than(engine, timedelta(days=90), remove_scan=lambda *scan: not removed.append(scan))
    assert removed == [], "its file is still there"
    assert counts.jobs == 0
    record = jobs.get_job(engine, job_id)
    assert record is not None
    assert record.state == "queued"


def test_views_answer_a_plain_sql_client(engine: Engine) -> None:
    read(engine)
    with engine.connect() as connection:
        for view, expected in (("final_fields", 3), ("review_queue", 1), ("low_confidence_digits", 1)):
            assert connection.execute(text(f"SELECT count(*) FROM {view}")).scalar_one() == expected
        total = connection.execute(text("SELECT final_text, origin FROM final_fields WHERE name = 'sum'")).one()
    assert tuple(total) == ("701", "machine")
