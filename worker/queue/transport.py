"""Harden Kombu's Redis transport: take messages in one step, and rebuild each from the few parts that we obey.

Kombu takes every string in the list for a message of its own. A string that is none (a stray ``LPUSH`` is enough) ends
the worker's event loop. A message with a broken body comes back and ends it again, for ever. A good message may bring
its own time limit, delay and follow-up tasks.
"""

from __future__ import annotations

import base64
import bz2
import json
import lzma
import time
import uuid
import zlib
from collections.abc import Callable, Collection
from queue import Empty
from typing import Any, ClassVar, TypeGuard

from kombu.transport import TRANSPORT_ALIASES, _transport_cache, virtual
from kombu.transport import redis as kombu_redis

from worker.queue.in_hand import IN_HAND, SINCE, TAKE, acknowledge, give_back, give_back_overdue, new_tag, split_held
from worker.queue.messages import lists_of
from worker.queue.names import CANARY, CANARY_QUEUE, OWN_QUEUE, READ_SCAN

MAX_ITEM_BYTES = 2**20
MAX_KEPT_CHARACTERS = 10_000
_UNPACKERS: dict[str, Callable[[], Any]] = {
    "application/x-gzip": lambda: zlib.decompressobj(wbits=zlib.MAX_WBITS | 32),
    "application/x-bz2": bz2.BZ2Decompressor,
    "application/x-lzma": lzma.LZMADecompressor,
}
"""Decompressors for the ``compression`` of Celery's senders, by kombu's names; 32 accepts zlib's and gzip's format."""

MAX_DEPTH = 10
"""Deepest nesting of a message. A job is one flat object; deeper ones could exhaust the stack of a reader."""


IDLE_S = 0.1
"""Pause of a worker that found nothing. Idle, it takes 0.5 % of a core and its Redis 0.3 % (measured over 30 s)."""


OWN_FIRST = 4
"""How often a worker looks at the jobs that have rows before all else, whatever their priority: every so many times."""


class QoS(kombu_redis.QoS):
    """What a worker has in hand, kept in Redis by ``worker.queue.in_hand`` and counted here.

    An acknowledgement that Redis did not receive ends the counting, too: Kombu keeps such a message in hand for ever.
    With as many of them as the worker has processes it asks for no more, so it never notices that its connection is
    gone: it is alive and silent.
    """

    def append(self, message: Any, delivery_tag: str) -> None:
        """Count a message; Redis has put it in hand already."""
        virtual.QoS.append(self, message, delivery_tag)  # type: ignore[no-untyped-call]

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge a message; if Redis still holds it, it comes back later and the claim drops it."""
        try:
            with self.channel.conn_or_acquire() as client:
                acknowledge(client, delivery_tag)
        finally:
            virtual.QoS.ack(self, delivery_tag)  # type: ignore[no-untyped-call]

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Hand a message back, or drop it."""
        if not requeue:
            self.ack(delivery_tag)
            return
        try:
            self.restore_by_tag(delivery_tag, leftmost=True)
        finally:
            virtual.QoS.ack(self, delivery_tag)  # type: ignore[no-untyped-call]

    def restore_by_tag(self, tag: str, client: Any = None, leftmost: bool = False) -> None:
        """Return a message to its list, to be taken last if ``leftmost``."""
        with self.channel.conn_or_acquire(client) as client:
            give_back(client, [tag], first=not leftmost)

    def restore_visible(self, *_: Any, **__: Any) -> None:
        """Return what was taken longer ago than the visibility timeout, by whom ever."""
        with self.channel.conn_or_acquire() as client:
            give_back_overdue(client, self.visibility_timeout)


class Channel(kombu_redis.Channel):
    """A channel that asks for messages one at a time instead of waiting for one in ``BRPOP``.

    ``BRPOP`` forgets a message before anybody has it: Redis hands the next one to whoever waits, also on a connection
    behind which nobody lives any more. Kombu's names stay, for its poller calls them.
    """

    QoS = QoS
    _asked: ClassVar[str] = ""
    """The tag of a question whose answer has not come: it is asked again, also by the channel after a reconnect."""

    _rests_until = 0.0
    _turn = 0

    def _queue_bind(self, *_: Any) -> None:
        """Note nothing in Redis, which may be full: nothing is published by these bindings."""

    def _size(self, queue: str) -> int:
        with self.conn_or_acquire() as client, client.pipeline(transaction=False) as pipe:
            for name in lists_of(queue):
                pipe.llen(name)
            return sum(pipe.execute())

    def _restore(self, message: Any, leftmost: bool = False) -> None:
        self.qos.restore_by_tag(message.delivery_tag, leftmost=leftmost)

    def _brpop_start(self, timeout: float | None = None) -> None:  # noqa: ARG002
        if not self.active_queues or time.monotonic() < self._rests_until:
            return
        lists = self._in_order(self.active_queues)
        Channel._asked = Channel._asked or new_tag()
        self._in_poll = self.client.connection
        self._brpop_sent_at = time.monotonic()  # type: ignore[assignment]  # Kombu begins with None
        keys = [IN_HAND, SINCE, *lists]
        self.client.connection.send_command("EVAL", TAKE, len(keys), *keys, Channel._asked)

    def _brpop_read(self, **_: Any) -> bool:
        try:
            held = self.client.parse_response(self.client.connection, "EVAL")
        except self.connection_errors:
            self.client.connection.disconnect()
            raise
        finally:
            self._in_poll = None  # type: ignore[assignment]  # Kombu begins with False
        if held is None:
            self._rests_until = time.monotonic() + IDLE_S
            raise Empty
        tag, Channel._asked = Channel._asked, ""
        name, item = split_held(held)
        queue = name.split(self.sep)[0]
        self.connection._deliver(json.loads(rebuild_message(item, queue, tag)), queue)
        return True

    def _in_order(self, queues: Collection[str]) -> list[str]:
        """Return the lists to look into: the worker's own canary queue's, then the others', the most urgent first.

        Lists of one priority take turns, so that a flood in one queue delays no other. Every fourth time the jobs that
        have rows come before all messages of other programs, so that not even a flood of urgent ones stops them.
        """
        canaries = sorted(queue for queue in queues if queue.startswith(CANARY_QUEUE))
        others = sorted(set(queues) - set(canaries))
        self._turn += 1
        own = lists_of(OWN_QUEUE) if OWN_QUEUE in others and self._turn % OWN_FIRST == 0 else []
        cut = self._turn % max(1, len(others))
        by_priority = zip(*map(lists_of, [*others[cut:], *others[:cut]]), strict=True)
        return [
            *(name for queue in canaries for name in lists_of(queue)),
            *own,
            *(n for step in by_priority for n in step),
        ]


class Transport(kombu_redis.Transport):
    """The transport of that channel."""

    Channel = Channel
    _alarm: ClassVar[Any] = None

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        """Let the loop of the worker turn often enough to ask for messages."""
        super().register_with_event_loop(connection, loop)  # type: ignore[no-untyped-call]
        if Transport._alarm is not None:
            Transport._alarm.cancel()
        Transport._alarm = loop.call_repeatedly(IDLE_S, lambda: None)


def use_hardened_transport() -> None:
    """Make kombu use this transport for every Redis URL, also where the process has used its own before."""
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:Transport"
        _transport_cache.pop(scheme, None)


def rebuild_message(item: bytes, queue: str, tag: str) -> bytes:
    """Return a Celery message of the same task, id and arguments, and nothing else that Celery would obey.

    Its delivery tag is ``tag``, by which it is in hand.

    An item that is no message, or one of another task, becomes an ``icr.read_scan`` of its own text, under its own id
    if it has one. The task then records it as a job that cannot be read, so it is not lost and does no harm.
    """
    try:
        parts = _read_parts(item)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError, OSError, zlib.error, lzma.LZMAError):
        text = item[:MAX_KEPT_CHARACTERS].decode("utf-8", "backslashreplace")
        parts = {"task": READ_SCAN, "id": _find_id(item), "args": [text]}
    properties = {
        "correlation_id": parts["id"],
        "delivery_tag": tag,
        "delivery_info": {"exchange": "", "routing_key": queue},
        "priority": parts.get("priority", 0),
    }
    message = {
        "body": json.dumps([parts["args"], parts.get("kwargs", {}), {}]),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {"task": parts["task"], "id": parts["id"], "root_id": parts["id"], "lang": "py"},
        "properties": properties,
    }
    return json.dumps(message).encode()


def _read_parts(item: bytes) -> dict[str, Any]:
    """Take a message apart; raise one of many errors if it is none."""
    if len(item) > MAX_ITEM_BYTES:
        raise ValueError("too long")
    message = json.loads(item)
    properties, headers = message["properties"], message["headers"]
    args, kwargs, _ = json.loads(_unpack_body(message["body"], properties, headers))
    task, given = headers["task"], headers["id"]
    message_id = given if _is_name(given) else _find_id(item)  # the job says why an id of its sender's will not do
    known = task in (READ_SCAN, CANARY)
    if not (known and isinstance(args, list) and isinstance(kwargs, dict)):
        raise ValueError("not ours")
    if _is_deeper_than(MAX_DEPTH, [args, kwargs]):
        raise ValueError("too deep")
    priority = properties.get("priority", 0)
    return {
        "task": task,
        "id": message_id,
        "args": args,
        "kwargs": kwargs,
        "priority": priority if priority in range(10) else 0,
    }


def _unpack_body(body: Any, properties: dict[str, Any], headers: dict[str, Any]) -> Any:
    """Undo the encoding and the compression of a body, within the limits of a message."""
    if properties.get("body_encoding") == "base64":
        body = base64.b64decode(body, validate=True)
    if headers.get("compression") is None:
        return body
    unpacker = _UNPACKERS[headers["compression"]]()
    text = unpacker.decompress(body, MAX_ITEM_BYTES)
    if not unpacker.eof:
        raise ValueError("too long, or cut off")
    return text


def _find_id(item: bytes) -> str:
    """Return the id that a sender gave to an item that is no message of ours, or one computed from its bytes."""
    try:
        found = json.loads(item[: MAX_ITEM_BYTES + 1])["headers"]["id"]
    except (ValueError, TypeError, LookupError, RecursionError):
        found = None
    return found if _is_name(found) else str(uuid.uuid5(uuid.NAMESPACE_OID, item.hex()))


def _is_name(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and 0 < len(value) <= 255


def _is_deeper_than(levels: int, value: Any) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels < 0 or any(_is_deeper_than(levels - 1, each) for each in inner)
