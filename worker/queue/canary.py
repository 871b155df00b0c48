"""Whether a worker works, not merely runs: it lives while a canary job has come through it lately.

A worker can be alive and silent after its connection dropped (celery#8030, #8091, #10205): its process and
its socket look well. So every worker has a queue of its own beside the common one, read by the same command
on the same connection; what passes through it leaves a beat in Redis that expires by itself, so that no clock
is compared.
"""

from __future__ import annotations

import contextlib
import socket
from typing import Any

import redis
import structlog
from celery import Celery, bootsteps
from kombu.exceptions import OperationalError

from worker.bootstrap import Runtime
from worker.queue.app import CANARY, HARD_LIMIT_MARGIN_S, wire_priority
from worker.settings import Settings

log = structlog.get_logger(__name__)
_BEATS = "icr:beat:"

REMEMBERED_S = 86_400
"""A worker that died is reported as silent for so long. A beat is as old as its key has lost of this life."""


def canary_queue(node: str) -> str:
    """Return the queue that only this worker reads."""
    return f"icr.canary.{node}"


def silence_limit_s(settings: Settings) -> float:
    """Return how long a working worker may be silent: all its processes may be at the longest job allowed."""
    return settings.job_time_limit_s + HARD_LIMIT_MARGIN_S + 3 * settings.canary_s


def name_here(role: str) -> str:
    """Name what plays ``role`` on this machine, as in ``worker@host``."""
    return f"{role}@{socket.gethostname()}"


def record_beat(client: redis.Redis, name: str) -> None:
    """Note that ``name`` did something just now."""
    client.set(_BEATS + name, "alive", px=REMEMBERED_S * 1000)


def forget_beat(client: redis.Redis, name: str) -> None:
    """Take ``name`` off the list: it stops of its own will. A Redis that is gone forgets by itself."""
    with contextlib.suppress(redis.RedisError):
        client.delete(_BEATS + name)


def beat_ages(client: redis.Redis) -> dict[str, float]:
    """Return the seconds since the last beat of everybody who was heard of in the last day, by name.

    A beat younger than now is of before the clock was set back: nothing was heard since.
    """
    ages = {}
    for key in sorted(client.scan_iter(match=f"{_BEATS}*", count=1000)):
        left_ms = client.pttl(key)
        if left_ms > 0:
            age_s = REMEMBERED_S - left_ms / 1000
            ages[key.removeprefix(_BEATS)] = age_s if age_s >= 0 else float(REMEMBERED_S)
    return ages


class CanaryStep(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery is untyped
    """Sends the worker its canary from the worker's own event loop: a stuck loop sends none."""

    requires = ("celery.worker.consumer.tasks:Tasks",)
    runtime: Runtime

    def __init__(self, _consumer: Any, **_: Any) -> None:
        self._timer: Any = None

    def start(self, consumer: Any) -> None:
        """Send a canary at once and then periodically; called again after each lost connection."""
        given = (consumer.app, canary_queue(consumer.hostname))
        self._timer = consumer.timer.call_repeatedly(self.runtime.settings.canary_s, self._send, given)
        self._send(*given)

    def stop(self, _consumer: Any) -> None:
        """Stop sending."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _send(self, app: Celery, queue: str) -> None:
        try:
            if self.runtime.redis_client().llen(queue) == 0:
                app.send_task(CANARY, queue=queue, priority=wire_priority(9), retry=False)
        except (redis.RedisError, OperationalError, OSError) as error:
            log.warning("canary not sent", reason=str(error))


def add_canary(app: Celery, runtime: Runtime) -> None:
    """Have the workers of an application send themselves canaries; Celery builds the step from its class alone."""
    app.steps["consumer"].add(type("CanaryStep", (CanaryStep,), {"runtime": runtime}))
