"""A disk that is truly full: under var/ (SQLite, Redis's log, logs), and under the inbox.

Each is a small tmpfs that the test mounts and fills; where it may not mount, it is skipped.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

import pytest

from tests.support.disk import fill
from tests.support.disk import small_disk as mounted_disk
from tests.support.servers import PostgresqlServer, find_postgresql
from tests.support.system import Home, draw_scan, processes_of, wait_until
from worker.errors import DatabaseUnavailableError
from worker.inbox import folder
from worker.store.engine import make_engine, reading, upgrade_database
from worker.store.results import Selection, iter_pages
from worker.store.summary import queue_summary

pytestmark = pytest.mark.timeout(300)


@contextmanager
def small_disk(megabytes: int, *options: str) -> Iterator[Path]:
    """Mount a small disk, or skip the test where nothing may be mounted."""
    with ExitStack() as stack:
        try:
            place = stack.enter_context(mounted_disk(megabytes, *options))
        except PermissionError as error:
            pytest.skip(str(error))
        yield place


@contextmanager
def running(place: Path, **settings: str) -> Iterator[Home]:
    home = Home(place, **settings)
    try:
        yield home
    finally:
        home.stop()
        wait_until(lambda: not processes_of(place), 20, "no process is left behind")


def assert_one_result_each(home: Home, scans: int) -> None:
    assert home.states() == {"done": scans}
    assert home.rows("SELECT count(*), count(DISTINCT job_id) FROM pages") == [(scans, scans)]
    assert home.rows("SELECT count(DISTINCT scan_id) FROM jobs") == [(scans,)]
    assert home.rows("PRAGMA integrity_check") == [("ok",)]
    assert sorted(home.listed("done")) == sorted(f"{i}.png" for i in range(scans))
    assert not list((home.inbox / ".working").rglob("*.png"))


def test_a_write_to_a_full_disk_is_an_error_worth_trying_again(tmp_path: Path) -> None:
    from tests.support.readings import PAGE, claim, read, register
    from worker.store.jobs import store_readings

    with small_disk(2) as disk:
        engine = make_engine(f"sqlite:///{disk / 'icr.db'}")
        upgrade_database(engine)
        job = register(engine)
        claimed = claim(engine, job)
        assert claimed is not None
        ballast = fill(disk)
        with pytest.raises(DatabaseUnavailableError, match="full"):
            for _ in range(200):
                read(engine, PAGE)
        ballast.unlink()
        assert store_readings(engine, claimed, claimed.scan, [PAGE])
        assert len([page for page in iter_pages(engine, Selection()) if page.job == job]) == 1
        engine.dispose()


def test_the_disk_of_database_and_queue_fills_under_load_and_nothing_is_lost(tmp_path: Path) -> None:
    """SQLite, Redis's log and the parts' logs lie on the full disk; the scans on another."""
    scans = 24
    with small_disk(24) as disk, running(disk, ICR_INBOX=str(tmp_path / "inbox")) as home:
        home.inbox = tmp_path / "inbox"
        up = home.start("up")
        for i in range(scans // 2):
            draw_scan(home.inbox / "field" / f"{i}.png", i)
        wait_until(lambda: home.states().get("done", 0) >= 2, 90, home.said)
        ballast = fill(disk)
        for i in range(scans // 2, scans):
            draw_scan(home.inbox / "field" / f"{i}.png", i)
        wait_until(lambda: fill(disk) and "full" in home.said(), 60, home.said)
        assert up.poll() is None, home.said()
        status = home.icr("status")
        assert "Traceback" not in status.stderr, status.stderr
        ballast.unlink()
        wait_until(lambda: home.states() == {"done": scans}, 150, lambda: f"{home.states()}\n{home.said()}")
        wait_until(lambda: len(home.listed("done")) == scans, 30, home.said)
        assert up.poll() is None
        assert_one_result_each(home, scans)


def test_the_disk_of_postgresql_fills_under_load_and_nothing_is_lost(tmp_path: Path) -> None:
    """A server that cannot write its log ends itself; it is started again when there is room, as its keeper would."""
    binaries = find_postgresql()
    if binaries is None:
        pytest.skip("no PostgreSQL is installed")
    scans = 16
    with small_disk(96) as disk:
        (disk / "data").mkdir()
        server = PostgresqlServer(binaries, disk / "data", "--wal-segsize=1")
        try:
            server.start()
            url = server.url("postgres")
            with running(tmp_path / "home", ICR_DATABASE_URL=url) as home:
                engine = make_engine(url)
                home.start("up")
                for i in range(scans // 2):
                    draw_scan(home.inbox / "field" / f"{i}.png", i)
                wait_until(lambda: len(home.listed("done")) >= 2, 90, home.said)
                ballast = fill(disk)
                for i in range(scans // 2, scans):
                    draw_scan(home.inbox / "field" / f"{i}.png", i)
                wait_until(lambda: fill(disk) and _is_full(server, home), 90, home.said)
                ballast.unlink()
                if server.process is None or server.process.poll() is not None:
                    server.start()
                wait_until(lambda: len(home.listed("done")) == scans, 150, home.said)
                assert queue_summary(engine).counts["done"] == scans
                with reading(engine) as connection:
                    counts = connection.exec_driver_sql("SELECT count(*), count(DISTINCT job_id) FROM pages").one()
                assert tuple(counts) == (scans, scans)
                engine.dispose()
        finally:
            server.remove()


def _is_full(server: PostgresqlServer, home: Home) -> bool:
    said = (server.folder / "log").read_text("utf-8", "replace")
    return "No space left on device" in said and "the database does not answer" in home.said()


def test_starting_on_a_full_disk_waits_and_says_why_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    words = tmp_path / "words"
    with small_disk(8) as disk, running(disk, ICR_INBOX=str(tmp_path / "inbox")) as home:
        home.inbox = tmp_path / "inbox"
        draw_scan(home.inbox / "field" / "0.png", 0)
        ballast = fill(disk)
        command = [sys.executable, "-m", "worker", "up", "--once"]
        with words.open("wb") as out:
            up = subprocess.Popen(command, env=home.env, cwd=tmp_path, stdout=out, stderr=out, start_new_session=True)
        try:
            wait_until(lambda: "disk is full" in words.read_text(), 90, words.read_text)
            assert up.poll() is None
            ballast.unlink()
            assert up.wait(120) == 0, words.read_text() + home.said()
        finally:
            up.kill()
            up.wait()
        assert "Traceback" not in words.read_text()
        assert_one_result_each(home, 1)


def test_a_full_disk_of_the_inbox_leaves_each_scan_where_it_is_until_there_is_room(tmp_path: Path) -> None:
    """No folder can be made for the claim, then none for ``done/``, then no reason can be written beside a scan."""
    with small_disk(4, "nr_inodes=64") as disk, running(tmp_path / "home", ICR_INBOX=str(disk)) as home:
        home.inbox = disk
        folder.prepare(disk)
        (disk / folder.WORKING / "lock").touch()
        draw_scan(disk / "field" / "0.png", 0)
        names = _use_up_names(disk)
        home.start("up")
        wait_until(lambda: "cannot be taken" in home.said(), 90, home.said)
        assert home.states() == {}
        for _ in range(2):
            names.pop().unlink()  # room for the claim's two folders, none for done/
        home.wait_for_states(done=1, timeout_s=90)
        wait_until(lambda: "cannot be moved" in home.said(), 30, home.said)
        assert "No space left on device" in home.said()
        assert list((disk / folder.WORKING).rglob("0.png")) and home.listed("done") == []
        for path in names:
            path.unlink()
        wait_until(lambda: home.listed("done") == ["0.png"], 60, home.said)
        (disk / ".1.part").write_bytes((disk / "done/field/0.png").read_bytes()[:200])
        ballast = fill(disk)
        (disk / ".1.part").rename(disk / "1.png")
        home.wait_for_states(done=1, failed=1, timeout_s=90)
        wait_until(lambda: home.said().count("cannot be moved") == 2, 30, home.said)
        assert list((disk / folder.WORKING).rglob("1.png"))
        ballast.unlink()
        wait_until(lambda: home.listed("failed") == ["1.png", "1.png.reason.txt"], 60, home.said)
        assert "truncated PNG" in (disk / "failed/1.png.reason.txt").read_text()
        assert home.rows("SELECT count(*) FROM pages") == [(1,)]


def _use_up_names(disk: Path) -> list[Path]:
    made: list[Path] = []
    while True:
        path = disk / f".name{len(made)}"
        try:
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
        except OSError:
            return made
        made.append(path)


@pytest.mark.parametrize(
    "command",
    [
        ("export", "--format", "jsonl", "--out"),
        ("export", "--wide", "--out"),
        ("export", "--wide", "--format", "xlsx", "--out"),
        ("separator", "--copies", "2", "-o"),
    ],
)
def test_a_full_disk_costs_nobody_the_file_of_yesterday(tmp_path: Path, command: tuple[str, ...]) -> None:
    with small_disk(1) as disk:
        target = disk / ("all.xlsx" if "xlsx" in command else "all.pdf" if "-o" in command else "all.csv")
        target.write_text("yesterday")
        fill(disk)
        told = run_icr(tmp_path, *command, str(target))
        assert told.returncode == 1 and told.stdout == ""
        assert len(told.stderr.splitlines()) == 1 and "No space left on device" in told.stderr
        assert target.read_text() == "yesterday"
        assert {path.name for path in disk.iterdir()} == {target.name, ".ballast"}


def test_a_backup_without_room_does_not_call_the_database_damaged(tmp_path: Path) -> None:
    with small_disk(1) as disk:
        fill(disk)
        told = run_icr(tmp_path, "backup", str(disk / "icr.zip"))
        assert told.returncode == 1
        assert told.stderr == f"icr: cannot write {disk / 'icr.zip'}: No space left on device\n"


@pytest.mark.parametrize("command", [("results",), ("status",), ("results", "--help"), ("template", "list")])
def test_an_output_that_takes_nothing_more_is_said_in_one_line(tmp_path: Path, command: tuple[str, ...]) -> None:
    with Path("/dev/full").open("w") as full:
        told = run_icr(tmp_path, *command, stdout=full)
    assert told.returncode == 1
    assert len(told.stderr.splitlines()) == 1 and "No space left on device" in told.stderr


def run_icr(home: Path, *arguments: str, stdout: int | IO[str] = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    """Run a command of a home whose database holds one reading."""
    from tests.support.readings import PAGE, read

    engine = make_engine(f"sqlite:///{home / 'icr.db'}")
    upgrade_database(engine)
    read(engine, PAGE)
    engine.dispose()
    settings = {name: value for name, value in os.environ.items() if not name.startswith("ICR_")}
    command = [sys.executable, "-m", "worker", *arguments]
    environment = settings | {"ICR_HOME": str(home)}
    return subprocess.run(
        command, env=environment, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False, timeout=120
    )
