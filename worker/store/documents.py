"""Documents: pages of one scan that belong together, proposed by its separator sheets and accepted by a person.

Until a split is accepted it changes nothing: a page then has the reference of its document instead of its job's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, Row, delete, exists, func, insert, select

from worker.errors import InvalidReviewError, StaleReviewError
from worker.separators import LONGEST_REFERENCE, Document, split_documents
from worker.store.engine import database_now, reading, writing
from worker.store.outbox import announce_if_complete
from worker.store.page_documents import accepted_documents
from worker.store.scan_tables import DocumentRow
from worker.store.tables import JobRow, PageRow
from worker.values import PageReading

BY_SHEETS = "separator sheets"
"""Who accepted a split where sheets are trusted."""

AnyRow = Row[*tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Proposal:
    """How a scan would be split: its job, its pages (id and number) and its documents, which may be accepted."""

    job_id: str
    uri: str | None
    pages: Sequence[AnyRow]
    documents: Sequence[AnyRow]

    @property
    def is_accepted(self) -> bool:
        """Whether somebody has agreed."""
        return any(document.accepted_at for document in self.documents)

    def document_of(self, number: int) -> AnyRow | None:
        """Return the document that a page belongs to, by its number; None for a sheet."""
        return next((each for each in self.documents if each.first_page <= number <= each.last_page), None)


def propose_documents(
    connection: Connection, job_id: str, pages: Sequence[PageReading], *, trusted: bool, now: datetime
) -> None:
    """Write the documents that the sheets of a scan tell of, unless a person has already said how it is split."""
    by_person = (DocumentRow.accepted_by.is_not(None), DocumentRow.accepted_by != BY_SHEETS)
    if connection.execute(select(exists().where(DocumentRow.job_id == job_id, *by_person))).scalar_one():
        return
    accepted = {"accepted_by": BY_SHEETS, "accepted_at": now} if trusted else {}
    _replace(connection, job_id, split_documents(pages), accepted)


def list_proposals(engine: Engine, *, limit: int) -> Sequence[AnyRow]:
    """Return the jobs with a split that awaits a person, the longest waiting first: id, uri, when read, documents."""
    columns = (JobRow.id, JobRow.uri, JobRow.finished_at, func.count().label("documents"))
    query = select(*columns).join(DocumentRow, DocumentRow.job_id == JobRow.id)
    query = query.where(DocumentRow.accepted_at.is_(None)).group_by(JobRow.id, JobRow.uri, JobRow.finished_at)
    with reading(engine) as connection:
        return connection.execute(query.order_by(JobRow.finished_at, JobRow.id).limit(limit)).all()


def load_proposal(engine: Engine, job_id: str) -> Proposal | None:
    """Return how a scan would be split, or is; None where it has no separator sheet."""
    with reading(engine) as connection:
        return _load(connection, job_id)


def list_documents(engine: Engine, job_id: str) -> Sequence[AnyRow]:
    """Return the documents of a scan that is split, in order; none before somebody has agreed."""
    with reading(engine) as connection:
        return connection.execute(accepted_documents(job_id)).all()


def accept_split(engine: Engine, job_id: str, references: dict[int, str | None], *, who: str) -> None:
    """Split a scan as a person says: a document begins at each page of ``references``, by its number, with that one.

    Raises
    ------
    InvalidReviewError
        There is no such scan or page, the first page begins no document, or a reference is too long.
    StaleReviewError
        Somebody else has accepted a split meanwhile.
    """
    with writing(engine) as connection:
        connection.execute(select(JobRow.id).where(JobRow.id == job_id).with_for_update(key_share=True))
        proposal = _load(connection, job_id)
        if proposal is None:
            raise InvalidReviewError("this scan has no separator sheet")
        if proposal.is_accepted:
            raise StaleReviewError("somebody has split this scan already")
        documents = _cut(proposal, references)
        accepted = {"accepted_by": who, "accepted_at": database_now(connection)}
        _replace(connection, job_id, documents, accepted)
        announce_if_complete(connection, job_id)


def _cut(proposal: Proposal, references: dict[int, str | None]) -> list[Document]:
    numbers = [page.number for page in proposal.pages]
    of = {n: document for n in numbers if (document := proposal.document_of(n)) is not None}
    content = list(of)
    firsts = sorted(references)
    if not firsts or not set(firsts) <= set(content) or firsts[0] != content[0]:
        raise InvalidReviewError("a document begins at the first page, and each at a page of the scan")
    if any(len(reference or "") > LONGEST_REFERENCE for reference in references.values()):
        raise InvalidReviewError(f"a reference has at most {LONGEST_REFERENCE} characters")
    found = []
    for first, following in zip(firsts, [*firsts[1:], None], strict=True):
        own = [n for n in content if n >= first and (following is None or n < following)]
        found.append(Document(first, own[-1], of[first].template, references[first] or None))
    return found


def _load(connection: Connection, job_id: str) -> Proposal | None:
    of_job = select(DocumentRow).where(DocumentRow.job_id == job_id).order_by(DocumentRow.first_page)
    documents = connection.execute(of_job).all()
    if not documents:
        return None
    pages = select(PageRow.id, PageRow.number).where(PageRow.job_id == job_id).order_by(PageRow.number)
    uri = connection.execute(select(JobRow.uri).where(JobRow.id == job_id)).scalar_one()
    return Proposal(job_id, uri, connection.execute(pages).all(), documents)


def _replace(connection: Connection, job_id: str, documents: Sequence[Document], accepted: dict[str, Any]) -> None:
    connection.execute(delete(DocumentRow).where(DocumentRow.job_id == job_id))
    rows = [
        {
            "job_id": job_id,
            "first_page": each.first_page,
            "last_page": each.last_page,
            "template": each.template,
            "reference": each.reference,
            "accepted_by": None,
            "accepted_at": None,
            **accepted,
        }
        for each in documents
    ]
    if rows:
        connection.execute(insert(DocumentRow), rows)
