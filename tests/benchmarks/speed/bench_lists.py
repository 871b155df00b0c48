"""Every list, page and count of the API, the station and the commands with a million fields kept.

``nice -n 10 python -m tests.benchmarks.speed.bench_lists --fields 1000000`` fills a database as ``bench_store`` does,
and says of each what the middle call and the slowest but 5 % take. It names what takes longer than ``--most`` (20 ms),
and ends with 1 then. ``--database FILE`` keeps a SQLite database, or takes the one that is there.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Engine, select

from tests.benchmarks.speed.bench_store import PAGE_ROWS, Timing, ahead_of_others, databases, measure_ms
from tests.benchmarks.speed.filled_store import DAYS, FIELDS_A_PAGE, FORMS, PEOPLE, RARE_FORM, SOURCES, fill
from worker.store import (
    audits,
    awaiting,
    digit_groups,
    figures,
    overview,
    page_work,
    results,
    review_history,
    review_queue,
    summary,
    webhooks,
)
from worker.store.engine import make_engine, reading, upgrade_database
from worker.store.results import Selection
from worker.store.review_queue import Wanted
from worker.store.tables import JobRow

MOST_MS = 20.0
WORK_HOURS = 24 * 7.0
"""The fields of the last six days of the drawn database wait, so that the decisions of one day lie in the last week."""
FIRST_PAGES = 8
"""As many as fill the 200 lines of ``icr results``."""
KEYER = PEOPLE[0]

Calls = dict[str, Callable[[], Any]]


def list_calls(engine: Engine, fields: int, dice: random.Random) -> Calls:
    """Return what is asked for, by the place where it is shown; each call asks for another page of its list."""
    pages = fields // FIELDS_A_PAGE
    jobs = _some_jobs(engine, dice)
    anywhere = lambda: dice.randrange(fields)  # noqa: E731  # one expression, used everywhere below

    def some_page() -> int:
        return dice.randrange(1, pages)

    return {
        "GET /v1/fields": lambda: awaiting.latest_acts(
            engine, [r.field_id for r in results.list_review_queue(engine, limit=PAGE_ROWS, after=anywhere())]
        ),
        "GET /v1/pages": lambda: results.list_page_review_queue(engine, limit=PAGE_ROWS, after=some_page()),
        "GET /v1/digits": lambda: results.list_low_confidence(
            engine, below=0.95, limit=PAGE_ROWS, after=(dice.uniform(0, 0.95), 0, 0)
        ),
        "GET /v1/scans/{id}": lambda: awaiting.count_awaiting(engine, next(jobs).id),
        "GET /v1/scans/{id}/result": lambda: _first(engine, Selection(job=next(jobs).id), 1),
        "GET /v1/audits": lambda: audits.count_audits(engine),
        "GET /v1/webhooks": lambda: webhooks.list_endpoints(engine),
        "GET /v1/webhooks/messages, due": lambda: webhooks.list_messages(engine, dead=False, limit=PAGE_ROWS),
        "GET /v1/webhooks/messages, dead": lambda: webhooks.list_messages(engine, dead=True, limit=PAGE_ROWS),
        "station: fields with their digits": lambda: review_queue.load_fields(
            engine, {r.field_id: None for r in results.list_review_queue(engine, limit=8, after=anywhere())}
        ),
        **{
            f"station: fields taken, {name}": lambda wanted=wanted: _take(engine, wanted, dice)
            for name, wanted in _wanted().items()
        },
        **{
            f"station: fields counted, {name}": lambda wanted=wanted: review_queue.count_waiting(engine, wanted)
            for name, wanted in _wanted().items()
        },
        "station: latest acts": lambda: review_history.list_recent(engine, dice.choice(PEOPLE)),
        "pages: with waiting fields": lambda: page_work.list_waiting_pages(engine, limit=PAGE_ROWS, after=some_page()),
        "pages: failed scans": lambda: page_work.list_failed_scans(engine, limit=PAGE_ROWS),
        "pages: failed scans, any": lambda: page_work.list_failed_scans(
            engine, limit=PAGE_ROWS, before=next(jobs).finished_at
        ),
        "pages: one page": lambda: page_work.load_page(engine, some_page()),
        "pages: the next": lambda: page_work.next_waiting_page(engine, some_page()),
        "groups: digits counted": lambda: digit_groups.count_doubtful(engine),
        "groups: a screen": lambda: digit_groups.take_group(engine, dice.randrange(10), who=KEYER, size=40),
        "overview: waiting": lambda: overview.list_waiting(engine),
        "overview: work": lambda: overview.list_work(engine, WORK_HOURS),
        "overview: key errors": lambda: overview.count_key_errors(engine),
        "overview: misses": lambda: digit_groups.count_misses(engine),
        "overview: latest fields": lambda: figures.count_latest_fields(engine),
        "status: jobs": lambda: summary.queue_summary(engine),
        "status: fields and pages that wait": lambda: (
            summary.count_review_queue(engine),
            summary.count_page_review_queue(engine),
        ),
        "metrics: messages": lambda: webhooks.count_messages(engine),
        "results: first lines": lambda: _first(engine, Selection(), FIRST_PAGES),
        "results: of a form": lambda: _first(engine, Selection(template=dice.choice(FORMS)), FIRST_PAGES),
        "results: of a rare form": lambda: _first(engine, Selection(template=RARE_FORM), FIRST_PAGES),
        "results: of no form": lambda: _first(engine, Selection(template="never-seen"), FIRST_PAGES),
        "results: of a reference": lambda: _first(engine, Selection(reference=next(jobs).reference or ""), 1),
    }


def measure_lists(engine: Engine, fields: int, *, times: int, seed: int, most: float) -> dict[str, Timing]:
    """Return what each takes; a call that takes a second is not repeated two hundred times."""
    found = {}
    for name, call in list_calls(engine, fields, random.Random(seed)).items():
        began = time.perf_counter()
        call()
        lasted_s = time.perf_counter() - began
        found[name] = each = measure_ms(call, max(5, min(times, int(4 / max(lasted_s, 1e-4)))))
        late = "" if each.p95 <= most else "  late"
        print(f"    {name:48}{each.best:9.2f}{each.median:9.2f}{each.p95:9.2f}{late}", flush=True)
    return found


def _wanted() -> dict[str, Wanted]:
    return {
        "oldest": Wanted(),
        "newest": Wanted(order="newest"),
        "by amount": Wanted(order="amount"),
        "of a form": Wanted(template=FORMS[1]),
        "of a rare form": Wanted(template=RARE_FORM),
        "of a form and a source": Wanted(template=FORMS[2], source=SOURCES[1]),
        "of a supervisor": Wanted(level="supervisor"),
    }


def _take(engine: Engine, wanted: Wanted, dice: random.Random) -> None:
    """Take fields for a second, so that the queue does not run out."""
    station = f"bench-{dice.randrange(1000):04}"
    review_queue.take_fields(engine, wanted, who=KEYER, station=station, count=8, lease_s=1)


def _first(engine: Engine, selection: Selection, lines: int) -> list[Any]:
    return list(itertools.islice(results.iter_pages(engine, selection), lines))


def _some_jobs(engine: Engine, dice: random.Random) -> Iterator[Any]:
    with reading(engine) as connection:
        query = select(JobRow.id, JobRow.reference, JobRow.finished_at).limit(2000)
        rows = list(connection.execute(query).all())
    dice.shuffle(rows)
    return itertools.cycle(rows)


def measure_kind(kind: str, engine: Engine, options: argparse.Namespace) -> list[str]:
    """Print the figures of one kind of database; return what takes too long."""
    print(f"{kind}: {options.fields} fields of {DAYS} days; milliseconds: best, median, 95 %", flush=True)
    with ahead_of_others(engine) if options.real_time else contextlib.nullcontext():
        measured = measure_lists(engine, options.fields, times=options.times, seed=options.seed, most=options.most)
    return [f"{kind}, {name}" for name, each in measured.items() if each.p95 > options.most]


def main() -> None:
    """Measure the kinds of database that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fields", type=int, default=1_000_000)
    parser.add_argument("--kinds", nargs="+", default=["sqlite", "postgresql"])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--times", type=int, default=100)
    parser.add_argument("--most", type=float, default=MOST_MS)
    parser.add_argument("--real-time", action="store_true", help="measure ahead of all other programs")
    parser.add_argument("--database", type=Path, help="a SQLite database to be kept, or one that was")
    options = parser.parse_args()
    late: list[str] = []
    if options.database:
        engine = make_engine(f"sqlite:///{options.database}")
        if not options.database.exists():
            upgrade_database(engine)
            fill(engine, options.fields // FIELDS_A_PAGE, np.random.default_rng(options.seed))
        upgrade_database(engine)
        late += measure_kind("sqlite", engine, options)
        sys.exit(len(late) > 0)
    with (
        tempfile.TemporaryDirectory(prefix="icr-bench-") as name,
        databases(options.kinds, Path(name)) as makers,
    ):
        for kind, make in makers.items():
            engine = make("filled")
            upgrade_database(engine)
            fill(engine, options.fields // FIELDS_A_PAGE, np.random.default_rng(options.seed))
            late += measure_kind(kind, engine, options)
            engine.dispose()
    sys.exit(len(late) > 0)


if __name__ == "__main__":
    main()
