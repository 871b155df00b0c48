"""Beats in Redis: when each worker and watcher last showed that it works.

A beat is a key that expires by itself, so no clocks are compared. Reading beats needs no Celery, so a command that only
asks answers at once.
"""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING

from worker.queue.names import HARD_LIMIT_MARGIN_S

if TYPE_CHECKING:
    import redis

    from worker.settings import Settings

_BEATS = "icr:beat:"

REMEMBERED_S = 86_400
"""How long a worker that died is reported as silent. The age of a beat is what its key has lost of this time."""


def silence_limit_s(settings: Settings) -> float:
    """Return how long a working worker may be silent, because all its processes may be at the longest job allowed."""
    return settings.job_time_limit_s + HARD_LIMIT_MARGIN_S + 3 * settings.canary_s


def name_here(role: str) -> str:
    """Name what plays ``role`` on this machine, as in ``worker@host``."""
    return f"{role}@{socket.gethostname()}"


def record_beat(client: redis.Redis, name: str) -> None:
    """Note that ``name`` did something just now."""
    client.set(_BEATS + name, "alive", px=REMEMBERED_S * 1000)


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
