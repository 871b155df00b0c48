"""How many messages lie in Redis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker.queue.names import MOST_URGENT, QUEUE

if TYPE_CHECKING:
    import redis

_UNACKED = "unacked"
_PRIORITY_SEPARATOR = "\x06\x16"


@dataclass(frozen=True, slots=True)
class Depth:
    """The messages in Redis: in line, and handed to a worker but not acknowledged yet."""

    waiting: int
    in_hand: int


def queue_depth(client: redis.Redis) -> Depth:
    """Count the messages in Redis."""
    lists = [QUEUE, *(f"{QUEUE}{_PRIORITY_SEPARATOR}{step}" for step in range(1, MOST_URGENT + 1))]
    with client.pipeline(transaction=False) as pipe:
        for name in lists:
            pipe.llen(name)
        pipe.hlen(_UNACKED)
        *waiting, in_hand = pipe.execute()
        return Depth(sum(waiting), in_hand)
