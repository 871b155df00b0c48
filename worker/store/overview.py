"""How the review stands: what waits and how long, and what people did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine, case, exists, func, literal_column, select
from sqlalchemy.orm import aliased

from worker.store.engine import database_now, reading
from worker.store.review_tables import ReviewTaskRow
from worker.store.tables import Act, FieldRow, JobRow, PageRow, ReviewRow

WORK = (Act.CORRECT, Act.CONFIRM, Act.UNREADABLE, Act.KEY)
"""Acts that are counted as work: they decide a field, or key it the first time; to skip or escalate one is none."""

KEYS_COUNTED = 1_000
"""The latest keys of all people: enough for shares with an interval beside them, few enough for every look."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Waiting fields of one form from one source: all, those in hand, those escalated, and how long the first waits."""

    template: str | None
    source: str
    fields: int
    in_hand: int
    escalated: int
    oldest_s: float


@dataclass(frozen=True, slots=True)
class Work:
    """What one person decided: how much of it was a confirmed reading, and what it took at the station."""

    who: str
    decisions: int
    confirmed: int
    undone: int
    keys_each: float | None
    seconds_each: float | None

    @property
    def per_hour(self) -> float | None:
        """Decisions in an hour of work at the station, pauses between fields left out."""
        return 3600 / self.seconds_each if self.seconds_each else None


def list_waiting(engine: Engine) -> list[Waiting]:
    """Return what waits by form and source, the largest first."""
    with reading(engine) as connection:
        now = database_now(connection)
        waits, queue = FieldRow.final_text.is_(None), (FieldRow.queue_template, FieldRow.queue_source)
        count = func.count()
        groups = select(*queue, count, func.min(FieldRow.id)).where(waits).group_by(*queue).order_by(count.desc())
        in_hand = func.sum(case((ReviewTaskRow.lease_until > now, 1), else_=0))
        escalated = func.sum(case((ReviewTaskRow.level == "supervisor", 1), else_=0))
        tasks = select(*queue, in_hand, escalated).select_from(ReviewTaskRow)
        tasks = tasks.outerjoin(FieldRow, FieldRow.id == ReviewTaskRow.field_id)  # outer: the tasks are the fewer rows
        touched = {
            (row[0], row[1]): (row[2], row[3]) for row in connection.execute(tasks.where(waits).group_by(*queue))
        }
        rows = connection.execute(groups).all()
        came = select(FieldRow.id, JobRow.finished_at).join(PageRow, PageRow.id == FieldRow.page_id)
        came = came.join(JobRow, JobRow.id == PageRow.job_id).where(FieldRow.id.in_([row[3] for row in rows]))
        since = {row[0]: row[1] for row in connection.execute(came)}
    return [
        Waiting(row[0], row[1] or "", row[2], *touched.get((row[0], row[1]), (0, 0)), _seconds(now, since.get(row[3])))
        for row in rows
    ]


def list_work(engine: Engine, hours: float) -> list[Work]:
    """Return what each person decided in the last ``hours``, the most first."""
    undoing = aliased(ReviewRow)
    undone = select(func.count()).where(undoing.undoes == ReviewRow.id).correlate(ReviewRow).scalar_subquery()
    with reading(engine) as connection:
        since = database_now(connection) - timedelta(hours=hours)
        acts = select(ReviewRow.who, ReviewRow.action, ReviewRow.keys, ReviewRow.seconds, undone.label("undone"))
        acts_since = acts.where(ReviewRow.created_at >= since, ReviewRow.action.in_(WORK)).subquery()
        each = acts_since.c
        who = each.who + literal_column("''")  # no column, so that the index by time is used and not that by person
        query = select(
            who,
            func.count(),
            func.sum(case((each.action == Act.CONFIRM, 1), else_=0)),
            func.sum(each.undone),
            func.avg(each["keys"]),
            func.avg(each.seconds),
        )
        rows: Sequence[Any] = connection.execute(query.group_by(who).order_by(func.count().desc())).all()
    return [Work(row[0], row[1], row[2], int(row[3] or 0), _number(row[4]), _number(row[5])) for row in rows]


def count_key_errors(engine: Engine) -> dict[str, tuple[int, int]]:
    """Return how many fields that are keyed twice each person keyed, and how many otherwise than they were decided.

    Only the digits are compared, of those of the latest ``KEYS_COUNTED`` keys that were not taken back.
    """
    undoing = aliased(ReviewRow)
    latest = select(ReviewRow.id, ReviewRow.who, ReviewRow.after, ReviewRow.field_id)
    latest = latest.where(ReviewRow.action == literal_column("'key'")).order_by(ReviewRow.id.desc())
    keys = latest.limit(KEYS_COUNTED).subquery().c  # first, so that PostgreSQL joins no more than these
    query = select(keys.who, keys.after, FieldRow.final_text).join(FieldRow, FieldRow.id == keys.field_id)
    query = query.where(FieldRow.final_text.is_not(None), ~exists().where(undoing.undoes == keys.id))
    found: dict[str, tuple[int, int]] = {}
    with reading(engine) as connection:
        for row in connection.execute(query):
            keyed, wrong = found.get(row.who, (0, 0))
            found[row.who] = keyed + 1, wrong + (_digits_of(row.after) != _digits_of(row.final_text))
    return found


def _digits_of(text: str) -> str:
    return "".join(c for c in text if c.isdigit())


def _seconds(now: datetime, then: datetime | None) -> float:
    return max(0.0, (now - then).total_seconds()) if then else 0.0


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
