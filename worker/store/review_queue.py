"""The queue of waiting fields as the station works it off: fields leased to one browser, passed on, or given back.

A lease is a row of ``review_tasks``. Its token grows with every lease, so that a browser that lost a field can no
longer decide it (``worker.store.reviews``), and what a dead browser held is free when its lease runs out. All times are
the database's own clock.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Row,
    Select,
    and_,
    func,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from worker.store.double_keying import was_keyed_by
from worker.store.engine import database_now, reading, writing
from worker.store.jobs import CLOCK_STEP
from worker.store.page_documents import reference_of_page
from worker.store.review_tables import ReviewTaskRow
from worker.store.reviews import FREE, Review, ReviewClaim, Seen, lock_field, record_act
from worker.store.service_tables import AuditRow
from worker.store.tables import Act, DigitRow, DoubtRow, FieldRow, JobRow, PageRow, ReviewRow

AnyRow = Row[*tuple[Any, ...]]
Level = Literal["keyer", "supervisor"]
Order = Literal["oldest", "newest", "amount"]
AUDITS_AMONG = 8
"""About one in so many fields that a station takes is an audit, while others wait."""
ROUNDS = 4
"""So often a station looks for other fields, where another has just taken those that it chose."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which waiting fields a station works on; None means any. ``supervisor`` are those that somebody escalated.

    ``order`` says which come first: the longest waiting, those that came last, or the largest amounts.
    """

    level: Level = "keyer"
    template: str | None = None
    source: str | None = None
    order: Order = "oldest"


@dataclass(frozen=True, slots=True)
class Leased:
    """A field in hand: its row with its page's and its job's, its digits, its kinds of doubt, and the claim on it."""

    field: AnyRow
    digits: Sequence[AnyRow]
    doubts: frozenset[str]
    claim: ReviewClaim
    audited: bool = False


def take_fields(
    engine: Engine,
    wanted: Wanted,
    *,
    who: str,
    station: str,
    count: int,
    lease_s: float,
    only: int | None = None,
) -> list[Leased]:
    """Lease up to ``count`` waiting fields to one browser, the longest waiting first and skipped ones last.

    What the station holds already is not given again. ``only`` names one field, which must be free or its own.
    """
    taken: list[tuple[int, int]] = []
    order: dict[int, int] = {}
    for _ in range(ROUNDS):
        with writing(engine) as connection:
            now = database_now(connection)
            free = _is_free(now, station if only is not None else None)
            ids = [only] if only is not None else _choose(connection, wanted, free, who, count - len(taken))
            if not ids:
                break
            order |= {field_id: len(order) + i for i, field_id in enumerate(ids)}
            lease = {
                "held_by": who,
                "station": station,
                "leased_at": now,
                "lease_until": now + timedelta(seconds=lease_s),
            }
            taken += _lease(connection, sorted(ids), lease, free)
        if only is not None or len(taken) >= count:
            break
    return sorted(load_fields(engine, dict(taken)), key=lambda leased: order[leased.field.id])


def renew_leases(engine: Engine, station: str, ids: Collection[int], *, lease_s: float) -> list[int]:
    """Extend what a living browser still holds of ``ids``; return those, so that it drops the others."""
    with writing(engine) as connection:
        until = database_now(connection) + timedelta(seconds=lease_s)
        held = and_(ReviewTaskRow.station == station, ReviewTaskRow.field_id.in_(ids))
        renewed = update(ReviewTaskRow).where(held).values(lease_until=until).returning(ReviewTaskRow.field_id)
        return sorted(connection.execute(renewed).scalars())


def release_leases(engine: Engine, station: str) -> int:
    """Give back all that a station holds, as when its page is closed; return how many fields."""
    with writing(engine) as connection:
        return connection.execute(update(ReviewTaskRow).where(ReviewTaskRow.station == station).values(FREE)).rowcount


def pass_field(
    engine: Engine,
    field_id: int,
    action: Literal[Act.SKIP, Act.ESCALATE],
    *,
    who: str,
    claim: ReviewClaim,
    seen: Seen | None = None,
) -> Review:
    """Put a waiting field behind all others, or leave it to a supervisor; it stays undecided.

    Raises
    ------
    StaleReviewError
        The claim no longer holds.
    """
    with writing(engine) as connection:
        field = lock_field(connection, field_id, who, claim)
        shown = field.text if field.final_text is None else field.final_text
        review = record_act(connection, Review(field_id, field.name, action, shown, shown, who), field, seen)
        changed = {"skipped_at": database_now(connection)} if action is Act.SKIP else {"level": "supervisor"}
        task = update(ReviewTaskRow).where(ReviewTaskRow.field_id == field_id)
        connection.execute(task.values({**FREE, **changed}))
        return review


def count_waiting(engine: Engine, wanted: Wanted) -> int:
    """Count the fields that wait, in hand or not."""
    count, waits = select(func.count()), FieldRow.final_text.is_(None)
    waiting = _of_queue(count.select_from(FieldRow), wanted).where(waits)
    escalated = count.select_from(ReviewTaskRow).join(FieldRow, FieldRow.id == ReviewTaskRow.field_id)
    escalated = escalated.where(ReviewTaskRow.level == literal_column("'supervisor'"), waits)
    for column, value in {FieldRow.queue_template: wanted.template, FieldRow.queue_source: wanted.source}.items():
        if value is not None:  # coalesced, so that the few tasks are looked through and not the queue of the form
            escalated = escalated.where(func.coalesce(column, "") == value)
    with reading(engine) as connection:
        of_supervisor = int(connection.execute(escalated).scalar_one())
        if wanted.level == "supervisor":
            return of_supervisor
        return int(connection.execute(waiting).scalar_one()) - of_supervisor


def digits_of_page(engine: Engine, page_id: int) -> Sequence[AnyRow]:
    """Return the boxes of the digits of a page, field by field and in order within each."""
    boxes = (DigitRow.box_x, DigitRow.box_y, DigitRow.box_w, DigitRow.box_h)
    query = select(DigitRow.field_id, *boxes).join(FieldRow, FieldRow.id == DigitRow.field_id)
    with reading(engine) as connection:
        ordered = query.where(FieldRow.page_id == page_id).order_by(DigitRow.field_id, DigitRow.position)
        return connection.execute(ordered).all()


def find_page(engine: Engine, page_id: int) -> AnyRow | None:
    """Return a page with its reference and the place of its scan; None where there is none."""
    query = select(PageRow, JobRow.uri, reference_of_page())
    query = query.join(JobRow, JobRow.id == PageRow.job_id)
    with reading(engine) as connection:
        return connection.execute(query.where(PageRow.id == page_id)).one_or_none()


def _is_free(now: datetime, own_station: str | None) -> ColumnElement[bool]:
    over = or_(ReviewTaskRow.lease_until <= now, ReviewTaskRow.leased_at > now + CLOCK_STEP)
    free = or_(ReviewTaskRow.lease_until.is_(None), over)
    return free if own_station is None else or_(free, ReviewTaskRow.station == own_station)


def _waiting(query: Select[*tuple[Any, ...]], wanted: Wanted) -> Select[*tuple[Any, ...]]:
    return _of_queue(_at_level(query, wanted.level), wanted).where(FieldRow.final_text.is_(None))


def _of_queue(query: Select[*tuple[Any, ...]], wanted: Wanted) -> Select[*tuple[Any, ...]]:
    chosen = {FieldRow.queue_template: wanted.template, FieldRow.queue_source: wanted.source}
    return query.where(*(column == value for column, value in chosen.items() if value is not None))


def _at_level(query: Select[*tuple[Any, ...]], level: Level) -> Select[*tuple[Any, ...]]:
    if level == "supervisor":
        query = query.join(ReviewTaskRow, ReviewTaskRow.field_id == FieldRow.id)
        return query.where(ReviewTaskRow.level == literal_column("'supervisor'"))  # as in the partial index
    query = query.outerjoin(ReviewTaskRow, ReviewTaskRow.field_id == FieldRow.id)
    return query.where(or_(ReviewTaskRow.field_id.is_(None), ReviewTaskRow.level == level))


def _choose(connection: Connection, wanted: Wanted, free: ColumnElement[bool], who: str, count: int) -> list[int]:
    query = _waiting(select(FieldRow.id).select_from(FieldRow), wanted)
    another = ~was_keyed_by(who, ReviewTaskRow.field_id)  # a key leaves a task, so that fields without one cost nothing
    query = query.where(or_(ReviewTaskRow.field_id.is_(None), and_(free, another)))
    fresh = query.where(ReviewTaskRow.skipped_at.is_(None)).order_by(*_in_order(wanted)).limit(count)
    ids = list(connection.execute(fresh).scalars())
    by_chance = sum(random.random() < 1 / AUDITS_AMONG for _ in range(count))  # noqa: S311  # no secret hangs on it
    audits = _choose_audits(connection, wanted, and_(free, another), max(by_chance, count - len(ids)))
    ids = ids[: count - len(audits)]
    for audit in audits:
        ids.insert(random.randrange(len(ids) + 1), audit)  # noqa: S311
    if len(ids) < count:
        skipped = query.where(ReviewTaskRow.skipped_at.is_not(None)).order_by(ReviewTaskRow.skipped_at)
        ids += connection.execute(skipped.limit(count - len(ids))).scalars()
    return ids


def _in_order(wanted: Wanted) -> list[ColumnElement[Any]]:
    """Return what the queue is sorted by; a reading is not sure, and so neither is the order of amounts.

    What was escalated is little: it is sorted by itself, where the index of the whole queue would be walked.
    """
    escalated = wanted.level == "supervisor"
    key: Any = ReviewTaskRow.field_id if escalated else FieldRow.id
    if wanted.order == "newest":
        return [key.desc()]
    if wanted.order == "oldest":
        return [key.asc()]
    return [FieldRow.queue_rank + 0 if escalated else FieldRow.queue_rank, key]


def _choose_audits(connection: Connection, wanted: Wanted, free: ColumnElement[bool], most: int) -> list[int]:
    """Return accepted fields that were drawn to be keyed blind among the others."""
    query = _at_level(select(FieldRow.id).select_from(FieldRow), wanted.level)
    query = query.join(AuditRow, AuditRow.field_id == FieldRow.id).where(AuditRow.decided_at.is_(None))
    chosen = {AuditRow.template: wanted.template, AuditRow.source: wanted.source}
    query = query.where(*(column == value for column, value in chosen.items() if value is not None))
    query = query.where(or_(ReviewTaskRow.field_id.is_(None), free)).order_by(AuditRow.id).limit(most)
    return list(connection.execute(query).scalars())


def _lease(
    connection: Connection, ids: list[int], lease: dict[str, Any], free: ColumnElement[bool]
) -> list[tuple[int, int]]:
    """Write the leases that are still free, in one order everywhere; return the fields with their tokens."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    added = dialect.insert(ReviewTaskRow).values([{"field_id": i, "token": 1, **lease} for i in ids])
    again = added.on_conflict_do_update(
        index_elements=[ReviewTaskRow.field_id], set_={**lease, "token": ReviewTaskRow.token + 1}, where=free
    )
    rows = connection.execute(again.returning(ReviewTaskRow.field_id, ReviewTaskRow.token)).all()
    return [(row.field_id, row.token) for row in rows]


def load_fields(engine: Engine, tokens: Mapping[int, int | None]) -> list[Leased]:
    """Return fields with their digits, doubts and claims; leased ones that were decided just now are left out.

    ``tokens`` are those of their leases, None for a field that is only looked at.
    """
    of_page = (PageRow.number, PageRow.template, PageRow.width_px, PageRow.height_px, JobRow.uri, reference_of_page())
    version = select(func.coalesce(func.max(ReviewRow.id), 0)).where(ReviewRow.field_id == FieldRow.id)
    query = select(FieldRow, *of_page, version.scalar_subquery().label("version"))
    query = query.join(PageRow, PageRow.id == FieldRow.page_id).join(JobRow, JobRow.id == PageRow.job_id)
    with reading(engine) as connection:
        rows = connection.execute(query.where(FieldRow.id.in_(tokens))).all()
        digits: dict[int, list[AnyRow]] = {}
        for digit in connection.execute(
            select(DigitRow).where(DigitRow.field_id.in_(tokens)).order_by(DigitRow.position)
        ):
            digits.setdefault(digit.field_id, []).append(digit)
        audits = select(AuditRow.field_id).where(AuditRow.field_id.in_(tokens), AuditRow.decided_at.is_(None))
        audited = set(connection.execute(audits).scalars())
        doubts: dict[int, set[str]] = {}
        kinds = select(DoubtRow.field_id, DoubtRow.kind).where(DoubtRow.field_id.in_(tokens))
        for doubt in connection.execute(kinds):
            doubts.setdefault(doubt.field_id, set()).add(doubt.kind)
    return [
        Leased(
            row,
            digits.get(row.id, []),
            frozenset(doubts.get(row.id, ())),
            ReviewClaim(row.version, tokens[row.id]),
            audited=row.id in audited and tokens[row.id] is not None,
        )
        for row in rows
        if row.final_text is None or tokens[row.id] is None or row.id in audited
    ]
