"""A database filled with synthetic readings in bulk, as that of a site is after a month."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import Connection, Engine, insert, text

from worker.store.engine import database_now, writing
from worker.store.review_tables import DigitCheckRow, ReviewTaskRow
from worker.store.service_tables import AuditRow, WebhookEndpointRow, WebhookMessageRow
from worker.store.tables import (
    Base,
    DigitRow,
    DoubtRow,
    FieldRow,
    JobRow,
    JobState,
    ModelRow,
    PageRow,
    ReviewRow,
    ScanRow,
    TemplateRow,
)

FIELDS_A_PAGE = 28  # as on the NIST form
DIGITS_A_FIELD = 8
REVIEW_BELOW = 0.75
"""The confidence of a whole field: one in seven goes to review."""

SHARE_REVIEWED = 0.8
"""Of the fields that went to review; the oldest first, as people work."""

BLOCK = 500
"""Pages written a transaction while filling."""

_LEFT_OUT = (
    "validation_sources",
    "written",
    "unit",
    "grammar",
    "reviewed_value",
    "shown",
    "shown_text",
    "held",
    "undoes",
)
"""Columns of fields and reviews that have defaults or may be empty, and no index."""

FORMS = ("meter-card", "invoice", "order", "count-sheet")
RARE_FORM = "rare-form"
"""One page in a thousand is of it."""
SOURCES = ("inbox", "queue", "api")
PEOPLE = ("ann", "ben", "eva", "tom", "uli")
DAYS = 30
"""Over so many the scans came in."""


def fill(engine: Engine, pages: int, draw: np.random.Generator) -> None:
    """Write ``pages`` scans of one page each, with confidences as a calibrated reader would give."""
    with writing(engine) as connection:
        now = database_now(connection)
        for form in (*FORMS, RARE_FORM):
            connection.execute(insert(TemplateRow).values(name=form, version="abc123", first_used_at=now))
        told = {"id": 1, "url": "https://example.com/", "secret": "", "events": [], "created_at": now}
        connection.execute(insert(WebhookEndpointRow).values(told))
        connection.execute(insert(ModelRow).values(name="digits", version="1.0", first_used_at=now))
    for first in range(0, pages, BLOCK):
        with writing(engine) as connection:
            write_block(connection, range(first, min(first + BLOCK, pages)), pages, draw)
    if engine.dialect.name == "postgresql":
        for table in ("pages", "fields", "reviews", "audits", "webhook_endpoints"):
            with writing(engine) as connection:
                connection.execute(text(f"SELECT setval('{table}_id_seq', (SELECT max(id) FROM {table}))"))
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM ANALYZE")  # as autovacuum would in its time


def write_block(connection: Connection, block: range, pages: int, draw: np.random.Generator) -> None:
    now = database_now(connection)
    apart = timedelta(days=DAYS) / pages
    scans = [(str(uuid.uuid4()), str(uuid.uuid4()), now - (pages - i) * apart) for i in block]
    jobs_of = [_job(scan, job, at, i) for i, (scan, job, at) in zip(block, scans, strict=True)]
    connection.execute(insert(ScanRow), [_scan(scan, at) for scan, _, at in scans])
    connection.execute(insert(JobRow), jobs_of)
    connection.execute(insert(PageRow), [_page(i + 1, job) for i, (_, job, _) in zip(block, scans, strict=True)])
    messages = (_message(job, at, i) for i, (_, job, at) in zip(block, scans, strict=True))
    write_rows(connection, WebhookMessageRow, messages)
    confidences = 1 - draw.beta(0.06, 4, (len(block) * FIELDS_A_PAGE, DIGITS_A_FIELD))  # 8% below 0.95
    ids = (np.arange(len(confidences)) + block[0] * FIELDS_A_PAGE + 1).tolist()
    fields = [
        _field(field_id, sure, SHARE_REVIEWED * pages)
        for field_id, sure in zip(ids, confidences.prod(axis=1).tolist(), strict=True)
    ]
    write_rows(connection, FieldRow, fields)
    digits = (
        _digit(field[0], k, c, is_closed=field[_ORIGIN] == "reviewer")
        for field, row in zip(fields, confidences.tolist(), strict=True)
        for k, c in enumerate(row)
    )
    write_rows(connection, DigitRow, digits)
    came = [at for _, _, at in scans for _ in range(FIELDS_A_PAGE)]
    _write_acts(connection, list(zip(fields, came, strict=True)), now)


def _write_acts(connection: Connection, fields: list[tuple[tuple[Any, ...], datetime]], now: datetime) -> None:
    """Write what people did with fields, and what waits for them, each field with the time of its scan."""
    by_people = [(field[0], at) for field, at in fields if field[_ORIGIN] == "reviewer"]
    write_rows(connection, ReviewRow, (_review(i, field_id, at) for i, (field_id, at) in enumerate(by_people)))
    checks = ((field_id, 0, "7", PEOPLE[0], now) for field_id, _ in by_people[::3])
    write_rows(connection, DigitCheckRow, checks)
    doubted = [field for field, _ in fields if field[_STATUS] == "review"]
    write_rows(connection, DoubtRow, ((field[1], field[2], field[0], "low_confidence", _DOUBT) for field in doubted))
    waiting = [field for field in doubted if field[_ORIGIN] is None]
    write_rows(connection, ReviewTaskRow, ((f[0], 1, "supervisor", *5 * (None,)) for f in waiting[::20]))
    drawn = [field[0] for field, _ in fields if field[_STATUS] == "accepted" and field[0] % 200 == 0]
    write_rows(connection, AuditRow, (_audit(field_id, now) for field_id in drawn))


def write_rows(connection: Connection, table: type[Base], rows: Iterable[tuple[Any, ...]]) -> None:
    """Write rows in the order of the table's columns, past SQLAlchemy, which is slow for millions."""
    cursor = connection.connection.cursor()
    names = [column.name for column in table.__table__.columns if column.name not in _LEFT_OUT]
    target = f"{table.__tablename__} ({', '.join(names)})"
    if connection.dialect.name == "sqlite":
        marks = ", ".join("?" * len(names))
        cursor.executemany(f"INSERT INTO {target} VALUES ({marks})", rows)
        return
    with cursor.copy(f"COPY {target} FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


def queue_jobs(engine: Engine, count: int) -> None:
    """Write jobs that wait, so that the status has a backlog to count."""
    for first in range(0, count, 10_000):
        with writing(engine) as connection:
            now = database_now(connection)
            ids = [str(uuid.uuid4()) for _ in range(first, min(first + 10_000, count))]
            connection.execute(insert(ScanRow), [_scan(each, now) for each in ids])
            waiting = {"state": JobState.QUEUED, "attempts": 0, "deliveries": 0, "finished_at": None}
            connection.execute(insert(JobRow), [_job(each, each, now) | waiting for each in ids])


def _scan(scan_id: str, at: Any) -> dict[str, Any]:
    return {"id": scan_id, "sha256": uuid.uuid4().hex * 2, "size_bytes": 1000, "created_at": at}


def _job(scan_id: str, job_id: str, at: Any, number: int = 0) -> dict[str, Any]:
    return {
        "id": job_id,
        "scan_id": scan_id,
        "uri": f"file:///scans/{job_id}.png",
        "priority": 5,
        "source": SOURCES[number % 3],
        "reference": f"order-{number}" if number % 3 else None,
        "state": JobState.FAILED if number % 200 == 199 else JobState.DONE,
        "attempts": 1,
        "deliveries": 1,
        "created_at": at,
        "queued_at": at,
        "published_at": at,
        "started_at": at,
        "finished_at": at,
        "linked": False,
    }


def _form_of(page_id: int) -> str:
    return RARE_FORM if page_id % 1000 == 0 else FORMS[page_id % len(FORMS)]


def _page(page_id: int, job_id: str) -> dict[str, Any]:
    return {
        "id": page_id,
        "job_id": job_id,
        "number": 0,
        "width_px": 2480,
        "height_px": 3508,
        "template": _form_of(page_id),
        "template_version": "abc123",
        "registration": 0.97,
        "model_versions": {"digits": "1.0"},
        "doubt": _DOUBT if page_id % 50 == 0 else None,
    }


_DOUBT = "confidence below the threshold"


def _field(field_id: int, confidence: float, reviewed_before: float) -> tuple[Any, ...]:
    page, position = divmod(field_id - 1, FIELDS_A_PAGE)
    doubted, reviewed = confidence < REVIEW_BELOW, page < reviewed_before
    status, reasons = ("review", json.dumps([_DOUBT])) if doubted else ("accepted", "[]")
    final, origin = ("12345678", "reviewer" if doubted else "machine") if reviewed or not doubted else (None, None)
    is_amount = position % 4 == 0
    return (
        field_id,
        page + 1,
        position,
        f"f{position:02}",
        "12345678",
        confidence,
        status,
        reasons,
        "[]",
        100,
        100 + 100 * position,
        400,
        80,
        0.98,
        str(field_id * 7919 % 1_000_000) if is_amount else None,
        "EUR" if is_amount else None,
        "amount" if is_amount else "code",
        final,
        origin,
        _form_of(page + 1),
        SOURCES[page % 3],
        -float(field_id * 7919 % 1_000_000) if is_amount else 0.0,
    )


_STATUS, _ORIGIN = 6, 18
"""Where these stand in the row of ``_field``."""


def _digit(field_id: int, position: int, sure: float, *, is_closed: bool) -> tuple[Any, ...]:
    rest, box = (1 - sure) / 2, (100 + 50 * position, 100, 45, 70)
    return (field_id, position, (field_id + position) % 10, sure, 7, rest, 0, rest, 0.01, *box, is_closed)


def _audit(field_id: int, now: datetime) -> tuple[Any, ...]:
    """Return one that was drawn; one in five is answered."""
    number, is_answered = field_id // 200, field_id % 1000 == 0
    kind = SOURCES[number % 3], FORMS[number % 4]
    return (number, field_id, *kind, 0.005, now, now if is_answered else None, False if is_answered else None)


def _review(number: int, field_id: int, at: datetime) -> tuple[Any, ...]:
    """Return one decision of a person, an hour after the scan was read."""
    action = "confirm" if number % 3 else "key"
    who = PEOPLE[number % len(PEOPLE)]
    return (field_id, field_id, action, "12345678", "12345678", who, None, at + timedelta(hours=1), 5, 3.5)


def _message(job_id: str, at: datetime, number: int) -> tuple[Any, ...]:
    """Return what was sent of one job; one in two hundred is still due, and one in a hundred was given up."""
    due, dead = (at if number % 200 == 0 else None), (at if number % 100 == 1 else None)
    sent = None if due or dead else at
    return (f"msg_{job_id}", 1, "scan.read", "{}", at, 1, at, due, sent, dead, 200 if sent else 503, None)
