"""Events for other systems: rows that are written in the transaction of what they tell, and sent after it.

An event names what happened by ids, states and counts. It holds no number that was read: who is told asks the API for
that, and must be let in there. Sent is at least once; the id of a message stays the same, so that a receiver knows it.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select

from worker.store.awaiting import awaiting_of
from worker.store.engine import database_now
from worker.store.page_documents import accepted_documents
from worker.store.service_tables import WebhookEndpointRow, WebhookMessageRow
from worker.store.tables import JobRow, JobState, PageRow

AnyRow = Row[*tuple[Any, ...]]


class Event(StrEnum):
    """What other systems are told of."""

    SCAN_READ = "scan.read"
    SCAN_FAILED = "scan.failed"
    SCAN_COMPLETE = "scan.complete"
    FIELD_REVIEWED = "field.reviewed"
    FIELD_CORRECTED_AFTER_ACCEPTANCE = "field.corrected_after_acceptance"


def announce_read(connection: Connection, job_id: str) -> None:
    """Tell that a scan was read, and that it is complete if nothing of it awaits a person; also of its duplicates."""
    listeners = _listeners(connection)
    if not listeners:
        return
    awaiting = awaiting_of(connection, job_id)
    for job in _with_duplicates(connection, job_id):
        _tell(connection, listeners, Event.SCAN_READ, _of_scan(connection, job) | {"awaiting": awaiting})
        if not awaiting:
            _tell(connection, listeners, Event.SCAN_COMPLETE, _of_scan(connection, job))


def announce_duplicate(connection: Connection, job_id: str, original: str) -> None:
    """Tell of a job whose bytes were read before what is told of a job that was just read."""
    listeners = _listeners(connection)
    state = select(JobRow.state).where(JobRow.id == original)
    if not listeners or connection.execute(state).scalar_one_or_none() != JobState.DONE:
        return
    awaiting = awaiting_of(connection, original)
    job = connection.execute(_jobs().where(JobRow.id == job_id)).one()
    _tell(connection, listeners, Event.SCAN_READ, _of_scan(connection, job) | {"awaiting": awaiting})
    if not awaiting:
        _tell(connection, listeners, Event.SCAN_COMPLETE, _of_scan(connection, job))


def announce_failed(connection: Connection, job_id: str, kind: str, reason: str) -> None:
    """Tell that a scan could not be read."""
    if listeners := _listeners(connection):
        job = connection.execute(_jobs().where(JobRow.id == job_id)).one()
        _tell(connection, listeners, Event.SCAN_FAILED, _of_job(job) | {"kind": kind, "reason": reason})


def announce_review(connection: Connection, field: AnyRow, review: Any, *, corrects_accepted: bool) -> None:
    """Tell of a decision on a field; ``field`` is its row before, and ``review`` what was written down."""
    listeners = _listeners(connection)
    if not listeners:
        return
    page = connection.execute(select(PageRow).where(PageRow.id == field.page_id)).one()
    job = connection.execute(_jobs().where(JobRow.id == page.job_id)).one()
    within = [each for each in _documents(connection, job) if each["first_page"] <= page.number <= each["last_page"]]
    told = {"field_id": field.id, "name": field.name, "page": page.number, "action": review.action, "who": review.who}
    told["document"] = within[0]["reference"] if within else None
    _tell(connection, listeners, Event.FIELD_REVIEWED, _of_job(job) | told)
    if corrects_accepted:
        _tell(connection, listeners, Event.FIELD_CORRECTED_AFTER_ACCEPTANCE, _of_job(job) | told)
    if field.final_text is None:
        announce_if_complete(connection, page.job_id)


def announce_if_complete(connection: Connection, job_id: str) -> None:
    """Tell that nothing of a scan awaits a person any more, if that is so; also of its duplicates."""
    listeners = _listeners(connection)
    if not listeners or awaiting_of(connection, job_id):
        return
    for job in _with_duplicates(connection, job_id):
        _tell(connection, listeners, Event.SCAN_COMPLETE, _of_scan(connection, job))


def forget_messages(connection: Connection, older_than: datetime) -> None:
    """Delete messages that were sent or given up before a purge's cutoff."""
    over = WebhookMessageRow.created_at < older_than, WebhookMessageRow.next_try_at.is_(None)
    connection.execute(delete(WebhookMessageRow).where(*over))


def _listeners(connection: Connection) -> Sequence[AnyRow]:
    query = select(WebhookEndpointRow.id, WebhookEndpointRow.events).where(WebhookEndpointRow.disabled_at.is_(None))
    return connection.execute(query).all()


def _tell(connection: Connection, listeners: Sequence[AnyRow], event: Event, data: dict[str, Any]) -> None:
    now = database_now(connection)
    rows = [
        _message(endpoint.id, event, data, now)
        for endpoint in listeners
        if not endpoint.events or event.value in endpoint.events
    ]
    if rows:
        connection.execute(insert(WebhookMessageRow), rows)


def _message(endpoint_id: int, event: Event, data: dict[str, Any], now: datetime) -> dict[str, Any]:
    return {
        "id": f"msg_{uuid.uuid4().hex}",
        "endpoint_id": endpoint_id,
        "event": event.value,
        "payload": {"type": event.value, "timestamp": now.isoformat(), "data": data},
        "created_at": now,
        "attempts": 0,
        "next_try_at": now,
    }


def _jobs() -> Any:
    return select(JobRow.id, JobRow.reference, JobRow.template, JobRow.duplicate_of)


def _with_duplicates(connection: Connection, job_id: str) -> Sequence[AnyRow]:
    same = (JobRow.id == job_id) | (JobRow.duplicate_of == job_id)
    rows: Sequence[AnyRow] = connection.execute(_jobs().where(same).order_by(JobRow.created_at)).all()
    return rows


def _of_scan(connection: Connection, job: AnyRow) -> dict[str, Any]:
    return _of_job(job) | {"documents": _documents(connection, job)}


def _documents(connection: Connection, job: AnyRow) -> list[dict[str, Any]]:
    """Return the documents of the scan that was read for a job, once somebody has agreed to its split."""
    rows = connection.execute(accepted_documents(job.duplicate_of or job.id)).all()
    return [{name: getattr(row, name) for name in ("first_page", "last_page", "reference")} for row in rows]


def _of_job(job: AnyRow) -> dict[str, Any]:
    return {"scan": job.id, "reference": job.reference, "template": job.template, "duplicate_of": job.duplicate_of}
