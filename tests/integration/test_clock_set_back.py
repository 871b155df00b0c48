"""A clock that is set back while keys of Redis expire: what they time does not stand still until it has caught up."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import redis

from worker.bootstrap import build_runtime
from worker.queue import reconciler
from worker.queue.beats import REMEMBERED_S, beat_ages, record_beat
from worker.queue.publishing import Publisher
from worker.settings import Settings

AN_HOUR_MS = 3_600_000


def test_the_reconciler_takes_its_turn_though_the_last_one_lies_ahead(
    redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns: list[Any] = []
    monkeypatch.setattr(reconciler, "reconcile", lambda *given: turns.append(given))
    publisher = Publisher(replace(build_runtime(Settings()), redis_client=lambda: redis_client))
    redis_client.set("icr:reconcile", "taken", px=AN_HOUR_MS)
    for _ in range(3):
        reconciler.reconcile_in_turn(publisher)
    assert len(turns) == 1, "once, and then not before its time"


def test_a_beat_of_a_time_that_is_yet_to_come_does_not_show_life(redis_client: redis.Redis) -> None:
    record_beat(redis_client, "worker@alive")
    redis_client.set("icr:beat:worker@of-before", "alive", px=REMEMBERED_S * 1000 + AN_HOUR_MS)
    ages = beat_ages(redis_client)
    assert 0 <= ages["worker@alive"] < 60 and ages["worker@of-before"] == REMEMBERED_S
