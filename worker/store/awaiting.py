"""What of one scan awaits a person, and how far a person has come with a field."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, Engine, exists, func, select, text

from worker.store.engine import reading
from worker.store.scan_tables import DocumentRow
from worker.store.tables import PAGE_AWAITS_REVIEW, FieldRow, JobRow, PageRow, ReviewRow


def count_awaiting(engine: Engine, job_id: str) -> int:
    """Count the pages and fields of a job that await review; a duplicate's are those of the job that was read."""
    with reading(engine) as connection:
        read_under = select(func.coalesce(JobRow.duplicate_of, JobRow.id)).where(JobRow.id == job_id)
        return awaiting_of(connection, connection.execute(read_under).scalar_one_or_none() or job_id)


def awaiting_of(connection: Connection, job_id: str) -> int:
    """Count the pages and fields of a job that was read that await review; a split that awaits a person is one more."""
    pages = select(func.count()).select_from(PageRow).where(PageRow.job_id == job_id, text(PAGE_AWAITS_REVIEW))
    fields = select(func.count()).select_from(FieldRow).join(PageRow, PageRow.id == FieldRow.page_id)
    waiting = fields.where(PageRow.job_id == job_id, FieldRow.final_text.is_(None))
    split = select(exists().where(DocumentRow.job_id == job_id, DocumentRow.accepted_at.is_(None)))
    return sum(int(connection.execute(query).scalar_one()) for query in (pages, waiting, split))


def latest_acts(engine: Engine, field_ids: Sequence[int]) -> dict[int, int]:
    """Return the id of the latest act on each field; fields that nobody has touched are left out."""
    query = select(ReviewRow.field_id, func.max(ReviewRow.id)).where(ReviewRow.field_id.in_(field_ids))
    with reading(engine) as connection:
        return {row[0]: row[1] for row in connection.execute(query.group_by(ReviewRow.field_id))}
