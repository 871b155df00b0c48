"""The tables of what is kept beside the readings: users, what they sign in with, webhooks, audits, and letters.

Secrets that somebody shows are kept as hashes only. The secret of a webhook signs, so it is kept as it is.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from worker.store.review_tables import Base, Id  # from there, so that whoever knows these tables knows all

IS_DUE = "next_try_at IS NOT NULL"
"""The condition of the partial index on messages that are still to be sent."""

IS_DEAD = "dead_at IS NOT NULL"
IS_OPEN_AUDIT = "decided_at IS NULL"


class UserRow(Base):
    """One person who may sign in; ``password_hash`` is argon2's, None for the person at this machine.

    ``issuer`` and ``subject`` are those of OpenID Connect, for whoever signs in by it.
    """

    __tablename__ = "users"
    __table_args__ = (
        CheckConstraint("role IN ('keyer','supervisor','admin')", name="role"),
        Index("uq_users_issuer_subject", "issuer", "subject", unique=True),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True, autoincrement=True)
    name: Mapped[str] = mapped_column(unique=True)
    role: Mapped[str]
    password_hash: Mapped[str | None]
    created_at: Mapped[datetime]
    disabled_at: Mapped[datetime | None]
    issuer: Mapped[str | None]
    subject: Mapped[str | None]


class SignInRow(Base):
    """One browser that was sent to an OpenID Connect provider, by the SHA-256 of its cookie; gone when it is back."""

    __tablename__ = "sign_ins"

    secret_hash: Mapped[str] = mapped_column(primary_key=True)
    leads_to: Mapped[str]
    expires_at: Mapped[datetime]


class SessionRow(Base):
    """One browser that is signed in, by the SHA-256 of what its cookie holds."""

    __tablename__ = "sessions"

    token_hash: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]


class ApiTokenRow(Base):
    """One token of a program, by its SHA-256; ``scopes`` say what it may do, at most what its user may."""

    __tablename__ = "api_tokens"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(Id, primary_key=True, autoincrement=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    name: Mapped[str]
    token_hash: Mapped[str] = mapped_column(unique=True)
    scopes: Mapped[list[Any]]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class WebhookEndpointRow(Base):
    """One address that is told of events; an empty list of ``events`` means all."""

    __tablename__ = "webhook_endpoints"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(Id, primary_key=True, autoincrement=True)
    url: Mapped[str]
    secret: Mapped[str]
    events: Mapped[list[Any]]
    created_at: Mapped[datetime]
    disabled_at: Mapped[datetime | None]
    disabled_reason: Mapped[str | None]


class WebhookMessageRow(Base):
    """One event for one endpoint: the outbox. It is due while ``next_try_at`` is set.

    ``attempts`` grows with every claim and is a fencing token, as that of a job is.
    """

    __tablename__ = "webhook_messages"
    __table_args__ = (
        Index("ix_webhook_messages_due", "next_try_at", sqlite_where=text(IS_DUE), postgresql_where=text(IS_DUE)),
        Index("ix_webhook_messages_dead", "dead_at", sqlite_where=text(IS_DEAD), postgresql_where=text(IS_DEAD)),
        Index("ix_webhook_messages_created_at", "created_at"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    endpoint_id: Mapped[int] = mapped_column(ForeignKey("webhook_endpoints.id"), index=True)
    event: Mapped[str]
    payload: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]
    attempts: Mapped[int] = mapped_column(default=0)
    first_try_at: Mapped[datetime | None]
    next_try_at: Mapped[datetime | None]
    delivered_at: Mapped[datetime | None]
    dead_at: Mapped[datetime | None]
    last_status: Mapped[int | None]
    last_error: Mapped[str | None]


class AuditRow(Base):
    """One accepted field that was drawn, with its probability, to be keyed by a person who does not see the reading.

    ``wrong`` says whether the machine's value was. A row that was answered outlives its field, without any number.
    """

    __tablename__ = "audits"
    __table_args__ = (
        Index("ix_audits_open", "id", sqlite_where=text(IS_OPEN_AUDIT), postgresql_where=text(IS_OPEN_AUDIT)),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True, autoincrement=True)
    field_id: Mapped[int | None] = mapped_column(ForeignKey("fields.id"), unique=True)
    source: Mapped[str]
    template: Mapped[str | None]
    probability: Mapped[float]
    drawn_at: Mapped[datetime]
    decided_at: Mapped[datetime | None]
    wrong: Mapped[bool | None]


class LetterRow(Base):
    """One message that scans came with, by their ``reference``: what it said of its sender, and its subject."""

    __tablename__ = "letters"

    reference: Mapped[str] = mapped_column(primary_key=True)
    sender: Mapped[str]
    subject: Mapped[str]
    received_at: Mapped[datetime]
