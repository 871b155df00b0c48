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
from tests.support.system import kill

LONG_FREEZE_S, LONG_LOCK_S = 30.0, 20.0
"""Thrown half as often as the other faults: the first outlasts the patience of every Redis client (15 s)."""


def throw(fault: str, system: System, dice: random.Random, freeze_s: float) -> bool:
    """Throw one fault; False if there was nothing to throw it at just now."""
    if fault in ("child", "worker", "watcher", "up", "redis"):
        return _kill_one(system, fault, dice)
    act: Callable[[], None] = {
        "flush": lambda: _flush(system),
        "long freeze": lambda: _freeze(system, LONG_FREEZE_S),
        "long lock": lambda: _lock(system, LONG_LOCK_S),
        "freeze": lambda: _freeze(system, dice.uniform(0.5, freeze_s)),
        "lock": lambda: _lock(system, dice.uniform(0.5, freeze_s)),
        "postgresql": lambda: _kill_postgresql(system),
        "cut": lambda: _cut(system),
    }[fault]
    try:
        act()
    except (redis.RedisError, sqlite3.OperationalError):
        return False
    return True


def _kill_one(system: System, role: str, dice: random.Random) -> bool:
    pids = system.pids(role)
    if pids:
        kill(dice.choice(pids))
    return bool(pids)


def _flush(system: System) -> None:
    with redis.Redis(unix_socket_path=str(system.redis_socket), socket_timeout=5) as client:
        client.flushall()


def _freeze(system: System, seconds: float) -> None:
    for pid in system.pids("redis"):
        os.kill(pid, signal.SIGSTOP)
        time.sleep(seconds)
        try:
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            return


def _lock(system: System, seconds: float) -> None:
    """Hold SQLite's write lock from another process's point of view: another connection, in a thread."""
    assert isinstance(system, OneMachine)

    def hold() -> None:
        with sqlite3.connect(system.home.folder / "icr.db", timeout=30, isolation_level=None) as connection:
            connection.execute("BEGIN IMMEDIATE")
            time.sleep(seconds)
            connection.execute("ROLLBACK")

    threading.Thread(target=hold).start()


def _kill_postgresql(system: System) -> None:
    assert isinstance(system, ManyProcesses)
    system.postgresql.kill()
    time.sleep(1.0)
    system.postgresql.start()


def _cut(system: System) -> None:
    assert isinstance(system, ManyProcesses)
    system.postgresql.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'icr'")
