"""The tables of what is kept of scans beside their readings: parts read, documents, corners placed, purges."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, LargeBinary, text
from sqlalchemy.orm import Mapped, mapped_column

from worker.store.tables import Base as Base  # from there, so that whoever knows these tables knows all
from worker.store.tables import Id as Id

HAS_REFERENCE = "reference IS NOT NULL"


class ReadingPartRow(Base):
    """Pages of a long scan that were read before its job was handed back (``worker.store.parts``); gone at its end."""

    __tablename__ = "reading_parts"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    first_page: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    sha256: Mapped[str]
    pages: Mapped[bytes] = mapped_column(LargeBinary)


class DocumentRow(Base):
    """Pages of a scan that belong together, as its separator sheets say; a proposal until ``accepted_at``.

    ``first_page`` and ``last_page`` are numbers of the scan's pages, from 0, both included.
    """

    __tablename__ = "documents"
    __table_args__ = (
        Index(
            "ix_documents_reference",
            "reference",
            sqlite_where=text(HAS_REFERENCE),
            postgresql_where=text(HAS_REFERENCE),
        ),
    )

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    first_page: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    last_page: Mapped[int]
    template: Mapped[str | None]
    reference: Mapped[str | None]
    accepted_by: Mapped[str | None]
    accepted_at: Mapped[datetime | None]


class PlacedCornersRow(Base):
    """What one person placed on one page of a scan, as ``worker.store.corners`` has it; the latest of a page counts."""

    __tablename__ = "placed_corners"
    __table_args__ = (Index("ix_placed_corners_job_id", "job_id"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(Id, primary_key=True, autoincrement=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    page: Mapped[int]
    template: Mapped[str | None]
    box_mm: Mapped[list[Any] | None]
    corners_px: Mapped[list[Any] | None]
    who: Mapped[str]
    created_at: Mapped[datetime]


class PurgeRow(Base):
    """What one purge deleted, counted in the transactions that deleted it."""

    __tablename__ = "purges"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(Id, primary_key=True, autoincrement=True)
    started_at: Mapped[datetime]
    older_than: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    jobs: Mapped[int] = mapped_column(BigInteger, default=0)
    scans: Mapped[int] = mapped_column(BigInteger, default=0)
    pages: Mapped[int] = mapped_column(BigInteger, default=0)
    fields_accepted: Mapped[int] = mapped_column(BigInteger, default=0)
    fields_review: Mapped[int] = mapped_column(BigInteger, default=0)
    fields_blank: Mapped[int] = mapped_column(BigInteger, default=0)
    digits: Mapped[int] = mapped_column(BigInteger, default=0)
    reviews: Mapped[int] = mapped_column(BigInteger, default=0)
