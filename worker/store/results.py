"""What has been read, page by page: results, exports, low-confidence digits and the review queue.

Everything comes in batches by keyset ("after this key"), each in a short read of its own. So millions of rows are
never held in memory, and a long export never blocks SQLite's checkpoints or PostgreSQL's vacuum.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Row,
    Select,
    Table,
    and_,
    exists,
    func,
    or_,
    select,
    tuple_,
    union,
)
from sqlalchemy.orm import aliased

from schemas.reading import AlternativeOut, DigitOut, DoubtOut, MoneyOut, StoredField, StoredPage
from worker.store.engine import reading
from worker.store.page_documents import holds_reference, jobs_with_document, reference_of_page
from worker.store.tables import DigitRow, DoubtRow, FieldRow, JobRow, PageRow
from worker.store.views import low_confidence_digits, page_review_queue, review_queue

BATCH = 500
FIRST_BATCH = 8
"""Pages in the first batch, twice as many in each next one: who wants the first lines only waits for few."""
AnyRow = Row[*tuple[Any, ...]]
_Doubts = dict[tuple[int, int | None], list[DoubtOut]]


@dataclass(frozen=True, slots=True)
class Selection:
    """Which pages are selected; None means any. A duplicate stands for the job whose bytes it repeats."""

    job: str | None = None
    reference: str | None = None
    template: str | None = None


def iter_pages(engine: Engine, selection: Selection, *, with_digits: bool = False) -> Iterator[StoredPage]:
    """Yield the pages in the order they were read, with their fields; those that could not be read, too."""
    last, count = 0, FIRST_BATCH
    while True:
        with reading(engine) as connection:
            query = _page_query(selection).where(PageRow.id > last).order_by(PageRow.id).limit(count)
            rows = connection.execute(query).all()
            page_ids = [row.id for row in rows]
            doubts = _doubts_of(connection, page_ids)
            fields = _fields_of(connection, page_ids, doubts, with_digits=with_digits)
            asked = _asked_jobs(connection, selection, {row.job_id for row in rows})
        for row in rows:
            said = doubts.get((row.id, None), [])
            yield _stored_page(row, fields.get(row.id, []), said, asked.get(row.job_id))
        if len(rows) < count:
            return
        last, count = rows[-1].id, min(2 * count, BATCH)


def iter_jobs_without_result(engine: Engine, selection: Selection) -> Iterator[AnyRow]:
    """Yield the selected jobs that have no pages: failed, dead or not read yet; none unless jobs are asked for.

    The state and the reason of a duplicate are those of the job whose bytes it repeats.
    """
    if selection.job is None and selection.reference is None:
        return
    read = aliased(JobRow)
    columns = (JobRow.id, JobRow.reference, JobRow.uri, JobRow.template, read.state, read.error_reason)
    query = select(*columns, JobRow.created_at).join(read, read.id == _READ_UNDER)
    without_pages = ~exists().where(PageRow.job_id == read.id)
    query = query.where(without_pages, *_of_job(selection)).order_by(JobRow.created_at, JobRow.id)
    if selection.template is not None:
        query = query.where(JobRow.template == selection.template)
    last: tuple[Any, ...] = ()
    while True:
        with reading(engine) as connection:
            after = [tuple_(JobRow.created_at, JobRow.id) > tuple_(*last)] if last else []
            rows = connection.execute(query.where(*after).limit(BATCH)).all()
        yield from rows
        if len(rows) < BATCH:
            return
        last = rows[-1].created_at, rows[-1].id


def list_low_confidence(
    engine: Engine, *, below: float, limit: int, after: tuple[float, int, int] | None = None
) -> Sequence[AnyRow]:
    """Return one page of the digits with a confidence less than ``below``, the most doubtful first.

    ``after`` is the (confidence, field_id, position) of the last row of the page before. The view ends at
    ``LOW_CONFIDENCE``.
    """
    view = low_confidence_digits.c
    key = (view.confidence, view.field_id, view.position)
    query = _with_reference(low_confidence_digits).where(view.confidence < below).order_by(*key).limit(limit)
    if after is not None:
        query = query.where(tuple_(*key) > tuple_(*after))
    with reading(engine) as connection:
        return connection.execute(query).all()


def iter_low_confidence(engine: Engine, *, below: float) -> Iterator[AnyRow]:
    """Yield every digit with a confidence less than ``below``, the most doubtful first."""
    return _iter_batches(
        lambda after: list_low_confidence(engine, below=below, limit=BATCH, after=after),
        lambda row: (row.confidence, row.field_id, row.position),
    )


def list_review_queue(engine: Engine, *, limit: int, after: int = 0) -> Sequence[AnyRow]:
    """Return one page of the fields that await review, the longest waiting first, beyond the id ``after``."""
    view = review_queue.c
    query = _with_reference(review_queue).where(view.field_id > after).order_by(view.field_id).limit(limit)
    with reading(engine) as connection:
        return connection.execute(query).all()


def iter_review_queue(engine: Engine) -> Iterator[AnyRow]:
    """Yield every field that awaits review, the longest waiting first."""
    return _iter_batches(
        lambda after: list_review_queue(engine, limit=BATCH, after=after or 0), lambda row: row.field_id
    )


def list_page_review_queue(engine: Engine, *, limit: int, after: int = 0) -> Sequence[AnyRow]:
    """Return one page of the pages that await review, the longest waiting first, beyond the id ``after``."""
    view = page_review_queue.c
    query = _with_reference(page_review_queue).where(view.page_id > after).order_by(view.page_id).limit(limit)
    with reading(engine) as connection:
        return connection.execute(query).all()


def iter_page_review_queue(engine: Engine) -> Iterator[AnyRow]:
    """Yield every page that awaits review, the longest waiting first."""
    return _iter_batches(
        lambda after: list_page_review_queue(engine, limit=BATCH, after=after or 0), lambda row: row.page_id
    )


def _with_reference(view: Table) -> Select[*tuple[Any, ...]]:
    """Return the query of a view whose ``reference`` is that of the page's document, else that of its scan."""
    others = [column for column in view.c if column.name not in ("document", "reference")]
    return select(*others, func.coalesce(view.c.document, view.c.reference).label("reference"))


def _iter_batches(fetch: Callable[[Any], Sequence[AnyRow]], key: Callable[[AnyRow], Any]) -> Iterator[AnyRow]:
    after = None
    while True:
        rows = fetch(after)
        yield from rows
        if len(rows) < BATCH:
            return
        after = key(rows[-1])


def _page_query(selection: Selection) -> Select[*tuple[Any, ...]]:
    job_columns = (JobRow.uri, reference_of_page(), JobRow.finished_at)
    query = select(PageRow, *job_columns).join(JobRow, JobRow.id == PageRow.job_id)
    if selection.template is not None:
        query = query.where(PageRow.template == selection.template)
    if conditions := _of_job(selection):
        jobs = select(_READ_UNDER).where(*conditions)
        of_job: ColumnElement[bool] = PageRow.job_id.in_(jobs)
        if selection.reference is not None and selection.job is None:
            split = jobs_with_document(selection.reference)  # named first, so that an index finds the few pages
            query = query.where(PageRow.job_id.in_(union(jobs, split)))
            of_job = or_(of_job, holds_reference(selection.reference))
        query = query.where(of_job)
    return query


_READ_UNDER = func.coalesce(JobRow.duplicate_of, JobRow.id)
"""The job whose pages hold what was read from a job's bytes."""


def _of_job(selection: Selection) -> list[ColumnElement[bool]]:
    wanted: list[ColumnElement[bool]] = []
    if selection.job is not None:
        # A refused message whose id was none is kept under an id of ours, with what stood there as its reference.
        refused = and_(JobRow.error_kind == "invalid_job", JobRow.reference == selection.job)
        wanted.append(or_(JobRow.id == selection.job, refused))
    if selection.reference is not None:
        wanted.append(JobRow.reference == selection.reference)
    return wanted


def _asked_jobs(connection: Connection, selection: Selection, read_ids: set[str]) -> dict[str, AnyRow]:
    """Return the job that was asked for, by the job that was read in its place; the latter itself where it fits, too.

    So that a duplicate's results bear its own id and reference, and no page appears twice.
    """
    conditions = _of_job(selection)
    if not conditions or not read_ids:
        return {}
    query = select(JobRow.id, JobRow.reference, JobRow.uri, _READ_UNDER.label("read_under"))
    query = query.where(_READ_UNDER.in_(read_ids), *conditions).order_by(JobRow.created_at.desc())
    rows = connection.execute(query).all()
    originals = {row.id: row for row in rows if row.id == row.read_under}
    return {row.read_under: row for row in rows} | originals


def _fields_of(
    connection: Connection, page_ids: list[int], doubts: _Doubts, *, with_digits: bool
) -> dict[int, list[StoredField]]:
    query = select(FieldRow).where(FieldRow.page_id.in_(page_ids)).order_by(FieldRow.page_id, FieldRow.position)
    rows = connection.execute(query).all()
    digits = _digits_of(connection, page_ids) if with_digits else {}
    found: dict[int, list[StoredField]] = {}
    for row in rows:
        field = _stored_field(row, digits.get(row.id, []), doubts.get((row.page_id, row.id), []))
        found.setdefault(row.page_id, []).append(field)
    return found


def _doubts_of(connection: Connection, page_ids: list[int]) -> _Doubts:
    """Return doubts by page and field; those of a page itself have no field."""
    query = select(DoubtRow).where(DoubtRow.page_id.in_(page_ids)).order_by(DoubtRow.page_id, DoubtRow.position)
    found: _Doubts = {}
    for row in connection.execute(query):
        found.setdefault((row.page_id, row.field_id), []).append(DoubtOut(kind=row.kind, words=row.words))
    return found


def _digits_of(connection: Connection, page_ids: list[int]) -> dict[int, list[DigitOut]]:
    query = select(DigitRow).join(FieldRow, FieldRow.id == DigitRow.field_id)
    ordered = query.where(FieldRow.page_id.in_(page_ids)).order_by(DigitRow.field_id, DigitRow.position)
    found: dict[int, list[DigitOut]] = {}
    for row in connection.execute(ordered):
        digit = DigitOut(digit=row.digit, confidence=round(row.confidence, 5), box=box_of(row))
        found.setdefault(row.field_id, []).append(digit)
    return found


def _stored_page(row: AnyRow, fields: list[StoredField], doubts: list[DoubtOut], asked: AnyRow | None) -> StoredPage:
    job_id = row.job_id if asked is None else asked.id
    return StoredPage(
        job=job_id,
        duplicate_of=None if job_id == row.job_id else row.job_id,
        reference=row.reference if asked is None else asked.reference,
        read_at=row.finished_at,
        source=row.uri if asked is None else asked.uri,
        page=row.number,
        template=row.template,
        template_version=row.template_version,
        model_versions=row.model_versions,
        registration=None if row.registration is None else round(row.registration, 4),
        error=row.problem,
        doubt=row.doubt,
        blank=not (row.problem or row.doubt or row.template or fields),
        doubts=doubts,
        page_id=row.id,
        settled_by=row.settled_by,
        fields=fields,
    )


def _stored_field(row: AnyRow, digits: list[DigitOut], doubts: list[DoubtOut]) -> StoredField:
    return StoredField(
        field_id=row.id,
        name=row.name,
        text=row.text,
        confidence=round(row.confidence, 5),
        status=row.status,
        reasons=row.reasons,
        doubts=doubts,
        box=box_of(row),
        digits=digits,
        alternatives=[
            AlternativeOut(text=each["text"], confidence=round(each["confidence"], 5)) for each in row.alternatives
        ],
        validation_sources=row.validation_sources,
        value=value_of(row.kind, row.value, row.currency),
        written=row.written,
        kind=row.kind,
        unit=row.unit,
        final_value=value_of(row.kind, _final_value(row), row.currency),
        final=row.final_text,
        origin=row.origin,
    )


def value_of(kind: str, value: str | None, currency: str | None) -> MoneyOut | int | str | None:
    """Return a value that the database keeps as text: money, an integer, or text of another kind."""
    if value is None:
        return None
    if currency is not None:
        return MoneyOut(minor_units=int(value), currency=currency)
    return int(value) if kind == "number" and "." not in value else value


def _final_value(row: AnyRow) -> str | None:
    """Return the value that holds: a person's, or the machine's while its text does."""
    if row.reviewed_value is not None:
        return str(row.reviewed_value)
    return row.value if row.final_text == row.text else None


def box_of(row: AnyRow) -> tuple[int, int, int, int]:
    """Return the box of a field's or a digit's row, in page pixels."""
    return row.box_x, row.box_y, row.box_w, row.box_h
