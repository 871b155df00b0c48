"""Delivery of webhooks by the Standard Webhooks specification 1.0: signed, tried again for a day, then set aside."""

from __future__ import annotations

import json
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from importlib.metadata import version

import httpcore
import structlog
from sqlalchemy import Engine
from standardwebhooks import Webhook

from worker.api.targets import GuardedBackend, check_url
from worker.bootstrap import Runtime
from worker.errors import InvalidWebhookError, TransientError
from worker.store.webhooks import (
    Delivery,
    disable_endpoint,
    put_off,
    record_delivery,
    record_failure,
    take_due,
)

log = structlog.get_logger(__name__)

PAUSES_S = (5, 30, 120, 600, 1800, 3600, 7200, 14_400, 21_600, 36_600)
"""After each failed try; together a day, dense at first, as the specification advises."""

JITTER = 0.1
"""Pauses vary by this share, so that what failed together does not come back together."""

LOOK_S = 1.0
AT_ONCE = 8
TIMEOUT_S = 15.0
"""From the first byte sent to the head of the answer. The specification advises 15 to 30 s."""
LEFT_ALONE_S = 30.0
"""A receiver that does not answer is sent nothing for so long: its messages would take all places, and those of others
would wait."""

_TIMEOUTS = {"connect": 5.0, "read": TIMEOUT_S, "write": TIMEOUT_S, "pool": TIMEOUT_S}
GONE = 410
"""The specification: a receiver that answers so wants to be told nothing more."""


class Deliverer:
    """Sends what is due, several messages at once; any number of processes may do so beside one another."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._allow_private = runtime.settings.webhook_private
        self._network = GuardedBackend(allow_private=self._allow_private)
        self._connections = httpcore.ConnectionPool(network_backend=self._network, max_connections=AT_ONCE)

    def run(self, stop: threading.Event) -> None:
        """Send until told to stop; a database that is away is waited for."""
        with ThreadPoolExecutor(AT_ONCE, "webhook") as pool, self._connections:
            while not stop.is_set():
                try:
                    busy = self.send_due(pool)
                except TransientError as error:
                    log.warning("webhooks wait", reason=str(error))
                    busy = False
                if not busy:
                    stop.wait(LOOK_S)

    def send_due(self, pool: ThreadPoolExecutor) -> bool:
        """Send what is due now; return whether there was anything."""
        engine = self._runtime.engine()
        due = take_due(engine, limit=AT_ONCE)
        answered = list(pool.map(self._send, due))
        silent = {delivery.endpoint_id for delivery, heard in zip(due, answered, strict=True) if not heard}
        put_off(engine, silent, seconds=LEFT_ALONE_S)
        return bool(due)

    def _send(self, delivery: Delivery) -> bool:
        """Send a message and note what came of it; False if nobody answered in time."""
        engine = self._runtime.engine()
        try:
            status, retry_after_s = self._post(delivery)
        except InvalidWebhookError as error:
            _fail(engine, delivery, None, str(error))
            return True
        except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError, OSError) as error:
            _fail(engine, delivery, None, f"{type(error).__name__}: no answer")
            return False
        if 200 <= status < 300:
            record_delivery(engine, delivery, status)
        elif status == GONE:
            disable_endpoint(engine, delivery.endpoint_id, "the receiver answered 410 Gone")
        else:
            _fail(engine, delivery, status, f"the receiver answered {status}", retry_after_s)
        return True

    def _post(self, delivery: Delivery) -> tuple[int, float]:
        """Send a message; return the status, and for how long the receiver asks to be left alone."""
        check_url(delivery.url, allow_private=self._allow_private)
        body = json.dumps(delivery.payload, separators=(",", ":"))
        now = datetime.now(UTC)
        headers: dict[bytes | str, bytes | str] = {
            "Content-Type": "application/json",
            "User-Agent": f"icr-worker/{version('icr-worker')}",
            "webhook-id": delivery.id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": Webhook(delivery.secret).sign(delivery.id, now, body),
        }
        extensions = {"timeout": _TIMEOUTS}
        with (
            self._network.within(TIMEOUT_S),
            self._connections.stream(
                "POST", delivery.url, headers=headers, content=body.encode(), extensions=extensions
            ) as answer,  # its body is never read
        ):
            named = dict(answer.headers).get(b"retry-after", b"")
            return answer.status, float(named) if named.isdigit() else 0.0


def _fail(engine: Engine, delivery: Delivery, status: int | None, reason: str, retry_after_s: float = 0.0) -> None:
    """Note a failed try; the next one comes later and later, and not at all after a day."""
    tried = min(delivery.attempt, len(PAUSES_S)) - 1
    pause_s = max(PAUSES_S[tried] * random.uniform(1 - JITTER, 1 + JITTER), min(retry_after_s, PAUSES_S[-1]))  # noqa: S311
    is_over = delivery.age_s + pause_s > (1 + JITTER) * sum(PAUSES_S)
    record_failure(engine, delivery, status=status, reason=reason, next_in_s=None if is_over else pause_s)
    log.warning(
        "webhook not delivered", message=delivery.id, reason=reason, again_in_s=None if is_over else round(pause_s)
    )
