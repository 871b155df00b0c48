"""Every query of docs/reference/results.md runs, and answers, on SQLite and PostgreSQL."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import Engine

from tests.support.data import PROJECT
from tests.support.readings import CHECK, PAGE, claim, make_field, make_page, read, register
from worker.store import jobs
from worker.store.letters import MAIL, keep_letter
from worker.store.purge import purge_older_than
from worker.store.results import list_review_queue
from worker.store.reviews import correct_field
from worker.values import FieldStatus, PageReading, Separator

TEXT = (PROJECT / "docs" / "reference" / "results.md").read_text(encoding="utf-8")
QUERIES = re.findall(r"```sql\n(.*?)\n```", TEXT, re.DOTALL)


@pytest.fixture
def filled(engine: Engine) -> Engine:
    """Return a database with at least one row for every question of the page."""
    for _ in range(18):
        read(engine, PAGE, reference="order 7")
    read(engine, CHECK)
    read(engine, make_page(0, make_field("late", "12", FieldStatus.ACCEPTED, 0.7)))
    read(engine, PageReading(0, 10, 20, problem="does not register"))
    read(engine, PAGE, sha256="ab" * 32)
    register(engine, sha256="ab" * 32)
    said = replace(PAGE, separator=Separator(reference="Ward 7", is_sheet=False))
    batch = claim(engine, register(engine, reference="mail:a@b", source=MAIL))
    assert batch is not None and jobs.store_readings(engine, batch, batch.scan, [said], trusts_sheets=True)
    keep_letter(engine, "mail:a@b", sender="ward@example.org", subject="readings of Monday")
    failing = claim(engine, register(engine))
    assert failing is not None
    jobs.fail_job(engine, failing, kind="unreadable_scan", reason="truncated JPEG")
    (first,) = list_review_queue(engine, limit=1)
    correct_field(engine, first.field_id, "39", who="anna")
    purge_older_than(engine, timedelta(days=90), remove_scan=lambda _: None)
    return engine


def test_every_query_answers(filled: Engine) -> None:
    assert len(QUERIES) >= 15
    for query in QUERIES:
        with filled.connect() as connection:
            rows = connection.exec_driver_sql(query.replace("%", "%%")).all()
        assert rows or "(0.61, 1234, 2)" in query, query


def test_every_table_and_view_is_told_of(engine: Engine) -> None:
    from sqlalchemy import inspect

    inspector = inspect(engine)
    for name in {*inspector.get_table_names(), *inspector.get_view_names()} - {"alembic_version"}:
        assert f"`{name}`" in TEXT, name


def test_every_command_is_told_of() -> None:
    from worker.cli import COMMANDS

    ours = [name for name, place in COMMANDS.items() if place.startswith("worker.commands.results")]
    for name in ours:
        assert f"`icr {name}" in TEXT, name
