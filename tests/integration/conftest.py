"""One server for the tests of a module, on the database of each; one receiver of webhooks a test."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.support.http import Stage, client_of
from tests.support.receiver import Receiver
from worker.settings import Settings


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
