"""One server for the tests of a module, on the database of each; a receiver of webhooks and a Redis for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import redis

from tests.support.http import Stage, client_of
from tests.support.receiver import Receiver
from worker.settings import Settings
from worker.system.private_redis import PrivateRedis


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    return Stage(Settings(home=tmp_path_factory.mktemp("stage")))


@pytest.fixture(scope="module")
def staged(stage: Stage) -> Iterator[httpx.Client]:
    with client_of(stage.runtime) as client:
        yield client


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
def redis_client(tmp_path: Path) -> Iterator[redis.Redis]:
    server = PrivateRedis(tmp_path)
    server.start()
    with redis.Redis(unix_socket_path=str(server.socket), decode_responses=True) as client:
        yield client
    server.stop()
