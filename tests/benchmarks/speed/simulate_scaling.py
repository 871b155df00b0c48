"""What saturates first as workers are added: the parts' cost a scan measured here, their queueing simulated.

``python -m tests.benchmarks.speed.simulate_scaling`` measures and simulates; ``--read-s 0.55 --database-ms 20`` and so
on put figures of another machine in their place.
"""

from __future__ import annotations

import argparse
import contextlib
import heapq
import os
import random
import sqlite3
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import redis
from sqlalchemy import Engine

from tests.benchmarks.speed.bench_store import databases
from tests.benchmarks.speed.filled_store import FIELDS_A_PAGE
from tests.support.readings import claim, make_field, make_page, register
from worker.store.engine import make_engine, upgrade_database
from worker.store.jobs import store_readings
from worker.system.private_redis import PrivateRedis
from worker.values import FieldStatus

MACHINES = (1, 10, 100)
DAY_S, HOUR_S = 86_400, 3600
WORKERS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
ROUNDS = 60
PAGE = make_page(0, *(make_field(f"f{i}", "12345", FieldStatus.ACCEPTED) for i in range(FIELDS_A_PAGE)))


@dataclass(frozen=True, slots=True)
class Costs:
    """Seconds that one scan takes of each part; the database serves as many at once as ``lanes`` says."""

    read_s: float
    database_s: float
    redis_s: float
    lanes: int


def simulate(costs: Costs, workers: int, scans: int, dice: random.Random) -> tuple[float, float, float]:
    """Return scans a second, and how busy the database and Redis are, of workers that never lack a scan.

    Each worker reads on a core of its own, then waits its turn at Redis and at the database; times are spread as a
    gamma distribution of shape 4 (a coefficient of variation of one half). The first tenth is left out.
    """

    def spread(mean_s: float) -> float:
        return dice.gammavariate(4, mean_s / 4)

    database, redis_free = [0.0] * costs.lanes, 0.0
    ends = [(spread(costs.read_s), each) for each in range(workers)]
    heapq.heapify(ends)
    busy = {"database": 0.0, "redis": 0.0}
    began, now = 0.0, 0.0
    for done in range(scans):
        ready, worker = heapq.heappop(ends)
        if done == scans // 10:
            began, busy = ready, dict.fromkeys(busy, 0.0)
        at_redis = spread(costs.redis_s)
        redis_free = max(redis_free, ready) + at_redis
        lane = heapq.heappop(database)
        at_database = spread(costs.database_s)
        now = max(lane, redis_free) + at_database
        heapq.heappush(database, now)
        heapq.heappush(ends, (now + spread(costs.read_s), worker))
        busy["database"] += at_database
        busy["redis"] += at_redis
    span = now - began
    return (scans - scans // 10) / span, busy["database"] / span / costs.lanes, busy["redis"] / span


def measure_database(kind: str) -> tuple[float, float]:
    """Return the seconds that a scan of 28 fields, registered, claimed and stored, takes of database and worker.

    SQLite is used by one writer at a time, from first to last: the best time on the clock is the database's.
    PostgreSQL's share is the processor time of its process, the worker's that of ours; waits for the disk, which
    many commits share there, are left out.
    """
    with tempfile.TemporaryDirectory() as folder, databases([kind], Path(folder)) as makers:
        engine = makers[kind]("scaling")
        upgrade_database(engine)
        took, began_s, backend_s = [], time.process_time(), _backend_cpu_s(engine)
        for _ in range(ROUNDS):
            started = time.perf_counter()
            _store_one(engine)
            took.append(time.perf_counter() - started)
        ours_s, backend_s = time.process_time() - began_s, _backend_cpu_s(engine) - backend_s
        engine.dispose()
    return (min(took), 0.0) if kind == "sqlite" else (backend_s / ROUNDS, ours_s / ROUNDS)


def measure_disk(scans: int = 100) -> tuple[float, float]:
    """Return the bytes that a scan takes of an SQLite file, and how large a share of them the digits are."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "icr.db"
        engine = make_engine(f"sqlite:///{path}")
        upgrade_database(engine)
        sizes = [_packed_size(path)]
        for _ in range(scans):
            _store_one(engine)
        sizes.append(_packed_size(path))
        with engine.begin() as connection:
            connection.exec_driver_sql("DELETE FROM digits")
        sizes.append(_packed_size(path))
        engine.dispose()
    empty, full, without_digits = sizes
    return (full - empty) / scans, (full - without_digits) / (full - empty)


def _packed_size(path: Path) -> int:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path.stat().st_size


def _store_one(engine: Engine) -> None:
    claimed = claim(engine, register(engine))
    assert claimed is not None
    assert store_readings(engine, claimed, claimed.scan, [PAGE])


def _backend_cpu_s(engine: Engine) -> float:
    """Return the processor time that the server's process behind our one connection has used."""
    if engine.dialect.name == "sqlite":
        return 0.0
    with engine.connect() as connection:
        pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def measure_redis_s() -> float:
    """Return the server's own time for what one scan asks of Redis: its message, two beats, its durations."""
    with tempfile.TemporaryDirectory() as folder:
        server = PrivateRedis(Path(folder))
        server.start()
        with redis.Redis(unix_socket_path=str(server.socket)) as client:
            client.config_resetstat()
            for number in range(1000):
                client.lpush("icr", b"x" * 600)
                client.brpop(["icr"])
                client.hset("unacked", str(number), b"x" * 700)
                client.zadd("unacked_index", {str(number): number})
                client.hdel("unacked", str(number))
                client.zrem("unacked_index", str(number))
                for _ in range(2):
                    client.set("icr:beat:worker@here", "alive", px=1000)
                for _ in range(6):
                    client.hincrbyfloat("icr:stages", "read|sum", 0.5)
            stats = client.info("commandstats")
        server.stop()
    return sum(each["usec"] for each in stats.values()) / 1000 / 1e6  # type: ignore[union-attr]


def main() -> None:
    """Measure what is not given, simulate, print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--read-s", type=float, default=0.35, help="CPU time of a page: docs/reference/performance.md")
    parser.add_argument("--database-ms", type=float, help="Instead of measuring it")
    parser.add_argument("--redis-ms", type=float, help="Instead of measuring it")
    parser.add_argument("--cores", type=int, default=8, help="Of one machine, each a worker process")
    parser.add_argument("--scans", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    redis_s = given.redis_ms / 1000 if given.redis_ms else measure_redis_s()
    size, digits = measure_disk()
    print(
        f"a scan costs: reading {1000 * given.read_s:.0f} ms of a core, Redis {1000 * redis_s:.3f} ms, "
        f"{size / 1000:.1f} kB of SQLite, {digits:.0%} of it digits"
    )
    for kind, lanes in (("sqlite", 1), ("postgresql", 2), ("postgresql", 8)):
        database_s, ours_s = (given.database_ms / 1000, 0.0) if given.database_ms else measure_database(kind)
        print(f"\n{kind}, {1000 * database_s:.1f} ms a scan, {lanes} at a time; worker {1000 * ours_s:.1f} ms")
        print("workers  scans/s  of ideal  database busy  Redis busy")
        for workers in WORKERS:
            costs = Costs(given.read_s + ours_s, database_s, redis_s, lanes)
            rate, database, broker = simulate(costs, workers, given.scans, random.Random(given.seed))
            ideal = workers / (costs.read_s + costs.database_s + costs.redis_s)
            print(f"{workers:7d}  {rate:7.1f}  {rate / ideal:8.0%}  {database:13.0%}  {broker:10.1%}")
        hours = (given.read_s + ours_s + database_s + redis_s) * 1e6 / HOUR_S
        print(f"processor hours a million scans: {hours:.0f}\nmachines of {given.cores}  scans a day  database busy")
        for machines in MACHINES:
            costs = Costs(given.read_s + ours_s, database_s, redis_s, lanes)
            workers = machines * given.cores
            scans = max(given.scans, 30 * workers)
            rate, database, _ = simulate(costs, workers, scans, random.Random(given.seed))
            print(f"{machines:13d}  {rate * DAY_S:11,.0f}  {database:13.0%}")


if __name__ == "__main__":
    main()
