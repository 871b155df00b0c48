"""The readings of a scan as rows: pages, fields and digits, written within the caller's transaction."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, select
from sqlalchemy.dialects import postgresql, sqlite

from worker.doubts import Doubt, describe_doubt
from worker.grammar.meaning import spell_value
from worker.store.tables import Base, DigitRow, DoubtRow, FieldRow, JobRow, ModelRow, PageRow, ScanRow, TemplateRow
from worker.values import DigitReading, FieldReading, FieldStatus, Money, PageReading


def insert_readings(connection: Connection, job_id: str, pages: Sequence[PageReading], *, now: datetime) -> None:
    """Insert every row of the pages of a job; ids come back in order, so four statements write a scan."""
    _name_versions(connection, pages, now)
    page_ids = _insert_all(connection, PageRow, [_page_values(job_id, page) for page in pages])
    fields = [(page_id, i, f) for page_id, page in zip(page_ids, pages, strict=True) for i, f in enumerate(page.fields)]
    templates = {page_id: page.template for page_id, page in zip(page_ids, pages, strict=True)}
    source = connection.execute(select(JobRow.source).where(JobRow.id == job_id)).scalar_one()
    rows = [_field_values(*field) | _queue_values(field[2], templates[field[0]], source) for field in fields]
    field_ids = _insert_all(connection, FieldRow, rows)
    digits = [
        _digit_values(field_id, digit) | {"closed": field.status == FieldStatus.BLANK}
        for field_id, (_, _, field) in zip(field_ids, fields, strict=True)
        for digit in field.digits
    ]
    if digits:
        connection.execute(sa.insert(DigitRow), digits)
    doubts = _doubt_values(page_ids, pages, field_ids)
    if doubts:
        connection.execute(sa.insert(DoubtRow), doubts)


def add_doubt(connection: Connection, field: Any, doubt: Doubt) -> None:
    """Add a doubt that a person's word has raised to the row of a field, behind those of its page."""
    words = describe_doubt(doubt)
    connection.execute(sa.update(FieldRow).where(FieldRow.id == field.id).values(reasons=[*field.reasons, words]))
    last = select(sa.func.max(DoubtRow.position)).where(DoubtRow.page_id == field.page_id)
    position = connection.execute(last).scalar_one()
    told = {"page_id": field.page_id, "field_id": field.id, "kind": doubt.kind.value, "words": words}
    connection.execute(sa.insert(DoubtRow).values(**told, position=0 if position is None else position + 1))


def insert_scan(connection: Connection, *, sha256: str, size: int | None, now: datetime) -> str:
    """Return the id of the scan of these bytes, with its row locked; write the row first if the bytes are new."""
    values = {"id": str(uuid.uuid4()), "sha256": sha256, "size_bytes": size, "created_at": now}
    known = select(ScanRow.id).where(ScanRow.sha256 == sha256).with_for_update(key_share=True)
    while True:
        upsert(connection, ScanRow, values)
        scan_id = connection.execute(known).scalar_one_or_none()
        if scan_id is not None:  # otherwise a purge deleted the row between the two statements
            return scan_id


def upsert(connection: Connection, table: type[Base], values: dict[str, Any]) -> bool:
    """Insert a row unless its key exists already; return whether it was inserted."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(table).values(values).on_conflict_do_nothing()
    kept = statement.execution_options(preserve_rowcount=True)  # without it the count is -1 on PostgreSQL
    return connection.execute(kept).rowcount == 1


def _name_versions(connection: Connection, pages: Sequence[PageReading], now: datetime) -> None:
    models = {pair for page in pages for pair in page.model_versions.items()}
    templates = {(p.template, p.template_version) for p in pages if p.template and p.template_version}
    for table, used in ((ModelRow, models), (TemplateRow, templates)):
        for name, version in sorted(used):  # in one order everywhere: two workers never wait for each other
            known = select(table.name).where(table.name == name, table.version == version)
            if connection.execute(known).one_or_none() is None:
                upsert(connection, table, {"name": name, "version": version, "first_used_at": now})


def _insert_all(connection: Connection, table: type[PageRow | FieldRow], rows: list[dict[str, Any]]) -> list[int]:
    if not rows:
        return []
    statement = sa.insert(table).returning(table.id, sort_by_parameter_order=True)
    return list(connection.execute(statement, rows).scalars())


def _page_values(job_id: str, page: PageReading) -> dict[str, Any]:
    return {
        "job_id": job_id,
        "number": page.page,
        "width_px": page.width_px,
        "height_px": page.height_px,
        "template": page.template,
        "template_version": page.template_version,
        "registration": None if page.registration is None else float(page.registration),
        "model_versions": page.model_versions,
        "problem": page.problem,
        "doubt": "; ".join(map(describe_doubt, page.doubts)) or None,
    }


def _field_values(page_id: int, position: int, field: FieldReading) -> dict[str, Any]:
    awaits_review = field.status == FieldStatus.REVIEW
    return {
        "page_id": page_id,
        "position": position,
        "name": field.name,
        "text": field.text,
        "confidence": float(field.confidence),
        "status": field.status.value,
        "reasons": [describe_doubt(doubt) for doubt in field.doubts],
        "alternatives": [asdict(alternative) for alternative in field.alternatives],
        "accept_threshold": None if field.accept_threshold is None else float(field.accept_threshold),
        **_meaning(field),
        "validation_sources": list(field.validation_sources),
        "final_text": None if awaits_review else field.text,
        "origin": None if awaits_review else "machine",
        **_box_values(field.box_px.rounded()),
    }


def _queue_values(field: FieldReading, template: str | None, source: str) -> dict[str, Any]:
    """Return what the queue is counted and sorted by: an accepted field may wait later, where a rule is broken."""
    rank = -float(field.value.minor_units) if isinstance(field.value, Money) else 0.0
    return {"queue_template": template, "queue_source": source, "queue_rank": rank}


def _doubt_values(
    page_ids: Sequence[int], pages: Sequence[PageReading], field_ids: Sequence[int]
) -> list[dict[str, Any]]:
    """Return the doubts of pages and of their fields, counted on each page; ``field_ids`` run over all pages."""
    values: list[dict[str, Any]] = []
    next_ids = iter(field_ids)
    for page_id, page in zip(page_ids, pages, strict=True):
        doubts: list[tuple[int | None, Doubt]] = [(None, doubt) for doubt in page.doubts]
        for field in page.fields:
            field_id = next(next_ids)
            doubts += [(field_id, doubt) for doubt in field.doubts]
        values += [
            {
                "page_id": page_id,
                "position": i,
                "field_id": of_field,
                "kind": doubt.kind.value,
                "words": describe_doubt(doubt),
            }
            for i, (of_field, doubt) in enumerate(doubts)
        ]
    return values


def _meaning(field: FieldReading) -> dict[str, Any]:
    currency = field.value.currency if isinstance(field.value, Money) else field.grammar.currency
    return {
        "written": field.written,
        "kind": field.grammar.kind,
        "unit": field.grammar.unit or None,
        "grammar": field.grammar.model_dump(mode="json", exclude_defaults=True) or None,
        "value": None if field.value is None else spell_value(field.value),
        "currency": currency,
    }


def _digit_values(field_id: int, digit: DigitReading) -> dict[str, Any]:
    (first, p1), (second, p2), (third, p3) = digit.top(3)
    return {
        "field_id": field_id,
        "position": digit.position,
        "digit": first,
        "confidence": p1,
        "second_digit": second,
        "second_confidence": p2,
        "third_digit": third,
        "third_confidence": p3,
        "outlier": float(digit.outlier),
        **_box_values(digit.box_px.rounded()),
    }


def _box_values(box: tuple[int, int, int, int]) -> dict[str, int]:
    return {name: int(value) for name, value in zip(("box_x", "box_y", "box_w", "box_h"), box, strict=True)}
