"""Readings made by hand, for tests of what becomes of them."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import replace
from typing import Any

import numpy as np
from sqlalchemy import Engine

from schemas.form_template import FieldGrammar
from worker.doubts import Doubt, DoubtKind, describe_doubt
from worker.store.engine import writing
from worker.store.jobs import claim_job, store_readings
from worker.store.records import ClaimedJob
from worker.store.registering import register_job
from worker.values import Alternative, Box, DigitReading, FieldReading, FieldStatus, Money, PageReading


def make_digit(position: int, digit: int, confidence: float) -> DigitReading:
    probabilities = np.full(10, (1 - confidence) / 9, dtype=np.float32)
    probabilities[digit] = confidence
    return DigitReading(position, probabilities, 0.01, Box(10.4 + 20 * position, 30, 18, 28))


def make_field(name: str, text: str, status: FieldStatus, confidence: float = 0.999) -> FieldReading:
    """Return a field whose first digit is as doubtful as the field, and whose others are certain."""
    digits = [make_digit(i, int(d), confidence if i == 0 else 0.9999) for i, d in enumerate(text)]
    doubted = status == FieldStatus.REVIEW
    return FieldReading(
        name,
        text,
        confidence,
        status,
        Box(10, 30, 20 * max(len(text), 1), 28),
        tuple(digits),
        doubts=(Doubt(DoubtKind.LOW_CONFIDENCE, found=confidence, needed=0.98),) if doubted else (),
        alternatives=(Alternative("999", 0.1),) if doubted else (),
        accept_threshold=0.98,
    )


def reasons_of(field: FieldReading) -> tuple[str, ...]:
    """Return a field's doubts in words."""
    return tuple(map(describe_doubt, field.doubts))


def make_page(number: int = 0, *fields: FieldReading) -> PageReading:
    return PageReading(
        page=number,
        width_px=2480,
        height_px=3508,
        fields=fields,
        template="sample-form",
        template_version="abc123",
        registration=0.97,
        model_versions={"digits": "1.0"},
    )


PAGE = make_page(
    0,
    make_field("sum", "701", FieldStatus.ACCEPTED),
    make_field("count", "38", FieldStatus.REVIEW, 0.7),
    make_field("rest", "", FieldStatus.BLANK),
)
"""One page: a field that is accepted, one that awaits review, one that is blank."""

CHECK = make_page(
    0,
    replace(
        make_field("amount", "12345", FieldStatus.ACCEPTED),
        value=Money(12345, "USD"),
        written="123.45",
        grammar=FieldGrammar(kind="amount", currency="USD"),
        validation_sources=("reader", "grammar US"),
    ),
    replace(
        make_field("date", "11212026", FieldStatus.REVIEW, 0.7),
        value=dt.date(2026, 11, 21),
        written="11/21/2026",
        grammar=FieldGrammar(kind="date", order="MDY"),
    ),
    make_field("number", "104", FieldStatus.ACCEPTED),
)
"""One page whose first two fields have a meaning beside their digits."""


def register(engine: Engine, *, job_id: str | None = None, sha256: str | None = None, **changes: Any) -> str:
    """Register a job of new bytes, unless the test says otherwise, and return its id."""
    job_id = job_id or str(uuid.uuid4())
    values: dict[str, Any] = {
        "uri": f"/scans/{job_id}.png",
        "size": 1000,
        "template": None,
        "reference": None,
        "priority": 5,
        "source": "test",
        "duplicates": "skip",
    }
    register_job(engine, job_id=job_id, sha256=sha256 or uuid.uuid4().hex * 2, **{**values, **changes})
    return job_id


def claim(
    engine: Engine, job_id: str, worker: str = "w1", *, lease_s: float = 60, max_deliveries: int = 3
) -> ClaimedJob | None:
    with writing(engine) as connection:
        return claim_job(connection, job_id, worker=worker, lease_s=lease_s, max_deliveries=max_deliveries)


def read(engine: Engine, *pages: PageReading, **changes: Any) -> str:
    """Take a job all the way to its rows and return its id."""
    job_id = register(engine, **changes)
    claimed = claim(engine, job_id)
    assert claimed is not None
    assert store_readings(engine, claimed, claimed.scan, pages or (PAGE,))
    return job_id
