"""The database at scale: a million fields, eight million digits, on SQLite and PostgreSQL.

``nice -n 10 python -m tests.benchmarks.speed.bench_store --fields 1000000`` fills a database with synthetic
readings in bulk, then measures, each with its plan: a page of ``low_confidence_digits``, a page of the review
queue, and the status, at the 95th percentile; and how fast a worker stores scans, against an empty database.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sqlalchemy import Engine

from tests.benchmarks.speed.filled_store import DIGITS_A_FIELD, FIELDS_A_PAGE, fill, queue_jobs
from tests.support.readings import claim, make_field, make_page, register
from tests.support.servers import PostgresqlServer, find_postgresql
from worker.store import jobs, results
from worker.store.engine import make_engine, upgrade_database
from worker.store.summary import count_page_review_queue, count_review_queue, queue_summary
from worker.values import FieldStatus

QUERIES = 200
STORED_SCANS = 40
PAGE_ROWS = 50

QUEUE_PAGE = "SELECT * FROM review_queue WHERE field_id > {after} ORDER BY field_id LIMIT 50"
LOW_PAGE = (
    "SELECT * FROM low_confidence_digits WHERE confidence < 0.95 AND "
    "(confidence, field_id, position) > ({after}, 0, 0) "
    "ORDER BY confidence, field_id, position LIMIT 50"
)
STATES = (
    "SELECT state, count(*) FROM jobs WHERE state IN ('queued','running','failed','dead','duplicate') "
    "GROUP BY state UNION ALL SELECT 'all', count(*) FROM jobs"
)


class Timing(NamedTuple):
    """Milliseconds of the fastest, the middle and the slowest but 5% of many calls."""

    best: float
    median: float
    p95: float


def measure_ms(act: Callable[[], Any], times: int = QUERIES) -> Timing:
    """Return how long a call takes, in milliseconds; the best tells what an idle machine would need."""
    took = []
    for _ in range(times):
        started = time.perf_counter()
        act()
        took.append(1000 * (time.perf_counter() - started))
    return Timing(min(took), statistics.median(took), statistics.quantiles(took, n=20)[18])


def measure_queries(engine: Engine, fields: int, dice: random.Random) -> dict[str, Timing]:
    """Measure first pages and pages from anywhere in the list, as a person leafing through asks for."""

    def low(after: float) -> None:
        results.list_low_confidence(engine, below=0.95, limit=PAGE_ROWS, after=(after, 0, 0))

    return {
        "low_confidence_digits, first page": measure_ms(lambda: low(0)),
        "low_confidence_digits, any page": measure_ms(lambda: low(dice.uniform(0.3, 0.95))),
        "review queue, first page": measure_ms(lambda: results.list_review_queue(engine, limit=PAGE_ROWS)),
        "review queue, any page": measure_ms(
            lambda: results.list_review_queue(engine, limit=PAGE_ROWS, after=dice.randrange(fields))
        ),
        "status": measure_ms(lambda: queue_summary(engine)),
        "status and what awaits review": measure_ms(
            lambda: (
                queue_summary(engine),
                count_review_queue(engine),
                count_page_review_queue(engine),
            )
        ),
    }


@contextlib.contextmanager
def ahead_of_others(engine: Engine) -> Iterator[None]:
    """Run this process, and the server's one that answers it, at real-time priority: a busy machine looks idle."""
    pids = [0]
    if engine.dialect.name == "postgresql":
        with engine.connect() as connection:
            pids.append(connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one())
    for pid in pids:
        os.sched_setscheduler(pid, os.SCHED_RR, os.sched_param(1))
    try:
        yield
    finally:
        for pid in pids:
            os.sched_setscheduler(pid, os.SCHED_OTHER, os.sched_param(0))


def store_rate(engine: Engine) -> float:
    """Return how many scans of 28 fields a worker registers, claims and stores a second."""
    page = make_page(0, *(make_field(f"f{i:02}", "12345678", FieldStatus.ACCEPTED) for i in range(FIELDS_A_PAGE)))
    started = time.perf_counter()
    for _ in range(STORED_SCANS):
        claimed = claim(engine, register(engine))
        assert claimed is not None
        assert jobs.store_readings(engine, claimed, claimed.scan, [page])
    return STORED_SCANS / (time.perf_counter() - started)


def show_plans(engine: Engine, fields: int) -> None:
    explain = "EXPLAIN (COSTS OFF)" if engine.dialect.name == "postgresql" else "EXPLAIN QUERY PLAN"
    for query in (LOW_PAGE.format(after=0.5), QUEUE_PAGE.format(after=fields // 2), STATES):
        with engine.connect() as connection:
            plan = connection.exec_driver_sql(f"{explain} {query}").all()
        print(f"    {query}")
        print("\n".join(f"        {row[-1]}" for row in plan))


@contextlib.contextmanager
def databases(kinds: list[str], folder: Path) -> Iterator[dict[str, Callable[[str], Engine]]]:
    """Yield, by kind, a function that makes an empty database of a name."""
    with contextlib.ExitStack() as stack:
        makers: dict[str, Callable[[str], Engine]] = {}
        if "sqlite" in kinds:
            makers["sqlite"] = lambda name: make_engine(f"sqlite:///{folder / name}.db")
        binaries = find_postgresql()
        if "postgresql" in kinds and binaries is not None:
            server = PostgresqlServer(binaries)
            stack.callback(server.remove)
            server.start()

            def make(name: str) -> Engine:
                server.execute(f"CREATE DATABASE {name}")
                return make_engine(server.url(name))

            makers["postgresql"] = make
        yield makers


def measure_kind(kind: str, make: Callable[[str], Engine], options: argparse.Namespace) -> None:
    """Fill one kind of database, measure it and print the figures and the plans."""
    empty, full = make("unfilled"), make("filled")
    upgrade_database(empty)
    upgrade_database(full)
    started = time.perf_counter()
    fill(full, options.fields // FIELDS_A_PAGE, np.random.default_rng(options.seed))
    queue_jobs(full, options.backlog)
    took_s = time.perf_counter() - started
    digits = options.fields * DIGITS_A_FIELD
    print(
        f"{kind}: {options.fields} fields, {digits} digits, {options.backlog} jobs waiting, "
        f"filled in {took_s:.0f} s; load {os.getloadavg()[0]:.1f}",
        flush=True,
    )
    with ahead_of_others(full) if options.real_time else contextlib.nullcontext():
        measured = measure_queries(full, options.fields, random.Random(options.seed))
    for name, each in measured.items():
        print(f"    {name:36}{each.best:8.2f} ms best{each.median:8.2f} median{each.p95:8.2f} p95", flush=True)
    rates = [store_rate(engine) for _ in range(3) for engine in (empty, full)]
    start, end = statistics.median(rates[::2]), statistics.median(rates[1::2])
    print(f"    a worker stores {start:.1f} scans/s when empty, {end:.1f} when full: {end / start:.2f}")
    show_plans(full, options.fields)
    empty.dispose()
    full.dispose()


def main() -> None:
    """Measure the kinds of database that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fields", type=int, default=100_000)
    parser.add_argument("--kinds", nargs="+", default=["sqlite", "postgresql"])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--real-time", action="store_true", help="measure the queries ahead of all other programs")
    parser.add_argument("--backlog", type=int, default=0, help="jobs that wait in the queue besides")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="icr-bench-") as name,
        databases(options.kinds, Path(name)) as makers,
    ):
        for kind, make in makers.items():
            measure_kind(kind, make, options)


if __name__ == "__main__":
    main()
