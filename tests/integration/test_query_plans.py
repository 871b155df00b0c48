"""The lists and the status stay fast however many fields are kept: every query walks an index, and sorts nothing."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event

from tests.support.readings import CHECK, PAGE, read
from worker.store import results, summary
from worker.store.results import Selection

LISTS: dict[str, Callable[[Engine], Any]] = {
    "status": summary.queue_summary,
    "fields that await review, counted": summary.count_review_queue,
    "pages that await review, counted": summary.count_page_review_queue,
    "low confidence, first page": lambda engine: results.list_low_confidence(engine, limit=50, below=0.95),
    "low confidence, any page": lambda engine: results.list_low_confidence(
        engine, limit=50, below=0.95, after=(0.5, 7, 1)
    ),
    "review queue": lambda engine: results.list_review_queue(engine, limit=50, after=7),
    "pages of the review queue": lambda engine: results.list_page_review_queue(engine, limit=50, after=7),
}


@contextmanager
def statements(engine: Engine) -> Iterator[list[tuple[str, Any]]]:
    """Collect the queries that are sent, with their values."""
    sent: list[tuple[str, Any]] = []

    def keep(_connection: Connection, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.lstrip().upper().startswith(("SELECT", "WITH")) and "FROM" in statement:
            sent.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", keep)
    yield sent
    event.remove(engine, "before_cursor_execute", keep)


def plan(connection: Connection, statement: str, values: Any) -> list[str]:
    """Return the lines of a query's plan; PostgreSQL is kept from taking a small table for a short way."""
    if connection.dialect.name == "sqlite":
        return [row[-1] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)]
    for way in ("seqscan", "bitmapscan"):
        connection.exec_driver_sql(f"SET LOCAL enable_{way} = off")
    return [row[0] for row in connection.exec_driver_sql(f"EXPLAIN (COSTS OFF) {statement}", values)]


def is_costly(line: str) -> bool:
    whole = line.startswith("SCAN ") and " USING " not in line and "CONSTANT" not in line
    return whole or "TEMP B-TREE" in line or "Seq Scan" in line or line.lstrip(" ->").startswith("Sort")


@pytest.mark.parametrize("name", LISTS)
def test_no_list_looks_through_a_whole_table_or_sorts_it(name: str, engine: Engine) -> None:
    for content in (PAGE, CHECK):
        read(engine, content)
    with statements(engine) as sent:
        LISTS[name](engine)
    assert sent
    with engine.begin() as connection:
        for statement, values in sent:
            lines = plan(connection, statement, values)
            assert not [line for line in lines if is_costly(line)], (statement, lines)


def test_the_first_pages_of_all_results_are_found_without_the_rest(engine: Engine) -> None:
    read(engine, PAGE)
    if engine.dialect.name == "postgresql":
        pytest.skip("its plan goes by the size of the tables")
    with statements(engine) as sent:
        list(itertools.islice(results.iter_pages(engine, Selection()), 1))
    with engine.begin() as connection:
        for statement, values in sent:
            assert not [line for line in plan(connection, statement, values) if is_costly(line)], statement


def test_a_query_without_an_index_is_found(engine: Engine) -> None:
    read(engine, PAGE)
    with engine.begin() as connection:
        for query in ("SELECT * FROM fields WHERE text = '1'", "SELECT * FROM fields ORDER BY confidence"):
            assert any(is_costly(line) for line in plan(connection, query, ()))
