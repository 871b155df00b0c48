"""How the jobs and the review queue stand, for whoever asks: ``icr status``, the one machine and the exporter.

Apart from ``jobs``, so that asking loads nothing of what writing readings needs.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, Engine, func, literal, select, text, union_all

from worker.store.engine import database_now, reading
from worker.store.records import FailedJob, QueueSummary
from worker.store.tables import PAGE_AWAITS_REVIEW, FieldRow, JobRow, JobState, PageRow

IS_OPEN = text("jobs.state IN ('queued','running')")
"""The condition of the partial index on open jobs, word for word."""


def queue_summary(engine: Engine, *, failures: int = 10) -> QueueSummary:
    """Count the jobs by state, with the oldest ages and the latest failures and their reasons."""
    with reading(engine) as connection:
        now = database_now(connection)
        counts = _count_by_state(connection)
        queued_at, started_at = (
            connection.execute(select(func.min(column)).where(IS_OPEN, JobRow.state == state)).scalar_one()
            for column, state in ((JobRow.queued_at, JobState.QUEUED), (JobRow.started_at, JobState.RUNNING))
        )
        ended = [f for state in (JobState.FAILED, JobState.DEAD) for f in _failures(connection, state, failures)]
    return QueueSummary(
        counts=counts,
        oldest_queued_s=(now - queued_at).total_seconds() if queued_at else None,
        oldest_running_s=(now - started_at).total_seconds() if started_at else None,
        failures=sorted(ended, key=lambda failed: failed.finished_at, reverse=True)[:failures],
    )


def clock(engine: Engine) -> datetime:
    """Return the time by the database's clock."""
    with reading(engine) as connection:
        return database_now(connection)


def count_ended(engine: Engine, since: datetime) -> dict[JobState, int]:
    """Count the jobs that ended since a time, by state; what was retried or purged meanwhile takes none away."""
    with reading(engine) as connection:
        query = select(JobRow.state, func.count()).where(JobRow.finished_at >= since).group_by(JobRow.state)
        counted = {JobState(row[0]): row[1] for row in connection.execute(query)}
        return dict.fromkeys(JobState, 0) | counted


def count_review_queue(engine: Engine) -> int:
    """Count the fields that await review."""
    with reading(engine) as connection:
        query = select(func.count()).select_from(FieldRow).where(FieldRow.final_text.is_(None))
        return connection.execute(query).scalar_one()


def count_page_review_queue(engine: Engine) -> int:
    """Count the pages that await review: those that could not be read, and those whose reading is doubted."""
    with reading(engine) as connection:
        query = select(func.count()).select_from(PageRow).where(text(PAGE_AWAITS_REVIEW))
        return connection.execute(query).scalar_one()


def _count_by_state(connection: Connection) -> dict[JobState, int]:
    """Count the jobs by state: done are those that are nothing else, for counting all costs least.

    It is one statement, so that all counts are of one moment.
    """
    others = [state for state in JobState if state is not JobState.DONE]
    by_state = select(JobRow.state, func.count()).where(JobRow.state.in_(others)).group_by(JobRow.state)
    all_of_them = select(literal("all"), func.count()).select_from(JobRow)
    counted = {row[0]: row[1] for row in connection.execute(union_all(by_state, all_of_them))}
    kept = counted.pop("all")
    counts = dict.fromkeys(JobState, 0) | {JobState(state): count for state, count in counted.items()}
    return counts | {JobState.DONE: kept - sum(counts.values())}


def _failures(connection: Connection, state: JobState, limit: int) -> list[FailedJob]:
    query = select(JobRow).where(JobRow.state == state).order_by(JobRow.finished_at.desc()).limit(limit)
    return [
        FailedJob(row.id, row.uri, state, row.error_kind, row.error_reason, row.finished_at)
        for row in connection.execute(query)
    ]
