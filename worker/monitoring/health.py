"""Whether the parts on this machine work, and whether a scan sent now would be read, for commands and probes."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from worker.bootstrap import Runtime
from worker.errors import IcrError
from worker.queue.beats import beat_ages, silence_limit_s
from worker.system.private_redis import may_answer

if TYPE_CHECKING:  # the client takes a tenth of a second, and is loaded only where there may be a Redis to ask
    import redis

NOTHING_RUNS = "nothing runs here: start with 'icr up'"


def ages_here(client: redis.Redis) -> dict[str, float]:
    """Return the seconds since the last beat of each known part of this machine, by name."""
    return {name: age for name, age in beat_ages(client).items() if name.endswith(f"@{socket.gethostname()}")}


def silent_here(runtime: Runtime) -> list[str]:
    """Return which parts of this machine are silent; none while Redis does not answer, because nobody can tell then."""
    from redis import RedisError

    limit_s = silence_limit_s(runtime.settings)
    try:
        return [name for name, age in ages_here(runtime.redis_client()).items() if age > limit_s]
    except RedisError:
        return []


def is_started(runtime: Runtime) -> bool:
    """Tell whether there is a Redis to ask: the private one runs only while 'icr up' does."""
    return runtime.settings.broker_url is not None or may_answer(runtime.home)


def find_obstacles(runtime: Runtime) -> list[str]:
    """Return what would keep a scan sent now from being read, one line each; an empty list if all is well."""
    from worker.store.engine import require_database

    obstacles = []
    try:
        require_database(runtime.engine())
    except IcrError as error:
        obstacles.append(str(error))
    if not is_started(runtime):
        return [*obstacles, NOTHING_RUNS]
    from redis import RedisError

    limit_s = silence_limit_s(runtime.settings)
    try:
        ages = beat_ages(runtime.redis_client())
        if not any(age <= limit_s for name, age in ages.items() if not name.startswith("watcher")):
            obstacles.append("no worker has been heard of lately")
    except RedisError as error:
        obstacles.append(f"Redis does not answer: {error}")
    return obstacles
