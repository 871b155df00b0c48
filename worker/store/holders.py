"""Which process holds which jobs, so that jobs of dead processes are taken back before their lease runs out."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Engine, func, select, text, update

from worker.store.engine import database_now, reading, writing
from worker.store.tables import JobRow, JobState


def list_holders(engine: Engine) -> list[str]:
    """Return the workers that hold a job now."""
    with reading(engine) as connection:
        query = select(JobRow.leased_by).where(_IS_OPEN, JobRow.state == JobState.RUNNING).distinct()
        return [holder for holder in connection.execute(query).scalars() if holder is not None]


def take_back_jobs(engine: Engine, holder: str) -> int:
    """Queue again, unpublished, what a dead worker held; the delivery counts, because the job may have killed it.

    A holder that is alive after all only loses its work, because its claim no longer holds.
    """
    with writing(engine) as connection:
        queued = {
            "state": JobState.QUEUED,
            "queued_at": database_now(connection),
            "published_at": None,
            "leased_at": None,
            "lease_until": None,
        }
        held = (JobRow.state == JobState.RUNNING) & (JobRow.leased_by == holder)
        return connection.execute(update(JobRow).where(held).values(queued)).rowcount


def find_states(engine: Engine, ids: Collection[str]) -> dict[str, JobState]:
    """Return the states of many jobs at once; ids without a job are left out."""
    with reading(engine) as connection:
        query = select(JobRow.id, JobRow.state).where(JobRow.id.in_(ids))
        return {job_id: JobState(state) for job_id, state in connection.execute(query)}


def count_published(engine: Engine) -> int:
    """Count the queued jobs for which a message should wait in the queue."""
    with reading(engine) as connection:
        waiting = (JobRow.state == JobState.QUEUED) & JobRow.published_at.is_not(None)
        return connection.execute(select(func.count()).select_from(JobRow).where(_IS_OPEN, waiting)).scalar_one()


_IS_OPEN = text("jobs.state IN ('queued','running')")  # in the words of the partial index of open jobs
