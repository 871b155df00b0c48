"""Who is told of events, and the messages on their way: taken with a lease, tried for a day, then set aside."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Row, func, insert, literal_column, select, update

from worker.errors import InvalidWebhookError
from worker.store.engine import database_now, reading, writing
from worker.store.service_tables import WebhookEndpointRow, WebhookMessageRow

AnyRow = Row[*tuple[Any, ...]]

SECRET_BYTES = 32
"""Standard Webhooks asks for 24 to 64."""

HOLD_S = 60.0
"""How long a message is left to the process that took it; longer than a delivery may take."""

MAX_REASON = 300


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message in hand; ``attempt`` is a fencing token, and ``age_s`` the seconds since its first try."""

    id: str
    endpoint_id: int
    url: str
    secret: str
    payload: dict[str, Any]
    attempt: int
    age_s: float


def add_endpoint(engine: Engine, url: str, events: Sequence[str]) -> tuple[int, str]:
    """Add an endpoint for some events, or for all; return its id and the secret that signs what it gets."""
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()
    with writing(engine) as connection:
        row = {"url": url, "secret": secret, "events": list(events), "created_at": database_now(connection)}
        added = insert(WebhookEndpointRow).values(row).returning(WebhookEndpointRow.id)
        return connection.execute(added).scalar_one(), secret


def list_endpoints(engine: Engine) -> Sequence[AnyRow]:
    """Return all endpoints without their secrets, with how many messages are due and dead for each."""
    message = WebhookMessageRow
    conditions = {"due": message.next_try_at.is_not(None), "dead": message.dead_at.is_not(None)}
    of_endpoint = message.endpoint_id + 0  # a sum has no index, so that only the few due and dead ones are looked at
    counts = {
        name: select(of_endpoint.label("endpoint_id"), func.count().label("messages"))
        .where(state)
        .group_by(of_endpoint)
        for name, state in conditions.items()
    }
    columns = [column for column in WebhookEndpointRow.__table__.c if column.name != "secret"]
    query = select(*columns)
    for name, counted in counts.items():
        of_state = counted.subquery(name)
        query = query.add_columns(func.coalesce(of_state.c.messages, 0).label(name))
        query = query.outerjoin(of_state, of_state.c.endpoint_id == WebhookEndpointRow.id)
    with reading(engine) as connection:
        return connection.execute(query.order_by(WebhookEndpointRow.id)).all()


def disable_endpoint(engine: Engine, endpoint_id: int, reason: str) -> None:
    """Tell an endpoint nothing more; what is on its way to it is set aside.

    Raises
    ------
    InvalidWebhookError
        There is no such endpoint.
    """
    with writing(engine) as connection:
        _disable(connection, endpoint_id, reason)


def take_due(engine: Engine, *, limit: int) -> list[Delivery]:
    """Take messages that are due, the longest waiting first; each is this process's alone for ``HOLD_S``."""
    due = (WebhookMessageRow.next_try_at.is_not(None), WebhookEndpointRow.disabled_at.is_(None))
    query = select(WebhookMessageRow, WebhookEndpointRow.url, WebhookEndpointRow.secret).join(WebhookEndpointRow)
    query = query.order_by(WebhookMessageRow.next_try_at).limit(limit)
    with reading(engine) as connection:
        now = database_now(connection)
        rows = connection.execute(query.where(*due, WebhookMessageRow.next_try_at <= now)).all()
    if not rows:
        return []
    with writing(engine) as connection:
        now = database_now(connection)
        return [_delivery(row, now) for row in rows if _take(connection, row, now)]


def record_delivery(engine: Engine, delivery: Delivery, status: int) -> None:
    """Note that a message has arrived."""
    with writing(engine) as connection:
        arrived = {"next_try_at": None, "delivered_at": database_now(connection), "last_status": status}
        connection.execute(_held(delivery).values(**arrived, last_error=None))


def record_failure(
    engine: Engine, delivery: Delivery, *, status: int | None, reason: str, next_in_s: float | None
) -> None:
    """Note that a message did not arrive, and when it is tried again; never where ``next_in_s`` is None."""
    with writing(engine) as connection:
        now = database_now(connection)
        ended = {"next_try_at": None, "dead_at": now}
        again = ended if next_in_s is None else {"next_try_at": now + timedelta(seconds=next_in_s)}
        connection.execute(_held(delivery).values(**again, last_status=status, last_error=reason[:MAX_REASON]))


def put_off(engine: Engine, endpoint_ids: Collection[int], *, seconds: float) -> None:
    """Leave endpoints alone for a while: nothing is due for them before; no message counts as tried."""
    if not endpoint_ids:
        return
    with writing(engine) as connection:
        later = database_now(connection) + timedelta(seconds=seconds)
        soon = WebhookMessageRow.endpoint_id.in_(endpoint_ids), WebhookMessageRow.next_try_at < later
        connection.execute(update(WebhookMessageRow).where(*soon).values(next_try_at=later))


def list_messages(engine: Engine, *, dead: bool, limit: int, after: str = "") -> Sequence[AnyRow]:
    """Return messages that are due, or dead, by id, beyond the id ``after``."""
    message = WebhookMessageRow
    columns = (message.id, message.event, message.created_at, message.attempts, message.next_try_at, message.dead_at)
    query = select(*columns, message.last_status, message.last_error, WebhookEndpointRow.url).join(WebhookEndpointRow)
    state = message.dead_at.is_not(None) if dead else message.next_try_at.is_not(None)
    by_id = message.id + literal_column("''")  # as above: most messages have arrived, and are not looked at
    with reading(engine) as connection:
        return connection.execute(query.where(state, by_id > after).order_by(by_id).limit(limit)).all()


def send_again(engine: Engine, message_id: str | None = None) -> int:
    """Send dead messages again from the start, one or all, where their endpoint is still told; return how many."""
    message = WebhookMessageRow
    told = select(WebhookEndpointRow.id).where(WebhookEndpointRow.disabled_at.is_(None))
    which: list[ColumnElement[bool]] = [message.dead_at.is_not(None), message.endpoint_id.in_(told)]
    if message_id is not None:
        which.append(message.id == message_id)
    with writing(engine) as connection:
        fresh = {"next_try_at": database_now(connection), "dead_at": None, "first_try_at": None, "last_error": None}
        return connection.execute(update(message).where(*which).values(fresh)).rowcount


def count_messages(engine: Engine) -> dict[str, int]:
    """Count the messages that are due and that are dead."""
    message = WebhookMessageRow
    with reading(engine) as connection:
        return {
            name: connection.execute(select(func.count()).select_from(message).where(condition)).scalar_one()
            for name, condition in (("due", message.next_try_at.is_not(None)), ("dead", message.dead_at.is_not(None)))
        }


def _take(connection: Connection, row: AnyRow, now: Any) -> bool:
    seen = WebhookMessageRow.id == row.id, WebhookMessageRow.attempts == row.attempts
    due = WebhookMessageRow.next_try_at.is_not(None)
    taken = {
        "attempts": row.attempts + 1,
        "next_try_at": now + timedelta(seconds=HOLD_S),
        "first_try_at": row.first_try_at or now,
    }
    return connection.execute(update(WebhookMessageRow).where(*seen, due).values(taken)).rowcount == 1


def _delivery(row: AnyRow, now: Any) -> Delivery:
    age_s = (now - (row.first_try_at or now)).total_seconds()
    return Delivery(row.id, row.endpoint_id, row.url, row.secret, row.payload, row.attempts + 1, age_s)


def _held(delivery: Delivery) -> Any:
    held = WebhookMessageRow.id == delivery.id, WebhookMessageRow.attempts == delivery.attempt
    return update(WebhookMessageRow).where(*held, WebhookMessageRow.next_try_at.is_not(None))


def _disable(connection: Connection, endpoint_id: int, reason: str) -> None:
    now = database_now(connection)
    off = update(WebhookEndpointRow).where(WebhookEndpointRow.id == endpoint_id)
    if connection.execute(off.values(disabled_at=now, disabled_reason=reason)).rowcount != 1:
        raise InvalidWebhookError(f"there is no webhook {endpoint_id}: 'icr webhooks list' shows them")
    pending = WebhookMessageRow.endpoint_id == endpoint_id, WebhookMessageRow.next_try_at.is_not(None)
    aside = {"next_try_at": None, "dead_at": now, "last_error": reason[:MAX_REASON]}
    connection.execute(update(WebhookMessageRow).where(*pending).values(aside))
