"""Figures about the readings for a monitor, at a cost that does not grow with their number."""

from __future__ import annotations

from sqlalchemy import Engine, func, select

from worker.store.engine import reading
from worker.store.tables import FieldRow, PageRow
from worker.values import FieldStatus

LATEST = 10_000
"""Fields whose outcome is counted: enough for a share to the nearest percent, few enough for every scrape."""
READ = (FieldStatus.ACCEPTED, FieldStatus.REVIEW, FieldStatus.BLANK)
"""What becomes of fields that are read; those of text are not."""


def count_latest_fields(engine: Engine) -> dict[str, int]:
    """Count the latest fields by their status: ``accepted``, ``review`` or ``blank``; fields of text count nowhere."""
    read = select(FieldRow.status).where(FieldRow.status != FieldStatus.NOT_READ)
    newest = read.order_by(FieldRow.id.desc()).limit(LATEST).subquery()
    with reading(engine) as connection:
        rows = connection.execute(select(newest.c.status, func.count()).group_by(newest.c.status)).all()
    return dict.fromkeys((s.value for s in READ), 0) | {row.status: row[1] for row in rows}


def latest_model_versions(engine: Engine) -> dict[str, str]:
    """Return the models, by name, that read the latest page; none before the first page."""
    query = select(PageRow.model_versions).order_by(PageRow.id.desc()).limit(1)
    with reading(engine) as connection:
        return dict(connection.execute(query).scalar_one_or_none() or {})
