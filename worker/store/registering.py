"""Jobs come in: written as queued, as the duplicate of another, or as what was no job.

Every function that takes an engine is one transaction.
"""

from __future__ import annotations

import uuid
from typing import Any, Literal

from sqlalchemy import Connection, Engine, Row, Select, and_, or_, select, update

from worker.errors import InvalidJobError
from worker.store.engine import database_now, writing
from worker.store.outbox import announce_duplicate, announce_failed
from worker.store.readings import insert_scan, upsert
from worker.store.records import JobTicket
from worker.store.retrying import has_fields
from worker.store.tables import JobRow, JobState, ScanRow

Duplicates = Literal["skip", "link", "reprocess"]

MAX_RAW_MESSAGE = 10_000
"""Characters kept of a message that is no job; more would let a sender fill the database."""

UNREADABLE_JOB = uuid.UUID("7f0f6a0e-3d55-5c7e-9d55-0c3a5d1d2a4b")
"""Namespace of the ids made for messages without one: the same bytes delivered twice are one row."""


def register_job(
    engine: Engine,
    *,
    job_id: str,
    uri: str,
    sha256: str,
    size: int,
    template: str | None,
    reference: str | None,
    priority: int,
    source: str,
    duplicates: Duplicates,
) -> JobTicket:
    """Write a job as queued, or as the duplicate of one that did not fail; sending twice is harmless.

    A job takes the place of a message that was refused under its id: its sender has mended it. A duplicate has the
    same bytes and the same template as a job that is open or whose scan gave a field. ``skip`` and ``link`` record it
    as ``duplicate``; with ``link`` the earlier job's results are also found under this job's id. ``reprocess`` queues
    it.

    Raises
    ------
    InvalidJobError
        If the id already belongs to a job of other bytes: reading neither would lose one of the two.
    """
    with writing(engine) as connection:
        now = database_now(connection)
        scan_id = insert_scan(connection, sha256=sha256, size=size, now=now)
        original = None
        if duplicates != "reprocess":
            original = find_original(connection, scan_id, template, job_id)
        values = {
            "id": job_id,
            "scan_id": scan_id,
            "uri": uri,
            "template": template,
            "reference": reference,
            "priority": priority,
            "source": source,
            "state": JobState.DUPLICATE if original else JobState.QUEUED,
            "attempts": 0,
            "deliveries": 0,
            "created_at": now,
            "queued_at": now,
            "finished_at": now if original else None,
            "error_kind": None,
            "error_reason": None,
            "raw_message": None,
            "duplicate_of": original,
            "linked": bool(original) and duplicates == "link",
        }
        if not upsert(connection, JobRow, values) and not replace_refused(connection, values):
            _refuse_other_bytes(connection, job_id, scan_id)
        elif original:
            announce_duplicate(connection, job_id, original)
        return ticket_of(connection, job_id)


def record_invalid_job(
    engine: Engine,
    raw_message: str | bytes,
    reason: str,
    *,
    job_id: str | None = None,
    reference: str | None = None,
    source: str = "message",
) -> JobTicket:
    """Keep a message that is no job as a failed one, with the reason; the same one again adds no row.

    ``job_id`` and ``reference`` are the sender's own. Where the message has no id, or another job holds it, the row
    gets an id that follows from the message's text.
    """
    raw = raw_message.decode("utf-8", "replace") if isinstance(raw_message, bytes) else raw_message
    fallback = str(uuid.uuid5(UNREADABLE_JOB, raw.encode("utf-8", "backslashreplace").hex()))
    with writing(engine) as connection:
        now = database_now(connection)
        values = {
            "reference": reference,
            "priority": 0,
            "source": source,
            "state": JobState.FAILED,
            "attempts": 0,
            "deliveries": 0,
            "created_at": now,
            "queued_at": now,
            "finished_at": now,
            "error_kind": "invalid_job",
            "error_reason": reason,
            "raw_message": raw[:MAX_RAW_MESSAGE],
            "linked": False,
        }
        if job_id is not None:
            own = {"id": job_id, **values}
            is_new = upsert(connection, JobRow, own)
            if is_new or replace_refused(connection, own):
                if is_new:
                    announce_failed(connection, job_id, "invalid_job", reason)
                return ticket_of(connection, job_id)
        if upsert(connection, JobRow, {"id": fallback, **values}):
            announce_failed(connection, fallback, "invalid_job", reason)
        return ticket_of(connection, fallback)


def find_original(connection: Connection, scan_id: str, template: str | None, job_id: str) -> str | None:
    """Return the job that the same bytes and template make another one a duplicate of, if any."""
    # The scan's row is locked first, so that two registrations of the same bytes see each other.
    connection.execute(select(ScanRow.id).where(ScanRow.id == scan_id).with_for_update(key_share=True))
    same = and_(JobRow.scan_id == scan_id, JobRow.template.is_not_distinct_from(template), JobRow.id != job_id)
    is_open = JobRow.state.in_([JobState.QUEUED, JobState.RUNNING])
    was_read = and_(JobRow.state == JobState.DONE, has_fields())
    query = select(JobRow.id).where(same, or_(is_open, was_read)).order_by(JobRow.created_at).limit(1)
    return connection.execute(query).scalar_one_or_none()


def _refuse_other_bytes(connection: Connection, job_id: str, scan_id: str) -> None:
    known = connection.execute(select(JobRow.scan_id).where(JobRow.id == job_id)).scalar_one()
    if known is not None and known != scan_id:
        raise InvalidJobError(f"job id {job_id} belongs to a scan of other bytes: send this one under its own id")


def replace_refused(connection: Connection, values: dict[str, Any]) -> bool:
    """Write ``values`` over a message that was refused under their id; False where the job of a scan holds it."""
    refused = and_(JobRow.id == values["id"], JobRow.state == JobState.FAILED, JobRow.scan_id.is_(None))
    return connection.execute(update(JobRow).where(refused).values(values)).rowcount == 1


def select_tickets() -> Select[*tuple[Any, ...]]:
    """Return the query for what is told of jobs when they are sent."""
    return select(JobRow.id, JobRow.state, JobRow.duplicate_of)


def as_ticket(row: Row[*tuple[Any, ...]]) -> JobTicket:
    """Return the ticket that a row of ``select_tickets`` holds."""
    return JobTicket(id=row.id, state=JobState(row.state), duplicate_of=row.duplicate_of)


def ticket_of(connection: Connection, job_id: str) -> JobTicket:
    """Return the ticket of a job that is there."""
    return as_ticket(connection.execute(select_tickets().where(JobRow.id == job_id)).one())
