"""Reading a scan again: one that changed, one on which nothing was found, a copy whose original failed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, and_, exists, or_, select, update

from worker.store.engine import database_now, reading, writing
from worker.store.summary import IS_OPEN
from worker.store.tables import FieldRow, JobRow, JobState, PageRow


def has_fields() -> ColumnElement[bool]:
    """Return the condition that a job's scan gave a field: without one nothing is lost by reading it again."""
    return exists().where(PageRow.job_id == JobRow.id, FieldRow.page_id == PageRow.id)


def misses_pages() -> ColumnElement[bool]:
    """Return the condition that a page of a job's scan was not read, as one of an unknown form, and awaits review."""
    waits = PageRow.problem.is_not(None) & PageRow.settled_at.is_(None)
    return exists().where(PageRow.job_id == JobRow.id, waits)


def queue_anew(now: datetime) -> dict[str, Any]:
    """Return the values of a job that is to be read as if it had just come in.

    ``finished_at`` stays: it is the time of the reading that holds until the new one is there.
    """
    return {
        "state": JobState.QUEUED,
        "duplicate_of": None,
        "linked": False,
        "deliveries": 0,
        "queued_at": now,
        "published_at": None,
        "error_kind": None,
        "error_reason": None,
    }


def queue_incomplete(engine: Engine, job_id: str) -> bool:
    """Queue a job again whose scan was read but for a page; False where nothing is missing, or it is queued already.

    What people decided stays when the new reading replaces the old one (``worker.store.rereading``).
    """
    with writing(engine) as connection:
        incomplete = and_(JobRow.id == job_id, JobRow.state == JobState.DONE, misses_pages())
        anew = queue_anew(database_now(connection))
        return connection.execute(update(JobRow).where(incomplete).values(anew)).rowcount == 1


def renew_job(engine: Engine, job_id: str) -> bool:
    """Queue a job again whose file changed after it was read or failed; its new reading will replace the old one."""
    with writing(engine) as connection:
        ended = JobRow.state.in_([JobState.DONE, JobState.FAILED])
        anew = queue_anew(database_now(connection))
        renewed = update(JobRow).where(JobRow.id == job_id, ended).values(anew)
        return connection.execute(renewed).rowcount == 1


def settle_superseded(connection: Connection, job_id: str, scan_id: str, now: datetime) -> None:
    """Take the pages of earlier readings of the same scan that found nothing out of the review queue."""
    earlier = select(JobRow.id).where(
        JobRow.scan_id == scan_id, JobRow.id != job_id, JobRow.state == JobState.DONE, ~has_fields()
    )
    awaits = or_(PageRow.problem.is_not(None), PageRow.doubt.is_not(None))
    settled = {"settled_by": f"read again as job {job_id}", "settled_at": now}
    waiting = PageRow.job_id.in_(earlier) & PageRow.settled_at.is_(None) & awaits
    connection.execute(update(PageRow).where(waiting).values(settled))


def promote_duplicate(connection: Connection, job_id: str, now: datetime) -> None:
    """Queue the oldest copy of a scan whose original failed: else nobody reads either.

    The other copies become duplicates of that one.
    """
    copies = select(JobRow.id).where(JobRow.duplicate_of == job_id, JobRow.state == JobState.DUPLICATE)
    promoted = connection.execute(copies.order_by(JobRow.created_at, JobRow.id).limit(1)).scalar_one_or_none()
    if promoted is None:
        return
    connection.execute(update(JobRow).where(JobRow.duplicate_of == job_id).values(duplicate_of=promoted))
    connection.execute(update(JobRow).where(JobRow.id == promoted).values(queue_anew(now)))


MISPLACED_S = 600.0
"""How long after its end a scan is looked for where it does not belong, as after a kill of ``icr retry``."""


def find_misplaced(engine: Engine, places: Mapping[JobState, str]) -> list[tuple[str, str]]:
    """Return the ids and URIs of scans of the folder that lie among those of another outcome, as a copy that is read.

    ``places`` has for each state the URI of the folder where its scans belong, with a slash at its end. Of open jobs
    and of those that ended lately; an open one that was done stays in its place until it is read again.
    """
    with reading(engine) as connection:
        lies_in = {folder: JobRow.uri.startswith(folder, autoescape=True) for folder in set(places.values())}
        done = places[JobState.DONE]
        is_open = and_(IS_OPEN, or_(*(lies for folder, lies in lies_in.items() if folder != done)))
        since = database_now(connection) - timedelta(seconds=MISPLACED_S)
        strayed = [
            and_(JobRow.state == state, or_(*(lies for folder, lies in lies_in.items() if folder != own)))
            for state, own in places.items()
        ]
        ended_lately = and_(JobRow.state.in_(places), JobRow.finished_at >= since, or_(*strayed))
        of_the_folder = JobRow.source == "inbox"
        found = []
        for wanted in (is_open, ended_lately):  # two statements, each by an index of its own
            rows = connection.execute(select(JobRow.id, JobRow.uri).where(of_the_folder, wanted))
            found += [(row.id, row.uri) for row in rows]
        return found
