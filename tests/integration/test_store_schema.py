"""The history of the schema, on SQLite and PostgreSQL."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine

from tests.support.data import PROJECT
from tests.support.readings import CHECK, read
from worker.errors import DatabaseUnavailableError, SettingsError
from worker.store import engine as store
from worker.store.overview import list_waiting
from worker.store.results import Selection, iter_pages
from worker.store.service_tables import Base

_FIELD = (
    "INSERT INTO fields (page_id, position, name, text, confidence, status, reasons, alternatives,"
    " box_x, box_y, box_w, box_h, accept_threshold, final_text, origin) VALUES "
)
OLD_ROWS = [
    "INSERT INTO scans (id, sha256, created_at) VALUES ('s', 'ab', '2026-11-01 00:00:00')",
    "INSERT INTO jobs (id, scan_id, uri, priority, source, state, attempts, deliveries, created_at, queued_at,"
    " finished_at, linked) VALUES ('j', 's', '/a.png', 5, 'inbox', 'done', 1, 1, '2026-11-01 00:00:00',"
    " '2026-11-01 00:00:00', '2026-11-01 00:00:01', false)",
    "INSERT INTO pages (job_id, number, width_px, height_px, model_versions) VALUES ('j', 0, 10, 20, '{}')",
    _FIELD + "(1, 0, 'sum', '701', 0.99, 'accepted', '[]', '[]', 1, 2, 3, 4, 0.9, '701', 'machine')",
    _FIELD + "(1, 1, 'count', '38', 0.5, 'review', '[]', '[]', 1, 2, 3, 4, 0.9, NULL, NULL)",
]


def test_history_runs_up_down_and_up_again(database_url: str) -> None:
    engine = store.make_engine(database_url)
    assert store.database_revision(engine) is None
    store.upgrade_database(engine)
    assert store.database_revision(engine) == store.head_revision()
    command.downgrade(store.alembic_config(engine), "base")
    inspector = sa.inspect(engine)
    assert inspector.get_table_names() == ["alembic_version"]
    assert inspector.get_view_names() == []
    store.upgrade_database(engine)
    store.upgrade_database(engine)
    assert store.database_revision(engine) == store.head_revision()
    engine.dispose()


def test_rows_of_the_former_schema_are_kept_up_and_down(database_url: str) -> None:
    """Rows of 0001 get no meaning and no sources; new ones beside them do; down again every reading stays."""
    engine = store.make_engine(database_url)
    store.upgrade_database(engine, "0001")
    with engine.begin() as connection:
        for statement in OLD_ROWS:
            connection.execute(sa.text(statement))
    store.upgrade_database(engine)
    read(engine, CHECK)
    (old, new) = iter_pages(engine, Selection())
    assert [(f.name, f.text, f.value, f.validation_sources, f.final) for f in old.fields] == [
        ("sum", "701", None, [], "701"),
        ("count", "38", None, [], None),
    ]
    assert [d.kind for f in (old.fields[1], new.fields[1]) for d in f.doubts] == ["low_confidence"]
    assert old.doubt is None and new.fields[0].value is not None
    assert [f.field_id for f in old.fields] == [1, 2]
    assert {(w.source, w.fields) for w in list_waiting(engine)} == {("inbox", 1), ("test", 1)}
    command.downgrade(store.alembic_config(engine), "0001")
    with engine.connect() as connection:
        kept = connection.execute(sa.text("SELECT machine_text FROM final_fields ORDER BY field_id")).scalars().all()
        waiting = connection.execute(sa.text("SELECT count(*) FROM review_queue")).scalar_one()
    assert (kept, waiting) == (["701", "38", "12345", "11212026", "104"], 2)
    store.upgrade_database(engine)
    assert len(list(iter_pages(engine, Selection()))) == 2
    engine.dispose()


def test_migrations_and_models_agree(engine: Engine) -> None:
    with engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), Base.metadata)
    assert differences == []


def test_constraints_of_migrations_and_models_agree(engine: Engine) -> None:
    """Alembic compares no check constraints and no partial conditions."""
    inspector = sa.inspect(engine)
    for table in Base.metadata.sorted_tables:
        named = {c.name for c in table.constraints if isinstance(c, sa.CheckConstraint)}
        assert {c["name"] for c in inspector.get_check_constraints(table.name)} == named
        kind = engine.dialect.name
        partial = {i.name for i in table.indexes if i.dialect_options[kind]["where"] is not None}
        indexes = inspector.get_indexes(table.name)
        assert {i["name"] for i in indexes if f"{kind}_where" in i.get("dialect_options", {})} == partial


def test_two_programs_may_migrate_at_once(database_url: str) -> None:
    program = "import sys; from worker.store.engine import *; upgrade_database(make_engine(sys.argv[1]))"
    running = [subprocess.Popen([sys.executable, "-c", program, database_url], cwd=PROJECT) for _ in range(3)]
    assert [process.wait(300) for process in running] == [0, 0, 0]
    engine = store.make_engine(database_url)
    assert store.database_revision(engine) == store.head_revision()
    engine.dispose()


def test_reading_an_absent_sqlite_file_makes_none_and_says_what_to_do(tmp_path: Path) -> None:
    engine = store.make_engine(f"sqlite:///{tmp_path / 'icr.db'}")
    with pytest.raises(DatabaseUnavailableError, match="icr up"):
        store.require_database(engine)
    assert list(tmp_path.iterdir()) == []


def test_older_database_is_named_with_what_to_do(engine: Engine) -> None:
    store.require_database(engine)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '0000'"))
    with pytest.raises(DatabaseUnavailableError, match=r"0000.*icr migrate"):
        store.require_database(engine)


def test_waiting_for_an_absent_database_is_said_and_ends() -> None:
    engine = store.make_engine("postgresql://icr:secret@/icr?host=/nowhere")
    said: list[str] = []
    with pytest.raises(DatabaseUnavailableError):
        store.wait_for_database(engine, 0.5, said.append)
    assert said
    assert "waiting for the database" in said[0]
    assert "secret" not in "".join(said)


@pytest.mark.parametrize("url", ["mysql://host/db", "not a url", "oracle+nothing://x"])
def test_other_databases_are_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="sqlite"):
        store.make_engine(url)


def test_sqlite_commits_survive_a_power_cut_and_readers_do_not_wait(tmp_path: Path) -> None:
    engine = store.make_engine(f"sqlite:///{tmp_path / 'icr.db'}")
    store.upgrade_database(engine)
    with store.writing(engine), store.reading(engine) as reader:
        pragmas = {
            name: reader.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 60_000}
    engine.dispose()


def test_the_newest_revision_is_the_one_that_alembic_finds() -> None:
    assert store.head_revision() == ScriptDirectory.from_config(store.alembic_config()).get_current_head()


def test_asking_and_migrating_again_drop_no_lock_of_an_open_database(tmp_path: Path) -> None:
    """Closing any descriptor of a SQLite file drops its process's locks; the next process then deletes its log."""
    url = f"sqlite:///{tmp_path / 'icr.db'}"
    engine = store.make_engine(url)
    store.upgrade_database(engine)
    store.wait_for_database(engine, 5)
    store.upgrade_database(engine)
    program = (
        "import sys; from worker.store.engine import *\n"
        "engine = make_engine(sys.argv[1])\n"
        "with writing(engine) as c: c.exec_driver_sql(\"INSERT INTO scans VALUES ('s', 'ab', 1, '2026-11-01')\")\n"
        "engine.dispose()"
    )
    subprocess.run([sys.executable, "-c", program, url], cwd=PROJECT, check=True)
    assert (tmp_path / "icr.db-wal").exists(), "this process has the database open still"
    with store.reading(engine) as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM scans").scalar_one() == 1
    engine.dispose()
