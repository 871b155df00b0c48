"""Messages as they lie in Redis: Celery's protocol 2, written without Celery, which takes long to load."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from worker.queue.names import MOST_URGENT

if TYPE_CHECKING:
    import redis

_PRIORITY_SEPARATOR = "\x06\x16"


def lists_of(queue: str) -> list[str]:
    """Return the lists of a queue in Redis, one for each priority, the most urgent first."""
    return [queue, *(f"{queue}{_PRIORITY_SEPARATOR}{step}" for step in range(1, MOST_URGENT + 1))]


def push_message(
    client: redis.Redis, queue: str, task: str, args: Any, *, message_id: str, priority: int = MOST_URGENT
) -> None:
    """Put a message at the end of a queue; 9 is the most urgent ``priority``.

    Raises
    ------
    redis.RedisError
        Redis does not answer, or has no room.
    """
    step = MOST_URGENT - priority
    message = {
        "body": json.dumps([args, {}, {}]),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {"task": task, "id": message_id},
        "properties": {"priority": step},
    }
    client.lpush(lists_of(queue)[step], json.dumps(message))
