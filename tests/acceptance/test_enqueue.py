"""The three ways of docs/how-to/enqueue.md, run from the page itself, and messages that are no jobs."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery

from tests.support.data import PROJECT
from tests.support.system import Home, draw_scan, wait_until

pytestmark = [pytest.mark.timeout(180), pytest.mark.xdist_group("enqueue")]

ENQUEUE_PAGE = PROJECT / "docs" / "how-to" / "enqueue.md"
BLOCKS = re.findall(r"```(sh|python)\n(.*?)```", ENQUEUE_PAGE.read_text("utf-8"), re.DOTALL)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """One running system for all tests of this file."""
    folder = tmp_path_factory.mktemp("system")
    scans = folder / "scans"
    scans.mkdir()
    home = Home(folder / "home", ICR_SCAN_ROOTS=str(scans))
    try:
        home.start("up")
        home.wait_for_worker()
        yield home
    finally:  # also when the start takes too long
        home.stop()


@pytest.fixture
def scan(home: Home, request: pytest.FixtureRequest) -> Path:
    name = re.sub(r"\W", "_", request.node.name)
    return draw_scan(home.folder.parent / "scans" / f"{name}.png", uuid.uuid4().int % 10**6)


def test_icr_submit(home: Home, scan: Path) -> None:
    done = _run_block(home, scan, ["sh", "-ec"], _block("sh", "icr submit"))
    assert done.returncode == 0, done.stderr + home.said()
    job_id, state, *_ = done.stdout.split()
    assert state == "queued" and f"{job_id}  done" in done.stdout
    assert home.rows("SELECT reference, priority, source FROM jobs WHERE id = ?", job_id) == [
        ("invoice-7", 9, "submit")
    ]


@pytest.mark.parametrize(("library", "reference"), [("import Celery", "invoice-8"), ("import redis", "invoice-9")])
def test_a_program_that_imports_nothing_of_ours(home: Home, scan: Path, library: str, reference: str) -> None:
    program = _block("python", library)
    assert "worker" not in re.findall(r"(?:import|from) (\w+)", program)
    done = _run_block(home, scan, [sys.executable, "-I", "-c"], program)
    assert done.returncode == 0, done.stderr
    job_id = done.stdout.strip()
    assert _ended(home, job_id) == ("done", None)
    assert home.rows("SELECT reference, template FROM jobs WHERE id = ?", job_id) == [(reference, "field")]
    assert home.rows("SELECT count(*) FROM pages WHERE job_id = ?", job_id) == [(1,)]
    results = _run_block(home, scan, ["sh", "-ec"], _block("sh", "icr results"), JOB=job_id)
    assert results.returncode == 0 and job_id in results.stdout, results.stderr


def test_the_same_job_sent_three_times_is_read_once(home: Home, scan: Path) -> None:
    job = {"uri": str(scan), "id": str(uuid.uuid4()), "template": "field"}
    for _ in range(3):
        _push(home, [job])
    assert _ended(home, job["id"]) == ("done", None)
    wait_until(lambda: _depth(home) == 0, 20)
    assert home.rows("SELECT count(*) FROM pages WHERE job_id = ?", job["id"]) == [(1,)]
    assert home.rows("SELECT attempts FROM jobs WHERE id = ?", job["id"]) == [(1,)]


def test_a_job_without_an_id_gets_one_and_is_read(home: Home, scan: Path) -> None:
    message_id = _push(home, [{"uri": scan.as_uri()}])
    assert _ended(home, message_id) == ("done", None)


@pytest.mark.parametrize(
    ("job", "reason"),
    [
        ({"uri": "/etc/passwd"}, "under none of the allowed folders"),
        ({"uri": "{scans}/../../../../../../etc/passwd"}, "under none of the allowed folders"),
        ({"uri": "{scans}/link.png"}, "under none of the allowed folders"),
        ({"uri": "{scans}/missing.png"}, "cannot be found"),
        ({"uri": "{scans}"}, "no regular file"),
        ({"uri": "{scans}/nul\x00.png"}, "cannot be found"),
        ({"uri": "{scans}/" + "x" * 300}, "cannot be found"),
        ({"uri": "http://example.org/a.png"}, "absolute path or a file:// URI"),
        ({"uri": "file://elsewhere/a.png"}, "absolute path or a file:// URI"),
        ({"uri": "relative.png"}, "absolute path or a file:// URI"),
        ({"uri": ""}, "uri must not be empty"),
        ({"uri": "{scans}/a.png", "template": "../../etc"}, "template must be made of small letters"),
        ({"uri": "{scans}/a.png", "colour": "red"}, "colour is not known"),
        ({"uri": "{scans}/a.png", "priority": 10}, "priority must be 9 or less"),
        ({"uri": "{scans}/a.png", "reference": "x" * 100_000}, "longer than"),
        ({"template": "field"}, "uri is missing"),
        ("a string", "one JSON object"),
        (None, "one JSON object"),
    ],
)
def test_a_message_that_is_no_job_is_kept_with_the_reason(home: Home, job: Any, reason: str) -> None:
    scans = home.folder.parent / "scans"
    if not (scans / "link.png").is_symlink():
        (scans / "link.png").symlink_to("/etc/passwd")
    if isinstance(job, dict) and "uri" in job:
        job = {**job, "uri": job["uri"].replace("{scans}", str(scans))}
    message_id = _push(home, [job])
    state, told = _ended(home, message_id, 30)
    assert state == "failed" and told is not None and reason in told
    assert home.rows("SELECT coalesce(raw_message, uri) IS NOT NULL FROM jobs WHERE id = ?", message_id) == [(1,)]
    assert home.rows("SELECT count(*) FROM jobs WHERE state = 'queued'") == [(0,)]


def test_a_refused_job_is_found_by_its_own_id_and_read_once_it_is_mended(home: Home, scan: Path) -> None:
    job = {"uri": str(scan), "id": str(uuid.uuid4()), "template": "Meter-Card", "reference": "order 7"}
    _push(home, [job])
    state, told = _ended(home, job["id"])
    assert state == "failed" and told is not None and "template must be made of small letters" in told
    assert home.rows("SELECT reference FROM jobs WHERE id = ?", job["id"]) == [("order 7",)]
    _push(home, [{**job, "template": "field"}])
    wait_until(lambda: home.rows("SELECT 1 FROM jobs WHERE id = ? AND state = 'done'", job["id"]), 40, home.said)


def test_a_job_that_celery_compressed_is_read(home: Home, scan: Path) -> None:
    job = {"uri": str(scan), "id": str(uuid.uuid4()), "template": "field"}
    with Celery(broker=f"redis+socket://{home.folder / 'redis' / 'redis.sock'}") as app:
        app.send_task("icr.read_scan", args=[job], queue="icr", compression="gzip")
    assert _ended(home, job["id"]) == ("done", None)


def test_unknown_tasks_and_garbage_do_not_stop_the_worker(home: Home, scan: Path) -> None:
    """What is no message of ours is refused, kept as a failed job with its text, and costs nobody else."""
    before = home.states()
    with _client(home) as client:
        _push(home, [{"uri": str(scan)}], task="os.system")
        for garbage in (
            b"",
            b"\xff\xfe\x00",
            b"{",
            b"[]",
            b"{}",
            b'"text"',
            b"null",
            b'{"body": 1, "headers": {}}',
        ):
            client.lpush("icr", garbage)
        for broken in _broken_messages():
            client.lpush("icr", json.dumps(broken))
        client.lpush("icr", "[" * 100_000)
        client.lpush(
            "icr",
            json.dumps(
                {
                    "body": base64.b64encode(b"cos\nsystem\n(S'touch /tmp/owned'\ntR.").decode(),
                    "content-type": "application/x-python-serialize",
                    "content-encoding": "binary",
                    "headers": {"task": "icr.read_scan", "id": "x"},
                    "properties": {
                        "body_encoding": "base64",
                        "delivery_tag": "p",
                        "delivery_info": {"exchange": "", "routing_key": "icr"},
                    },
                }
            ),
        )
    assert not Path("/tmp/owned").exists()
    job = {"uri": str(scan), "id": str(uuid.uuid4()), "template": "field"}
    _push(home, [job])
    assert _ended(home, job["id"], 60) == ("done", None)
    wait_until(lambda: _depth(home) == 0, 30, lambda: f"{_depth(home)} left: {home.said()}")
    assert home.states()["failed"] - before.get("failed", 0) == 31
    assert "part died" not in home.said(), "garbage must not cost a worker"


def test_a_flood_of_messages_delays_no_scan_of_the_folder(home: Home) -> None:
    """Thousands of copies and hundreds of large strangers of the same priority wait; the scan is among the first."""
    copies = [_message([{"uri": "/nowhere", "id": str(uuid.uuid4())}], str(uuid.uuid4()), "icr.read_scan")] * 3000
    large = [_message([{"uri": "/" + "x" * 30_000}], str(uuid.uuid4()), "icr.read_scan") for _ in range(300)]
    for each in (*copies, *large):
        each["properties"]["priority"] = 4  # that of a job of the folder
    with _client(home) as client:
        client.lpush("icr\x06\x164", *(json.dumps(each) for each in (*copies, *large)))
        draw_scan(home.inbox / "field" / "among-thousands.png", 4711)
        wait_until(lambda: "among-thousands.png" in home.listed("done"), 40, home.said)
        assert client.llen("icr\x06\x164") > 0, "the flood is not over"
        client.delete("icr\x06\x164")


def _broken_messages() -> Iterator[dict[str, Any]]:
    """Celery messages that are almost good."""
    for path, value in [
        (("body",), "not json"),
        (("body",), "[]"),
        (("body",), "[1, 2, 3]"),
        (("body",), '[[], {}, {"chain": 1}]'),
        (("body",), 7),
        (("headers", "id"), None),
        (("headers", "id"), "x" * 5000),
        (("headers", "task"), 5),
        (("headers", "timelimit"), ["a", "b"]),
        (("headers", "eta"), "never"),
        (("headers", "expires"), "soon"),
        (("properties", "delivery_tag"), None),
        (("properties", "body_encoding"), "rot13"),
        (("properties", "body_encoding"), "base64"),
        (("properties", "priority"), "high"),
        (("properties", "delivery_info"), 1),
        (("properties", "correlation_id"), {"a": 1}),
        (("content-type",), "application/unknown"),
        (("content-encoding",), "utf-99"),
        (("content-encoding",), 3),
    ]:
        message = _message([{"uri": "/nowhere"}], str(uuid.uuid4()), "icr.read_scan")
        *way, last = path
        place = message
        for step in way:
            place = place[step]
        place[last] = value
        yield message


def _block(language: str, mark: str) -> str:
    (found,) = [text for kind, text in BLOCKS if kind == language and mark in text]
    return found


def _run_block(home: Home, scan: Path, command: list[str], text: str, **more: str) -> subprocess.CompletedProcess[str]:
    socket = home.folder / "redis" / "redis.sock"
    environment = {
        **home.env,
        "SCAN": str(scan),
        "BROKER": f"redis+socket://{socket}",
        "REDIS": f"unix://{socket}",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        **more,
    }
    return subprocess.run(
        [*command, text], env=environment, cwd=home.folder, capture_output=True, text=True, timeout=90
    )


def _push(home: Home, arguments: list[Any], task: str = "icr.read_scan") -> str:
    """Put a message on the queue as any Redis client would."""
    message_id = str(uuid.uuid4())
    with _client(home) as client:
        client.lpush("icr", json.dumps(_message(arguments, message_id, task)))
    return message_id


def _message(arguments: list[Any], message_id: str, task: str) -> dict[str, Any]:
    return {
        "body": json.dumps([arguments, {}, {}]),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {"task": task, "id": message_id},
        "properties": {
            "correlation_id": message_id,
            "delivery_tag": str(uuid.uuid4()),
            "delivery_info": {"exchange": "", "routing_key": "icr"},
        },
    }


def _ended(home: Home, job_id: str, timeout_s: float = 40) -> tuple[str, str | None]:
    query = "SELECT state, error_reason FROM jobs WHERE id = ? AND state NOT IN ('queued', 'running')"
    row: tuple[str, str | None] = wait_until(lambda: home.rows(query, job_id), timeout_s, home.said)[0]
    return row


def _depth(home: Home) -> int:
    with _client(home) as client:
        return int(client.llen("icr")) + int(client.hlen("icr:in-hand"))  # type: ignore[arg-type]


def _client(home: Home) -> redis.Redis:
    return redis.Redis(unix_socket_path=str(home.folder / "redis" / "redis.sock"))
