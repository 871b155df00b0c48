"""Webhooks sent until nothing is due, and their next tries brought forward."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from sqlalchemy import Engine, update

from worker.api.delivering import Deliverer
from worker.bootstrap import Runtime
from worker.store.engine import database_now, writing
from worker.store.service_tables import WebhookMessageRow


def deliver(runtime: Runtime) -> None:
    """Send until nothing is due."""
    with ThreadPoolExecutor(4) as pool:
        while Deliverer(runtime).send_due(pool):
            pass


def make_due(engine: Engine, *, first_try_s_ago: float = 0) -> None:
    """Bring the time of the next try."""
    with writing(engine) as connection:
        now = database_now(connection)
        waiting = update(WebhookMessageRow).where(WebhookMessageRow.next_try_at.is_not(None))
        times = {"next_try_at": now - timedelta(seconds=1), "first_try_at": now - timedelta(seconds=first_try_s_ago)}
        connection.execute(waiting.values(times))
