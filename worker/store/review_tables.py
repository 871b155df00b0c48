"""The tables of review by hand beside ``reviews``: who has a field in hand, and digits that are checked in groups."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, SmallInteger, text
from sqlalchemy.orm import Mapped, mapped_column

from worker.store.scan_tables import Base, Id

__all__ = ["Base", "DigitCheckRow", "DigitGroupRow", "Id", "ReviewTaskRow"]

KEYER_LEVEL = text("'keyer'")
IS_ESCALATED = text("level = 'supervisor'")


class ReviewTaskRow(Base):
    """What is known of a waiting field beside its reading: who has it in hand, and who else should see it.

    A field without a row waits for any keyer. ``token`` grows with every lease: a fencing token, against a browser that
    lost its lease. The row goes when the field is decided.
    """

    __tablename__ = "review_tasks"
    __table_args__ = (
        CheckConstraint("level IN ('keyer','supervisor')", name="level"),
        Index(
            "ix_review_tasks_station",
            "station",
            sqlite_where=text("station IS NOT NULL"),
            postgresql_where=text("station IS NOT NULL"),
        ),
        Index("ix_review_tasks_escalated", "field_id", sqlite_where=IS_ESCALATED, postgresql_where=IS_ESCALATED),
    )

    field_id: Mapped[int] = mapped_column(Id, ForeignKey("fields.id"), primary_key=True, autoincrement=False)
    token: Mapped[int]
    level: Mapped[str] = mapped_column(server_default=KEYER_LEVEL)
    held_by: Mapped[str | None]
    station: Mapped[str | None]
    leased_at: Mapped[datetime | None]
    lease_until: Mapped[datetime | None]
    skipped_at: Mapped[datetime | None]


class DigitGroupRow(Base):
    """One screen of digits that the machine read alike, as a person checks it; ``missed`` are known wrong ones.

    ``tiles`` say what stands where until it is done, and nothing afterwards.
    """

    __tablename__ = "digit_groups"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(Id, primary_key=True, autoincrement=True)
    who: Mapped[str] = mapped_column(index=True)
    digit: Mapped[int] = mapped_column(SmallInteger)
    tiles: Mapped[list[Any]]
    created_at: Mapped[datetime]
    done_at: Mapped[datetime | None]
    shown: Mapped[int]
    planted: Mapped[int]
    missed: Mapped[int | None]
    corrected: Mapped[int | None]
    keys: Mapped[int | None]
    seconds: Mapped[float | None]


class DigitCheckRow(Base):
    """One digit that a person checked in a group: ``answer`` is what stands there, ``?`` for no digit or unsure."""

    __tablename__ = "digit_checks"
    __table_args__ = ({"sqlite_with_rowid": False},)

    field_id: Mapped[int] = mapped_column(Id, ForeignKey("fields.id"), primary_key=True, autoincrement=False)
    position: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    answer: Mapped[str]
    who: Mapped[str]
    created_at: Mapped[datetime]
