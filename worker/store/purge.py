"""Delete what ended long ago, files before rows, in batches that may be interrupted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    and_,
    delete,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.orm import aliased

from worker.store.audits import forget_audited_fields
from worker.store.engine import database_now, reading, writing
from worker.store.letters import forget_letters
from worker.store.outbox import forget_messages
from worker.store.review_tables import DigitCheckRow, ReviewTaskRow
from worker.store.scan_tables import DocumentRow, PurgeRow
from worker.store.tables import Base, DigitRow, DoubtRow, FieldRow, JobRow, JobState, PageRow, ReviewRow, ScanRow

BATCH = 50
"""Jobs in one transaction; on SQLite a worker waits for it, so it must stay well under a second."""

_ENDED = JobRow.state.in_([JobState.DONE, JobState.FAILED, JobState.DEAD, JobState.DUPLICATE])


@dataclass(slots=True)
class PurgeCounts:
    """How many rows and ``files`` a purge deleted.

    ``kept_jobs`` are those whose file could not be removed, ``awaiting_jobs`` those that stay because a person has yet
    to look at them.
    """

    jobs: int = 0
    scans: int = 0
    pages: int = 0
    fields_accepted: int = 0
    fields_review: int = 0
    fields_blank: int = 0
    digits: int = 0
    reviews: int = 0
    files: int = 0
    kept_jobs: int = 0
    awaiting_jobs: int = 0


@dataclass(frozen=True, slots=True)
class PurgePlan:
    """What a purge would delete: jobs with their pages and fields; and the jobs that would stay to be reviewed."""

    jobs: int
    pages: int
    fields: int
    awaiting_jobs: int


RemoveScan = Callable[[str, str], bool]
"""Deletes the file of a scan, by its URI and its source, if it is ours; tells whether one was deleted."""


def plan_purge(engine: Engine, age: timedelta, *, with_review: bool = False) -> PurgePlan:
    """Count what ``purge_older_than`` would delete; nothing changes."""
    with reading(engine) as connection:
        cutoff = database_now(connection) - age
        old, await_ = _is_old(cutoff), _awaits_review()
        goes = old if with_review else and_(old, ~await_)
        stays = and_(old, await_, literal(not with_review))

        def count(table: type[Base], condition: ColumnElement[bool], *joins: Any) -> int:
            query = select(func.count()).select_from(table)
            for other, on in joins:
                query = query.join(other, on)
            return connection.execute(query.where(condition)).scalar_one()

        to_page, to_job = (PageRow, PageRow.id == FieldRow.page_id), (JobRow, JobRow.id == PageRow.job_id)
        return PurgePlan(
            jobs=count(JobRow, goes),
            pages=count(PageRow, goes, to_job),
            fields=count(FieldRow, goes, to_page, to_job),
            awaiting_jobs=count(JobRow, stays),
        )


def purge_older_than(
    engine: Engine, age: timedelta, *, remove_scan: RemoveScan, with_review: bool = False
) -> PurgeCounts:
    """Delete every job that ended more than ``age`` ago, its readings, its file, and its scan if no job is left.

    Jobs that await review stay, unless ``with_review``. A job to which a younger one is linked stays as long as that
    one. Files go in the transaction that deletes their rows, after it has locked the jobs and looked at them again: so
    no file goes whose job somebody has queued again, and rows outlive their files, never the other way round. Where
    ``remove_scan`` raises ``OSError``, the rows stay. The deletions are counted in ``purges`` in the same transaction,
    so a purge may be interrupted and run again.
    """
    with writing(engine) as connection:
        now = database_now(connection)
        started = insert(PurgeRow).values(started_at=now, older_than=now - age, **_zeros()).returning(PurgeRow.id)
        purge_id = connection.execute(started).scalar_one()
    goes = _is_old(now - age) if with_review else and_(_is_old(now - age), ~_awaits_review())
    total, after = PurgeCounts(), (datetime.min.replace(tzinfo=now.tzinfo), "")
    while batch := _next_batch(engine, goes, after):
        with writing(engine) as connection:
            _add(total, _delete_batch(connection, purge_id, [job_id for job_id, _ in batch], goes, remove_scan))
        after = (batch[-1][1], batch[-1][0])
    with writing(engine) as connection:
        forget_messages(connection, now - age)
        forget_letters(connection, now - age)
        done = {"finished_at": database_now(connection)}
        connection.execute(update(PurgeRow).where(PurgeRow.id == purge_id).values(done))
        if not with_review:
            query = select(func.count()).select_from(JobRow).where(_is_old(now - age), _awaits_review())
            total.awaiting_jobs = connection.execute(query).scalar_one()
    return total


def _is_old(cutoff: datetime) -> ColumnElement[bool]:
    """Return the condition that a job ended before ``cutoff``, and that no younger one shows its results."""
    younger = aliased(JobRow)
    is_needed = exists().where(younger.duplicate_of == JobRow.id, younger.linked, younger.finished_at >= cutoff)
    return and_(_ENDED, JobRow.finished_at < cutoff, ~is_needed)


def _awaits_review() -> ColumnElement[bool]:
    """Return the condition that a person has yet to look at a job: at one of its fields, a page, or its split."""
    page, field, doubted = aliased(PageRow), aliased(FieldRow), aliased(PageRow)
    open_field = exists().where(page.job_id == JobRow.id, field.page_id == page.id, field.final_text.is_(None))
    is_doubted = or_(doubted.problem.is_not(None), doubted.doubt.is_not(None))
    open_page = exists().where(doubted.job_id == JobRow.id, is_doubted, doubted.settled_at.is_(None))
    open_split = exists().where(DocumentRow.job_id == JobRow.id, DocumentRow.accepted_at.is_(None))
    return or_(open_field, open_page, open_split)


def _next_batch(engine: Engine, goes: ColumnElement[bool], after: tuple[datetime, str]) -> list[tuple[str, datetime]]:
    key = (JobRow.finished_at, JobRow.id)
    query = select(JobRow.id, JobRow.finished_at).where(goes, tuple_(*key) > tuple_(*after))
    with reading(engine) as connection:
        rows = connection.execute(query.order_by(*key).limit(BATCH))
        return [(row.id, row.finished_at) for row in rows]


def _delete_batch(
    connection: Connection, purge_id: int, job_ids: list[str], goes: ColumnElement[bool], remove_scan: RemoveScan
) -> PurgeCounts:
    """Delete jobs and everything that belongs to them, the leaves first, and add the counts to the row of the purge."""
    scans = select(JobRow.scan_id).where(JobRow.id.in_(job_ids), JobRow.scan_id.is_not(None))
    scan_ids = list(connection.execute(scans).scalars())
    # Locked first: whoever registers these bytes meanwhile waits, and then finds them gone or in use.
    locked = select(ScanRow.id).where(ScanRow.id.in_(scan_ids)).order_by(ScanRow.id).with_for_update()
    connection.execute(locked)
    columns = select(JobRow.id, JobRow.uri, JobRow.source)
    jobs = connection.execute(columns.where(JobRow.id.in_(job_ids), goes).with_for_update()).all()
    counts = PurgeCounts()
    job_ids = [job.id for job in jobs if _is_removed(job.uri, job.source, remove_scan, counts)]
    pages = select(PageRow.id).where(PageRow.job_id.in_(job_ids)).order_by(PageRow.id).with_for_update()
    page_ids = list(connection.execute(pages).scalars())
    fields_by_status = connection.execute(
        select(FieldRow.status, func.count()).where(FieldRow.page_id.in_(page_ids)).group_by(FieldRow.status)
    ).all()
    for status, count in fields_by_status:
        setattr(counts, f"fields_{status}", count)
    of_pages = select(FieldRow.id).where(FieldRow.page_id.in_(page_ids))
    forget_audited_fields(connection, page_ids)
    _delete(connection, ReviewTaskRow, ReviewTaskRow.field_id.in_(of_pages))
    _delete(connection, DigitCheckRow, DigitCheckRow.field_id.in_(of_pages))
    counts.reviews = _delete(connection, ReviewRow, ReviewRow.field_id.in_(of_pages))
    counts.digits = _delete(connection, DigitRow, DigitRow.field_id.in_(of_pages))
    _delete(connection, DoubtRow, DoubtRow.page_id.in_(page_ids))
    _delete(connection, FieldRow, FieldRow.page_id.in_(page_ids))
    counts.pages = _delete(connection, PageRow, PageRow.id.in_(page_ids))
    counts.jobs = _delete(connection, JobRow, JobRow.id.in_(job_ids))
    is_unused = ~exists().where(JobRow.scan_id == ScanRow.id)
    counts.scans = _delete(connection, ScanRow, and_(ScanRow.id.in_(scan_ids), is_unused))
    added = {name: getattr(PurgeRow, name) + getattr(counts, name) for name in _zeros()}
    connection.execute(update(PurgeRow).where(PurgeRow.id == purge_id).values(added))
    return counts


def _is_removed(uri: str | None, source: str, remove_scan: RemoveScan, counts: PurgeCounts) -> bool:
    try:
        counts.files += uri is not None and remove_scan(uri, source)
    except OSError:
        counts.kept_jobs += 1
        return False
    return True


def _delete(connection: Connection, table: type[Base], condition: ColumnElement[bool]) -> int:
    return connection.execute(delete(table).where(condition)).rowcount


def _zeros() -> dict[str, Any]:
    return {field.name: 0 for field in fields(PurgeCounts) if field.name in PurgeRow.__table__.columns}


def _add(total: PurgeCounts, more: PurgeCounts) -> None:
    for field in fields(PurgeCounts):
        setattr(total, field.name, getattr(total, field.name) + getattr(more, field.name))
