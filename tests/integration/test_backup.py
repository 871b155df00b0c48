"""Backup and restore by the commands themselves, on both databases; what is damaged is refused."""

from __future__ import annotations

import json
import shutil
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import Engine

from tests.support.data import PROJECT
from tests.support.databases import fill, rows_of
from tests.support.readings import read
from worker.bootstrap import connect_redis
from worker.cli import icr
from worker.errors import IcrError
from worker.queue.beats import record_beat
from worker.settings import Settings
from worker.store.engine import make_engine, upgrade_database
from worker.system.private_redis import HomeLock, PrivateRedis

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return what runs a command with a home of its own, on the database of an engine."""

    def run(engine: Engine | None, *arguments: str, **settings: str) -> Result:
        for name in Settings.model_fields:
            monkeypatch.delenv(f"ICR_{name.upper()}", raising=False)
        monkeypatch.setenv("ICR_HOME", str(tmp_path / "home"))
        if engine is not None:
            monkeypatch.setenv("ICR_DATABASE_URL", engine.url.render_as_string(hide_password=False))
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        return CliRunner().invoke(icr, arguments)

    return run


def test_a_backup_is_restored_to_either_kind_of_database(
    engine: Engine, other_engine: Engine, run: Run, tmp_path: Path
) -> None:
    fill(engine)
    shutil.copytree(PROJECT / "schemas/templates", tmp_path / "forms")
    settings = {"ICR_TEMPLATES": str(tmp_path / "forms"), "ICR_MAX_SUBSTITUTION_RATE": "0.001"}
    settings |= {"ICR_JOB_KEY": "a-very-secret-key", "ICR_BROKER_URL": "redis://:hush@localhost/0"}
    file = tmp_path / "icr.zip"
    told = run(engine, "backup", str(file), **settings)
    assert told.exit_code == 0, told
    assert "3 jobs, 2 scans, 3 pages, 9 fields" in told.output.replace("\n", " ")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with zipfile.ZipFile(file) as archive:
        said = archive.read("manifest.json")
        assert b"hush" not in said and b"very-secret" not in said and b"0.001" in said
    if other_engine.dialect.name == "sqlite":
        other_engine.dispose()
        refused = run(other_engine, "restore", str(file))
        assert refused.exit_code == 1 and "--replace" in str(refused.exception)
    told = run(other_engine, "restore", str(file), *(["--replace"] if other_engine.dialect.name == "sqlite" else []))
    assert told.exit_code == 0, told
    assert rows_of(other_engine) == rows_of(engine)
    assert "ICR_MAX_SUBSTITUTION_RATE was 0.001 then, and is not set now" in told.output
    assert "set ICR_TEMPLATES" not in told.output, "templates under the home are found without it"
    forms = tmp_path / "home" / "templates"
    assert {p.name: p.read_bytes() for p in forms.iterdir()} == {
        p.name: p.read_bytes() for p in (tmp_path / "forms").iterdir()
    }
    assert not list(tmp_path.glob(".icr-backup-*"))


def test_a_database_with_rows_and_a_template_that_changed_stay(engine: Engine, run: Run, tmp_path: Path) -> None:
    read(engine)
    forms = shutil.copytree(PROJECT / "schemas/templates", tmp_path / "forms")
    file = tmp_path / "icr.zip"
    assert run(engine, "backup", str(file), ICR_TEMPLATES=str(forms)).exit_code == 0
    changed = sorted(forms.iterdir())[0]
    changed.write_text("mine")
    read(engine)
    before = rows_of(engine)
    refused = run(engine, "restore", str(file), ICR_TEMPLATES=str(forms))
    assert refused.exit_code == 1 and rows_of(engine) == before
    if engine.dialect.name == "sqlite":
        engine.dispose()
        told = run(engine, "restore", str(file), "--replace", ICR_TEMPLATES=str(forms))
        assert told.exit_code == 0 and f"{changed} differs" in told.output and changed.read_text() == "mine"
        (aside,) = tmp_path.glob("icr.db.before-*Z")
        assert rows_of(make_engine(f"sqlite:///{aside}")) == before


@pytest.mark.parametrize("damage", ["short", "flipped", "a picture", "newer"])
def test_a_damaged_backup_is_refused_and_changes_nothing(
    damage: str, sqlite_template: Path, run: Run, tmp_path: Path
) -> None:
    engine = make_engine(f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'icr.db')}")
    read(engine)
    file = tmp_path / "icr.zip"
    assert run(engine, "backup", str(file)).exit_code == 0
    content = bytearray(file.read_bytes())
    if damage == "newer":
        with zipfile.ZipFile(file) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        with zipfile.ZipFile(file, "w") as archive:
            for name, part in parts.items():
                archive.writestr(name, part.replace(b'"revision": "0', b'"revision": "9'))
    else:
        content[len(content) // 2] ^= 255
        file.write_bytes({"short": content[:-100], "flipped": content, "a picture": b"\x89PNG" * 9}[damage])
    before = rows_of(engine)
    engine.dispose()
    told = run(engine, "restore", str(file), "--replace")
    assert told.exit_code == 1 and isinstance(told.exception, IcrError), told
    assert ("newer one" if damage == "newer" else "damaged") in str(told.exception)
    assert rows_of(engine) == before


def test_nothing_is_restored_while_icr_up_runs_or_over_a_backup(
    sqlite_template: Path, run: Run, tmp_path: Path
) -> None:
    engine = make_engine(f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'icr.db')}")
    file = tmp_path / "icr.zip"
    assert run(engine, "backup", str(file)).exit_code == 0
    again = run(engine, "backup", str(file))
    assert again.exit_code == 1 and "name a new file" in str(again.exception)
    with HomeLock(tmp_path / "home" / "icr.lock"):
        told = run(engine, "restore", str(file), "--replace")
    assert told.exit_code == 1 and "in use already" in str(told.exception)
    for name in ("ICR_TEMPLATES", "ICR_CALIBRATION"):
        missing = run(engine, "backup", str(tmp_path / "new.zip"), **{name: str(tmp_path / "gone")})
        assert missing.exit_code == 1 and f"({name}) is not there" in str(missing.exception)
    assert not (tmp_path / "new.zip").exists()
    nowhere = run(engine, "backup", str(tmp_path / "no" / "icr.zip"))
    assert nowhere.exit_code == 1 and "cannot write" in str(nowhere.exception)


def test_nothing_is_restored_or_moved_while_a_worker_beats(sqlite_template: Path, run: Run, tmp_path: Path) -> None:
    engine = make_engine(f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'icr.db')}")
    file, server = tmp_path / "icr.zip", PrivateRedis(tmp_path / "redis")
    assert run(engine, "backup", str(file)).exit_code == 0
    server.start()
    try:
        with connect_redis(f"unix://{server.socket}") as client:
            record_beat(client, "worker@elsewhere")
        told = run(engine, "restore", str(file), "--replace", ICR_BROKER_URL=f"unix://{server.socket}")
        assert told.exit_code == 1 and "worker@elsewhere is still running" in str(told.exception)
        engine.dispose()
    finally:
        server.stop()


def test_a_sqlite_file_moves_to_postgresql(
    sqlite_template: Path, postgresql_url: str, run: Run, tmp_path: Path
) -> None:
    origin = make_engine(f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'icr.db')}")
    fill(origin)
    target = make_engine(postgresql_url)
    told = run(target, "move-database", str(tmp_path / "icr.db"))
    assert told.exit_code == 0, told
    assert rows_of(target) == rows_of(origin)
    assert "jobs                  3" in told.output and "fields                9" in told.output
    again = run(target, "move-database", str(tmp_path / "icr.db"))
    assert again.exit_code == 1 and "is not empty" in str(again.exception)
    to_sqlite = run(origin, "move-database", str(tmp_path / "icr.db"))
    assert to_sqlite.exit_code == 1 and "PostgreSQL" in str(to_sqlite.exception)
    for engine in (origin, target):
        engine.dispose()


def test_a_backup_of_the_first_revision_is_brought_up_to_date(run: Run, tmp_path: Path) -> None:
    from tests.integration.test_store_schema import OLD_ROWS

    old = make_engine(f"sqlite:///{tmp_path / 'old.db'}")
    upgrade_database(old, "0001")
    with old.begin() as connection:
        for statement in OLD_ROWS:
            connection.exec_driver_sql(statement)
    old.dispose()
    about = {"format": 1, "made_at": "2026-11-01T00:00:00Z", "program": "0.1", "revision": "0001"}
    with zipfile.ZipFile(tmp_path / "icr.zip", "w") as archive:
        archive.writestr("manifest.json", json.dumps({**about, "rows": {}, "settings": {}}))
        archive.write(tmp_path / "old.db", "icr.db")
    told = run(None, "restore", str(tmp_path / "icr.zip"))
    assert told.exit_code == 0, told
    rows = rows_of(make_engine(f"sqlite:///{tmp_path / 'home' / 'icr.db'}"))
    assert len(rows["fields"]) == 2 and len(rows["jobs"]) == 1
