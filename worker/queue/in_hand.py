"""Messages in hand: Redis itself moves them there, so that no message lies in a connection or a process alone.

A message that a worker takes goes from its list into the hash ``icr:in-hand``, under a tag that the worker chose before
it asked. Whatever dies between the two, the message is in one of them. Asking again with the same tag gives the same
message, so an answer that was lost on the way costs nothing. It leaves the hash when it is acknowledged, which comes
last, or goes back to its list: at once where its process is known to be dead, else after the visibility timeout.

The scripts remove before they add. So Redis lets them through when it is at ``maxmemory``, where it refuses whatever
begins by adding, and a queue that has filled its Redis can be worked off.
"""

from __future__ import annotations

import os
import uuid
from typing import TYPE_CHECKING

from worker.system.process_identity import is_dead, name_process

if TYPE_CHECKING:
    from collections.abc import Sequence

    import redis

IN_HAND, SINCE = "icr:in-hand", "icr:in-hand:since"
"""The hash of tags, with a message and the list that it came from; and when each was taken, by the clock of Redis."""

CLOCK_STEP_S = 60
"""A message taken further in the future shows a clock that was set back: it goes back to its list."""

TAKE = """
local held = redis.call('HGET', KEYS[1], ARGV[1])
if held then return held end
redis.call('ZSCORE', KEYS[2], ARGV[1])  -- fails before anything has moved where somebody put another kind of value
for i = 3, #KEYS do
  local item = redis.call('RPOP', KEYS[i])
  if item then
    held = KEYS[i] .. '\\n' .. item
    redis.call('HSET', KEYS[1], ARGV[1], held)
    redis.call('ZADD', KEYS[2], redis.call('TIME')[1], ARGV[1])
    return held
  end
end
return false
"""
"""Returns what ``split_held`` takes apart. KEYS: the two of above, then lists, the most urgent first. ARGV: the tag."""

_GIVE_BACK = """
local given = 0
for i = 2, #ARGV do
  local held = redis.call('HGET', KEYS[1], ARGV[i])
  redis.call('ZREM', KEYS[2], ARGV[i])
  if held and redis.call('HDEL', KEYS[1], ARGV[i]) == 1 then
    local cut = string.find(held, '\\n', 1, true)
    redis.call(ARGV[1], string.sub(held, 1, cut - 1), string.sub(held, cut + 1))
    given = given + 1
  end
end
return given
"""
_AT_ONCE = 100
"""Messages given back in one step, for which everybody else waits."""


def new_tag() -> str:
    """Return a tag for one message, which names this process."""
    return f"{name_process(os.getpid())}#{uuid.uuid4()}"


def split_held(held: bytes) -> tuple[str, bytes]:
    """Return the list that a message in hand came from, and the message as it was sent."""
    name, _, item = held.partition(b"\n")
    return name.decode(), item


def acknowledge(client: redis.Redis, tag: str) -> None:
    """Forget a message that has been dealt with."""
    with client.pipeline(transaction=False) as pipe:  # a full Redis refuses transactions
        pipe.hdel(IN_HAND, tag)
        pipe.zrem(SINCE, tag)
        pipe.execute()


def give_back(client: redis.Redis, tags: Sequence[str], *, first: bool = False) -> int:
    """Return messages to their lists, to be taken last, or ``first``; return how many were still in hand."""
    push, given = "RPUSH" if first else "LPUSH", 0
    for start in range(0, len(tags), _AT_ONCE):
        given += int(client.eval(_GIVE_BACK, 2, IN_HAND, SINCE, push, *tags[start : start + _AT_ONCE]))
    return given


def give_back_overdue(client: redis.Redis, timeout_s: float) -> int:
    """Return the messages that were taken longer ago than that; return how many."""
    now = int(client.time()[0])
    late = client.zrangebyscore(SINCE, "-inf", now - timeout_s)
    ahead = client.zrangebyscore(SINCE, now + CLOCK_STEP_S, "+inf")
    return give_back(client, [_text(tag) for tag in [*late, *ahead]], first=True)


def give_back_of_the_dead(client: redis.Redis) -> int:
    """Return the messages that processes of this machine held when they died; return how many."""
    tags = [_text(tag) for tag in client.hkeys(IN_HAND)]
    return give_back(client, [tag for tag in tags if is_dead(tag.rpartition("#")[0])], first=True)


def _text(name: bytes | str) -> str:
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else name
