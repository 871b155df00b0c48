"""How many messages lie in Redis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker.queue.in_hand import IN_HAND
from worker.queue.messages import lists_of
from worker.queue.names import OWN_QUEUE, QUEUE

if TYPE_CHECKING:
    import redis


@dataclass(frozen=True, slots=True)
class Depth:
    """The messages in Redis: in line, and handed to a worker but not acknowledged yet.

    ``own_waiting`` are those in line that we published ourselves, which have rows.
    """

    waiting: int
    in_hand: int
    own_waiting: int = 0


def queue_depth(client: redis.Redis) -> Depth:
    """Count the messages in Redis."""
    with client.pipeline(transaction=False) as pipe:
        for name in [*lists_of(OWN_QUEUE), *lists_of(QUEUE)]:
            pipe.llen(name)
        pipe.hlen(IN_HAND)
        *waiting, in_hand = pipe.execute()
        return Depth(sum(waiting), in_hand, own_waiting=sum(waiting[: len(waiting) // 2]))
