"""Beats in Redis: when each worker and watcher last showed that it works.

A beat is a key that expires by itself, so no clocks are compared. Reading beats needs no Celery, so a command that only
asks answers at once.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

from worker.queue.names import HARD_LIMIT_MARGIN_S
from worker.system.process_identity import is_dead, name_process

if TYPE_CHECKING:
    import redis

    from worker.settings import Settings

_BEATS = "icr:beat:"
_NAMES = "icr:name:"
_NAME_PAUSE_S = 0.5
_FREE_IF_HELD_BY = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end"

NAME_PATIENCE_S = 30.0
"""How long a name is held without a word from its holder, at least: three of the default canaries."""

REMEMBERED_S = 86_400
"""How long a worker that died is reported as silent. The age of a beat is what its key has lost of this time."""


def silence_limit_s(settings: Settings) -> float:
    """Return how long a working worker may be silent, because all its processes may be at the longest job allowed."""
    return settings.job_time_limit_s + HARD_LIMIT_MARGIN_S + 3 * settings.canary_s


def name_here(role: str) -> str:
    """Name what plays ``role`` on this machine, as in ``worker@host``."""
    return f"{role}@{socket.gethostname()}"


def take_name(client: redis.Redis, role: str, *, patience_s: float) -> str:
    """Return a name for this process that no other living one has: ``role@host``, ``role-2@host`` and so on.

    Two workers of one name would answer each other's canaries, and neither's silence would be noticed. A name whose
    holder is known to be dead is free at once; one that may be, as in a container that is no more, is waited for once.
    """
    waits_until = time.monotonic() + patience_s
    number = 1
    while True:
        name = name_here(role if number == 1 else f"{role}-{number}")
        if client.set(_NAMES + name, _me(), nx=True, px=_held_ms(patience_s)):
            return name
        holder = str(client.get(_NAMES + name) or "")
        if holder and is_dead(holder):
            client.eval(_FREE_IF_HELD_BY, 1, _NAMES + name, holder)
        elif time.monotonic() < waits_until:
            time.sleep(_NAME_PAUSE_S)
        else:
            number += 1


def keep_name(client: redis.Redis, name: str, *, patience_s: float) -> None:
    """Show that this process still has its name; to be called several times in ``patience_s``."""
    client.set(_NAMES + name, _me(), px=_held_ms(patience_s))


def free_name(client: redis.Redis, name: str) -> None:
    """Give a name back, which stops on purpose, and forget its beat; a Redis that is gone forgets by itself."""
    from redis import RedisError

    with contextlib.suppress(RedisError):
        client.eval(_FREE_IF_HELD_BY, 1, _NAMES + name, _me())
    forget_beat(client, name)


def name_patience_s(settings: Settings) -> float:
    """Return how long a name is held without a word from its holder."""
    return max(NAME_PATIENCE_S, 3 * settings.canary_s)


def _me() -> str:
    return name_process(os.getpid())


def _held_ms(patience_s: float) -> int:
    return round(patience_s * 1000)


def record_beat(client: redis.Redis, name: str) -> None:
    """Note that ``name`` did something just now."""
    client.set(_BEATS + name, "alive", px=REMEMBERED_S * 1000)


def touch_beat_file(path: Path | None) -> None:
    """Note the same in a file, if one is wanted: a probe of its age starts no program of ours."""
    if path is not None:
        with contextlib.suppress(OSError):  # a full disk
            path.touch()


def forget_beat(client: redis.Redis, name: str) -> None:
    """Forget ``name``, which stops on purpose; a Redis that is gone forgets by itself."""
    from redis import RedisError

    with contextlib.suppress(RedisError):
        client.delete(_BEATS + name)


def beat_ages(client: redis.Redis) -> dict[str, float]:
    """Return the seconds since the last beat of everybody with a beat in the last day, by name.

    A beat younger than now is from before the clock was set back, and nothing was heard since.
    """
    ages = {}
    for key in sorted(client.scan_iter(match=f"{_BEATS}*", count=1000)):
        left_ms = client.pttl(key)
        if left_ms > 0:
            age_s = REMEMBERED_S - left_ms / 1000
            ages[key.removeprefix(_BEATS)] = age_s if age_s >= 0 else float(REMEMBERED_S)
    return ages
