"""How long a backup, its restoring and a move to PostgreSQL take, and how large the file is.

``nice -n 10 python -m tests.benchmarks.speed.bench_backup --fields 100000``
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.benchmarks.speed.filled_store import FIELDS_A_PAGE, fill
from tests.support.servers import PostgresqlServer, find_postgresql
from worker.backups import open_backup, write_backup
from worker.settings import Settings
from worker.store.copying import copy_database
from worker.store.engine import make_engine, upgrade_database


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fields", type=int, default=100_000)
    wanted = parser.parse_args().fields
    binaries = find_postgresql()
    assert binaries is not None
    server = PostgresqlServer(binaries)
    server.start()
    try:
        for name in ("moved", "restored"):
            server.execute(f"CREATE DATABASE {name}")
        with tempfile.TemporaryDirectory() as folder:
            measure(Path(folder), server, -(-wanted // FIELDS_A_PAGE))
    finally:
        server.remove()


def measure(folder: Path, server: PostgresqlServer, pages: int) -> None:
    """Print the time of each step, with one database of each kind."""
    sqlite, moved, restored = (
        make_engine(url) for url in (f"sqlite:///{folder / 'icr.db'}", server.url("moved"), server.url("restored"))
    )
    for engine in (sqlite, moved):
        upgrade_database(engine)
    fill(sqlite, pages, np.random.default_rng(1))
    print(f"{pages * FIELDS_A_PAGE} fields; SQLite file {(folder / 'icr.db').stat().st_size / 2**20:.0f} MB")
    tell("move SQLite to PostgreSQL", lambda: copy_database(sqlite, moved, hold=True))
    for name, engine in (("SQLite", sqlite), ("PostgreSQL", moved)):
        file = folder / f"{name}.zip"
        tell(f"backup of {name}", lambda engine=engine, file=file: write_backup(engine, Settings(), file))  # type: ignore[misc]
        print(f"  {file.stat().st_size / 2**20:.0f} MB")
    back = make_engine(f"sqlite:///{folder / 'back.db'}")
    with open_backup(folder / "SQLite.zip") as kept:
        tell("restore to SQLite", lambda: kept.restore_database(back, replace=False))
        tell("restore to PostgreSQL", lambda: kept.restore_database(restored, replace=False))


def tell(what: str, step: Callable[[], object]) -> None:
    started = time.monotonic()
    step()
    print(f"{what}: {time.monotonic() - started:.1f} s")


if __name__ == "__main__":
    main()
