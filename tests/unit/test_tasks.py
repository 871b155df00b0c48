"""Messages checked, files located, secrets masked, processes told apart: what the tasks lean on."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
import time
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import structlog
from billiard.exceptions import SoftTimeLimitExceeded
from hypothesis import given
from hypothesis import strategies as st

from worker.bootstrap import build_runtime
from worker.errors import (
    DatabaseUnavailableError,
    FolderUnavailableError,
    InvalidJobError,
    MissingScanError,
    StorageUnavailableError,
    UnreadableScanError,
)
from worker.queue import reading_job
from worker.queue.signing import sign_job
from worker.queue.tasks import _patiently, name_refused, parse_message
from worker.settings import Settings
from worker.sources.places import Folders, Places, Resting, ScanFile, locate_scan
from worker.store.records import ClaimedJob
from worker.system.process_identity import is_dead, name_process
from worker.telemetry.logs import configure_logging
from worker.telemetry.secrets import mask_secrets
from worker.telemetry.stages import Stopwatch
from worker.values import Scan


def test_a_job_without_an_id_gets_the_same_one_at_every_delivery() -> None:
    message_id = str(uuid.uuid4())
    assert str(parse_message([{"uri": "/a"}], {}, message_id=message_id).id) == message_id
    odd = [parse_message([{"uri": "/a"}], {}, message_id="no uuid").id for _ in range(2)]
    assert odd[0] == odd[1] is not None


OWN_ID = "07da9d84-0f3a-4a6e-9a53-5d2a8f1d7e11"
KEY = "hush-hush-hush-hush"


@pytest.mark.parametrize(
    ("args", "kwargs", "names"),
    [
        ([{"uri": "/a", "id": OWN_ID, "template": "Meter-Card", "reference": "order 7"}], {}, (OWN_ID, "order 7")),
        ([{"uri": "/a", "id": OWN_ID, "colour": "red"}], {}, (OWN_ID, None)),
        ([{"uri": "/a", "reference": 7}], {}, ("message", "7")),
        ([{"uri": "/a", "id": "no uuid", "reference": "x" * 300}], {}, ("message", "x" * 200)),
        ([{"uri": "/a", "id": "order-7"}], {}, ("message", "order-7")),
        ([{"uri": "/a", "id": 4711}], {}, ("message", "4711")),
        ([], {"uri": "/a", "id": OWN_ID, "reference": "order 7"}, (OWN_ID, "order 7")),
        ([{"uri": "/a", "id": OWN_ID}], {"priority": 1}, (OWN_ID, None)),
        (["no job"], {}, ("message", None)),
        ([{"id": ["deep"], "reference": {"a": 1}}], {}, ("message", None)),
        ([sign_job({"id": OWN_ID, "reference": "order 7"}, KEY)], {}, (OWN_ID, "order 7")),
    ],
)
def test_a_refused_message_is_known_by_its_senders_id_and_reference(args: list, kwargs: dict, names: tuple) -> None:
    message_id = str(uuid.uuid4())
    with pytest.raises(InvalidJobError):
        parse_message(args, kwargs, message_id=message_id)
    expected = (message_id if names[0] == "message" else names[0], names[1])
    assert name_refused(args, kwargs, message_id=message_id) == expected


def test_where_there_is_a_key_only_what_is_signed_with_it_takes_an_id() -> None:
    job = {"id": OWN_ID, "reference": "order 7"}
    for unsigned in (job, sign_job(job, KEY + "x"), "text"):
        assert name_refused([unsigned], {}, message_id=OWN_ID, key=KEY) == (None, None)
    assert name_refused([sign_job(job, KEY)], {}, message_id="x", key=KEY) == (OWN_ID, "order 7")


@given(st.lists(st.none() | st.integers() | st.text() | st.dictionaries(st.text(), st.text())), st.booleans())
def test_any_arguments_are_a_job_or_refused_with_one_error(args: list[Any], named: bool) -> None:
    try:
        job = parse_message(args, {"a": 1} if named else {}, message_id="x")
    except InvalidJobError as error:
        assert str(error)
        assert name_refused(args, {"a": 1} if named else {}, message_id="x")[0]
    else:
        assert job.uri == args[0]["uri"]


def test_a_deep_or_huge_message_is_refused() -> None:
    deep: Any = "x"
    for _ in range(500):
        deep = [deep]
    for odd in ({"uri": deep}, {"uri": "/" + "a" * 70_000}):
        with pytest.raises(InvalidJobError):
            parse_message([odd], {}, message_id="x")


def test_a_scan_is_found_under_the_roots_only_whatever_the_way_to_it(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    name = "a b\n%41.png"
    (root / name).touch()
    (outside / "b.png").touch()
    (root / "link.png").symlink_to(outside / "b.png")
    (root / "inner.png").symlink_to(root / name)
    (root / "folder").symlink_to(outside)
    os.mkfifo(root / "pipe")
    found = (root / name).resolve()
    for good in (str(root / name), (root / name).as_uri(), f"{root}/../root/{name}", str(root / "inner.png")):
        assert locate_scan(good, (root.resolve(),)) == found
    for bad in (
        f"{root}/link.png",
        f"{root}/folder/b.png",
        f"{root}/../outside/b.png",
        f"{root}",
        f"{root}/pipe",
        f"{root}x/a.png",
        f"file://{root}/%2e%2e/outside/b.png",
        "ftp://h/a",
        "/dev/zero",
        "a.png",
        f"{root}/\0",
    ):
        with pytest.raises(InvalidJobError):
            locate_scan(bad, (root.resolve(),))


@pytest.mark.parametrize("gone", ["folder", "scan", "nothing"])
def test_a_scan_that_vanishes_while_it_is_read_waits_for_its_folder_and_fails_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gone: str
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "a.png").touch()

    def vanish(path: Path, *_: object, **__: object) -> tuple[Path, str]:
        if gone == "folder":
            root.rename(tmp_path / "away")
        elif gone == "scan":
            path.unlink()
        raise MissingScanError("the file cannot be opened")

    runtime = replace(build_runtime(Settings()), places=lambda: Places(Folders((root,))))
    monkeypatch.setattr(reading_job, "copy_scan", vanish)
    monkeypatch.setattr(reading_job, "get_job", lambda *_: None)
    claim = ClaimedJob("1", Scan("1", str(root / "a.png"), "ab" * 32), "field", None, 0, 1, 1)
    with pytest.raises(UnreadableScanError if gone == "scan" else FolderUnavailableError):
        reading_job.read_scan_pages(runtime, claim, Stopwatch())


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("redis://:s3cret@host:6379/0", "redis://:***@host:6379/0"),
        ("at postgresql+psycopg://icr:p%40ss@db/icr now", "at postgresql+psycopg://icr:***@db/icr now"),
        ("rediss://user:a:b@c@host", "rediss://user:***@host"),
        ("file:///a/b@c", "file:///a/b@c"),
    ],
)
def test_passwords_in_urls_are_masked(text: str, masked: str) -> None:
    assert mask_secrets(text) == masked


def test_a_log_is_one_json_line_an_event_that_no_name_can_forge(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    before = logging.getLogger().handlers[:]
    try:
        configure_logging("info")
        with structlog.contextvars.bound_contextvars(job="7"):
            structlog.get_logger("x").warning("taken", name='a\n{"event": "forged"}\u202e', url="redis://:pw@h")
        logging.getLogger("celery").error("broken %s", "amqp://u:pw@h")
        logging.getLogger("celery").info("args: (706,)")
    finally:
        logging.getLogger().handlers[:] = before
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["event"] for line in lines] == ["taken", "broken amqp://u:***@h"]
    assert lines[0]["job"] == "7" and lines[0]["url"] == "redis://:***@h" and "\u202e" not in stream.getvalue()


def test_waiting_that_is_cut_off_by_the_time_limit_ends_as_what_was_away() -> None:
    """So that a job is handed back, and not failed for what the database did."""
    found = iter([DatabaseUnavailableError("away"), SoftTimeLimitExceeded()])

    def act() -> None:
        raise next(found)

    with pytest.raises(DatabaseUnavailableError):
        _patiently(act, time.monotonic() + 10)
    with pytest.raises(SoftTimeLimitExceeded):
        _patiently(lambda: _raise(SoftTimeLimitExceeded()), time.monotonic() + 10)


def test_storage_that_does_not_answer_is_left_alone_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    now = [100.0]
    monkeypatch.setattr("worker.sources.places.time.monotonic", lambda: now[0])

    class Storage:
        def fetch(self, uri: str) -> ScanFile:
            asked.append(uri)
            if len(asked) < 3:
                raise StorageUnavailableError("away")
            return ScanFile(Path(uri))

    storage = Resting(Storage(), rest_s=0.2)
    for uri in ("/a", "/b", "/c"):
        with pytest.raises(StorageUnavailableError, match="away"):
            storage.fetch(uri)
    assert asked == ["/a"]
    now[0] += 0.25
    with pytest.raises(StorageUnavailableError):
        storage.fetch("/a")
    now[0] += 0.25
    assert [storage.fetch(uri).path for uri in ("/a", "/b")] == [Path("/a"), Path("/b")]


def _raise(error: Exception) -> None:
    raise error


def test_a_process_is_known_dead_only_when_it_was_of_this_machine_and_is_gone() -> None:
    with subprocess.Popen(["sleep", "60"]) as sleeper:
        name = name_process(sleeper.pid)
        assert not is_dead(name) and not is_dead(name_process(os.getpid()))
        sleeper.kill()
        sleeper.wait()
    assert is_dead(name)
    host, pid, started = name_process(os.getpid()).split("/")
    assert is_dead(f"{host}/{pid}/{int(started) - 1}"), "another process had this id before"
    for foreign in (f"elsewhere/{pid}/1", "", "nonsense", f"{host}/x/y"):
        assert not is_dead(foreign)


def test_a_child_is_bounded_in_memory() -> None:
    program = (
        "import worker.system.child as c; c.prepare_child(400)\n"
        "try: bytearray(600 * 2**20)\n"
        "except MemoryError: print('refused')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "refused\n"
