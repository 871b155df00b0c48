"""Scans read again after a change, as of their template: the new reading replaces the old one, people's words stay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, Row, and_, delete, exists, insert, or_, select, update

from worker.store.audits import forget_audited_fields
from worker.store.engine import database_now, writing
from worker.store.readings import insert_readings
from worker.store.review_tables import DigitCheckRow, ReviewTaskRow
from worker.store.tables import DigitRow, DoubtRow, FieldRow, JobRow, JobState, PageRow, ReviewRow
from worker.store.to_check import refresh_digits
from worker.values import PageReading

SAME_PLACE = 0.5
"""Share of both boxes together that two readings' boxes of one field have in common at least: else it has moved."""

MOST_AT_ONCE = 100_000
"""Jobs that one call queues again; a further call queues the next ones."""

AnyRow = Row[*tuple[Any, ...]]


@dataclass(frozen=True, slots=True, eq=False)
class _Reviewed:
    """A field that a person decided, as it was, with the decisions."""

    page: int
    field: AnyRow
    reviews: Sequence[AnyRow]


def requeue_read_jobs(engine: Engine, *, templates: Sequence[str], since: datetime | None = None) -> list[str]:
    """Queue the jobs again that were read by one of ``templates``, or sent for one; return their ids, oldest first.

    Only jobs that are done, and that ended at or after ``since`` if one is given; the first ``MOST_AT_ONCE`` of them.
    What they hold stays until they are read again.
    """
    with writing(engine) as connection:
        of_template = exists().where(PageRow.job_id == JobRow.id, PageRow.template.in_(templates))
        wanted = and_(JobRow.state == JobState.DONE, or_(of_template, JobRow.template.in_(templates)))
        if since is not None:
            wanted = and_(wanted, JobRow.finished_at >= since)
        query = select(JobRow.id).where(wanted).order_by(JobRow.finished_at, JobRow.id).limit(MOST_AT_ONCE)
        ids = list(connection.execute(query.with_for_update(key_share=True)).scalars())
        fresh = {
            "state": JobState.QUEUED,
            "deliveries": 0,
            "queued_at": database_now(connection),
            "published_at": None,  # finished_at stays: it is the time of the reading that holds till then
        }
        for job_id in ids:
            connection.execute(update(JobRow).where(JobRow.id == job_id).values(fresh))
        return ids


def write_readings(connection: Connection, job_id: str, pages: Sequence[PageReading], *, now: datetime) -> None:
    """Write the rows of a job's pages in place of those of an earlier reading, if there was one.

    A person's decision goes over to the field of the same name on the same page if it lies where it lay: the ink that
    the person saw is the same, whatever the machine makes of it now. A page stays settled if it says the same.
    """
    query = select(PageRow).where(PageRow.job_id == job_id).order_by(PageRow.id).with_for_update()
    old_pages = connection.execute(query).all()  # locked: a decision that is not seen here waits, and is refused
    if not old_pages:
        insert_readings(connection, job_id, pages, now=now)
        return
    reviewed = _reviewed_fields(connection, [page.id for page in old_pages])
    _delete_readings(connection, [page.id for page in old_pages])
    insert_readings(connection, job_id, pages, now=now)
    new_pages = {row.number: row for row in connection.execute(select(PageRow).where(PageRow.job_id == job_id))}
    for old in old_pages:
        new = new_pages.get(old.number)
        if new is not None and old.settled_by and (new.problem, new.doubt) == (old.problem, old.doubt):
            settled = {"settled_by": old.settled_by, "settled_at": old.settled_at}
            connection.execute(update(PageRow).where(PageRow.id == new.id).values(settled))
    for known in reviewed:
        if known.page in new_pages:
            _carry_over(connection, known, new_pages[known.page].id)


def _reviewed_fields(connection: Connection, page_ids: Sequence[int]) -> list[_Reviewed]:
    query = (
        select(FieldRow, PageRow.number.label("page_number"))
        .join(PageRow, PageRow.id == FieldRow.page_id)
        .where(FieldRow.page_id.in_(page_ids), FieldRow.origin == "reviewer")
    )
    return [
        _Reviewed(
            row.page_number,
            row,
            connection.execute(select(ReviewRow).where(ReviewRow.field_id == row.id).order_by(ReviewRow.id)).all(),
        )
        for row in connection.execute(query).all()
    ]


def _delete_readings(connection: Connection, page_ids: Sequence[int]) -> None:
    """Delete pages and all that hangs on them, the leaves first."""
    forget_audited_fields(connection, page_ids)
    fields = select(FieldRow.id).where(FieldRow.page_id.in_(page_ids))
    for table, condition in (
        (ReviewTaskRow, ReviewTaskRow.field_id.in_(fields)),
        (DigitCheckRow, DigitCheckRow.field_id.in_(fields)),
        (ReviewRow, ReviewRow.field_id.in_(fields)),
        (DigitRow, DigitRow.field_id.in_(fields)),
        (DoubtRow, DoubtRow.page_id.in_(page_ids)),
        (FieldRow, FieldRow.page_id.in_(page_ids)),
        (PageRow, PageRow.id.in_(page_ids)),
    ):
        connection.execute(delete(table).where(condition))


def _carry_over(connection: Connection, known: _Reviewed, page_id: int) -> None:
    """Give a field that stayed where it was the decision of the person who saw it, and the history of decisions."""
    old = known.field
    query = select(FieldRow).where(FieldRow.page_id == page_id, FieldRow.name == old.name)
    new = next((row for row in connection.execute(query) if _overlap(row, old) >= SAME_PLACE), None)
    if new is None:
        return
    decided = {c.key: getattr(old, c.key) for c in FieldRow.__table__.c if c.key.startswith("final_")}
    decided |= {"origin": old.origin, "reviewed_value": old.reviewed_value}
    connection.execute(update(FieldRow).where(FieldRow.id == new.id).values(decided))
    refresh_digits(connection, [new.id])
    columns = [column.key for column in ReviewRow.__table__.c if column.key not in ("id", "field_id", "undoes")]
    history = [{name: getattr(row, name) for name in columns} | {"field_id": new.id} for row in known.reviews]
    if history:
        connection.execute(insert(ReviewRow), history)


def _overlap(a: AnyRow, b: AnyRow) -> float:
    """Return what two fields' boxes share, of what they cover together."""
    w = min(a.box_x + a.box_w, b.box_x + b.box_w) - max(a.box_x, b.box_x)
    h = min(a.box_y + a.box_h, b.box_y + b.box_h) - max(a.box_y, b.box_y)
    shared = float(max(0, w) * max(0, h))
    return float(shared / max(1.0, a.box_w * a.box_h + b.box_w * b.box_h - shared))
