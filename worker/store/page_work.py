"""What the page view needs: pages with waiting fields, one page whole, and scans that are to be read again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, Row, func, select, update

from worker.errors import InvalidReviewError
from worker.store.corners import PlacedCorners, write_corners
from worker.store.engine import database_now, reading, writing
from worker.store.letters import brought
from worker.store.page_documents import reference_of_page
from worker.store.retrying import queue_anew
from worker.store.review_queue import Leased, find_page, load_fields
from worker.store.service_tables import LetterRow
from worker.store.tables import DoubtRow, FieldRow, JobRow, JobState, PageRow

AnyRow = Row[*tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class WholePage:
    """One page with its scan, its fields in order, and its own doubts in words."""

    row: AnyRow
    fields: list[Leased]
    words: dict[int | None, list[str]]


def list_waiting_pages(engine: Engine, *, limit: int, after: int = 0) -> Sequence[AnyRow]:
    """Return one list of the pages that have waiting fields, with how many, the longest waiting first."""
    counted = select(FieldRow.page_id, func.count().label("waiting"))
    counted = counted.where(FieldRow.final_text.is_(None), FieldRow.page_id > after)
    few = counted.group_by(FieldRow.page_id).order_by(FieldRow.page_id).limit(limit).subquery()
    columns = (PageRow.id, PageRow.number, PageRow.template, JobRow.uri, reference_of_page(), JobRow.finished_at)
    query = select(*columns, few.c.waiting).join(few, few.c.page_id == PageRow.id).join(JobRow)
    with reading(engine) as connection:
        return connection.execute(query.order_by(PageRow.id)).all()


def load_page(engine: Engine, page_id: int) -> WholePage | None:
    """Return a page whole; None where there is none of that id."""
    row = find_page(engine, page_id)
    if row is None:
        return None
    with reading(engine) as connection:
        ids = connection.execute(select(FieldRow.id).where(FieldRow.page_id == page_id)).scalars().all()
        words: dict[int | None, list[str]] = {}
        said = select(DoubtRow.field_id, DoubtRow.words).where(DoubtRow.page_id == page_id)
        for doubt in connection.execute(said.order_by(DoubtRow.position)):
            words.setdefault(doubt.field_id, []).append(doubt.words)
    fields = sorted(load_fields(engine, dict.fromkeys(ids)), key=lambda leased: leased.field.position)
    return WholePage(row, fields, words)


def next_waiting_page(engine: Engine, after: int) -> int | None:
    """Return the next page that has waiting fields, from the first again after the last; None where none has."""
    pages = [*list_waiting_pages(engine, limit=1, after=after), *list_waiting_pages(engine, limit=1)]
    return next((page.id for page in pages), None)


def list_failed_scans(engine: Engine, *, limit: int, before: datetime | None = None) -> Sequence[AnyRow]:
    """Return one list of the scans that failed or died, the latest first, with the reasons and who sent them."""
    columns = (JobRow.id, JobRow.uri, JobRow.state, JobRow.template, JobRow.reference, JobRow.finished_at)
    query = select(
        *columns, JobRow.error_kind, JobRow.error_reason, JobRow.scan_id, LetterRow.sender, LetterRow.subject
    )
    query = query.outerjoin(LetterRow, brought())
    if before is not None:
        query = query.where(JobRow.finished_at < before)
    latest = query.order_by(JobRow.finished_at.desc()).limit(limit)
    with reading(engine) as connection:  # one state at a time: the index then has them in their order
        found = [
            row
            for state in (JobState.FAILED, JobState.DEAD)
            for row in connection.execute(latest.where(JobRow.state == state))
        ]
    return sorted(found, key=lambda row: row.finished_at, reverse=True)[:limit]


def read_again_as(engine: Engine, page_id: int, template: str, *, who: str) -> str:
    """Queue the scan of a page again, to be read by ``template``; return its job. What people decided stays.

    Corners that were placed on the page count no more.

    Raises
    ------
    InvalidReviewError
        There is no such page, or its scan is being read.
    """
    return _queue_again(engine, page_id, None, {"template": template}, who=who)


def read_again_by_corners(engine: Engine, page_id: int, placed: PlacedCorners, *, who: str) -> str:
    """Queue the scan of a page again, the page to be registered by the corners that ``who`` placed; return its job.

    Raises
    ------
    InvalidReviewError
        There is no such page, or its scan is being read.
    """
    return _queue_again(engine, page_id, placed, {}, who=who)


def _queue_again(
    engine: Engine, page_id: int, placed: PlacedCorners | None, changes: Mapping[str, str], *, who: str
) -> str:
    """Queue the job of a page again with its corners, or with none, and what else ``changes`` of it."""
    with writing(engine) as connection:
        job = _hold_job(connection, page_id)
        write_corners(connection, job.id, job.number, placed, who=who)
        anew = queue_anew(database_now(connection)) | dict(changes)
        connection.execute(update(JobRow).where(JobRow.id == job.id).values(anew))
        return str(job.id)


def _hold_job(connection: Connection, page_id: int) -> AnyRow:
    """Lock the job of a page, and return it with the page's number."""
    query = select(JobRow.id, JobRow.state, PageRow.number).join(PageRow, PageRow.job_id == JobRow.id)
    locked = query.where(PageRow.id == page_id).with_for_update(of=JobRow, key_share=True)
    job = connection.execute(locked).one_or_none()
    if job is None:
        raise InvalidReviewError(f"there is no page {page_id}: its scan was read again or purged meanwhile")
    if job.state in (JobState.QUEUED, JobState.RUNNING):
        raise InvalidReviewError("the scan is being read again already: wait for it")
    return job
