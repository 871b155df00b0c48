"""Between the message and the row, and between the row and the file, nothing vanishes without a reason."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from celery.exceptions import Reject
from sqlalchemy import Engine, text

from tests.support.readings import PAGE, claim, register
from tests.support.scan_files import drawing, encoded
from worker.bootstrap import Runtime, build_runtime
from worker.errors import DatabaseUnavailableError, FolderUnavailableError, InvalidJobError, UnreadableScanError
from worker.queue import reading_job, tasks
from worker.queue.publishing import Publisher
from worker.settings import Settings
from worker.sources.beneath import hash_scan, open_file, open_scan
from worker.store import jobs
from worker.store.engine import make_engine, reading, writing
from worker.store.records import ClaimedJob
from worker.store.retrying import find_misplaced, queue_incomplete, renew_job
from worker.store.reviews import correct_field
from worker.store.tables import JobState
from worker.telemetry.stages import Stopwatch
from worker.values import PageReading, Scan


@pytest.fixture
def publisher(tmp_path: Path, sqlite_template: Path) -> Iterator[Publisher]:
    """Yield the publisher of a home with a database, whose messages go nowhere."""
    shutil.copy(sqlite_template, tmp_path / "icr.db")
    (tmp_path / "inbox").mkdir()
    engine = make_engine(f"sqlite:///{tmp_path / 'icr.db'}")
    runtime = replace(build_runtime(Settings(home=tmp_path)), engine=lambda: engine)
    yield Publisher(runtime)
    engine.dispose()


def message(publisher: Publisher, name: str) -> dict[str, Any]:
    return {"id": str(uuid.uuid4()), "uri": str(publisher.runtime.inbox / name), "template": "field"}


def send(publisher: Publisher, sent: dict[str, Any]) -> None:
    tasks.run_message(publisher, [sent], {}, message_id=sent["id"])


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.ELOOP])
def test_a_message_whose_file_cannot_be_opened_is_a_failed_job_with_its_reason(
    number: int, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is there when it is looked for, and cannot be opened then."""
    (publisher.runtime.inbox / "a.png").write_bytes(encoded(drawing(), "PNG"))

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("worker.sources.beneath.open_file", refuse)
    sent = message(publisher, "a.png")
    send(publisher, sent)
    record = jobs.get_job(publisher.runtime.engine(), sent["id"])
    assert record is not None and record.state is JobState.FAILED
    assert os.strerror(number) in (record.error_reason or "")


def test_a_message_whose_folder_does_not_answer_waits_as_a_row(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    (publisher.runtime.inbox / "a.png").write_bytes(b"x")

    def stale(*_: object) -> None:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    monkeypatch.setattr("worker.sources.beneath.open_file", stale)
    sent = message(publisher, "a.png")
    send(publisher, sent)
    record = jobs.get_job(publisher.runtime.engine(), sent["id"])
    assert record is not None and (record.state, record.deliveries) == (JobState.QUEUED, 0)
    assert record.published_at is None, "the reconciler publishes it, after others"


def test_a_message_is_handed_back_while_the_database_lacks_a_column(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "DATABASE_PATIENCE", 0.001)
    with writing(publisher.runtime.engine()) as connection:
        connection.execute(text("ALTER TABLE jobs RENAME COLUMN error_reason TO reason"))
    with pytest.raises(Reject) as caught:
        send(publisher, message(publisher, "a.png"))
    assert caught.value.requeue


@pytest.mark.parametrize("sent", [{"uri": 7}, {"uri": "/etc/passwd"}])
def test_a_refused_message_is_handed_back_while_its_refusal_cannot_be_written(
    sent: dict[str, Any], publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "DATABASE_PATIENCE", 0.001)
    with writing(publisher.runtime.engine()) as connection:
        connection.execute(text("ALTER TABLE jobs RENAME COLUMN error_reason TO reason"))
    with pytest.raises(Reject) as caught:
        send(publisher, {"id": str(uuid.uuid4()), **sent})
    assert caught.value.requeue


def test_a_database_that_is_being_worked_on_is_waited_for(engine: Engine) -> None:
    """A missing table, on SQLite and PostgreSQL."""
    with pytest.raises(DatabaseUnavailableError), reading(engine) as connection:
        connection.execute(text("SELECT no_such_column FROM no_such_table"))


def test_a_file_that_is_no_database_is_waited_for(tmp_path: Path) -> None:
    (tmp_path / "icr.db").write_bytes(b"no database" * 999)
    with pytest.raises(DatabaseUnavailableError), reading(make_engine(f"sqlite:///{tmp_path / 'icr.db'}")):
        pass


@pytest.mark.parametrize("place", ["choose_key", "parse_message", "get_job", "claim_arrival", "hash_scan"])
def test_a_mistake_of_the_program_is_a_failed_job(
    place: str, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever on the way of the message: before it is understood, before it has a row, under its claim."""

    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(tasks, place, fail)
    (publisher.runtime.inbox / "a.png").write_bytes(b"x")
    sent = message(publisher, "a.png")
    send(publisher, sent)
    with reading(publisher.runtime.engine()) as connection:
        ((job_id, state, reason),) = connection.execute(text("SELECT id, state, error_reason FROM jobs"))
    assert (state, reason) == ("failed", "a mistake in the program: ZeroDivisionError")
    assert job_id == sent["id"] or place == "choose_key", "its sender finds it by its id"


def claimed(runtime: Runtime, name: str) -> ClaimedJob:
    return ClaimedJob("1", Scan("1", str(runtime.inbox / name), "ab" * 32), "field", None, 0, 1, 1)


def test_a_scan_that_changes_while_it_is_read_is_read_whole_again(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = publisher.runtime
    scan = runtime.inbox / "a.png"
    scan.write_bytes(encoded(drawing(), "PNG"))
    whole, seen = encoded(drawing(1), "PNG"), []

    def read_one(_runtime: Runtime, copy: Path, *_: object) -> list[PageReading]:
        seen.append(copy.read_bytes())
        scan.write_bytes(whole)  # its writer goes on; the copy stays as it is
        assert copy.read_bytes() == seen[-1]
        return []

    monkeypatch.setattr(reading_job, "_read_file", read_one)
    found, _ = reading_job.read_scan_pages(runtime, claimed(runtime, "a.png"), Stopwatch())
    assert seen == [encoded(drawing(), "PNG"), whole]
    assert found.sha256 == hashlib.sha256(whole).hexdigest()
    assert list(runtime.copies_folder.iterdir()) == []


def test_a_scan_that_never_stands_still_is_handed_back(publisher: Publisher, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = publisher.runtime
    scan = runtime.inbox / "a.png"
    scan.write_bytes(b"page")

    def grow(*_: object) -> list[PageReading]:
        scan.write_bytes(scan.read_bytes() + b"page")
        return []

    monkeypatch.setattr(reading_job, "_read_file", grow)
    with pytest.raises(FolderUnavailableError, match="still being written"):
        reading_job.read_scan_pages(runtime, claimed(runtime, "a.png"), Stopwatch())


def test_a_scan_that_cannot_be_opened_fails_and_is_no_endless_wait(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    (publisher.runtime.inbox / "a.png").write_bytes(b"x")

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr("worker.sources.beneath.open_file", refuse)
    with pytest.raises(UnreadableScanError, match="Permission denied"):
        reading_job.read_scan_pages(publisher.runtime, claimed(publisher.runtime, "a.png"), Stopwatch())


def test_a_folder_that_is_swapped_for_a_link_is_not_read_through(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    for folder in (root / "in", outside):
        folder.mkdir(parents=True)
        (folder / "a.png").write_bytes(folder.name.encode())
    with open_file(root, Path("in/a.png")) as file:
        assert file.read() == b"in"
    shutil.rmtree(root / "in")
    (root / "in").symlink_to(outside)
    (root / "b.png").symlink_to(outside / "a.png")
    os.mkfifo(root / "pipe")
    for name in ("in/a.png", "b.png", "pipe", "missing"):
        with pytest.raises(InvalidJobError), open_scan(root / name, (root,)):
            pass
    with pytest.raises(InvalidJobError), open_scan(outside / "a.png", (root,)):
        pass


def test_a_terabyte_is_refused_by_its_size_alone(tmp_path: Path) -> None:
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(InvalidJobError, match="ICR_MAX_FILE_MB"), (tmp_path / "huge").open("rb") as file:
        try:
            hash_scan(file, max_file_mb=100)
        finally:
            assert file.tell() == 0, "not a byte of it is read"


BYTES = "ab" * 32


def finish(engine: Engine, job_id: str, *pages: PageReading) -> None:
    taken = claim(engine, job_id)
    assert taken is not None and jobs.store_readings(engine, taken, taken.scan, pages)


def states(engine: Engine, ids: list[str]) -> list[JobState]:
    records = [jobs.get_job(engine, job_id) for job_id in ids]
    return [record.state for record in records if record]


def test_a_copy_takes_the_place_of_its_original_when_that_fails(engine: Engine) -> None:
    original = register(engine, sha256=BYTES)
    copies = [register(engine, sha256=BYTES, uri=f"file:///inbox/duplicate/{i}.png", source="inbox") for i in range(3)]
    assert states(engine, copies) == [JobState.DUPLICATE] * 3
    taken = claim(engine, original)
    assert taken is not None and jobs.fail_job(engine, taken, kind="x", reason="its folder was gone")
    assert states(engine, copies) == [JobState.QUEUED, JobState.DUPLICATE, JobState.DUPLICATE]
    records = [jobs.get_job(engine, each) for each in copies]
    assert [record.duplicate_of for record in records if record] == [None, copies[0], copies[0]]
    places = {JobState.DONE: "file:///inbox/done/", JobState.DUPLICATE: "file:///inbox/duplicate/"}
    assert find_misplaced(engine, places) == [(copies[0], "file:///inbox/duplicate/0.png")]


def test_a_copy_of_a_dead_original_can_be_retried(engine: Engine) -> None:
    original, copy = (register(engine, sha256=BYTES) for _ in range(2))
    with writing(engine) as connection:
        connection.execute(text("UPDATE jobs SET state = 'dead' WHERE id = :id"), {"id": original})
    assert [ticket.id for ticket in jobs.retry_jobs(engine, [copy])] == [copy]
    third = register(engine, sha256=BYTES)
    assert jobs.retry_jobs(engine, [third]) == [], "it is the copy of one that is read"


def test_a_scan_without_a_field_is_no_original_and_its_page_leaves_the_queue(engine: Engine) -> None:
    first = register(engine, sha256=BYTES)
    finish(engine, first, PageReading(0, 9, 9, problem="unregistered"))
    second = register(engine, sha256=BYTES)
    assert states(engine, [second]) == [JobState.QUEUED]
    finish(engine, second, PAGE)
    with reading(engine) as connection:
        assert connection.execute(text("SELECT count(*) FROM page_review_queue")).scalar_one() == 0
    assert states(engine, [register(engine, sha256=BYTES)]) == [JobState.DUPLICATE]


def test_a_job_on_whose_scan_nothing_was_found_is_retried_by_its_name_only(engine: Engine) -> None:
    found_nothing, found = register(engine), register(engine)
    finish(engine, found_nothing, PageReading(0, 9, 9, problem="unregistered"))
    finish(engine, found, PAGE)
    assert jobs.retry_jobs(engine) == []
    assert [ticket.id for ticket in jobs.retry_jobs(engine, [found_nothing, found])] == [found_nothing]
    finish(engine, found_nothing, PAGE)
    with reading(engine) as connection:
        assert connection.execute(text("SELECT count(*) FROM pages WHERE problem IS NOT NULL")).scalar_one() == 0


@pytest.mark.parametrize("by", ["retry", "copy"])
def test_a_scan_of_which_a_page_was_not_read_is_read_again_and_keeps_what_people_decided(
    engine: Engine, by: str
) -> None:
    """The form of its second page became known later; the first one's fields are counted once."""
    scan = register(engine, sha256=BYTES)
    finish(engine, scan, PAGE, PageReading(1, 9, 9, problem="unregistered"))
    assert states(engine, [register(engine, sha256=BYTES)]) == [JobState.DUPLICATE]
    with reading(engine) as connection:
        field_id = connection.execute(text("SELECT min(id) FROM fields")).scalar_one()
        before = connection.execute(text("SELECT count(*) FROM fields")).scalar_one()
    correct_field(engine, field_id, "4711", who="anna", overrule=True)
    if by == "retry":
        assert [ticket.id for ticket in jobs.retry_jobs(engine, [scan])] == [scan]
    else:
        assert queue_incomplete(engine, scan)
    assert not queue_incomplete(engine, scan)
    finish(engine, scan, PAGE, replace(PAGE, page=1))
    assert not queue_incomplete(engine, scan)
    with reading(engine) as connection:
        assert connection.execute(text("SELECT count(*) FROM fields")).scalar_one() == 2 * before
        decided = connection.execute(text("SELECT final_text FROM fields WHERE origin = 'reviewer'")).scalars().all()
        assert decided == ["4711"]
        assert connection.execute(text("SELECT count(*) FROM pages WHERE problem IS NOT NULL")).scalar_one() == 0
    assert jobs.retry_jobs(engine, [scan]) == []


def test_a_job_is_renewed_once_it_has_ended(engine: Engine) -> None:
    job_id = register(engine)
    assert not renew_job(engine, job_id)
    finish(engine, job_id, PAGE)
    assert renew_job(engine, job_id)
    finish(engine, job_id, PAGE, replace(PAGE, page=1))
    with reading(engine) as connection:
        assert connection.execute(text("SELECT count(*), count(DISTINCT number) FROM pages")).one() == (2, 2)
