"""What is set up wrongly, or does not run, is said at once, and by ``icr doctor`` before it matters."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine

from tests.support.readings import read
from worker import cli
from worker.store.jobs import retry_jobs
from worker.store.purge import purge_older_than
from worker.store.summary import clock, count_ended
from worker.store.tables import JobState
from worker.system.private_redis import LOCK, socket_path

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def icr(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return what runs a command in this process, with a home of its own, and returns its exit code and its words."""
    monkeypatch.setattr(cli, "_save_time", lambda: None)
    for name in [name for name in os.environ if name.startswith("ICR_")]:
        monkeypatch.delenv(name)

    def run(*arguments: str, **settings: str) -> tuple[int, str]:
        for name, value in {"ICR_HOME": str(tmp_path / "home"), **settings}.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(SystemExit) as end:
            cli.main(arguments)
        assert isinstance(end.value.code, int)
        return end.value.code, "".join(capsys.readouterr())

    return run


@pytest.fixture
def home(tmp_path: Path, sqlite_template: Path) -> Path:
    (tmp_path / "home").mkdir(mode=0o700)
    shutil.copy(sqlite_template, tmp_path / "home" / "icr.db")
    return tmp_path / "home"


def test_status_tells_that_nothing_runs_from_a_redis_that_is_silent(home: Path, icr: Run) -> None:
    assert "queue      nothing runs here: start with 'icr up'" in icr("status")[1]
    assert icr("health") == (1, "icr: nothing runs here: start with 'icr up'\n")
    assert "nothing runs here" in icr("health", "--ready")[1]
    assert "queue      Redis does not answer" in icr("status", ICR_BROKER_URL="redis://127.0.0.1:1/0")[1]


def test_status_tells_that_nothing_runs_after_a_power_cut(home: Path, icr: Run) -> None:
    """The socket of a killed Redis stays, and the lock of a killed 'icr up' names a process that is gone."""
    path = socket_path(home)
    path.parent.mkdir(mode=0o700, parents=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.close()
    gone = subprocess.Popen(["true"])
    gone.wait()
    (home / LOCK).write_text(str(gone.pid))
    assert "queue      nothing runs here: start with 'icr up'" in icr("status")[1]
    (home / LOCK).write_text(str(os.getpid()))
    assert "queue      Redis does not answer" in icr("status")[1], "an 'icr up' lives and starts it again"


def test_a_relative_home_is_named_where_nothing_is_found(
    home: Path, icr: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert icr("results", ICR_HOME="home") == (0, "nothing there\n")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    code, said = icr("results", ICR_HOME="home")
    assert code == 1 and "ICR_HOME counts from the folder you stand in" in said
    assert "ICR_HOME is relative" in icr("doctor", ICR_HOME="home")[1]


@pytest.mark.parametrize("content", [None, "", "{}", '{"free": 5}', "[1]", "\x00\x01"])
def test_a_calibration_that_is_none_is_found(content: str | None, home: Path, icr: Run, tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    if content is not None:
        path.write_text(content)
    code, said = icr("doctor", ICR_CALIBRATION=str(path))
    (line,) = [line for line in said.splitlines() if "calibration" in line.split()[1]]
    assert code == 1 and line.startswith("bad") and "alibration" in line


def test_an_inbox_that_cannot_be_made_ends_the_start_with_a_sentence(home: Path, icr: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    inbox = str(tmp_path / "file" / "inbox")
    for command in ("up", "watch"):
        code, said = icr(command, ICR_INBOX=inbox)
        assert code == 1 and "cannot be made" in said and inbox in said and "Traceback" not in said
    assert "is not a folder" in icr("doctor", ICR_INBOX=inbox)[1]


def test_a_home_that_everybody_may_read_is_found(home: Path, icr: Run) -> None:
    assert "every user" not in icr("doctor")[1]
    home.chmod(0o755)
    code, said = icr("doctor")
    assert code == 1 and f"every user of this machine may look into {home}: chmod o-rwx" in said


def test_what_ended_is_never_less_than_nothing(engine: Engine) -> None:
    read(engine)
    started_at = clock(engine)
    purge_older_than(engine, timedelta(0), remove_scan=lambda *_: True, with_review=True)
    assert set(count_ended(engine, started_at).values()) == {0}
    read(engine)
    assert retry_jobs(engine, None) == []
    assert count_ended(engine, started_at)[JobState.DONE] == 1
