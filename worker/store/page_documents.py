"""The document that a page is of, as queries ask for it: one that somebody has agreed to.

``worker.store.documents`` proposes and accepts them.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Label, Select, and_, exists, func, select

from worker.store.scan_tables import DocumentRow
from worker.store.tables import JobRow, PageRow


def accepted_documents(job_id: str) -> Select[*tuple[Any, ...]]:
    """Return the query of the documents of a scan, in order."""
    query = select(DocumentRow).where(DocumentRow.job_id == job_id, DocumentRow.accepted_at.is_not(None))
    return query.order_by(DocumentRow.first_page)


def reference_of_page() -> Label[str | None]:
    """Return the reference of a page in a query of pages and jobs: its document's, else its job's."""
    of_page = select(DocumentRow.reference).where(_covers_page()).scalar_subquery()
    return func.coalesce(of_page, JobRow.reference).label("reference")


def jobs_with_document(reference: str) -> Select[str]:
    """Return the query of the jobs with an accepted document of this reference."""
    return select(DocumentRow.job_id).where(DocumentRow.reference == reference, DocumentRow.accepted_at.is_not(None))


def holds_reference(reference: str) -> ColumnElement[bool]:
    """Return the condition that a page is of an accepted document with this reference."""
    return exists().where(_covers_page(), DocumentRow.reference == reference)


def _covers_page() -> ColumnElement[bool]:
    return and_(
        DocumentRow.job_id == PageRow.job_id,
        DocumentRow.accepted_at.is_not(None),
        PageRow.number.between(DocumentRow.first_page, DocumentRow.last_page),
    )
