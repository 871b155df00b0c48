"""The lists and the status stay fast however many fields are kept: every query walks an index, and sorts nothing."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event

from tests.support.readings import CHECK, PAGE, read
from worker.store import (
    digit_groups,
    overview,
    page_work,
    results,
    review_history,
    review_queue,
    summary,
    webhooks,
)
from worker.store.results import Selection
from worker.store.review_queue import Wanted

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


OF_QUEUE: dict[str, tuple[Callable[[Engine], Any], str]] = {
    "what waits, counted": (lambda e: review_queue.count_waiting(e, Wanted()), "COVERING INDEX"),
    "of a form": (
        lambda e: review_queue.count_waiting(e, Wanted(template="a")),
        "COVERING INDEX ix_fields_waiting_of_f",
    ),
    "by form": (overview.list_waiting, "COVERING INDEX ix_fields_waiting_of_form"),
    "by page": (lambda e: page_work.list_waiting_pages(e, limit=9), "COVERING INDEX ix_fields_waiting_of_page"),
    "taken, of a form": (lambda e: _take(e, Wanted(template="a")), "ix_fields_waiting_of_form"),
    "taken, by amount": (lambda e: _take(e, Wanted(order="amount")), "ix_fields_waiting_by_rank"),
    "taken, escalated": (lambda e: _take(e, Wanted(level="supervisor")), "ix_review_tasks_escalated"),
    "digits to check": (digit_groups.count_doubtful, "COVERING INDEX ix_digits_to_check (digit=? AND confidence<?)"),
    "work": (lambda e: overview.list_work(e, 24), "ix_reviews_created_at"),
    "keys": (overview.count_key_errors, "ix_reviews_keys"),
    "taken back": (lambda e: review_history.list_recent(e, "anna"), "ix_reviews_undoes"),
    "results of a form": (
        lambda e: list(itertools.islice(results.iter_pages(e, Selection(template="a")), 1)),
        "ix_pages_template (template=?",
    ),
    "failed scans": (lambda e: page_work.list_failed_scans(e, limit=9), "ix_jobs_state_finished_at (state=?"),
    "dead messages": (lambda e: webhooks.list_messages(e, dead=True, limit=9), "ix_webhook_messages_dead"),
    "endpoints": (webhooks.list_endpoints, "ix_webhook_messages_due"),
}


def _take(engine: Engine, wanted: Wanted) -> Any:
    return review_queue.take_fields(engine, wanted, who="anna", station="station-1", count=2, lease_s=9)


@pytest.mark.parametrize("name", OF_QUEUE)
def test_what_is_asked_of_a_full_queue_looks_at_its_own_rows_only(name: str, engine: Engine) -> None:
    """SQLite goes by no size of a table, so that a small one tells the way through a large one."""
    if engine.dialect.name == "postgresql":
        pytest.skip("its plan goes by the size of the tables")
    ask, index = OF_QUEUE[name]
    read(engine, CHECK)
    with statements(engine) as sent:
        ask(engine)
    with engine.begin() as connection:
        plans = [line for statement, values in sent for line in plan(connection, statement, values)]
    assert any(index in line for line in plans), plans
    whole = [line for line in plans if line.startswith(("SCAN fields", "SCAN digits", "SCAN reviews", "SCAN jobs"))]
    assert not [line for line in whole if " USING " not in line], plans


def test_a_query_without_an_index_is_found(engine: Engine) -> None:
    read(engine, PAGE)
    with engine.begin() as connection:
        for query in ("SELECT * FROM fields WHERE text = '1'", "SELECT * FROM fields ORDER BY confidence"):
            assert any(is_costly(line) for line in plan(connection, query, ()))
