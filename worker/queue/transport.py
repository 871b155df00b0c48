"""Harden Kombu's Redis transport: rebuild every message from the few parts of it that we obey.

Kombu takes every string in the list for a message of its own. A string that is none (a stray ``LPUSH`` is enough) ends
the worker's event loop. A message with a broken body comes back and ends it again, for ever. A good message may bring
its own time limit, delay and follow-up tasks.
"""

from __future__ import annotations

import base64
import bz2
import json
import lzma
import uuid
import zlib
from collections.abc import Callable
from typing import Any, TypeGuard

import redis
from kombu.transport import TRANSPORT_ALIASES, virtual
from kombu.transport import redis as kombu_redis

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


class Client(redis.Redis):
    """A client that rebuilds the messages that come off the queue."""

    def parse_response(self, connection: Any, command_name: Any, **options: Any) -> Any:
        """Return the answer of Redis, with the message in that of a BRPOP rebuilt."""
        answer = super().parse_response(connection, command_name, **options)  # type: ignore[no-untyped-call]
        if command_name == "BRPOP" and answer:
            key, item = answer
            queue = key.split(b"\x06\x16")[0].decode("utf-8", "replace")
            return key, rebuild_message(item, queue)
        return answer


class QoS(kombu_redis.QoS):
    """Counts what a worker has in hand; an acknowledgement that Redis did not receive also ends that.

    Kombu keeps such a message in hand for ever. With as many of them as the worker has processes it asks for no more,
    so it never notices that its connection is gone: it is alive and silent.
    """

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge a message; if Redis still holds it, it comes back later and the claim drops it."""
        try:
            super().ack(delivery_tag)  # type: ignore[no-untyped-call]
        except self.channel.connection_errors:
            virtual.QoS.ack(self, delivery_tag)  # type: ignore[no-untyped-call]
            raise

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Hand a message back, or drop it."""
        try:
            super().reject(delivery_tag, requeue=requeue)  # type: ignore[no-untyped-call]
        except self.channel.connection_errors:
            virtual.QoS.ack(self, delivery_tag)  # type: ignore[no-untyped-call]
            raise


class Channel(kombu_redis.Channel):
    """A channel with the client that rebuilds messages and the QoS that forgets lost acknowledgements."""

    QoS = QoS

    def _get_client(self) -> type[redis.Redis]:
        return Client


class Transport(kombu_redis.Transport):
    """The transport of that channel."""

    Channel = Channel


def use_hardened_transport() -> None:
    """Make kombu use this transport for every Redis URL."""
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:Transport"


def rebuild_message(item: bytes, queue: str) -> bytes:
    """Return a Celery message of the same task, id and arguments, and nothing else that Celery would obey.

    An item that is no message, or one of another task, becomes an ``icr.read_scan`` of its own text, under its own id
    if it has one. The task then records it as a job that cannot be read, so it is not lost and does no harm.
    """
    try:
        parts = _read_parts(item)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError, OSError, zlib.error, lzma.LZMAError):
        text = item[:MAX_KEPT_CHARACTERS].decode("utf-8", "backslashreplace")
        parts = {"task": "icr.read_scan", "id": _find_id(item), "args": [text]}
    properties = {
        "correlation_id": parts["id"],
        "delivery_tag": parts.get("tag") or str(uuid.uuid4()),
        "delivery_info": {
            "exchange": "",
            "routing_key": queue,
            "redelivered": parts.get("redelivered", False),
        },
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
    task, message_id, tag = headers["task"], headers["id"], properties["delivery_tag"]
    known = task in ("icr.read_scan", "icr.canary")
    if not (known and _is_name(message_id) and _is_name(tag) and isinstance(args, list) and isinstance(kwargs, dict)):
        raise ValueError("not ours")
    if _is_deeper_than(MAX_DEPTH, [args, kwargs]):
        raise ValueError("too deep")
    priority = properties.get("priority", 0)
    return {
        "task": task,
        "id": message_id,
        "tag": tag,
        "args": args,
        "kwargs": kwargs,
        "priority": priority if priority in range(10) else 0,
        "redelivered": properties.get("delivery_info", {}).get("redelivered") is True,
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
