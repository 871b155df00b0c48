"""The two systems that faults are thrown at: one machine on SQLite, and many processes on PostgreSQL."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from sqlalchemy import text

from tests.chaos.scans import write_customization
from tests.support.servers import PostgresqlServer, find_postgresql
from tests.support.system import Home, children_of, processes_of
from tests.support.tls import free_port
from worker.errors import DatabaseUnavailableError
from worker.store.engine import make_engine, reading, upgrade_database
from worker.system.private_redis import PrivateRedis

OF_THE_QUEUE = ("full", "drop", "copies", "hang")
"""Redis at its maxmemory, all its connections cut, copies of what waits, a worker that hangs and is lost."""


def settle_home(folder: Path, disk: Path | None, clock: Path | None, settings: dict[str, str]) -> Home:
    """Make the home of a system, with a port of its own, files that kill, and a clock that can be set."""
    site = write_customization(folder.parent / "site")
    home = Home(folder, ICR_SERVE_PORT=str(free_port()), ICR_AUDIT_SHARE="0", **settings)
    home.env["PYTHONPATH"] = f"{site}:{os.environ.get('PYTHONPATH', '')}"
    if clock is not None:
        clock.write_text("+0")
        home.env |= {
            "LD_PRELOAD": find_faketime(),
            "FAKETIME_TIMESTAMP_FILE": str(clock),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }
    return home


def find_faketime() -> str:
    """Return the library that sets the clock of a process; empty where it is not installed."""
    installed = map(str, Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    return os.environ.get("LIBFAKETIME") or next(installed, "")


def _of_the_machine(disk: Path | None, clock: Path | None) -> list[str]:
    """Return the faults that need a disk to fill and a clock to set."""
    return [*(["disk"] if disk else []), *(["clock"] if clock else [])]


class OneMachine:
    """``icr up`` on SQLite, started again when it dies, as an init system would.

    ``disk`` is the small file system on which the home lies, if it does; ``clock`` is the file that sets the time of
    every part, if there is one.
    """

    name = "one machine, SQLite"
    long_faults = ("long freeze", "long lock")

    def __init__(self, folder: Path, *, disk: Path | None = None, clock: Path | None = None, **settings: str) -> None:
        self.disk, self.clock = disk, clock
        plain = ("child", "worker", "watcher", "server", "up", "redis", "flush", "freeze", "lock")
        self.faults = (*plain, *OF_THE_QUEUE, *_of_the_machine(disk, clock))
        self.home = settle_home(folder, disk, clock, settings)
        self.engine = make_engine(f"sqlite:///{folder / 'icr.db'}")
        self._up: subprocess.Popen[bytes] | None = None

    @property
    def redis_socket(self) -> Path:
        return self.home.folder / "redis" / "redis.sock"

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.home.env['ICR_SERVE_PORT']}"

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

    def all_pids(self) -> list[int]:
        """Return every process of the system."""
        return processes_of(self.home.folder)

    def stop(self) -> None:
        self.home.stop()
        self.engine.dispose()


class ManyProcesses:
    """Two workers, a watcher and a server on a Redis and a PostgreSQL, each started again when it dies."""

    name = "two workers, a watcher and a server, PostgreSQL"
    long_faults = ("long freeze",)

    def __init__(self, folder: Path, *, disk: Path | None = None, clock: Path | None = None, **settings: str) -> None:
        self.disk, self.clock = disk, clock
        plain = ("child", "worker", "watcher", "server", "redis", "flush", "freeze", "postgresql", "away", "cut")
        self.faults = (*plain, *OF_THE_QUEUE, *_of_the_machine(disk, clock))
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
        self.home = settle_home(folder, disk, clock, more | settings)
        self.engine = make_engine(url)
        upgrade_database(self.engine)
        self._parts: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def redis_socket(self) -> Path:
        return self._redis.socket

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.home.env['ICR_SERVE_PORT']}"

    def supervise(self) -> None:
        if self.postgresql.process is None:
            self.postgresql.start()
        if not self._redis.alive:
            self._redis.start()
        commands = {
            "one": ["worker", "--name", "one"],
            "two": ["worker", "--name", "two"],
            "watcher": ["watch"],
            "server": ["serve"],
        }
        for name, command in commands.items():
            if name not in self._parts or self._parts[name].poll() is not None:
                self._parts[name] = self.home.start(*command)

    def pids(self, role: str) -> list[int]:
        """Return the processes that play a role now; none while they are being started."""
        if role == "redis":
            return [self._redis.pid] if self._redis.pid else []
        names = [role] if role in ("watcher", "server") else ["one", "two"]
        alive = [part.pid for name in names if (part := self._parts.get(name)) and part.poll() is None]
        return [child for pid in alive for child in _children(pid)] if role == "child" else alive

    def all_pids(self) -> list[int]:
        """Return every process of the system, its database's among them."""
        server = self.postgresql.process
        database = [] if server is None else [server.pid, *_children(server.pid)]
        return [*processes_of(self.home.folder), *database]

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
    return {b"worker": "worker", b"watch": "watcher", b"serve": "server"}.get(
        command[3] if len(command) > 3 else b"", ""
    )
