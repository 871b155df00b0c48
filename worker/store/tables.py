"""The tables, typed; ``migrations/`` builds them, and a test holds the two equal.

One scan is one sequence of bytes. Every job names a scan and has its own pages, fields and digits. Boxes are in page
pixels from the top left of the page. Times are UTC. What the machine read (``fields.text``) is never overwritten: a
review writes ``final_text`` beside it and keeps its own row.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, SmallInteger, text
from sqlalchemy.orm import Mapped, mapped_column

from worker.store.columns import Base as Base
from worker.store.columns import Id as Id

LOW_CONFIDENCE = 0.99
"""Upper limit of the view ``low_confidence_digits`` and its partial index; an index over all digits would be much
larger, and random inserts into it would slow every worker (docs/decisions.md)."""


IS_TO_CHECK = f"digits.confidence < {LOW_CONFIDENCE} AND NOT digits.closed"
"""The condition of the partial index on digits that are still to be checked, word for word in the queries."""

PAGE_AWAITS_REVIEW = "(problem IS NOT NULL OR doubt IS NOT NULL) AND settled_at IS NULL"
"""The condition of the partial index on pages, word for word in the queries that use it."""


class JobState(StrEnum):
    """The state of a job; ``failed`` has a recorded reason, and ``dead`` ended its process too often."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    DEAD = "dead"
    DUPLICATE = "duplicate"


NO_LIST, NO_TEXT, CODE_KIND = text("'[]'"), text("''"), text("'code'")
"""Defaults of columns that came later: adding one rewrites no row."""
FIELD_AWAITS_REVIEW, NO_RANK = text("final_text IS NULL"), text("0")


class ScanRow(Base):
    """One sequence of bytes that came in, by one file or by many."""

    __tablename__ = "scans"

    id: Mapped[str] = mapped_column(primary_key=True)
    sha256: Mapped[str] = mapped_column(unique=True)
    size_bytes: Mapped[int | None] = mapped_column(BigInteger)
    created_at: Mapped[datetime]


class JobRow(Base):
    """One order to read a scan: the truth about the queue, whatever Redis remembers.

    ``attempts`` counts every claim and only grows: it is a fencing token, against a worker that lost its lease.
    ``deliveries`` counts the claims that were not handed back, towards dead-lettering.
    """

    __tablename__ = "jobs"
    __table_args__ = (
        CheckConstraint("state IN ('queued','running','done','failed','dead','duplicate')", name="state"),
        CheckConstraint("priority BETWEEN 0 AND 9", name="priority"),
        Index(
            "ix_jobs_open",
            "state",
            "queued_at",
            sqlite_where=text("state IN ('queued','running')"),
            postgresql_where=text("state IN ('queued','running')"),
        ),
        Index("ix_jobs_scan_id_template", "scan_id", "template"),
        Index("ix_jobs_state_finished_at", "state", "finished_at"),
        Index(
            "ix_jobs_reference",
            "reference",
            sqlite_where=text("reference IS NOT NULL"),
            postgresql_where=text("reference IS NOT NULL"),
        ),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    scan_id: Mapped[str | None] = mapped_column(ForeignKey("scans.id"))
    uri: Mapped[str | None]
    template: Mapped[str | None]
    reference: Mapped[str | None]
    priority: Mapped[int] = mapped_column(SmallInteger)
    source: Mapped[str]
    state: Mapped[str]
    attempts: Mapped[int] = mapped_column(default=0)
    deliveries: Mapped[int] = mapped_column(default=0)
    leased_by: Mapped[str | None]
    leased_at: Mapped[datetime | None]
    lease_until: Mapped[datetime | None]
    created_at: Mapped[datetime]
    queued_at: Mapped[datetime]
    published_at: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    error_kind: Mapped[str | None]
    error_reason: Mapped[str | None]
    raw_message: Mapped[str | None]
    duplicate_of: Mapped[str | None] = mapped_column(ForeignKey("jobs.id", ondelete="SET NULL"), index=True)
    linked: Mapped[bool] = mapped_column(default=False)


class TemplateRow(Base):
    """One version of a form template that readings were made with."""

    __tablename__ = "templates"

    name: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[str] = mapped_column(primary_key=True)
    first_used_at: Mapped[datetime]


class ModelRow(Base):
    """One version of a model that readings were made with."""

    __tablename__ = "models"

    name: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[str] = mapped_column(primary_key=True)
    first_used_at: Mapped[datetime]


class PageRow(Base):
    """One page of a job: ``problem`` says why it could not be read, ``doubt`` why a person should look at it.

    It awaits review while it has either and nobody has settled it.
    """

    __tablename__ = "pages"
    __table_args__ = (
        Index("uq_pages_job_id_number", "job_id", "number", unique=True),
        Index("ix_pages_template", "template", "id"),
        ForeignKeyConstraint(["template", "template_version"], ["templates.name", "templates.version"]),
        Index(
            "ix_pages_awaiting_review",
            "id",
            sqlite_where=text(PAGE_AWAITS_REVIEW),
            postgresql_where=text(PAGE_AWAITS_REVIEW),
        ),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True, autoincrement=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"))
    number: Mapped[int]
    width_px: Mapped[int]
    height_px: Mapped[int]
    template: Mapped[str | None]
    template_version: Mapped[str | None]
    registration: Mapped[float | None]
    model_versions: Mapped[dict[str, Any]]
    problem: Mapped[str | None]
    doubt: Mapped[str | None]
    settled_by: Mapped[str | None]
    settled_at: Mapped[datetime | None]


class FieldRow(Base):
    """One field read: ``text`` by the machine, ``final_text`` as it holds, None while it awaits review.

    ``written`` is what stands there, with its marks, and ``grammar`` what the template says may stand there
    (``schemas.form_template.FieldGrammar``, its defaults left out). ``value`` is what ``text`` means, as text: minor
    units of ``currency``, a plain number, an ISO date or time. ``reviewed_value`` is that of a person's answer.
    ``queue_template``, ``queue_source`` and ``queue_rank`` are what the queue of waiting fields is counted and sorted
    by: the page's template, the job's source, and the amount with its sign turned, 0 where there is none.
    """

    __tablename__ = "fields"
    __table_args__ = (
        CheckConstraint("status IN ('accepted','review','blank','not_read')", name="status"),
        CheckConstraint("origin IN ('machine','reviewer')", name="origin"),
        Index("uq_fields_page_id_position", "page_id", "position", unique=True),
        Index(
            "ix_fields_awaiting_review",
            "id",
            sqlite_where=text("final_text IS NULL"),
            postgresql_where=text("final_text IS NULL"),
        ),
        Index(
            "ix_fields_waiting_of_page",
            "page_id",
            "final_text",  # with the column of the condition, SQLite counts without looking at the rows
            sqlite_where=FIELD_AWAITS_REVIEW,
            postgresql_where=FIELD_AWAITS_REVIEW,
        ),
        Index(
            "ix_fields_waiting_of_form",
            "queue_template",
            "queue_source",
            "id",
            "final_text",
            sqlite_where=FIELD_AWAITS_REVIEW,
            postgresql_where=FIELD_AWAITS_REVIEW,
        ),
        Index(
            "ix_fields_waiting_by_rank",
            "queue_rank",
            "id",
            sqlite_where=FIELD_AWAITS_REVIEW,
            postgresql_where=FIELD_AWAITS_REVIEW,
        ),
        {"sqlite_autoincrement": True},  # an id is never used again, because a reviewer may hold it after a purge
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True, autoincrement=True)
    page_id: Mapped[int] = mapped_column(ForeignKey("pages.id"))
    position: Mapped[int]
    name: Mapped[str]
    text: Mapped[str]
    confidence: Mapped[float]
    status: Mapped[str]
    reasons: Mapped[list[Any]]
    alternatives: Mapped[list[Any]]
    box_x: Mapped[int]
    box_y: Mapped[int]
    box_w: Mapped[int]
    box_h: Mapped[int]
    accept_threshold: Mapped[float | None]
    value: Mapped[str | None]
    currency: Mapped[str | None]
    validation_sources: Mapped[list[Any]] = mapped_column(server_default=NO_LIST)
    written: Mapped[str] = mapped_column(server_default=NO_TEXT)
    kind: Mapped[str] = mapped_column(server_default=CODE_KIND)
    unit: Mapped[str | None]
    grammar: Mapped[dict[str, Any] | None]
    reviewed_value: Mapped[str | None]
    final_text: Mapped[str | None]
    origin: Mapped[str | None]
    queue_template: Mapped[str | None]
    queue_source: Mapped[str | None]
    queue_rank: Mapped[float] = mapped_column(default=0.0, server_default=NO_RANK)


class DoubtRow(Base):
    """One reason why a person should look at a page or, with a ``field_id``, at one of its fields.

    ``kind`` is one of ``worker.doubts.DoubtKind``. The words are those of ``pages.doubt`` and ``fields.reasons``, which
    are kept beside this so that one row shows a page or a field whole.
    """

    __tablename__ = "doubts"
    __table_args__ = (
        Index("ix_doubts_field_id", "field_id"),
        {"sqlite_with_rowid": False},  # stored in the order of the key, so that the doubts of a page lie together
    )

    page_id: Mapped[int] = mapped_column(Id, ForeignKey("pages.id"), primary_key=True, autoincrement=False)
    position: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    field_id: Mapped[int | None] = mapped_column(Id, ForeignKey("fields.id"))
    kind: Mapped[str]
    words: Mapped[str]


class DigitRow(Base):
    """One digit of a field: the three likeliest answers with their calibrated probabilities, best first.

    A ``closed`` one needs no check in a group: a person decided its field or checked it, or its field is blank.
    """

    __tablename__ = "digits"
    __table_args__ = (
        Index(
            "ix_digits_low_confidence",
            "confidence",
            "field_id",
            "position",
            sqlite_where=text(f"confidence < {LOW_CONFIDENCE}"),
            postgresql_where=text(f"confidence < {LOW_CONFIDENCE}"),
        ),
        Index(
            "ix_digits_to_check",
            "digit",
            "confidence",
            "field_id",
            "position",
            "closed",
            sqlite_where=text(IS_TO_CHECK.replace("digits.", "")),
            postgresql_where=text(IS_TO_CHECK.replace("digits.", "")),
        ),
        {"sqlite_with_rowid": False},  # stored in the order of the key, so that the digits of a field lie together
    )

    field_id: Mapped[int] = mapped_column(Id, ForeignKey("fields.id"), primary_key=True, autoincrement=False)
    position: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    digit: Mapped[int] = mapped_column(SmallInteger)
    confidence: Mapped[float]
    second_digit: Mapped[int] = mapped_column(SmallInteger)
    second_confidence: Mapped[float]
    third_digit: Mapped[int] = mapped_column(SmallInteger)
    third_confidence: Mapped[float]
    outlier: Mapped[float]
    box_x: Mapped[int]
    box_y: Mapped[int]
    box_w: Mapped[int]
    box_h: Mapped[int]
    closed: Mapped[bool] = mapped_column(default=False, server_default=text("false"))


class Act(StrEnum):
    """What a person did with a field.

    ``key`` is a number that decides nothing yet, as the first of two keyers; ``skip`` and ``escalate`` leave the field
    to others, and ``undo`` takes one of these acts back.
    """

    CORRECT = "correct"
    CONFIRM = "confirm"
    UNREADABLE = "unreadable"
    KEY = "key"
    SKIP = "skip"
    ESCALATE = "escalate"
    UNDO = "undo"


IS_UNDOING, IS_KEY = text("undoes IS NOT NULL"), text("action = 'key'")


class ReviewRow(Base):
    """One act of a person on a field; ``before`` is the value until then, at first what the machine read.

    ``overruled`` is what was wrong with the answer by the field's grammar and rules, where the person knew better.
    Rows are only added: taking a decision back is a row of its own, which ``undoes`` it and restores what ``held``.
    ``shown`` is how much of the reading the person saw, ``shown_text`` that part of it, with a gap for each digit left
    out; ``keys`` and ``seconds`` are what the decision took. All four are empty for a command.
    """

    __tablename__ = "reviews"
    __table_args__ = (
        CheckConstraint(
            "action IN ('correct','confirm','unreadable','key','skip','escalate','undo')",
            name="action",
        ),
        Index("ix_reviews_field_id_who", "field_id", "who"),
        Index("ix_reviews_who_id", "who", "id"),
        Index("ix_reviews_created_at", "created_at"),
        Index("ix_reviews_undoes", "undoes", sqlite_where=IS_UNDOING, postgresql_where=IS_UNDOING),
        Index("ix_reviews_keys", "id", sqlite_where=IS_KEY, postgresql_where=IS_KEY),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True, autoincrement=True)
    field_id: Mapped[int] = mapped_column(ForeignKey("fields.id"))
    action: Mapped[str]
    before: Mapped[str]
    after: Mapped[str]
    who: Mapped[str]
    overruled: Mapped[str | None]
    created_at: Mapped[datetime]
    shown: Mapped[str | None]
    shown_text: Mapped[str | None]
    keys: Mapped[int | None]
    seconds: Mapped[float | None]
    held: Mapped[dict[str, Any] | None]
    undoes: Mapped[int | None] = mapped_column(Id)
