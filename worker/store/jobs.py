"""The life of a job in the database: published, claimed, then done, failed, dead or handed back.

Every function is one transaction. All times are the database's own clock. The number of
attempts is a fencing token: a worker that lost its lease can no longer write, however late it wakes up.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Row,
    Select,
    and_,
    delete,
    exists,
    func,
    or_,
    select,
    update,
)

from worker.store.audits import draw_audits
from worker.store.documents import propose_documents
from worker.store.engine import database_now, reading, writing
from worker.store.outbox import announce_duplicate, announce_failed, announce_read
from worker.store.readings import insert_scan
from worker.store.records import ClaimedJob, JobRecord, JobTicket
from worker.store.registering import as_ticket, find_original, select_tickets, ticket_of
from worker.store.rereading import write_readings
from worker.store.retrying import has_fields, misses_pages, promote_duplicate, queue_anew, settle_superseded
from worker.store.scan_tables import ReadingPartRow
from worker.store.summary import IS_OPEN
from worker.store.tables import JobRow, JobState, ScanRow
from worker.values import PageReading, Scan

CLOCK_STEP = timedelta(seconds=60)
"""A lease or publication that began further in the future shows a clock that was set back: it is over."""

_SUSPECTS_LOCK = 0x1C125C5E
"""Number of the lock under which PostgreSQL lets one suspect be claimed at a time; any that nobody else uses."""


def mark_published(engine: Engine, job_id: str) -> None:
    """Note that the queue has been told of the job."""
    with writing(engine) as connection:
        now = database_now(connection)
        connection.execute(update(JobRow).where(JobRow.id == job_id).values(published_at=now))


def record_place(engine: Engine, job_id: str, uri: str, *, state: JobState | None = None) -> bool:
    """Note where the scan of a job lies now, as when its file has moved to ``done/``.

    With a ``state``, only while the job is in it; returns whether it was noted.
    """
    with writing(engine) as connection:
        still = [] if state is None else [JobRow.state == state]
        placed = update(JobRow).where(JobRow.id == job_id, *still).values(uri=uri)
        return connection.execute(placed).rowcount == 1


def claim_job(
    connection: Connection, job_id: str, *, worker: str, lease_s: float, max_deliveries: int
) -> ClaimedJob | None:
    """Take a job that is queued, or whose holder's lease has run out; exactly one of many callers gets it.

    Returns None where there is nothing to do: it is done, failed, dead, unknown, or held by another worker. A
    job that was taken ``max_deliveries`` times without an end becomes ``dead``, with the reason. ``worker``
    names one process, which reads one job at a time: what it holds itself it may take again, as when the
    answer to a commit was lost.

    A job that has been started before without an end is a suspect. It is taken only while no other suspect is read, and
    waits unpublished otherwise: so a scan that ends all the processes of its machine, again and again, takes no
    suspect with it that is a good one.
    """
    row = connection.execute(_locked(job_id)).one_or_none()
    now = database_now(connection)  # after the lock: waiting for it costs no lease
    if row is None or not _is_free(row, now, worker):
        return None
    if row.deliveries >= max_deliveries:
        _end(connection, job_id, JobState.DEAD, now, kind="too_many_deliveries", reason=_death(row))
        announce_failed(connection, job_id, "too_many_deliveries", _death(row))
        return None
    if row.deliveries > 0 and _is_suspect_read(connection, job_id, now):
        waits = {"state": JobState.QUEUED, "queued_at": now, "published_at": None, **NO_LEASE}
        connection.execute(update(JobRow).where(JobRow.id == job_id).values(waits))
        return None
    taken = {
        "state": JobState.RUNNING,
        "attempts": row.attempts + 1,
        "deliveries": row.deliveries + 1,
        "leased_by": worker,
        "leased_at": now,
        "lease_until": now + timedelta(seconds=lease_s),
        "started_at": now,
    }
    connection.execute(update(JobRow).where(JobRow.id == job_id).values(taken))
    return ClaimedJob(
        id=job_id,
        scan=Scan(id=row.scan_id or "", uri=row.uri, sha256=row.sha256 or ""),
        template=row.template,
        reference=row.reference,
        priority=row.priority,
        attempt=row.attempts + 1,
        deliveries=row.deliveries + 1,
        waited_s=(now - row.created_at).total_seconds(),
    )


def store_readings(
    engine: Engine,
    claim: ClaimedJob,
    scan: Scan,
    pages: Sequence[PageReading],
    *,
    audit_share: float = 0.0,
    trusts_sheets: bool = False,
) -> bool:
    """Write every row of a scan and end its job, or nothing and return False where the claim was lost.

    The rows replace those of an earlier reading of the job (``worker.store.rereading``).
    """
    with writing(engine) as connection:
        held = select(JobRow.id).where(is_held(claim)).with_for_update(key_share=True)
        if connection.execute(held).one_or_none() is None:
            return False
        now = database_now(connection)
        write_readings(connection, claim.id, pages, now=now)
        propose_documents(connection, claim.id, pages, trusted=trusts_sheets, now=now)
        _end(connection, claim.id, JobState.DONE, now)
        if scan.sha256 != claim.scan.sha256:  # the file changed after it was registered: say what was read
            scan_id = insert_scan(connection, sha256=scan.sha256, size=None, now=now)
            connection.execute(update(JobRow).where(JobRow.id == claim.id).values(scan_id=scan_id))
        settle_superseded(connection, claim.id, claim.scan.id, now)
        draw_audits(connection, claim.id, audit_share, now)
        announce_read(connection, claim.id)
        return True


def fail_job(engine: Engine, claim: ClaimedJob, *, kind: str, reason: str) -> bool:
    """End a job as failed, with the reason; False where the claim was lost. A copy of its scan is read instead."""
    with writing(engine) as connection:
        # Locked first, as at the registration of a copy: either sees the other's end.
        connection.execute(select(ScanRow.id).where(ScanRow.id == claim.scan.id).with_for_update(key_share=True))
        now = database_now(connection)
        failed = _end(connection, is_held(claim), JobState.FAILED, now, kind=kind, reason=reason)
        if failed:
            announce_failed(connection, claim.id, kind, reason)
            promote_duplicate(connection, claim.id, now)
        return failed


def release_job(engine: Engine, claim: ClaimedJob) -> bool:
    """Hand a job back unread, as at shutdown: it is queued again and this delivery does not count."""
    with writing(engine) as connection:
        back = {
            "state": JobState.QUEUED,
            "deliveries": JobRow.deliveries - 1,
            "queued_at": database_now(connection),
            "published_at": None,
            **NO_LEASE,
        }
        return connection.execute(update(JobRow).where(is_held(claim)).values(back)).rowcount == 1


def find_lost_jobs(
    engine: Engine, *, unpublished_after_s: float, limit: int, republish_after_s: float | None = None
) -> list[JobTicket]:
    """Return jobs that the queue may have forgotten, the longest waiting first.

    They are: queued for ``unpublished_after_s`` without being published; past their lease and not published
    since; published more than ``republish_after_s`` (None: ``unpublished_after_s``) ago and still waiting. A
    long backlog is no loss: choose ``republish_after_s`` large while the queue is known to be whole.
    """
    with reading(engine) as connection:
        now = database_now(connection)
        waited_s = unpublished_after_s if republish_after_s is None else republish_after_s
        unpublished_before, waited_before = (now - timedelta(seconds=s) for s in (unpublished_after_s, waited_s))
        stale = or_(JobRow.published_at <= waited_before, JobRow.published_at > now + CLOCK_STEP)
        unpublished = and_(JobRow.published_at.is_(None), JobRow.queued_at <= unpublished_before)
        lease_over = or_(JobRow.lease_until <= now, JobRow.leased_at > now + CLOCK_STEP)
        unheard = or_(JobRow.published_at.is_(None), JobRow.published_at <= JobRow.lease_until)
        lost = or_(
            and_(JobRow.state == JobState.QUEUED, or_(stale, unpublished)),
            and_(JobRow.state == JobState.RUNNING, lease_over, or_(stale, unheard)),
        )
        query = select_tickets().where(IS_OPEN, lost).order_by(JobRow.published_at.nulls_first()).limit(limit)
        return [as_ticket(row) for row in connection.execute(query)]


def retry_jobs(engine: Engine, ids: Sequence[str] | None = None) -> list[JobTicket]:
    """Queue failed and dead jobs again, all of them where ``ids`` is None, and return them as they now are.

    A job of ``ids`` may also be done, if no field was found on its scan or a page of it was not read (the template may
    be there by now), or the duplicate of one that did not end well; what people decided stays. A message that was no
    job cannot be retried. A job whose bytes another job has read meanwhile, or is about to, becomes its duplicate.
    """
    with writing(engine) as connection:
        ended: ColumnElement[bool] = JobRow.state.in_([JobState.FAILED, JobState.DEAD])
        if ids is not None:
            incomplete = and_(JobRow.state == JobState.DONE, or_(~has_fields(), misses_pages()))
            ended = or_(ended, incomplete, JobRow.state == JobState.DUPLICATE)
        names_a_scan = and_(JobRow.uri.is_not(None), JobRow.raw_message.is_(None))
        wanted = [ended, names_a_scan, *([] if ids is None else [JobRow.id.in_(ids)])]
        query = select(JobRow).where(*wanted).order_by(JobRow.created_at).with_for_update(key_share=True)
        rows = connection.execute(query).all()
        now = database_now(connection)
        retried = []
        for row in rows:
            original = row.scan_id and find_original(connection, row.scan_id, row.template, row.id)
            if original and row.state == JobState.DUPLICATE:
                continue
            fresh = queue_anew(now)
            if original:
                fresh |= {"state": JobState.DUPLICATE, "duplicate_of": original, "finished_at": now}
            connection.execute(update(JobRow).where(JobRow.id == row.id).values(fresh))
            retried.append(row.id)
            if original:
                announce_duplicate(connection, row.id, original)
        return [ticket_of(connection, job_id) for job_id in retried]


def get_job(engine: Engine, job_id: str) -> JobRecord | None:
    """Return all that is known about a job, None where there is none of that id."""
    columns = [c for c in JobRow.__table__.c if c.name in JobRecord.__slots__]
    with reading(engine) as connection:
        query = select(*columns, ScanRow.sha256).outerjoin(ScanRow, ScanRow.id == JobRow.scan_id)
        row = connection.execute(query.where(JobRow.id == job_id)).one_or_none()
    if row is None:
        return None
    return JobRecord(**{**row._mapping, "state": JobState(row.state)})


NO_LEASE: dict[str, Any] = {"leased_by": None, "leased_at": None, "lease_until": None}


def is_held(claim: ClaimedJob) -> ColumnElement[bool]:
    """Return the condition that a claim still holds."""
    return and_(JobRow.id == claim.id, JobRow.state == JobState.RUNNING, JobRow.attempts == claim.attempt)


def _is_free(row: Row[*tuple[Any, ...]], now: datetime, worker: str) -> bool:
    if row.state != JobState.RUNNING:
        return bool(row.state == JobState.QUEUED)
    return bool(row.leased_by == worker or row.lease_until <= now or row.leased_at > now + CLOCK_STEP)


def _is_suspect_read(connection: Connection, job_id: str, now: datetime) -> bool:
    if connection.dialect.name == "postgresql":  # two suspects that are claimed at once must see each other
        connection.execute(select(func.pg_advisory_xact_lock(_SUSPECTS_LOCK)))
    read_now = and_(JobRow.state == JobState.RUNNING, JobRow.deliveries > 1, JobRow.lease_until > now)
    return bool(connection.execute(select(exists().where(IS_OPEN, read_now, JobRow.id != job_id))).scalar_one())


def _locked(job_id: str) -> Select[*tuple[Any, ...]]:
    joined = select(JobRow, ScanRow.sha256).outerjoin(ScanRow, ScanRow.id == JobRow.scan_id)
    return joined.where(JobRow.id == job_id).with_for_update(of=JobRow, key_share=True)


def _death(row: Row[*tuple[Any, ...]]) -> str:
    return f"started {row.deliveries} times without an end, last by {row.leased_by}: it may kill its worker"


def _end(
    connection: Connection,
    which: str | ColumnElement[bool],
    state: JobState,
    now: datetime,
    *,
    kind: str | None = None,
    reason: str | None = None,
) -> bool:
    condition = JobRow.id == which if isinstance(which, str) else which
    ended = {"state": state, "finished_at": now, "error_kind": kind, "error_reason": reason, **NO_LEASE}
    row = connection.execute(update(JobRow).where(condition).values(ended).returning(JobRow.id)).one_or_none()
    if row is None:
        return False
    connection.execute(delete(ReadingPartRow).where(ReadingPartRow.job_id == row.id))
    return True
