"""Tell whether a worker works and does not merely run: a canary job has come through it lately.

A worker can be alive and silent after its connection dropped (celery#8030, #8091, #10205), while its process and its
socket look well. So every worker has a queue of its own beside the common one, read by the same command on the same
connection. Each canary leaves a beat in Redis that expires by itself, so no clocks are compared.
"""

from __future__ import annotations

import uuid
from typing import Any

import redis
import structlog
from celery import Celery, bootsteps

from worker.bootstrap import Runtime
from worker.queue.beats import keep_name, name_patience_s
from worker.queue.messages import push_message
from worker.queue.names import CANARY, CANARY_QUEUE

log = structlog.get_logger(__name__)


def canary_queue(node: str) -> str:
    """Return the queue that only this worker reads."""
    return CANARY_QUEUE + node


class CanaryStep(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery is untyped
    """Sends the worker its canary from the worker's own event loop, because a stuck loop sends none."""

    requires = ("celery.worker.consumer.tasks:Tasks",)
    runtime: Runtime

    def __init__(self, _consumer: Any, **_: Any) -> None:
        self._timer: Any = None

    def start(self, consumer: Any) -> None:
        """Send a canary at once and then periodically; called again after each lost connection."""
        given = (consumer.hostname,)
        self._timer = consumer.timer.call_repeatedly(self.runtime.settings.canary_s, self._send, given)
        self._send(*given)

    def stop(self, _consumer: Any) -> None:
        """Stop sending."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _send(self, node: str) -> None:
        queue = canary_queue(node)
        try:
            client = self.runtime.redis_client()
            keep_name(client, node, patience_s=name_patience_s(self.runtime.settings))
            if client.llen(queue) == 0:
                push_message(client, queue, CANARY, [], message_id=str(uuid.uuid4()))
        except (redis.RedisError, OSError) as error:
            log.warning("canary not sent", reason=str(error))


def add_canary(app: Celery, runtime: Runtime) -> None:
    """Have the workers of an application send themselves canaries; Celery builds the step from its class alone."""
    app.steps["consumer"].add(type("CanaryStep", (CanaryStep,), {"runtime": runtime}))
