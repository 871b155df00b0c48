"""A backup taken while everything runs, the disk lost, and all of it brought back."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.system import Home, draw_scan, wait_until
from worker.backups import write_backup
from worker.settings import Settings
from worker.store.engine import make_engine

pytestmark = pytest.mark.timeout(180)
SCANS = 8


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path / "home")
    yield home
    home.stop()


def test_what_a_backup_under_load_holds_comes_back_and_the_rest_is_read_again(home: Home, tmp_path: Path) -> None:
    up = home.start("up")
    for i in range(SCANS):
        draw_scan(home.inbox / "field" / f"{i}.png", i)
    wait_until(lambda: home.states().get("done", 0) >= 2, 60, home.said)
    file, engine = tmp_path / "icr.zip", make_engine(f"sqlite:///{home.folder / 'icr.db'}")
    made_at = write_backup(engine, Settings(), file).made_at  # the command would start when all is read
    engine.dispose()
    home.wait_for_states(done=SCANS)
    up.terminate()
    assert up.wait(40) == 0
    before = _numbers(home)
    for gone in (*home.folder.glob("icr.db*"), home.folder / "redis"):
        shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    back = home.icr("restore", str(file))
    assert back.returncode == 0, back.stderr
    assert 2 <= home.states()["done"] < SCANS
    find = ["find", "done", "-type", "f", "-newerct", f"{made_at:%Y-%m-%d %H:%M:%S.%f UTC}"]
    later = subprocess.check_output(find, cwd=home.inbox, text=True)
    assert later
    for name in later.splitlines():
        target = home.inbox / Path(name).relative_to("done")
        (home.inbox / name).rename(target)
    assert home.icr("up", "--once", timeout_s=120).returncode in (0, 2)
    assert _numbers(home) == before
    assert home.rows("SELECT count(*) FROM pages") == [(SCANS,)]


def _numbers(home: Home) -> list[tuple[str, str]]:
    """Return the bytes and the reading of every scan that was read."""
    query = (
        "SELECT sha256, text FROM fields JOIN pages ON pages.id = page_id JOIN jobs ON jobs.id = job_id"
        " JOIN scans ON scans.id = scan_id ORDER BY sha256, text"
    )
    return home.rows(query)  # type: ignore[return-value]
