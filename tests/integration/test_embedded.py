"""The private Redis and the lock of a home, for real."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.support.system import wait_until
from worker.errors import SettingsError
from worker.system.private_redis import SOCKET_PATH_LIMIT, HomeLock, PrivateRedis, redis_server_binary, socket_path


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PrivateRedis]:
    server = PrivateRedis(tmp_path)
    yield server
    server.stop()


def client_of(server: PrivateRedis) -> redis.Redis:
    return redis.Redis(unix_socket_path=str(server.socket), decode_responses=True)


def test_it_keeps_every_write_over_a_kill_and_listens_on_no_port(server: PrivateRedis) -> None:
    server.start()
    with client_of(server) as client:
        assert client.config_get("port") == {"port": "0"}
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        client.set("key", "value")
        time.sleep(1.1)  # appendfsync everysec
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    wait_until(lambda: not server.alive)
    server.start()
    with client_of(server) as client:
        assert client.get("key") == "value"
    pid = server.pid
    server.stop()
    assert not server.alive and not server.socket.exists() and not Path(f"/proc/{pid}").exists()


def test_a_server_left_behind_is_stopped_and_its_log_taken_over(server: PrivateRedis, tmp_path: Path) -> None:
    stray = PrivateRedis(tmp_path)
    stray.start()
    with client_of(stray) as client:
        client.set("key", "value")
    server.start()
    wait_until(lambda: not stray.alive)
    with client_of(server) as client:
        assert client.get("key") == "value"


def test_nobody_waits_for_a_server_that_was_not_left_behind(
    server: PrivateRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """redis-py tries for three seconds by itself, and every start of icr up took them."""
    server.folder.mkdir(parents=True)
    slept: list[float] = []
    monkeypatch.setattr("redis.retry.sleep", slept.append)
    server._stop_stray()
    assert sum(slept) == 0


def test_stale_sockets_and_a_log_that_cannot_be_loaded_do_not_stop_it(server: PrivateRedis) -> None:
    server.folder.mkdir(parents=True)
    server.socket.touch()
    (server.folder / "appendonly.aof").write_bytes(b"no log at all\r\n" * 5)
    server.start()
    assert server.alive
    assert len(list(server.folder.glob("appendonly*.broken"))) == 1, "a file up to Redis 6, a folder from 7 on"


def test_a_home_too_deep_for_a_socket_gets_one_elsewhere_always_the_same(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 100)
    assert socket_path(deep) == socket_path(deep) != socket_path(tmp_path / ("y" * 100))
    assert len(os.fsencode(socket_path(deep))) <= SOCKET_PATH_LIMIT
    server = PrivateRedis(deep)
    server.start()
    try:
        assert server.socket.parent.stat().st_mode & 0o777 == 0o700
    finally:
        server.stop()
        server.socket.parent.rmdir()


def test_it_dies_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from worker.system.private_redis import PrivateRedis\n"
        "r = PrivateRedis(Path(sys.argv[1])); r.start(); print(r.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program, tmp_path], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), 10)


def test_one_home_is_locked_once_and_freed_by_any_end(tmp_path: Path) -> None:
    lock = tmp_path / "icr.lock"
    with (
        HomeLock(lock),
        pytest.raises(SettingsError, match=f"in use already .process {os.getpid()}"),
        HomeLock(lock),
    ):
        pass
    program = (
        "import os, signal, sys; from pathlib import Path; from worker.system.private_redis import HomeLock\n"
        "HomeLock(Path(sys.argv[1])).__enter__(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", program, lock], check=False)
    with HomeLock(lock):
        pass


def test_a_machine_without_redis_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(SettingsError, match=r"sudo apt install redis-server.*brew install redis.*ICR_BROKER_URL"):
        redis_server_binary()
