"""Kombu's Redis transport, hardened: every message is rebuilt from the few parts of it that are ours to obey.

Kombu takes every string in the list for a message of its own making. One that is not (a stray ``LPUSH`` is
enough) ends the worker's event loop; one with a broken body comes back and ends it again, for ever. A good
one may bring its own time limit, delay and follow-up tasks.
"""

from __future__ import annotations

import base64
import json
import uuid
from typing import Any

import redis
from kombu.transport import TRANSPORT_ALIASES, virtual
from kombu.transport import redis as kombu_redis

MAX_ITEM_BYTES = 2**20
MAX_KEPT_CHARACTERS = 10_000
MAX_DEPTH = 10
"""A job is one flat object. What is nested deeper could exhaust the stack of whoever reads it next."""


class Client(redis.Redis):
    """Mends what comes off the queue."""

    def parse_response(self, connection: Any, command_name: Any, **options: Any) -> Any:
        """Return Redis's answer; the message in that of a BRPOP is rebuilt."""
        answer = super().parse_response(connection, command_name, **options)  # type: ignore[no-untyped-call]
        if command_name == "BRPOP" and answer:
            key, item = answer
            queue = key.split(b"\x06\x16")[0].decode("utf-8", "replace")
            return key, rebuild_message(item, queue)
        return answer


class QoS(kombu_redis.QoS):
    """Counts what a worker has in hand; an acknowledgement that Redis did not hear ends that too.

    Kombu keeps such a message in hand for ever. With as many of them as the worker has processes it asks for no more,
    so never notices that its connection is gone: alive, and silent.
    """

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge a message; one that Redis still holds comes back later and is dropped by the claim."""
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
    """Reads with the client that mends, and counts with the QoS that forgets."""

    QoS = QoS

    def _get_client(self) -> type[redis.Redis]:
        return Client


class Transport(kombu_redis.Transport):
    """The transport of that channel."""

    Channel = Channel


def use_hardened_transport() -> None:
    """Have kombu use this transport wherever a URL says Redis."""
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:Transport"


def rebuild_message(item: bytes, queue: str) -> bytes:
    """Return a Celery message of the same task, id and arguments, and nothing else that Celery would obey.

    What is no message, or one of a task that is not ours, becomes an ``icr.read_scan`` of its own text, so
    that the task records it as a job that cannot be read: it is not lost, and it harms nobody.
    """
    try:
        parts = _read_parts(item)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        text = item[:MAX_KEPT_CHARACTERS].decode("utf-8", "backslashreplace")
        parts = {"task": "icr.read_scan", "id": str(uuid.uuid4()), "args": [text]}
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
    """Take a message apart; raises one of many errors if it is none."""
    if len(item) > MAX_ITEM_BYTES:
        raise ValueError("too long")
    message = json.loads(item)
    properties, headers = message["properties"], message["headers"]
    body = message["body"]
    if properties.get("body_encoding") == "base64":
        body = base64.b64decode(body, validate=True)
    args, kwargs, _ = json.loads(body)
    task, message_id, tag = headers["task"], headers["id"], properties["delivery_tag"]
    known = task in ("icr.read_scan", "icr.canary")
    texts = all(isinstance(text, str) and 0 < len(text) <= 255 for text in (message_id, tag))
    if not (known and texts and isinstance(args, list) and isinstance(kwargs, dict)):
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


def _is_deeper_than(levels: int, value: Any) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels < 0 or any(_is_deeper_than(levels - 1, each) for each in inner)
