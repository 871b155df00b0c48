"""Faults that chaos throws only in short or not at all, each once and whole, on real processes."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import time
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.acceptance.test_enqueue import _message
from tests.support.system import Home, children_of, draw_scan, wait_until
from tests.support.tls import free_port
from worker.system.private_redis import PrivateRedis

pytestmark = pytest.mark.timeout(280)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path / "home")
    yield home
    home.stop()


def test_redis_frozen_for_30_s_and_sqlite_locked_for_20_s_cost_no_scan(home: Home) -> None:
    """Longer than the clients wait for Redis (15 s): connections are given up and made anew."""
    home.start("up")
    for i in range(12):
        draw_scan(home.inbox / "field" / f"{i}.png", i)
    wait_until(lambda: home.states().get("done", 0) >= 2, 60, home.said)
    with redis.Redis(unix_socket_path=str(home.folder / "redis" / "redis.sock")) as client:
        server = int(client.info("server")["process_id"])  # type: ignore[index]
    os.kill(server, signal.SIGSTOP)
    try:
        with sqlite3.connect(home.folder / "icr.db", timeout=30, isolation_level=None) as other:
            other.execute("BEGIN EXCLUSIVE")
            draw_scan(home.inbox / "field" / "meanwhile.png", 99)
            time.sleep(20)
            other.execute("ROLLBACK")
        time.sleep(10)
    finally:
        os.kill(server, signal.SIGCONT)
    home.wait_for_states(done=13, timeout_s=120)
    assert home.rows("SELECT count(*), count(DISTINCT job_id) FROM pages") == [(13, 13)]
    wait_until(lambda: len(home.listed("done")) == 13, 30, home.said)


def _readers(up: int) -> list[int]:
    """Return the processes that read scans: the ``icr worker`` of a running ``icr up``, and its children."""
    workers = [pid for pid in children_of(up) if _command_of(pid)[3:4] == [b"worker"]]
    assert workers
    return [*workers, *(child for pid in workers for child in children_of(pid))]


def _command_of(pid: int) -> list[bytes]:
    return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")


def test_an_inbox_that_vanishes_and_returns_loses_nothing(home: Home, tmp_path: Path) -> None:
    """As when a network drive is away: jobs wait for their files instead of failing for lack of them."""
    draw_scan(home.inbox / "field" / "0.png", 0)
    up = home.start("up")
    home.wait_for_states(done=1)
    readers = _readers(up.pid)
    for pid in readers:
        os.kill(pid, signal.SIGSTOP)  # so that jobs wait, however fast the machine is
    try:
        for i in range(1, 12):
            draw_scan(home.inbox / "field" / f"{i}.png", i)
        wait_until(lambda: sum(home.states().values()) == 12, 60, home.said)
        assert home.states()["done"] == 1
        home.inbox.rename(tmp_path / "away")
    finally:
        for pid in readers:
            os.kill(pid, signal.SIGCONT)
    try:
        wait_until(lambda: "is not there" in home.said() and "the watcher waits" in home.said(), 60, home.said)
        time.sleep(3)
        assert not home.inbox.exists(), "what is away is not made up"
    finally:
        (tmp_path / "away").rename(home.inbox)
    draw_scan(home.inbox / "field" / "after.png", 99)
    home.wait_for_states(done=13, timeout_s=120)
    wait_until(lambda: len(home.listed("done")) == 13, 30, home.said)
    assert home.rows("SELECT count(*), count(DISTINCT job_id) FROM pages") == [(13, 13)]


def test_a_clock_that_jumps_an_hour_to_and_fro_costs_no_scan(home: Home, tmp_path: Path) -> None:
    """The clock of workers, watcher, SQLite and Redis at once, as when a machine's time is set while it runs.

    After each jump Redis forgets what waits, so that the reconciler must take its turn: its last one may lie ahead.
    """
    installed = map(str, Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    library = os.environ.get("LIBFAKETIME") or next(installed, "")
    if not library:
        pytest.skip("libfaketime is not installed")
    if not _runs_under(library):
        pytest.skip("this Redis does not run under this libfaketime")
    clock = tmp_path / "clock"
    clock.write_text("+0")
    # libfaketime 0.9.10 breaks Python 3.11's sleep when the monotonic clock is left alone, as a set clock leaves it.
    (tmp_path / "sitecustomize.py").write_text(
        "import select, time\ntime.sleep = lambda seconds: select.select([], [], [], seconds) and None\n"
    )
    home.env |= {
        "LD_PRELOAD": library,
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
        "PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}",
    }
    for i in range(24):
        draw_scan(home.inbox / "field" / f"{i}.png", i)
    home.start("up")
    wait_until(lambda: home.states().get("done", 0) >= 1, 60, home.said)
    restarts = home.said().count("started again")
    for jump, done in (("+3600", 2), ("-3600", 8), ("+0", 14)):
        wait_until(lambda done=done: home.states().get("done", 0) >= done, 60, home.said)  # type: ignore[misc]
        clock.write_text(jump)
        time.sleep(1)
        _forget_messages(home)
    home.wait_for_states(done=24, timeout_s=120)
    assert home.rows("SELECT count(*), count(DISTINCT job_id) FROM pages") == [(24, 24)]
    wait_until(lambda: len(home.listed("done")) == 24, 30, home.said)
    assert home.said().count("started again") == restarts, "no part is taken for dead or silent"
    ((spread,),) = home.rows("SELECT max(julianday(finished_at)) - min(julianday(finished_at)) FROM jobs")
    assert spread * 24 > 1, "the clock did jump"


def _runs_under(library: str) -> bool:
    """Tell whether Redis starts with its clock replaced; some builds ask for the time too early."""
    asked = ["redis-server", "--version"]
    try:
        return not subprocess.run(asked, env={**os.environ, "LD_PRELOAD": library}, timeout=5, check=False).returncode
    except subprocess.TimeoutExpired:
        return False


def _forget_messages(home: Home) -> None:
    with redis.Redis(unix_socket_path=str(home.folder / "redis" / "redis.sock")) as client:
        waiting = [key for key in client.scan_iter("icr*") if client.type(key) == b"list"]
        if waiting:
            client.delete(*waiting)


def test_a_scan_that_nothing_can_interrupt_meets_the_hard_limit_and_is_dead(home: Home, tmp_path: Path) -> None:
    """Deaf to the soft limit's signal, as code in C is; one delivery in place of three keeps the test short."""
    (tmp_path / "sitecustomize.py").write_text(
        "import os, signal, sys, time\n"
        "def watch(event, args):\n"
        "    if event == 'open' and sys.orig_argv[-1] == 'worker' and str(args[0]).endswith('deaf.png'):\n"
        "        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])\n"
        "        time.sleep(3600)\n"
        "sys.addaudithook(watch)\n"
    )
    home.env |= {
        "PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}",
        "ICR_MAX_DELIVERIES": "1",
        "ICR_JOB_TIME_LIMIT_S": "5",
        "ICR_VISIBILITY_TIMEOUT_S": "30",
    }
    draw_scan(home.inbox / "field" / "deaf.png", 1)
    draw_scan(home.inbox / "field" / "fine.png", 2)
    done = home.icr("up", "--once", timeout_s=200)
    assert done.returncode == 2, done.stderr + home.said()
    assert home.states() == {"done": 1, "dead": 1}
    assert home.listed("failed") == ["deaf.png", "deaf.png.reason.txt"] and home.listed("done") == ["fine.png"]
    assert "Hard time limit" in home.said()


def test_one_job_delivered_twice_at_once_on_two_workers_is_read_once(home: Home, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import sys, time\n"
        "def watch(event, args):\n"
        "    if event == 'open' and 'worker' in sys.orig_argv and str(args[0]).endswith('slow.png'):\n"
        "        time.sleep(2)\n"
        "sys.addaudithook(watch)\n"
    )
    broker = PrivateRedis(tmp_path / "broker")
    broker.start()
    home.env |= {
        "PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}",
        "ICR_CONCURRENCY": "1",
        "ICR_BROKER_URL": f"unix://{broker.socket}",
        "ICR_SCAN_ROOTS": str(tmp_path / "scans"),
    }
    scan = draw_scan(tmp_path / "scans" / "slow.png", 1)
    job = {"uri": str(scan), "id": str(uuid.uuid4()), "template": "field"}
    try:
        assert home.icr("migrate").returncode == 0
        for name in ("first", "second"):
            home.start("worker", "--name", name)
        with redis.Redis(unix_socket_path=str(broker.socket), decode_responses=True) as client:
            wait_until(lambda: len(list(client.scan_iter("icr:beat:*"))) == 2, 60, home.said)
            client.lpush("icr", *(json.dumps(_message([job], job["id"], "icr.read_scan")) for _ in range(2)))
            home.wait_for_states(done=1)
            wait_until(lambda: client.llen("icr") + client.hlen("icr:in-hand") == 0, 30, home.said)  # type: ignore[operator]
    finally:
        home.stop()
        broker.stop()
    assert home.rows("SELECT count(*) FROM pages") == [(1,)]
    assert home.said().count('"scan read"') == 1 and "in other hands" in home.said()


def test_what_happens_can_be_followed_by_logs_and_metrics(home: Home) -> None:
    """One line of JSON an event, the job's id from the drop to the end; what was read is in neither."""
    home.env["ICR_METRICS_PORT"] = str(free_port())
    home.start("up")
    draw_scan(home.inbox / "field" / "a\nb\u202e.png", 706517)
    home.wait_for_states(done=1)
    wait_until(lambda: len(home.listed("done")) == 1, 30, home.said)
    ((job_id, number),) = home.rows("SELECT job_id, text FROM pages JOIN fields ON page_id = pages.id")
    wait_until(lambda: _told(home, job_id) == ["scan taken", "scan read", "scan ended"], 30, home.said)
    address = f"http://127.0.0.1:{home.env['ICR_METRICS_PORT']}"
    with urllib.request.urlopen(f"{address}/metrics", timeout=60) as answer:
        metrics = answer.read().decode()
    assert 'icr_jobs{state="done"} 1.0' in metrics and 'icr_stage_seconds_count{stage="store"} 1.0' in metrics
    assert 'icr_model_info{model="fields"' in metrics
    for probe in ("healthz", "readyz"):
        assert urllib.request.urlopen(f"{address}/{probe}", timeout=60).status == 200
    assert len(number) >= 4 and number not in home.said() + metrics, "no reading at the default level"


def _told(home: Home, job_id: str) -> list[str]:
    """Return the events of one job in the order of their times; every line of every log must be JSON."""
    logs = [log.read_text() for log in home.folder.glob("logs/*.log")]
    lines = [json.loads(line) for text in logs for line in text.splitlines()]
    ours = [line for line in lines if line.get("job") == job_id]
    return [line["event"] for line in sorted(ours, key=lambda each: each["timestamp"])]
