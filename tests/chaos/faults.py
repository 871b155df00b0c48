"""The faults, each as one function of the system and the dice."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import threading
import time
from collections.abc import Callable

import redis

from tests.chaos.systems import ManyProcesses, OneMachine, System
from tests.support.disk import BALLAST, fill
from tests.support.system import kill

LONG_FREEZE_S, LONG_LOCK_S = 30.0, 20.0
"""Thrown half as often as the other faults: the first outlasts the patience of every Redis client (15 s)."""


def throw(fault: str, system: System, dice: random.Random, freeze_s: float) -> float | None:
    """Throw one fault; return when it is over, by the monotonic clock, or None if there was nothing to throw it at."""
    if fault in ("child", "worker", "watcher", "server", "up", "redis"):
        return time.monotonic() if _kill_one(system, fault, dice) else None
    act: Callable[[], float | None] = {
        "flush": lambda: _flush(system),
        "full": lambda: _fill(system, dice.uniform(0.5, freeze_s)),
        "drop": lambda: _drop(system),
        "copies": lambda: _copy(system),
        "hang": lambda: _hang(system, dice, dice.uniform(0.5, freeze_s)),
        "long freeze": lambda: _freeze(system, LONG_FREEZE_S),
        "long lock": lambda: _lock(system, LONG_LOCK_S),
        "freeze": lambda: _freeze(system, dice.uniform(0.5, freeze_s)),
        "lock": lambda: _lock(system, dice.uniform(0.5, freeze_s)),
        "postgresql": lambda: _kill_postgresql(system, 1.0),
        "away": lambda: _kill_postgresql(system, dice.uniform(1.0, 2 * freeze_s)),
        "disk": lambda: _fill_disk(system, dice.uniform(0.5, freeze_s)),
        "clock": lambda: _set_clock(system, dice),
        "cut": lambda: _cut(system),
    }[fault]
    try:
        over = act()
    except (redis.RedisError, sqlite3.OperationalError):
        return None
    return time.monotonic() if over is None else over


def _kill_one(system: System, role: str, dice: random.Random) -> bool:
    pids = system.pids(role)
    if pids:
        kill(dice.choice(pids))
    return bool(pids)


def _flush(system: System) -> None:
    with _client(system) as client:
        client.flushall()


def _client(system: System) -> redis.Redis:
    return redis.Redis(unix_socket_path=str(system.redis_socket), socket_timeout=5)


def _fill(system: System, seconds: float) -> None:
    """Let Redis be at its ``maxmemory``: it refuses what adds, and allows what takes away."""
    with _client(system) as client:
        client.config_set("maxmemory", 1)
    try:
        time.sleep(seconds)
    finally:
        with _client(system) as client:
            client.config_set("maxmemory", 0)


def _drop(system: System) -> None:
    """Cut every connection to Redis, whatever is asked on it."""
    with _client(system) as client:
        client.client_kill_filter(_type="normal", skipme=True)


def _copy(system: System) -> None:
    """Push twenty copies of each message that waits, up to two hundred, as a sender that repeats itself does."""
    with _client(system) as client:
        for message in client.lrange("icr", 0, 9):
            client.lpush("icr", *[message] * 20)


def _hang(system: System, dice: random.Random, seconds: float) -> None:
    """Stop a worker in its tracks, whatever it holds, and end it: its machine hangs and is lost."""
    pids = system.pids("worker")
    if not pids:
        return
    pid = dice.choice(pids)
    try:
        os.kill(pid, signal.SIGSTOP)
        time.sleep(seconds)
    except ProcessLookupError:
        return
    kill(pid)


def _freeze(system: System, seconds: float) -> None:
    for pid in system.pids("redis"):
        os.kill(pid, signal.SIGSTOP)
        time.sleep(seconds)
        try:
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            return


def _lock(system: System, seconds: float) -> float:
    """Hold SQLite's write lock from another process's point of view: another connection, in a thread."""
    assert isinstance(system, OneMachine)

    def hold() -> None:
        with sqlite3.connect(system.home.folder / "icr.db", timeout=30, isolation_level=None) as connection:
            connection.execute("BEGIN IMMEDIATE")
            time.sleep(seconds)
            connection.execute("ROLLBACK")

    threading.Thread(target=hold).start()
    return time.monotonic() + seconds


def _kill_postgresql(system: System, seconds: float) -> None:
    assert isinstance(system, ManyProcesses)
    system.postgresql.kill()
    time.sleep(seconds)
    system.postgresql.start()


def _fill_disk(system: System, seconds: float) -> None:
    """Take all the room of the disk on which the home lies, and whatever is freed on it, for a while."""
    assert system.disk is not None
    until = time.monotonic() + seconds
    try:
        while time.monotonic() < until:
            fill(system.disk)
            time.sleep(0.1)
    finally:
        (system.disk / BALLAST).unlink(missing_ok=True)


def _set_clock(system: System, dice: random.Random) -> None:
    """Set the clock of every part an hour forward, an hour back, or right."""
    assert system.clock is not None
    system.clock.write_text(dice.choice(["+3600", "-3600", "+0"]))


def _cut(system: System) -> None:
    assert isinstance(system, ManyProcesses)
    system.postgresql.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'icr'")
