"""The two systems that faults are thrown at: one machine on SQLite, and many processes on PostgreSQL."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from sqlalchemy import text

from tests.support.servers import PostgresqlServer, find_postgresql
from tests.support.system import Home, children_of
from worker.errors import DatabaseUnavailableError
from worker.store.engine import make_engine, reading, upgrade_database
from worker.system.private_redis import PrivateRedis

OF_THE_QUEUE = ("full", "drop", "copies", "hang")
"""Redis at its maxmemory, all its connections cut, copies of what waits, a worker that hangs and is lost."""


class OneMachine:
    """``icr up`` on SQLite, started again when it dies, as an init system would."""

    name = "one machine, SQLite"
    faults = ("child", "worker", "watcher", "up", "redis", "flush", "freeze", "lock", *OF_THE_QUEUE)
    long_faults = ("long freeze", "long lock")

    def __init__(self, folder: Path, **settings: str) -> None:
        self.home = Home(folder, **settings)
        self.engine = make_engine(f"sqlite:///{folder / 'icr.db'}")
        self._up: subprocess.Popen[bytes] | None = None

    @property
    def redis_socket(self) -> Path:
        return self.home.folder / "redis" / "redis.sock"

    def supervise(self) -> None:
        if self._up is None or self._up.poll() is not None:
            self._up = self.home.start("up")

    def pids(self, role: str) -> list[int]:
        """Return the processes that play a role now; none while they are being started."""
        if self._up is None or self._up.poll() is not None:
            return []
        if role == "up":
            return [self._up.pid]
        parts = {_role_of(pid): pid for pid in _children(self._up.pid)}
        if role == "child":
            return _children(parts["worker"]) if "worker" in parts else []
        return [parts[role]] if role in parts else []

    def stop(self) -> None:
        self.home.stop()
        self.engine.dispose()


class ManyProcesses:
    """Two workers and a watcher on a Redis and a PostgreSQL, each started again when it dies."""

    name = "two workers and a watcher, PostgreSQL"
    faults = ("child", "worker", "watcher", "redis", "flush", "freeze", "postgresql", "cut", *OF_THE_QUEUE)
    long_faults = ("long freeze",)

    def __init__(self, folder: Path, **settings: str) -> None:
        binaries = find_postgresql()
        assert binaries is not None, "no PostgreSQL"
        self.postgresql = PostgresqlServer(binaries)
        self.postgresql.start()
        self.postgresql.execute("CREATE DATABASE icr")
        url = self.postgresql.url("icr")
        self._redis = PrivateRedis(folder)
        more = {
            "ICR_DATABASE_URL": url,
            "ICR_BROKER_URL": f"unix://{self._redis.socket}",
            "ICR_CONCURRENCY": "1",
        }
        self.home = Home(folder, **more, **settings)
        self.engine = make_engine(url)
        upgrade_database(self.engine)
        self._parts: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def redis_socket(self) -> Path:
        return self._redis.socket

    def supervise(self) -> None:
        if self.postgresql.process is None:
            self.postgresql.start()
        if not self._redis.alive:
            self._redis.start()
        commands = {
            "one": ["worker", "--name", "one"],
            "two": ["worker", "--name", "two"],
            "watcher": ["watch"],
        }
        for name, command in commands.items():
            if name not in self._parts or self._parts[name].poll() is not None:
                self._parts[name] = self.home.start(*command)

    def pids(self, role: str) -> list[int]:
        """Return the processes that play a role now; none while they are being started."""
        if role == "redis":
            return [self._redis.pid] if self._redis.pid else []
        names = ["watcher"] if role == "watcher" else ["one", "two"]
        alive = [part.pid for name in names if (part := self._parts.get(name)) and part.poll() is None]
        return [child for pid in alive for child in _children(pid)] if role == "child" else alive

    def stop(self) -> None:
        self.home.stop()
        self._redis.stop()
        self.engine.dispose()
        self.postgresql.remove()


System = OneMachine | ManyProcesses


def ask(system: System, query: str) -> list[Any] | None:
    """Ask the database; None while it does not answer or has no tables."""
    try:
        with reading(system.engine) as connection:
            return list(connection.execute(text(query)).all())
    except DatabaseUnavailableError:
        return None


def _children(pid: int) -> list[int]:
    try:
        return children_of(pid)
    except OSError:
        return []


def _role_of(pid: int) -> str:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return ""
    if os.fsencode(sys.executable) != command[0]:
        return "redis" if b"redis-server" in command[0] else ""
    return {b"worker": "worker", b"watch": "watcher"}.get(command[3] if len(command) > 3 else b"", "")
