"""Rows from one database into another of either kind: none is lost, changed or given an old id again."""

from __future__ import annotations

import shutil
import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from tests.support.databases import fill, rows_of
from tests.support.readings import read
from worker.errors import IcrError
from worker.store.copying import copy_database, copy_sqlite_file
from worker.store.engine import make_engine, upgrade_database
from worker.store.purge import purge_older_than
from worker.store.results import Selection, iter_pages


def test_every_row_arrives_as_it_was_and_ids_go_on(engine: Engine, other_engine: Engine) -> None:
    fill(engine)
    counts = copy_database(engine, other_engine)
    assert rows_of(other_engine) == rows_of(engine)
    assert counts["jobs"] == 3 and counts["fields"] == 9 and counts["reviews"] == 1 and counts["purges"] == 1
    for each in (engine, other_engine):
        read(each, job_id="next", sha256="c" * 64)
    assert [
        [f.field_id for p in iter_pages(e, Selection(job="next")) for f in p.fields] for e in (engine, other_engine)
    ] == [[13, 14, 15]] * 2


def test_ids_go_on_behind_rows_that_are_purged(engine: Engine, other_engine: Engine) -> None:
    read(engine)
    purge_older_than(engine, timedelta(0), remove_scan=lambda *_: True, with_review=True)
    copy_database(engine, other_engine)
    read(other_engine)
    assert [f.field_id for page in iter_pages(other_engine, Selection()) for f in page.fields] == [4, 5, 6]


def test_a_database_with_rows_is_left_alone(engine: Engine, other_engine: Engine) -> None:
    read(engine)
    read(other_engine)
    before = rows_of(other_engine)
    with pytest.raises(IcrError, match="not empty"):
        copy_database(engine, other_engine)
    assert rows_of(other_engine) == before


def test_a_row_that_does_not_fit_keeps_all_others_back(engine: Engine, other_engine: Engine) -> None:
    fill(engine)
    with other_engine.begin() as connection:
        connection.execute(sa.text("CREATE UNIQUE INDEX uq_test ON fields (name)"))
    with pytest.raises(IcrError, match="nothing was kept"):
        copy_database(engine, other_engine)
    assert not any(rows_of(other_engine).values())


def test_what_postgresql_refuses_in_json_is_replaced(
    sqlite_template: Path, postgresql_url: str, tmp_path: Path
) -> None:
    source = make_engine(f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'icr.db')}")
    target = make_engine(postgresql_url)
    upgrade_database(target)
    read(source)
    odd = r'["nul \u0000, half \ud800, path C:\\u0000, pair \ud83d\ude00"]'
    with source.begin() as connection:
        connection.execute(sa.text("UPDATE fields SET reasons = :odd WHERE position = 1"), {"odd": odd})
    copy_database(source, target)
    (page,) = iter_pages(target, Selection())
    assert page.fields[1].reasons == ["nul \ufffd, half ?, path C:\\u0000, pair \U0001f600"]
    for engine in (source, target):
        engine.dispose()


def test_a_sqlite_file_is_copied_while_others_write(sqlite_template: Path, tmp_path: Path) -> None:
    engine = make_engine(f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'icr.db')}")
    read(engine)
    with engine.begin() as writer:
        writer.execute(sa.text("UPDATE jobs SET reference = 'not committed'"))
        copy_sqlite_file(engine, tmp_path / "copy.db")
    copy = make_engine(f"sqlite:///{tmp_path / 'copy.db'}")
    assert [page.reference for page in iter_pages(copy, Selection())] == [None]
    copy.dispose()
    engine.dispose()


def test_a_damaged_sqlite_file_is_no_backup(sqlite_template: Path, tmp_path: Path) -> None:
    path = shutil.copy(sqlite_template, tmp_path / "icr.db")
    engine = make_engine(f"sqlite:///{path}")
    for _ in range(5):
        read(engine)
    engine.dispose()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        query = "SELECT rootpage FROM sqlite_master WHERE name = 'fields'"
        (root_of_fields,) = connection.execute(query).fetchone()
    content = bytearray(path.read_bytes())
    for page in (root_of_fields - 1,):
        content[page * 4096 : page * 4096 + 200] = b"\x5a" * 200
    path.write_bytes(content)
    with pytest.raises(IcrError, match="restore the latest backup"):
        copy_sqlite_file(make_engine(f"sqlite:///{path}"), tmp_path / "copy.db")
