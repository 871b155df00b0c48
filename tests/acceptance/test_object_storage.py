"""Scans in object storage through real processes: submitted, sent, missing; a storage that goes and returns."""

from __future__ import annotations

import hashlib
import json
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
import redis

from tests.acceptance.test_enqueue import _message
from tests.support.object_storage import KEY_ID, SECRET, S3Server
from tests.support.system import Home, draw_scan, wait_until
from worker.system.process_identity import name_process

pytestmark = [pytest.mark.timeout(240), pytest.mark.xdist_group("storage")]


@pytest.fixture
def server() -> Iterator[S3Server]:
    server = S3Server()
    server.start()
    yield server
    server.kill()


@pytest.fixture
def home(tmp_path: Path, server: S3Server) -> Iterator[Home]:
    more = {
        "ICR_SCAN_ROOTS": "s3://scans/in",
        "ICR_LOG_LEVEL": "debug",
        "ICR_JOB_TIME_LIMIT_S": "12",
        "ICR_CONCURRENCY": "1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    home = Home(tmp_path / "home", **server.environment, **more)
    yield home
    home.stop()


def _put(server: S3Server, folder: Path, number: int) -> tuple[str, str]:
    content = draw_scan(folder / f"{number}.png", number).read_bytes()
    server.put(f"in/{number}.png", content)
    return f"s3://scans/in/{number}.png", hashlib.sha256(content).hexdigest()


def _send(home: Home, uri: str) -> str:
    job = {"uri": uri, "id": str(uuid.uuid4()), "template": "field"}
    with redis.Redis(unix_socket_path=str(home.folder / "redis" / "redis.sock")) as client:
        client.lpush("icr", json.dumps(_message([job], job["id"], "icr.read_scan")))
    return job["id"]


def _copies(home: Home) -> list[str]:
    return [path.name for path in (home.folder / "tmp").glob("*")]


def test_scans_in_object_storage_are_read_and_leave_nothing_behind(
    home: Home, server: S3Server, tmp_path: Path
) -> None:
    with subprocess.Popen(["true"]) as dead:
        left = home.folder / "tmp" / f"{quote(name_process(dead.pid), safe='')}~left"
    left.parent.mkdir()
    left.write_bytes(b"of a worker that was killed while it read")
    home.start("up")
    wait_until(lambda: not left.exists(), 60, home.said)

    first, first_sha256 = _put(server, tmp_path, 706517)
    submitted = home.icr("submit", first, "--template", "field", "--reference", "cloud", "--wait")
    assert submitted.returncode == 0 and "done" in submitted.stdout, submitted.stderr + home.said()
    second, second_sha256 = _put(server, tmp_path, 130452)
    sent = [_send(home, second), _send(home, "s3://scans/in/missing.png"), _send(home, "s3://scans/out/a.png")]
    home.wait_for_states(done=2, failed=2)

    rows = home.rows("SELECT j.uri, s.sha256 FROM jobs j JOIN scans s ON s.id = j.scan_id ORDER BY j.created_at")
    assert rows == [(first, first_sha256), (second, second_sha256)]
    reasons = [home.rows("SELECT error_reason FROM jobs WHERE id = ?", job_id)[0][0] for job_id in sent]
    assert reasons[0] is None and "cannot be found" in reasons[1] and "allowed places" in reasons[2]
    assert home.rows("SELECT count(*) FROM fields WHERE text <> ''") == [(2,)]
    assert home.icr("submit", "s3://scans/in/missing.png").returncode == 1
    doctor = home.icr("doctor")
    assert "ok   bucket      s3://scans/in answers" in doctor.stdout, doctor.stdout
    wait_until(lambda: not _copies(home), 20, lambda: str(_copies(home)))
    said = home.said() + submitted.stdout + submitted.stderr + doctor.stdout + doctor.stderr
    assert SECRET not in said and KEY_ID not in said


def test_a_storage_that_goes_away_and_returns_costs_no_scan(home: Home, server: S3Server, tmp_path: Path) -> None:
    """A message whose bytes cannot be had: it waits as a row, uncounted, and is read when the storage is back."""
    server.put("in/late.png", draw_scan(tmp_path / "late.png", 2).read_bytes())
    server.gate.shut()
    home.start("up")
    home.wait_for_worker()
    refused = home.icr("submit", "s3://scans/in/late.png")
    assert refused.returncode == 1 and "does not answer" in refused.stderr, "its bytes cannot be had"
    job_id = _send(home, "s3://scans/in/late.png")
    wait_until(lambda: "job handed back" in home.said(), 60, home.said)
    assert "does not answer" in home.said() and home.states().keys() <= {"queued", "running"}, home.said()
    server.gate.open()
    home.wait_for_states(done=1, timeout_s=90)
    ((deliveries, attempts),) = home.rows("SELECT deliveries, attempts FROM jobs WHERE id = ?", job_id)
    assert deliveries == 1 < attempts
    assert not _copies(home)


def test_a_job_that_was_claimed_when_the_storage_went_is_handed_back_uncounted(
    home: Home, server: S3Server, tmp_path: Path
) -> None:
    uri, _ = _put(server, tmp_path, 7)
    assert home.icr("migrate").returncode == 0
    submitted = home.icr("submit", uri, "--template", "field")
    assert submitted.returncode == 0 and "the job is kept" in submitted.stderr, "no queue yet"
    server.gate.shut()
    home.start("up")
    wait_until(lambda: "job handed back" in home.said(), 90, home.said)
    ((deliveries, attempts),) = home.rows("SELECT deliveries, attempts FROM jobs")
    assert deliveries <= 1 <= attempts, "a claim of now, none of before"
    server.gate.open()
    home.wait_for_states(done=1, timeout_s=90)
    ((deliveries, attempts),) = home.rows("SELECT deliveries, attempts FROM jobs")
    assert deliveries == 1 < attempts


def test_scans_elsewhere_do_not_wait_for_a_storage_that_is_away(home: Home, server: S3Server, tmp_path: Path) -> None:
    """One process, more jobs of the storage than it can wait for, with a row and without; then one of the folder."""
    uris = [_put(server, tmp_path, i)[0] for i in range(8)]
    assert home.icr("migrate").returncode == 0
    for uri in uris[:2]:
        assert home.icr("submit", uri, "--template", "field").returncode == 0
    server.gate.shut()
    home.start("up")
    home.wait_for_worker()
    for uri in uris[2:]:
        _send(home, uri)
    wait_until(lambda: home.said().count("job handed back") > 10, 60, home.said)
    draw_scan(home.inbox / "field" / "here.png", 706517)
    wait_until(lambda: home.listed("done") == ["here.png"], 30, home.said)
    server.gate.open()
    wait_until(lambda: home.states() == {"done": len(uris) + 1}, 90, lambda: f"{home.states()} {home.said()}")
    assert home.rows("SELECT DISTINCT deliveries FROM jobs") == [(1,)]
