"""Letters: who sent the messages that scans came with, and what they wrote over them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Row, and_, delete, exists, select

from worker.store.engine import database_now, reading, writing
from worker.store.readings import upsert
from worker.store.service_tables import LetterRow
from worker.store.tables import JobRow

MAIL = "mail"
"""The source of scans that came by mail."""


def keep_letter(engine: Engine, reference: str, *, sender: str, subject: str) -> None:
    """Write down who sent the message of a reference; a message that is met again adds nothing."""
    with writing(engine) as connection:
        row = {"reference": reference, "sender": sender, "subject": subject, "received_at": database_now(connection)}
        upsert(connection, LetterRow, row)


def find_letter(engine: Engine, job_id: str) -> Row[Any] | None:
    """Return the letter that the scan of a job came with; None where it came otherwise."""
    query = select(LetterRow).join(JobRow, brought()).where(JobRow.id == job_id)
    with reading(engine) as connection:
        return connection.execute(query).one_or_none()


def brought() -> ColumnElement[bool]:
    """Return the condition that a letter brought the scan of a job; other senders may use any reference."""
    return and_(LetterRow.reference == JobRow.reference, JobRow.source == MAIL)


def forget_letters(connection: Connection, older_than: datetime) -> None:
    """Delete letters that came before a purge's cutoff and whose scans are gone."""
    is_needed = exists().where(JobRow.reference == LetterRow.reference)
    connection.execute(delete(LetterRow).where(LetterRow.received_at < older_than, ~is_needed))
