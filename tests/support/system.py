"""A whole system for tests: a home of its own, real processes, its database looked at from outside."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import redis

from worker.queue.beats import beat_ages
from worker.system.private_redis import socket_path

PATIENCE = float(os.environ.get("TEST_PATIENCE", "1"))
"""Times that everything may take as long, for a machine that is busy with other things."""

FAST = {
    "ICR_STABLE_S": "0.2",
    "ICR_INCOMPLETE_S": "2",
    "ICR_RESCAN_S": "1",
    "ICR_RECONCILE_S": "2",
    "ICR_CANARY_S": "1",
    "ICR_CONCURRENCY": "2",
    "ICR_SHUTDOWN_GRACE_S": "5",
    "ICR_SERVE_PORT": "0",  # many homes run at once
}


def draw_scan(path: Path, number: int) -> Path:
    """Draw a small picture of a number; no two numbers give the same bytes."""
    grey = np.full((64, 260), 255, np.uint8)
    cv2.putText(grey, f"{number:06d}", (8, 48), cv2.FONT_HERSHEY_SIMPLEX, 1.5, 0, 3)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}")
    cv2.imwrite(str(partial.with_suffix(".png")), grey)
    partial.with_suffix(".png").rename(path)
    return path


def wait_until(condition: Callable[[], Any], timeout_s: float = 40.0, what: str | Callable[[], str] = "") -> Any:
    """Return the condition's first true value; fail with its last one."""
    deadline = time.monotonic() + timeout_s * PATIENCE
    while not (value := condition()):
        if time.monotonic() > deadline:
            told = what() if callable(what) else what
            raise AssertionError(f"not within {timeout_s * PATIENCE} s: {told}: {value!r}")
        time.sleep(0.1)
    return value


class Home:
    """One home of one-machine mode under test; ``stop`` leaves nothing running."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.inbox = folder / "inbox"
        self.inbox.mkdir(parents=True, exist_ok=True)
        clean = {name: value for name, value in os.environ.items() if not name.startswith("ICR_")}
        self.env = {**clean, **FAST, "ICR_HOME": str(folder), **settings}
        self._parts: list[subprocess.Popen[bytes]] = []

    def icr(self, *arguments: str, timeout_s: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run one command to its end."""
        return subprocess.run(
            [sys.executable, "-m", "worker", *arguments],
            env=self.env,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=timeout_s * PATIENCE,
            check=False,
        )

    def wait_for_worker(self, timeout_s: float = 60.0) -> None:
        """Wait until a worker has left a beat in the private Redis, as ``icr status`` would tell at more cost."""
        wait_until(self._has_beat, timeout_s, self.said)

    def _has_beat(self) -> bool:
        try:
            with redis.Redis(unix_socket_path=str(socket_path(self.folder)), decode_responses=True) as client:
                return any(name.startswith("worker@") for name in beat_ages(client))
        except redis.RedisError:
            return False

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a command that stays; its words go to ``<command>.out``."""
        with (self.folder / f"{arguments[0]}.out").open("ab") as out:
            part = subprocess.Popen(
                [sys.executable, "-m", "worker", *arguments],
                env=self.env,
                cwd=self.folder,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        self._parts.append(part)
        return part

    def stop(self) -> None:
        """Stop what was started, kindly, then not."""
        for part in reversed(self._parts):
            if part.poll() is None:
                part.terminate()
        for part in reversed(self._parts):
            try:
                part.wait(30)
            except subprocess.TimeoutExpired:
                part.kill()
                part.wait()
        self._parts.clear()

    def said(self) -> str:
        """Return all that the parts have written."""
        logs = [*self.folder.glob("*.out"), *self.folder.glob("logs/*.log")]
        return "\n".join(f"--- {path.name}\n{path.read_text('utf-8', 'replace')}" for path in logs)

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Ask the SQLite database; nothing while it has no tables yet."""
        if not (self.folder / "icr.db").exists():
            return []
        with sqlite3.connect(f"file:{self.folder / 'icr.db'}?mode=ro", uri=True, timeout=30) as connection:
            try:
                return connection.execute(query, values).fetchall()
            except sqlite3.OperationalError as error:
                if "no such table" in str(error):
                    return []
                raise

    def states(self) -> dict[str, int]:
        """Count the jobs by state."""
        return dict(self.rows("SELECT state, count(*) FROM jobs GROUP BY state"))

    def wait_for_states(self, timeout_s: float = 60.0, **wanted: int) -> None:
        """Wait until exactly these states have these numbers of jobs."""
        wait_until(lambda: self.states() == wanted, timeout_s, lambda: f"{wanted}: {self.states()}\n{self.said()}")

    def listed(self, folder: str) -> list[str]:
        """Return the names in ``done/``, ``failed/`` or ``duplicate/``."""
        return sorted(p.name for p in (self.inbox / folder).rglob("*") if p.is_file())


def processes_of(home: Path) -> list[int]:
    """Return the ids of all processes whose environment names this home, and of its Redis."""
    mark, found = os.fsencode(home), []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            if mark in (entry / "environ").read_bytes() or mark in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def children_of(pid: int) -> list[int]:
    """Return the ids of the direct children of a process."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def kill(*pids: int) -> None:
    """SIGKILL, where they still are."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
