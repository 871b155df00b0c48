"""The watcher between other people's steps: retries at the moment of a move, a scan that was submitted as well."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from sqlalchemy import Engine, text

from schemas.scan_job import ScanJob
from tests.support.readings import PAGE, claim
from worker.bootstrap import build_runtime
from worker.errors import BrokerUnavailableError, FolderUnavailableError
from worker.inbox import folder, watcher
from worker.inbox.reopening import reopen_scan
from worker.inbox.watcher import Watcher
from worker.queue.publishing import Publisher
from worker.settings import Settings
from worker.store import jobs
from worker.store.engine import make_engine, reading
from worker.store.summary import queue_summary
from worker.store.tables import JobState
from worker.values import PageReading


@pytest.fixture
def publisher(tmp_path: Path, sqlite_template: Path) -> Iterator[Publisher]:
    """Yield a publisher whose queue is away, which a watcher bears."""
    shutil.copy(sqlite_template, tmp_path / "icr.db")
    engine = make_engine(f"sqlite:///{tmp_path / 'icr.db'}")
    settings = Settings(home=tmp_path, stable_s=0.001, incomplete_s=0.001)
    yield Publisher(replace(build_runtime(settings), engine=lambda: engine))
    engine.dispose()


@pytest.fixture
def watch(publisher: Publisher) -> Watcher:
    folder.prepare(publisher.runtime.inbox)
    return Watcher(publisher, cast(Any, SimpleNamespace(check=lambda path: None)))


def drop(publisher: Publisher, content: bytes = b"scan") -> Path:
    path = publisher.runtime.inbox / "a.png"
    path.write_bytes(content)
    return path


def take(watch: Watcher, engine: Engine) -> str:
    """Let the watcher take what lies there; return the job that it made."""
    for _ in range(1000):
        watch.look()
        watch.step()
        with reading(engine) as connection:
            made = connection.execute(text("SELECT id FROM jobs WHERE source = 'inbox'")).scalar_one_or_none()
        if made is not None:
            return str(made)
    raise AssertionError("nothing was taken")


def fail(engine: Engine, job_id: str) -> None:
    taken = claim(engine, job_id)
    assert taken is not None and jobs.fail_job(engine, taken, kind="x", reason="y")


def read(engine: Engine, job_id: str, *pages: PageReading) -> None:
    taken = claim(engine, job_id)
    assert taken is not None
    assert Path(taken.scan.uri.removeprefix("file://")).exists(), "a worker finds the file where the row says"
    assert jobs.store_readings(engine, taken, taken.scan, pages or (PAGE,))


def lying(publisher: Publisher) -> list[str]:
    inbox = publisher.runtime.inbox
    return sorted(str(p.relative_to(inbox)) for p in inbox.rglob("*") if p.is_file() and ".working" not in p.parts)


def test_a_retry_between_a_failure_and_the_move_to_failed(
    watch: Watcher, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The watcher has asked for the state, and moves by it, when ``icr retry`` queues the job again."""
    engine = publisher.runtime.engine()
    drop(publisher)
    job_id = take(watch, engine)
    fail(engine, job_id)

    def ask_then_retry(*args: Any) -> dict[str, JobState]:
        found = watcher_states(*args)
        jobs.retry_jobs(engine)
        reopen_scan(publisher.runtime.inbox, engine, job_id)
        return found

    watcher_states = watcher.find_states
    monkeypatch.setattr(watcher, "find_states", ask_then_retry)
    watch.step()
    monkeypatch.undo()
    assert lying(publisher) == []
    read(engine, job_id)
    watch.step()
    assert lying(publisher) == ["done/a.png"]


def test_a_scan_that_grows_in_the_moment_of_its_move_is_read_again(
    watch: Watcher, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fax server goes on in the file right after the rename: what it adds was never noticed."""
    engine = publisher.runtime.engine()
    drop(publisher)
    job_id = take(watch, engine)
    read(engine, job_id)
    move, moved = folder.dispose, []

    def move_and_write(inbox: Path, claimed: folder.Claimed, target: Path, reason: str | None = None) -> None:
        move(inbox, claimed, target, reason)
        with target.open("ab") as file:
            file.write(b" and another page")
        moved.append(target.name)

    monkeypatch.setattr(folder, "dispose", move_and_write)
    watch.step()
    monkeypatch.undo()
    assert moved == ["a.png"]
    assert lying(publisher) == [], "it is back among those that are read"
    assert claim(engine, job_id) is not None


def test_a_retry_that_is_killed_between_its_two_steps(watch: Watcher, publisher: Publisher) -> None:
    engine = publisher.runtime.engine()
    drop(publisher)
    job_id = take(watch, engine)
    fail(engine, job_id)
    watch.step()
    assert lying(publisher) == ["failed/a.png", "failed/a.png.reason.txt"]
    jobs.retry_jobs(engine)
    read(engine, job_id)
    watch.recover()
    watch.step()
    assert lying(publisher) == ["done/a.png"]


def test_a_scan_that_is_submitted_and_taken_from_the_inbox_is_read_once(watch: Watcher, publisher: Publisher) -> None:
    engine = publisher.runtime.engine()
    path = drop(publisher)
    submitted = ScanJob(uri=path.as_uri(), id=uuid.uuid4(), template=None)
    with pytest.raises(BrokerUnavailableError):
        publisher.enqueue_scan(submitted, path, source="submit")
    taken = take(watch, engine)
    assert queue_summary(engine).counts[JobState.DUPLICATE] == 1
    watch.step()
    assert lying(publisher) == ["duplicate/a.png", "duplicate/a.png.reason.txt"]
    assert "'icr reread' reads it anew" in reason(publisher, "duplicate/a.png"), "what to do if its form was changed"
    fail(engine, str(submitted.id))  # its file is gone from where it was
    watch.recover()
    read(engine, taken)
    watch.step()
    assert lying(publisher) == ["done/a.png"]


def test_two_watchers_whose_lock_does_not_hold_take_each_scan_once(publisher: Publisher) -> None:
    """As on a network drive without locks: both see and recover everything."""
    engine, inbox = publisher.runtime.engine(), publisher.runtime.inbox
    folder.prepare(inbox)
    both = [Watcher(publisher, cast(Any, SimpleNamespace(check=lambda path: None))) for _ in range(2)]
    names = {f"{i}.png" for i in range(12)}
    for name in names:
        (inbox / name).write_bytes(name.encode())
    for _ in range(200):
        for each in both:
            each.recover()
            each.look()
            each.step()
        for lost in jobs.find_lost_jobs(engine, unpublished_after_s=-1, limit=3):
            read(engine, lost.id)
        if set(lying(publisher)) == {f"done/{name}" for name in names}:
            break
    assert set(lying(publisher)) == {f"done/{name}" for name in names}
    assert queue_summary(engine).counts[JobState.DONE] == len(names)


@pytest.mark.parametrize("trouble", ["cannot be moved", "cannot be read"])
def test_files_in_trouble_keep_no_place_of_those_in_flight(
    trouble: str, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many of them as ICR_INBOX_IN_FLIGHT stopped the inbox for good, while health said ok."""
    runtime = publisher.runtime
    settings = runtime.settings.model_copy(update={"inbox_in_flight": 2})
    few = Publisher(replace(runtime, settings=settings))
    folder.prepare(runtime.inbox)
    watch = Watcher(few, cast(Any, SimpleNamespace(check=lambda path: None)))
    enqueue = Publisher.enqueue_scan

    def refuse(self: Publisher, job: ScanJob, path: Path, *, source: str) -> Any:
        if path.name.startswith("bad"):
            raise FolderUnavailableError("Input/output error")
        return enqueue(self, job, path, source=source)

    if trouble == "cannot be read":
        monkeypatch.setattr(Publisher, "enqueue_scan", refuse)
    for name in ("bad-1.png", "bad-2.png"):
        (runtime.inbox / name).write_bytes(name.encode())
    _turn(watch, lambda: len(list((runtime.inbox / folder.WORKING).iterdir())) == 2)
    if trouble == "cannot be moved":
        (runtime.inbox / "done").write_bytes(b"in the way")
        for job_id in _jobs(runtime.engine()):
            read(runtime.engine(), job_id)
        _turn(watch, lambda: watch.stuck == 2)
    (runtime.inbox / "good.png").write_bytes(b"good")
    _turn(watch, lambda: any("good" in str(path) for path in (runtime.inbox / folder.WORKING).rglob("*.png")))
    assert watch.stuck == 2


def _jobs(engine: Engine) -> list[str]:
    with reading(engine) as connection:
        return list(connection.execute(text("SELECT id FROM jobs")).scalars())


def _turn(watch: Watcher, is_there: Callable[[], bool]) -> None:
    for _ in range(300):
        watch.look()
        watch.step()
        if is_there():
            return
    raise AssertionError("it does not come to that")


def test_a_scan_that_is_dropped_again_has_the_rest_of_it_read(publisher: Publisher, watch: Watcher) -> None:
    """A page found no form; its template came, and the scan was dropped once more."""
    engine = publisher.runtime.engine()
    drop(publisher)
    original = take(watch, engine)
    read(engine, original, PAGE, PageReading(1, 9, 9, problem="unregistered"))
    watch.step()
    assert lying(publisher) == ["done/a.png"]
    drop(publisher)
    step_until(watch, lambda: "duplicate/a.png" in lying(publisher))
    record = jobs.get_job(engine, original)
    assert record is not None and record.state is JobState.QUEUED and not watch.idle
    assert lying(publisher) == ["done/a.png", "duplicate/a.png", "duplicate/a.png.reason.txt"]
    assert "read again because a page of it was not read" in reason(publisher, "duplicate/a.png")
    read(engine, original, PAGE, replace(PAGE, page=1))
    watch.step()
    assert watch.idle
    drop(publisher)
    step_until(watch, lambda: len(lying(publisher)) == 5)
    record = jobs.get_job(engine, original)
    assert record is not None and record.state is JobState.DONE, "nothing is missing now"


def test_a_scan_whose_file_is_gone_is_not_read_again(publisher: Publisher, watch: Watcher) -> None:
    engine = publisher.runtime.engine()
    drop(publisher)
    original = take(watch, engine)
    read(engine, original, PAGE, PageReading(1, 9, 9, problem="unregistered"))
    watch.step()
    (publisher.runtime.inbox / "done" / "a.png").unlink()
    drop(publisher)
    step_until(watch, lambda: "duplicate/a.png" in lying(publisher))
    record = jobs.get_job(engine, original)
    assert record is not None and record.state is JobState.DONE and watch.idle


def reason(publisher: Publisher, name: str) -> str:
    return (publisher.runtime.inbox / f"{name}.reason.txt").read_text("utf-8")


def step_until(watch: Watcher, done: Callable[[], bool]) -> None:
    for _ in range(1000):
        watch.look()
        watch.step()
        if done():
            return
    raise AssertionError("it never came so far")
