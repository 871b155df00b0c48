"""Whether what runs here works, and whether a scan sent now would be read: for commands and for probes alike."""

from __future__ import annotations

import socket

import redis

from worker import bootstrap
from worker.errors import IcrError
from worker.queue.canary import beat_ages, silence_limit_s


def ages_here(client: redis.Redis) -> dict[str, float]:
    """Return the seconds since the last beat of everybody of this machine that was heard of, by name."""
    return {name: age for name, age in beat_ages(client).items() if name.endswith(f"@{socket.gethostname()}")}


def silent_here() -> list[str]:
    """Return who on this machine is silent; nobody while Redis does not answer, for then nobody can be heard."""
    try:
        with bootstrap.redis_client() as client:
            return [name for name, age in ages_here(client).items() if age > silence_limit_s()]
    except redis.RedisError:
        return []


def find_obstacles() -> list[str]:
    """Return what keeps a scan that is sent now from being read, one line each; nothing if all is well."""
    from worker.store.engine import require_database

    obstacles = []
    try:
        require_database(bootstrap.engine())
    except IcrError as error:
        obstacles.append(str(error))
    try:
        with bootstrap.redis_client() as client:
            ages = beat_ages(client)
        if not any(age <= silence_limit_s() for name, age in ages.items() if not name.startswith("watcher@")):
            obstacles.append("no worker has been heard of lately")
    except redis.RedisError as error:
        obstacles.append(f"Redis does not answer: {error}")
    return obstacles
