"""The life of a job, on SQLite and PostgreSQL."""

from __future__ import annotations

import time
import uuid
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from sqlalchemy import Engine, func, select, text, update

from tests.support.readings import PAGE, claim, make_page, read, register
from worker.bootstrap import build_runtime
from worker.errors import InvalidJobError
from worker.queue import tasks
from worker.queue.publishing import Publisher
from worker.settings import Settings
from worker.store import jobs, registering
from worker.store.engine import reading, writing
from worker.store.summary import queue_summary
from worker.store.tables import DigitRow, FieldRow, JobRow, JobState, ModelRow, PageRow, ScanRow, TemplateRow
from worker.values import PageReading, Scan


def count(engine: Engine, table: type) -> int:
    with reading(engine) as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar_one()


def shift_clock(engine: Engine, job_id: str, seconds: float) -> None:
    """Let every time of a job lie ``seconds`` further back, as if so much had passed since."""
    names = ["queued_at", "published_at", "leased_at", "lease_until", "started_at"]
    with writing(engine) as connection:
        row = connection.execute(select(JobRow).where(JobRow.id == job_id)).one()
        earlier = {n: getattr(row, n) - timedelta(seconds=seconds) for n in names if getattr(row, n)}
        connection.execute(update(JobRow).where(JobRow.id == job_id).values(earlier))


def state(engine: Engine, job_id: str) -> JobState:
    record = jobs.get_job(engine, job_id)
    assert record is not None
    return record.state


def test_registering_twice_is_harmless(engine: Engine) -> None:
    job_id, sha256 = str(uuid.uuid4()), "ab" * 32
    register(engine, job_id=job_id, sha256=sha256, reference="order 7")
    register(engine, job_id=job_id, sha256=sha256, reference="order 7")
    record = jobs.get_job(engine, job_id)
    assert record is not None
    assert (record.state, record.reference, record.sha256) == (JobState.QUEUED, "order 7", sha256)
    assert (count(engine, JobRow), count(engine, ScanRow)) == (1, 1)
    assert jobs.get_job(engine, "unknown") is None


def test_an_id_used_for_other_bytes_is_refused(engine: Engine) -> None:
    job_id = register(engine, sha256="ab" * 32)
    with pytest.raises(InvalidJobError, match="other bytes"):
        register(engine, job_id=job_id, sha256="cd" * 32)
    assert count(engine, ScanRow) == 1, "a refused job leaves nothing behind"


@pytest.mark.parametrize(
    "policy, expected, linked",
    [("skip", JobState.DUPLICATE, False), ("link", JobState.DUPLICATE, True), ("reprocess", JobState.QUEUED, False)],
)
def test_the_same_bytes_again(engine: Engine, policy: str, expected: JobState, linked: bool) -> None:
    first = register(engine, sha256="ab" * 32, template="form")
    second = jobs.get_job(engine, register(engine, sha256="ab" * 32, template="form", duplicates=policy))
    assert second is not None
    assert (second.state, second.linked) == (expected, linked)
    assert second.duplicate_of == (first if expected is JobState.DUPLICATE else None)


def test_another_template_or_a_failed_job_is_no_original(engine: Engine) -> None:
    first = register(engine, sha256="ab" * 32, template="form")
    other = register(engine, sha256="ab" * 32, template=None)
    claimed = claim(engine, first)
    assert claimed is not None
    jobs.fail_job(engine, claimed, kind="unreadable_scan", reason="truncated")
    again = register(engine, sha256="ab" * 32, template="form")
    assert [state(engine, job_id) for job_id in (first, other, again)] == ["failed", "queued", "queued"]


def test_one_claim_wins_and_an_ended_job_has_none(engine: Engine) -> None:
    job_id = register(engine, template="form", reference="r", priority=7)
    claimed = claim(engine, job_id, "w1")
    assert claimed is not None
    assert (claimed.template, claimed.reference, claimed.priority, claimed.deliveries) == ("form", "r", 7, 1)
    assert claimed.scan.uri == f"/scans/{job_id}.png"
    assert claim(engine, job_id, "w2") is None
    assert jobs.store_readings(engine, claimed, claimed.scan, [PAGE])
    assert claim(engine, job_id, "w2") is None
    assert claim(engine, "unknown", "w2") is None


def test_a_process_takes_its_own_job_again(engine: Engine) -> None:
    job_id = register(engine)
    first, second = claim(engine, job_id, "w1"), claim(engine, job_id, "w1")
    assert first is not None
    assert second is not None
    assert not jobs.release_job(engine, first)
    assert jobs.release_job(engine, second)


def test_a_lost_lease_is_fenced(engine: Engine) -> None:
    job_id = register(engine)
    slow = claim(engine, job_id, "slow", lease_s=10)
    shift_clock(engine, job_id, 11)
    fast = claim(engine, job_id, "fast")
    assert slow is not None
    assert fast is not None
    assert not jobs.fail_job(engine, slow, kind="internal", reason="late")
    assert not jobs.release_job(engine, slow)
    assert not jobs.store_readings(engine, slow, slow.scan, [PAGE])
    assert count(engine, PageRow) == 0
    assert jobs.store_readings(engine, fast, fast.scan, [PAGE])
    assert not jobs.store_readings(engine, slow, slow.scan, [PAGE])
    assert not jobs.store_readings(engine, fast, fast.scan, [PAGE])
    assert (count(engine, PageRow), count(engine, FieldRow), count(engine, DigitRow)) == (1, 3, 5)


def test_a_clock_set_back_does_not_hold_a_job_for_ever(engine: Engine) -> None:
    job_id = register(engine)
    claim(engine, job_id, "dead", lease_s=10)
    jobs.mark_published(engine, job_id)
    shift_clock(engine, job_id, -3600)
    assert [t.id for t in jobs.find_lost_jobs(engine, unpublished_after_s=60, limit=10)] == [job_id]
    assert claim(engine, job_id, "other") is not None


def test_a_job_that_kills_its_worker_is_dead_after_three_deliveries(engine: Engine) -> None:
    job_id = register(engine)
    for worker in ("a", "b", "c"):
        assert claim(engine, job_id, worker, lease_s=10) is not None
        shift_clock(engine, job_id, 11)
    assert claim(engine, job_id, "d") is None
    record = jobs.get_job(engine, job_id)
    assert record is not None
    assert (record.state, record.error_kind) == (JobState.DEAD, "too_many_deliveries")
    assert record.error_reason is not None
    assert "3 times" in record.error_reason
    assert record.finished_at is not None


def test_a_job_handed_back_does_not_count(engine: Engine) -> None:
    job_id = register(engine)
    for worker in ("a", "b", "c", "d", "e"):
        claimed = claim(engine, job_id, worker)
        assert claimed is not None
        assert claimed.deliveries == 1
        assert jobs.release_job(engine, claimed)
    assert state(engine, job_id) == JobState.QUEUED
    assert [t.id for t in jobs.find_lost_jobs(engine, unpublished_after_s=0, limit=10)] == [job_id]


def test_all_rows_of_a_scan_or_none(engine: Engine) -> None:
    job_id = register(engine)
    claimed = claim(engine, job_id)
    assert claimed is not None
    with pytest.raises(Exception, match=r"(?i)unique"):
        jobs.store_readings(engine, claimed, claimed.scan, [make_page(0), make_page(1), make_page(1)])
    assert (count(engine, PageRow), state(engine, job_id)) == (0, JobState.RUNNING)
    assert jobs.store_readings(engine, claimed, claimed.scan, [make_page(0), make_page(1)])
    assert state(engine, job_id) == JobState.DONE


def test_digits_and_fields_lie_where_they_were_read(engine: Engine) -> None:
    read(engine)
    with reading(engine) as connection:
        fields = connection.execute(select(FieldRow).order_by(FieldRow.position)).all()
        query = select(DigitRow).where(DigitRow.field_id == fields[1].id).order_by(DigitRow.position)
        digits = connection.execute(query).all()
    assert [(f.name, f.text, f.final_text, f.origin) for f in fields] == [
        ("sum", "701", "701", "machine"),
        ("count", "38", None, None),
        ("rest", "", "", "machine"),
    ]
    assert fields[1].reasons == ["confidence 0.700 is below the 0.980 needed"]
    assert fields[1].alternatives == [{"text": "999", "confidence": 0.1}]
    assert [(d.digit, d.box_x, d.box_y, d.box_w, d.box_h) for d in digits] == [(3, 10, 30, 18, 28), (8, 30, 30, 18, 28)]
    assert digits[0].confidence == pytest.approx(0.7)
    assert digits[0].second_confidence == pytest.approx(0.3 / 9)
    assert len({digits[0].digit, digits[0].second_digit, digits[0].third_digit}) == 3


def test_versions_are_kept_once(engine: Engine) -> None:
    read(engine)
    read(engine)
    assert (count(engine, ModelRow), count(engine, TemplateRow)) == (1, 1)


def test_a_page_that_could_not_be_read_is_a_row(engine: Engine) -> None:
    read(engine, PageReading(0, 100, 200, problem="does not register", registration=float(np.float32(0.2))))
    with reading(engine) as connection:
        assert connection.execute(select(PageRow.problem)).scalar_one() == "does not register"


def test_bytes_that_changed_after_registering_are_named_as_read(engine: Engine) -> None:
    job_id = register(engine, sha256="ab" * 32)
    claimed = claim(engine, job_id)
    assert claimed is not None
    changed = Scan(claimed.scan.id, claimed.scan.uri, "cd" * 32)
    assert jobs.store_readings(engine, claimed, changed, [PAGE])
    record = jobs.get_job(engine, job_id)
    assert record is not None
    assert record.sha256 == "cd" * 32


def test_lost_jobs_are_found_and_no_others(engine: Engine) -> None:
    find = lambda **more: {t.id for t in jobs.find_lost_jobs(engine, unpublished_after_s=5, limit=10, **more)}  # noqa: E731
    unpublished, waiting, dead = register(engine), register(engine), register(engine)
    jobs.mark_published(engine, waiting)
    jobs.mark_published(engine, dead)
    claim(engine, dead, lease_s=10)
    assert find() == set()
    for job_id in (unpublished, waiting, dead):
        shift_clock(engine, job_id, 11)
    assert find() == {unpublished, waiting, dead}
    assert find(republish_after_s=3600) == {unpublished, dead}
    assert len(jobs.find_lost_jobs(engine, unpublished_after_s=5, limit=1)) == 1
    jobs.mark_published(engine, dead)
    assert find(republish_after_s=3600) == {unpublished}


def test_a_message_that_is_no_job_is_one_failed_row(engine: Engine) -> None:
    tickets = [registering.record_invalid_job(engine, b'{"uri": \x00\xff', "no JSON") for _ in range(2)]
    record = jobs.get_job(engine, tickets[0].id)
    assert record is not None
    assert (record.state, record.error_kind, record.error_reason) == ("failed", "invalid_job", "no JSON")
    assert tickets[0] == tickets[1]
    assert count(engine, JobRow) == 1
    assert jobs.retry_jobs(engine) == []


def test_an_invalid_message_keeps_its_id_unless_another_job_has_it(engine: Engine) -> None:
    taken, free = register(engine), str(uuid.uuid4())
    assert registering.record_invalid_job(engine, "x", "outside the roots", job_id=free).id == free
    assert registering.record_invalid_job(engine, "x", "outside the roots", job_id=free).id == free
    other = registering.record_invalid_job(engine, "y", "outside the roots", job_id=taken)
    assert other.id != taken
    assert state(engine, taken) == JobState.QUEUED


def test_a_mended_message_takes_the_place_of_the_refused_one(engine: Engine) -> None:
    """A sender may send again under the same id as often as it takes; the latest reason is the one that stands."""
    own = str(uuid.uuid4())
    for reason in ("template: unknown", "colour: no such key"):
        ticket = registering.record_invalid_job(engine, reason, reason, job_id=own, reference="order 7")
        record = jobs.get_job(engine, ticket.id)
        assert record is not None and (record.state, record.sha256) == (JobState.FAILED, None)
        assert (record.id, record.reference, record.error_reason) == (own, "order 7", reason)
    register(engine, job_id=own)
    record = jobs.get_job(engine, own)
    assert record is not None and record.sha256 is not None
    assert (record.state, record.error_reason, record.raw_message) == (JobState.QUEUED, None, None)
    assert registering.record_invalid_job(engine, "bad", "bad", job_id=own).id != own
    assert count(engine, JobRow) == 2


def test_a_long_message_is_cut(engine: Engine) -> None:
    ticket = registering.record_invalid_job(engine, "x" * 1_000_000, "too long")
    record = jobs.get_job(engine, ticket.id)
    assert record is not None
    assert record.raw_message is not None
    assert len(record.raw_message) == registering.MAX_RAW_MESSAGE


def test_retrying_queues_failed_and_dead_jobs_from_the_start(engine: Engine) -> None:
    failed, other, done = register(engine), register(engine), read(engine)
    for job_id in (failed, other):
        claimed = claim(engine, job_id)
        assert claimed is not None
        jobs.fail_job(engine, claimed, kind="unreadable_scan", reason="truncated")
    assert [t.id for t in jobs.retry_jobs(engine, [failed, done])] == [failed]
    record = jobs.get_job(engine, failed)
    assert record is not None
    assert (record.state, record.deliveries, record.error_reason) == (JobState.QUEUED, 0, None)
    assert [t.id for t in jobs.retry_jobs(engine)] == [other]


def test_retrying_never_reads_the_same_bytes_twice(engine: Engine) -> None:
    ids = [str(uuid.uuid4()) for _ in range(3)]
    for job_id in ids:
        register(engine, job_id=job_id, sha256="ab" * 32)
        claimed = claim(engine, job_id)
        assert claimed is not None
        jobs.fail_job(engine, claimed, kind="unreadable_scan", reason="the folder is gone")
    states = sorted(ticket.state for ticket in jobs.retry_jobs(engine))
    assert states == ["duplicate", "duplicate", "queued"]


def test_summary_counts_ages_and_failures(engine: Engine) -> None:
    assert queue_summary(engine).oldest_queued_s is None
    queued, running, failed = register(engine), register(engine), register(engine)
    read(engine)
    claim(engine, running)
    claimed = claim(engine, failed)
    assert claimed is not None
    jobs.fail_job(engine, claimed, kind="unreadable_scan", reason="truncated JPEG")
    shift_clock(engine, queued, 100)
    shift_clock(engine, running, 50)
    summary = queue_summary(engine)
    assert {s.value: n for s, n in summary.counts.items() if n} == {
        "queued": 1,
        "running": 1,
        "failed": 1,
        "done": 1,
    }
    assert summary.oldest_queued_s == pytest.approx(100, abs=5)
    assert summary.oldest_running_s == pytest.approx(50, abs=5)
    assert [(f.id, f.reason) for f in summary.failures] == [(failed, "truncated JPEG")]


def test_text_that_a_database_refuses_is_kept_as_near_as_it_can_be(engine: Engine) -> None:
    job_id = register(engine, reference="a\x00b\udcff")
    record = jobs.get_job(engine, job_id)
    assert record is not None
    assert record.reference == "a\ufffdb\\udcff"


def test_times_are_utc_and_of_the_database(engine: Engine) -> None:
    record = jobs.get_job(engine, register(engine))
    assert record is not None
    assert record.created_at.utcoffset() == timedelta(0)
    with engine.connect() as connection:
        now = connection.execute(text("SELECT CURRENT_TIMESTAMP")).scalar_one()
    assert str(now)[:13] == str(record.created_at)[:13]


@pytest.mark.parametrize("age_s, deliveries", [(1, 0), (200, 1)])
def test_a_process_ended_by_its_hard_limit_keeps_its_delivery_and_one_ended_by_a_shutdown_does_not(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, age_s: float, deliveries: int
) -> None:
    """The hard limit sends the shutdown's SIGTERM first: handed back uncounted, such a scan would hang for ever."""

    def end(*_: object) -> None:
        raise SystemExit

    job_id = register(engine)
    taken = claim(engine, job_id)
    assert taken is not None
    runtime = replace(build_runtime(Settings()), engine=lambda: engine)
    limit_s = runtime.settings.job_time_limit_s
    assert limit_s == 120
    monkeypatch.setattr(tasks, "read_scan_pages", end)
    with pytest.raises(SystemExit):
        tasks._run(Publisher(runtime), taken, time.monotonic() - age_s + tasks.DATABASE_PATIENCE * limit_s)
    record = jobs.get_job(engine, job_id)
    assert record is not None and record.deliveries == deliveries
