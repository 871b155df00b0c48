"""Messages become rows first: what their files do then is counted and bounded, and no job takes another's place."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from schemas.scan_job import ScanJob
from tests.support.readings import PAGE, claim, register
from tests.support.scan_files import drawing, encoded
from worker.bootstrap import Runtime, build_runtime
from worker.errors import InvalidJobError
from worker.queue import tasks
from worker.queue.publishing import Publisher
from worker.settings import Settings
from worker.store import jobs, registering
from worker.store.arrivals import claim_arrival, identify_scan
from worker.store.engine import database_now, make_engine, reading, writing
from worker.store.readings import insert_scan
from worker.store.records import ClaimedJob, JobRecord
from worker.store.tables import JobState
from worker.telemetry.stages import Stopwatch
from worker.values import PageReading, Scan


@pytest.fixture
def publisher(tmp_path: Path, sqlite_template: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Publisher]:
    """Yield the publisher of a home with a database, where every scan reads as one page."""
    shutil.copy(sqlite_template, tmp_path / "icr.db")
    (tmp_path / "inbox").mkdir()
    engine = make_engine(f"sqlite:///{tmp_path / 'icr.db'}")
    monkeypatch.setattr(tasks, "read_scan_pages", lambda _runtime, claim, _watch: (claim.scan, [PAGE]))
    yield Publisher(replace(build_runtime(Settings(home=tmp_path)), engine=lambda: engine))
    engine.dispose()


def send(publisher: Publisher, name: str = "a.png", job_id: str | None = None) -> str:
    job_id = job_id or str(uuid.uuid4())
    sent = {"id": job_id, "uri": str(publisher.runtime.inbox / name), "template": "field"}
    tasks.run_message(publisher, [sent], {}, message_id=job_id)
    return job_id


def put(publisher: Publisher, name: str = "a.png", mark: int = 0) -> None:
    (publisher.runtime.inbox / name).write_bytes(encoded(drawing(mark), "PNG"))


def record_of(engine: Engine, job_id: str) -> JobRecord:
    record = jobs.get_job(engine, job_id)
    assert record is not None
    return record


def test_a_message_quicker_than_its_file_waits_for_it(publisher: Publisher) -> None:
    engine = publisher.runtime.engine()
    job_id = send(publisher)
    record = record_of(engine, job_id)
    assert (record.state, record.deliveries, record.published_at) == (JobState.QUEUED, 0, None)
    put(publisher)
    send(publisher, job_id=job_id)
    assert record_of(engine, job_id).state is JobState.DONE


def test_a_scan_waits_while_a_template_is_wrong(publisher: Publisher, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, folder = publisher.runtime.engine(), publisher.runtime.own_templates
    folder.mkdir()
    (folder / "half-saved.json").write_text('{"name": "x"')

    def read_by_templates(runtime: Runtime, claim: ClaimedJob, _watch: Stopwatch) -> tuple[Scan, list[PageReading]]:
        runtime.templates()
        return claim.scan, [PAGE]

    monkeypatch.setattr(tasks, "read_scan_pages", read_by_templates)
    put(publisher)
    job_id = send(publisher)
    record = record_of(engine, job_id)
    assert (record.state, record.deliveries, record.published_at) == (JobState.QUEUED, 0, None)
    (folder / "half-saved.json").unlink()
    send(publisher, job_id=job_id)
    assert record_of(engine, job_id).state is JobState.DONE


def test_a_file_that_never_came_fails_its_job_which_can_be_retried_or_sent_again(publisher: Publisher) -> None:
    engine = publisher.runtime.engine()
    job_id = send(publisher)
    with writing(engine) as connection:
        connection.execute(text("UPDATE jobs SET created_at = '2026-01-01 00:00:00.000000'"))
    send(publisher, job_id=job_id)
    record = record_of(engine, job_id)
    assert record.state is JobState.FAILED and "cannot be found" in (record.error_reason or "")
    put(publisher)
    assert [ticket.state for ticket in jobs.retry_jobs(engine, [job_id])] == [JobState.QUEUED]
    send(publisher, job_id=job_id)
    assert record_of(engine, job_id).state is JobState.DONE


def test_copies_of_a_message_are_one_job_and_other_ids_of_the_same_bytes_are_duplicates(publisher: Publisher) -> None:
    engine = publisher.runtime.engine()
    put(publisher)
    first, other = send(publisher), send(publisher)
    for _ in range(3):
        send(publisher, job_id=first)
    assert record_of(engine, first).attempts == 1
    assert (record_of(engine, other).state, record_of(engine, other).duplicate_of) == (JobState.DUPLICATE, first)


def test_an_id_used_again_for_another_file_costs_neither_of_the_two(publisher: Publisher) -> None:
    engine = publisher.runtime.engine()
    put(publisher, "a.png")
    put(publisher, "b.png", mark=1)
    job_id = send(publisher, "a.png")
    send(publisher, "b.png", job_id=job_id)
    assert record_of(engine, job_id).state is JobState.DONE
    with reading(engine) as connection:
        refused = connection.execute(text("SELECT error_reason FROM jobs WHERE state = 'failed'")).scalar_one()
    assert "under its own id" in refused


def arrive(engine: Engine, job_id: uuid.UUID, worker: str) -> ClaimedJob | None:
    job = ScanJob(uri=f"/scans/{job_id}.png", id=job_id)
    return claim_arrival(engine, job, worker=worker, lease_s=-1, max_deliveries=3)


def test_a_file_that_hangs_before_its_bytes_are_known_is_counted_and_ends_dead(engine: Engine) -> None:
    job_id = uuid.uuid4()
    for delivery in range(1, 4):
        claimed = arrive(engine, job_id, f"w{delivery}")
        assert claimed is not None and claimed.deliveries == delivery and not claimed.is_identified
    assert arrive(engine, job_id, "w4") is None
    assert record_of(engine, str(job_id)).state is JobState.DEAD


def test_a_worker_that_lost_its_claim_names_no_bytes(engine: Engine) -> None:
    job_id = uuid.uuid4()
    first, second = arrive(engine, job_id, "w1"), arrive(engine, job_id, "w2")
    assert first is not None and second is not None
    options: dict[str, Any] = {"sha256": "ab" * 32, "size": 1, "duplicates": "skip"}
    assert identify_scan(engine, first, **options) is None
    identified = identify_scan(engine, second, **options)
    assert identified is not None and jobs.store_readings(engine, identified, identified.scan, [PAGE])
    assert record_of(engine, str(job_id)).sha256 == "ab" * 32


def test_of_two_messages_at_once_with_the_same_bytes_one_is_read(engine: Engine) -> None:
    claims = [arrive(engine, uuid.uuid4(), name) for name in ("w1", "w2")]
    options: dict[str, Any] = {"sha256": "ab" * 32, "size": 1, "duplicates": "skip"}
    found = [identify_scan(engine, claim, **options) for claim in claims if claim is not None]
    assert found[0] is not None and found[1] is None


def test_a_job_id_of_another_file_is_refused_on_both_databases(engine: Engine) -> None:
    job_id = uuid.uuid4()
    arrive(engine, job_id, "w1")
    with pytest.raises(InvalidJobError):
        claim_arrival(engine, ScanJob(uri="/other.png", id=job_id), worker="w", lease_s=9, max_deliveries=3)


def kill_readers(engine: Engine, *workers: str) -> None:
    """Let the leases of these workers run out, as of processes that died together."""
    with writing(engine) as connection:
        for worker in workers:
            connection.execute(
                text("UPDATE jobs SET lease_until = leased_at WHERE state = 'running' AND leased_by = :w"),
                {"w": worker},
            )


def test_a_good_scan_is_not_dead_by_the_deaths_of_a_poisoned_one(engine: Engine) -> None:
    """Each time the poisoned scan is read, all processes of the machine die, as when its memory is used up."""
    poison, good, other = (register(engine) for _ in range(3))
    assert claim(engine, poison, "w1") and claim(engine, good, "w2")
    kill_readers(engine, "w1", "w2")
    deaths = 1
    while claim(engine, poison, "w1"):
        assert claim(engine, good, "w2") is None, "one suspect at a time"
        assert record_of(engine, good).published_at is None
        if deaths == 1:
            assert claim(engine, other, "w3"), "others are read beside it"
        kill_readers(engine, "w1", "w3")
        deaths += 1
    assert deaths == 3 and record_of(engine, poison).state is JobState.DEAD
    for job_id in (good, other):
        taken = claim(engine, job_id, "w2")
        assert taken is not None and jobs.store_readings(engine, taken, taken.scan, [PAGE])


def test_a_copy_that_comes_while_its_original_fails_is_read(engine: Engine) -> None:
    """The registration of the copy is under way, and sees an original that still runs."""
    original = register(engine, sha256="ab" * 32)
    running = claim(engine, original)
    assert running is not None
    failing = threading.Thread(target=lambda: jobs.fail_job(engine, running, kind="x", reason="y"))
    with writing(engine) as connection:
        now = database_now(connection)
        scan_id = insert_scan(connection, sha256="ab" * 32, size=1, now=now)
        assert registering.find_original(connection, scan_id, None, "copy") == original
        failing.start()
        time.sleep(0.3)
        values = {"id": "copy", "scan": scan_id, "of": original, "now": now.replace(tzinfo=None)}
        connection.execute(
            text(
                "INSERT INTO jobs (id, scan_id, priority, source, state, attempts, deliveries, created_at, queued_at,"
                " duplicate_of, linked) VALUES (:id, :scan, 5, 'test', 'duplicate', 0, 0, :now, :now, :of, false)"
            ),
            values,
        )
    failing.join()
    assert record_of(engine, original).state is JobState.FAILED
    assert record_of(engine, "copy").state is JobState.QUEUED


@pytest.mark.parametrize("command", [("up", "--once"), ("worker",)])
def test_a_template_that_is_wrong_is_said_before_a_scan_is_taken(tmp_path: Path, command: tuple[str, ...]) -> None:
    for folder in ("forms", "inbox"):
        (tmp_path / folder).mkdir()
    (tmp_path / "forms" / "x.json").write_text('{"name": "x"')
    (tmp_path / "inbox" / "a.png").write_bytes(encoded(drawing(0), "PNG"))
    settings = {name: value for name, value in os.environ.items() if not name.startswith("ICR_")}
    settings |= {"ICR_HOME": str(tmp_path), "ICR_TEMPLATES": str(tmp_path / "forms")}
    call = [sys.executable, "-m", "worker", *command]
    told = subprocess.run(call, env=settings, capture_output=True, text=True, check=False, timeout=120)
    assert told.returncode == 1
    assert told.stderr.splitlines()[-1].startswith(f"icr: {tmp_path / 'forms' / 'x.json'}, line 1: not JSON")
    assert (tmp_path / "inbox" / "a.png").exists()
