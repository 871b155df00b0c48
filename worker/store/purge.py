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
    select,
    tuple_,
    update,
)
from sqlalchemy.orm import aliased

from worker.store.engine import database_now, reading, writing
from worker.store.tables import (
    Base,
    DigitRow,
    DoubtRow,
    FieldRow,
    JobRow,
    JobState,
    PageRow,
    PurgeRow,
    ReviewRow,
    ReviewTaskRow,
    ScanRow,
)

BATCH = 50
"""Jobs in one transaction; on SQLite a worker waits for it, so it must stay well under a second."""

_ENDED = JobRow.state.in_([JobState.DONE, JobState.FAILED, JobState.DEAD, JobState.DUPLICATE])


@dataclass(slots=True)
class PurgeCounts:
    """How many rows a purge deleted; ``kept_jobs`` are those whose file could not be removed."""

    jobs: int = 0
    scans: int = 0
    pages: int = 0
    fields_accepted: int = 0
    fields_review: int = 0
    fields_blank: int = 0
    digits: int = 0
    reviews: int = 0
    kept_jobs: int = 0


def purge_older_than(engine: Engine, age: timedelta, *, remove_scan: Callable[[str], None]) -> PurgeCounts:
    """Delete every job that ended more than ``age`` ago, its readings, and its scan if no job is left.

    ``remove_scan`` gets the URI of each scan and deletes the file if it is ours; if it raises ``OSError``, the
    rows stay. A job to which a younger one is linked stays as long as that one. The deletions are counted in ``purges``
    in the same transaction, so a purge may be interrupted and run again.
    """
    with writing(engine) as connection:
        now = database_now(connection)
        started = insert(PurgeRow).values(started_at=now, older_than=now - age, **_zeros()).returning(PurgeRow.id)
        purge_id = connection.execute(started).scalar_one()
    total, after = PurgeCounts(), (datetime.min.replace(tzinfo=now.tzinfo), "")
    while batch := _next_batch(engine, now - age, after):
        removed = [job_id for job_id, uri, _ in batch if _is_removed(uri, remove_scan)]
        total.kept_jobs += len(batch) - len(removed)
        with writing(engine) as connection:
            _add(total, _delete_jobs(connection, purge_id, removed))
        after = (batch[-1][2], batch[-1][0])
    with writing(engine) as connection:
        done = {"finished_at": database_now(connection)}
        connection.execute(update(PurgeRow).where(PurgeRow.id == purge_id).values(done))
    return total


def _next_batch(
    engine: Engine, cutoff: datetime, after: tuple[datetime, str]
) -> list[tuple[str, str | None, datetime]]:
    younger = aliased(JobRow)
    is_needed = exists().where(younger.duplicate_of == JobRow.id, younger.linked, younger.finished_at >= cutoff)
    key = (JobRow.finished_at, JobRow.id)
    query = (
        select(JobRow.id, JobRow.uri, JobRow.finished_at)
        .where(_ENDED, JobRow.finished_at < cutoff, ~is_needed, tuple_(*key) > tuple_(*after))
        .order_by(*key)
        .limit(BATCH)
    )
    with reading(engine) as connection:
        return [(row.id, row.uri, row.finished_at) for row in connection.execute(query)]


def _is_removed(uri: str | None, remove_scan: Callable[[str], None]) -> bool:
    try:
        if uri is not None:
            remove_scan(uri)
    except OSError:
        return False
    return True


def _delete_jobs(connection: Connection, purge_id: int, job_ids: list[str]) -> PurgeCounts:
    """Delete jobs and everything that belongs to them, the leaves first, and add the counts to the row of the purge."""
    scans = select(JobRow.scan_id).where(JobRow.id.in_(job_ids), JobRow.scan_id.is_not(None))
    scan_ids = list(connection.execute(scans).scalars())
    # Locked first: whoever registers these bytes meanwhile waits, and then finds them gone or in use.
    locked = select(ScanRow.id).where(ScanRow.id.in_(scan_ids)).order_by(ScanRow.id).with_for_update()
    connection.execute(locked)
    still_ended = select(JobRow.id).where(JobRow.id.in_(job_ids), _ENDED).with_for_update()
    job_ids = list(connection.execute(still_ended).scalars())
    page_ids = list(connection.execute(select(PageRow.id).where(PageRow.job_id.in_(job_ids))).scalars())
    fields_by_status = connection.execute(
        select(FieldRow.status, func.count()).where(FieldRow.page_id.in_(page_ids)).group_by(FieldRow.status)
    ).all()
    of_pages = select(FieldRow.id).where(FieldRow.page_id.in_(page_ids))
    _delete(connection, ReviewTaskRow, ReviewTaskRow.field_id.in_(of_pages))
    counts = PurgeCounts(
        reviews=_delete(connection, ReviewRow, ReviewRow.field_id.in_(of_pages)),
        digits=_delete(connection, DigitRow, DigitRow.field_id.in_(of_pages)),
        **{f"fields_{status}": count for status, count in fields_by_status},
    )
    _delete(connection, DoubtRow, DoubtRow.page_id.in_(page_ids))
    _delete(connection, FieldRow, FieldRow.page_id.in_(page_ids))
    counts.pages = _delete(connection, PageRow, PageRow.id.in_(page_ids))
    counts.jobs = _delete(connection, JobRow, JobRow.id.in_(job_ids))
    is_unused = ~exists().where(JobRow.scan_id == ScanRow.id)
    counts.scans = _delete(connection, ScanRow, and_(ScanRow.id.in_(scan_ids), is_unused))
    added = {name: getattr(PurgeRow, name) + getattr(counts, name) for name in _zeros()}
    connection.execute(update(PurgeRow).where(PurgeRow.id == purge_id).values(added))
    return counts


def _delete(connection: Connection, table: type[Base], condition: ColumnElement[bool]) -> int:
    return connection.execute(delete(table).where(condition)).rowcount


def _zeros() -> dict[str, Any]:
    return {field.name: 0 for field in fields(PurgeCounts) if field.name != "kept_jobs"}


def _add(total: PurgeCounts, more: PurgeCounts) -> None:
    for field in fields(PurgeCounts):
        setattr(total, field.name, getattr(total, field.name) + getattr(more, field.name))
