"""Audits: accepted fields drawn by chance, to be keyed by a person who does not see the reading.

The machine counts as the first keyer. A person who keys the same shows it right. One who keys another number leaves the
field to a supervisor, who keys it blind, too, and whose answer holds: so no slip of one person takes a right number
away. What an audit found stays in its row after the field is read again or purged, without any number.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, case, delete, func, insert, select, update

from worker.store.engine import database_now, reading
from worker.store.service_tables import AuditRow
from worker.store.tables import FieldRow, JobRow, PageRow
from worker.values import FieldStatus

_chance = random.SystemRandom()


@dataclass(frozen=True, slots=True)
class AuditCount:
    """What the audit of one source and template has shown: fields drawn, answered, and wrong of those."""

    source: str
    template: str | None
    drawn: int
    audited: int
    wrong: int


def draw_audits(connection: Connection, job_id: str, share: float, now: datetime) -> None:
    """Draw each field of a job that the machine alone has accepted with the probability ``share``."""
    if share <= 0:
        return
    columns = (FieldRow.id, PageRow.template, JobRow.source)
    query = select(*columns).join(PageRow, PageRow.id == FieldRow.page_id).join(JobRow, JobRow.id == PageRow.job_id)
    accepted = PageRow.job_id == job_id, FieldRow.status == FieldStatus.ACCEPTED, FieldRow.origin == "machine"
    drawn = [
        {"field_id": row.id, "source": row.source, "template": row.template, "probability": share, "drawn_at": now}
        for row in connection.execute(query.where(*accepted).order_by(FieldRow.id))
        if _chance.random() < share
    ]
    if drawn:
        connection.execute(insert(AuditRow), drawn)


def is_audited(connection: Connection, field_id: int) -> bool:
    """Tell whether a field was drawn and awaits its answer."""
    query = select(AuditRow.id).where(AuditRow.field_id == field_id, AuditRow.decided_at.is_(None))
    return connection.execute(query).one_or_none() is not None


def answer_audit(connection: Connection, field_id: int, *, wrong: bool) -> None:
    """Note what the audit of a field has shown, if it was drawn and has no answer yet."""
    asked = AuditRow.field_id == field_id, AuditRow.decided_at.is_(None)
    answer = {"decided_at": database_now(connection), "wrong": wrong}
    connection.execute(update(AuditRow).where(*asked).values(answer))


def reopen_audit(connection: Connection, field_id: int) -> None:
    """Ask again, as where a person took the answer back."""
    anew = {"decided_at": None, "wrong": None}
    connection.execute(update(AuditRow).where(AuditRow.field_id == field_id).values(anew))


def forget_audited_fields(connection: Connection, page_ids: Sequence[int]) -> None:
    """Delete the open audits of pages that are deleted, and keep what the others have shown."""
    fields = select(FieldRow.id).where(FieldRow.page_id.in_(page_ids))
    connection.execute(delete(AuditRow).where(AuditRow.field_id.in_(fields), AuditRow.decided_at.is_(None)))
    connection.execute(update(AuditRow).where(AuditRow.field_id.in_(fields)).values(field_id=None))


def count_audits(engine: Engine) -> list[AuditCount]:
    """Count what audits have shown, for each source and template."""
    of_kind = (AuditRow.source, AuditRow.template)
    audited = func.count(AuditRow.decided_at)
    wrong = func.coalesce(func.sum(case((AuditRow.wrong.is_(True), 1), else_=0)), 0)
    query = select(*of_kind, func.count(), audited, wrong).group_by(*of_kind).order_by(*of_kind)
    with reading(engine) as connection:
        rows: Sequence[Any] = connection.execute(query).all()
    return [AuditCount(*row) for row in rows]
