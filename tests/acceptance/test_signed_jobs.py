"""A running system with ICR_JOB_KEY: signed jobs are read, others kept with the reason; the key shows nowhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.test_enqueue import _block, _ended, _push, _run_block
from tests.support.system import Home, draw_scan, processes_of, wait_until
from worker.queue.signing import sign_job

pytestmark = [pytest.mark.timeout(180), pytest.mark.xdist_group("signed")]

KEY = "hush-hush-hush-hush"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    folder = tmp_path_factory.mktemp("system")
    (folder / "scans").mkdir()
    home = Home(folder / "home", ICR_SCAN_ROOTS=str(folder / "scans"), ICR_JOB_KEY=KEY, ICR_LOG_LEVEL="debug")
    try:
        home.start("up")
        home.wait_for_worker(120)
        yield home
    finally:
        home.stop()


@pytest.fixture
def scan(home: Home) -> Path:
    return draw_scan(home.folder.parent / "scans" / f"{uuid.uuid4()}.png", uuid.uuid4().int % 10**6)


@pytest.mark.parametrize("library", ["import Celery", "import redis"])
def test_the_pages_programs_sign_with_the_pages_function(home: Home, scan: Path, library: str) -> None:
    program = _block("python", "def sign") + _block("python", library).replace("[job]", "[sign(job)]")
    done = _run_block(home, scan, [sys.executable, "-I", "-c"], program)
    assert done.returncode == 0, done.stderr
    assert _ended(home, done.stdout.strip()) == ("done", None)


def test_our_own_jobs_are_signed_without_anybodys_doing(home: Home, scan: Path) -> None:
    done = home.icr("submit", str(scan), "--template", "field", "--wait")
    assert done.returncode == 0, done.stderr
    draw_scan(home.inbox / "field" / "dropped.png", 7)
    wait_until(lambda: home.listed("done") == ["dropped.png"], 60, home.said)


def test_unsigned_altered_and_wrongly_signed_jobs_are_never_run(home: Home, scan: Path) -> None:
    job = {"uri": str(scan), "id": str(uuid.uuid4()), "template": "field"}
    altered = sign_job(job, KEY)
    altered["job"] = altered["job"].replace("field", "free")
    before = home.rows("SELECT count(*) FROM jobs")[0][0]
    for number, message in enumerate((job, altered, sign_job(job, KEY + "x"), json.dumps(job)), 1):
        _push(home, [message])
        wait_until(lambda expected=before + number: home.rows("SELECT count(*) FROM jobs")[0][0] == expected, 30)
    told = home.rows("SELECT state, error_reason FROM jobs WHERE scan_id IS NULL AND source = 'message'")
    assert {state for state, _ in told} == {"failed"} and len(told) == 4
    assert sorted({reason.partition(":")[0] for _, reason in told})[0].startswith("the job is not signed")
    assert sum("signature does not fit" in reason for _, reason in told) == 2
    assert home.rows("SELECT * FROM jobs WHERE id = ?", job["id"]) == []
    _push(home, [sign_job(job, KEY)])
    assert _ended(home, job["id"]) == ("done", None), "the sender's own is still welcome"


def test_the_key_shows_nowhere(home: Home) -> None:
    """Runs last: in what was said, the database, the queue's log, the folder, the process list and icr doctor."""
    for pid in processes_of(home.folder):
        assert KEY.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
    doctor, status = home.icr("doctor"), home.icr("status")
    assert KEY not in doctor.stdout + doctor.stderr + status.stdout + home.said()
    kept = subprocess.run(["grep", "-rlF", KEY, str(home.folder)], capture_output=True, text=True)
    assert kept.stdout == ""
    short = subprocess.run(
        [sys.executable, "-m", "worker", "status"],
        env={**os.environ, "ICR_JOB_KEY": "tooshort"},
        capture_output=True,
        text=True,
    )
    assert short.returncode == 1 and "ICR_JOB_KEY" in short.stderr and "tooshort" not in short.stderr
