"""Worker and watcher as processes of their own: absent servers, silence, a full Redis, chaos in short."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import redis

from tests.chaos.run import Plan, run_chaos
from tests.chaos.systems import ManyProcesses, OneMachine
from tests.support.servers import PostgresqlServer
from tests.support.system import Home, draw_scan, wait_until
from worker.store.engine import make_engine, upgrade_database
from worker.store.summary import queue_summary
from worker.system.private_redis import PrivateRedis

pytestmark = pytest.mark.timeout(280)

SHORT = Plan(scans=12, jobs=8, posts=8, seed=20260101, round=14, freeze_s=2.0, stuck_s=240.0)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[PrivateRedis]:
    server = PrivateRedis(tmp_path / "broker")
    yield server
    server.stop()


@pytest.fixture
def home(tmp_path: Path, broker: PrivateRedis) -> Iterator[Home]:
    home = Home(tmp_path / "home", ICR_BROKER_URL=f"unix://{broker.socket}", ICR_CONCURRENCY="1")
    yield home
    home.stop()


def test_database_and_redis_absent_at_start_are_waited_for_and_said(
    home: Home, broker: PrivateRedis, postgresql_server: PostgresqlServer, postgresql_url: str
) -> None:
    home.env["ICR_DATABASE_URL"] = postgresql_url
    engine = make_engine(postgresql_url)
    upgrade_database(engine)
    engine.dispose()
    postgresql_server.stop()
    home.start("worker")
    home.start("watch")
    draw_scan(home.inbox / "field" / "a.png", 1)
    wait_until(lambda: home.said().count("waiting for the database") >= 2, 60, home.said)
    postgresql_server.start()
    wait_until(lambda: "Cannot connect" in home.said() and "published later" in home.said(), 60, home.said)
    assert home.icr("health").returncode == 1
    broker.start()
    wait_until(lambda: home.listed("done") == ["a.png"], 90, home.said)
    assert queue_summary(engine).counts["done"] == 1
    assert "icr@" not in home.said(), "neither user nor password in what is said"
    wait_until(lambda: home.icr("health").returncode == 0, 30, home.said)
    engine.dispose()


def test_a_worker_that_is_alive_and_silent_is_noticed(home: Home, broker: PrivateRedis) -> None:
    """Stopped in its tracks, the worker's process and its socket look well; the canary tells."""
    home.env |= {"ICR_JOB_TIME_LIMIT_S": "5", "ICR_VISIBILITY_TIMEOUT_S": "30"}
    broker.start()
    assert home.icr("migrate").returncode == 0
    worker = home.start("worker")
    wait_until(lambda: home.icr("health").returncode == 0, 60, home.said)
    os.kill(worker.pid, signal.SIGSTOP)
    try:
        silent = wait_until(lambda: (told := home.icr("health")).returncode == 1 and told, 60)
        assert "silent" in silent.stdout
        assert "SILENT" in home.icr("status").stdout
    finally:
        os.kill(worker.pid, signal.SIGCONT)
    wait_until(lambda: home.icr("health").returncode == 0, 30, home.said)


def test_an_acknowledgement_that_redis_does_not_hear_does_not_silence_the_worker(
    home: Home, broker: PrivateRedis, tmp_path: Path
) -> None:
    """Redis dies while the only process reads, and is back after the scan has ended: the next one must be read."""
    (tmp_path / "sitecustomize.py").write_text(
        "import os, sys, time\n"
        "def watch(event, args):\n"
        "    if event == 'open' and sys.orig_argv[-1] == 'worker' and str(args[0]).endswith('slow.png'):\n"
        "        time.sleep(2)\n"
        "sys.addaudithook(watch)\n"
    )
    home.env["PYTHONPATH"] = f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"
    broker.start()
    assert home.icr("migrate").returncode == 0
    home.start("worker")
    home.start("watch")
    draw_scan(home.inbox / "field" / "slow.png", 1)
    wait_until(lambda: home.states() == {"running": 1}, 60, home.said)
    broker.stop()
    wait_until(lambda: "Couldn't ack" in home.said(), 60, home.said)
    broker.start()
    draw_scan(home.inbox / "field" / "next.png", 2)
    home.wait_for_states(done=2, timeout_s=60)


def test_a_redis_that_refuses_for_lack_of_memory_loses_nothing(home: Home, broker: PrivateRedis) -> None:
    broker.start()
    assert home.icr("migrate").returncode == 0
    home.start("watch")
    with redis.Redis(unix_socket_path=str(broker.socket)) as client:
        client.config_set("maxmemory", "1")
        draw_scan(home.inbox / "field" / "a.png", 1)
        wait_until(lambda: "published later" in home.said(), 60, home.said)
        assert home.states() == {"queued": 1}
        client.config_set("maxmemory", "0")
    home.start("worker")
    wait_until(lambda: home.listed("done") == ["a.png"], 60, home.said)


@pytest.mark.timeout(500)
@pytest.mark.parametrize(
    ("system", "faults"),
    [
        (OneMachine, ("worker", "flush", "lock", "up", "redis", "copies")),
        (ManyProcesses, ("child", "cut", "flush", "postgresql", "server", "hang")),
    ],
)
def test_chaos_in_short(system: type[OneMachine | ManyProcesses], faults: tuple[str, ...], tmp_path: Path) -> None:
    """Twenty-eight scans under fire: each ends exactly once, as it should. ``make chaos`` is the long form."""
    (tmp_path / "outbox").mkdir()
    plan = replace(SHORT, in_turn=faults)
    figures = run_chaos(system(tmp_path / "home", ICR_SCAN_ROOTS=str(tmp_path / "outbox")), plan)
    assert figures.problems == []
    assert figures.ended >= SHORT.total
    assert figures.faults == dict.fromkeys(faults, 1)
