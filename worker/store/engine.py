"""The database itself, SQLite or PostgreSQL: how it is opened, awaited and brought to its newest revision."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import Connection, Engine, event, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DatabaseError,
    DBAPIError,
    InterfaceError,
    NoSuchModuleError,
    OperationalError,
    ProgrammingError,
)

import migrations
from worker.errors import DatabaseUnavailableError, SettingsError
from worker.system.private_files import make_private_file, make_private_folder

if TYPE_CHECKING:
    import tenacity
    from alembic.config import Config

SQLITE_BUSY_S = 60.0
"""How long a writer waits for another: more than any lock of ours lasts, less than a job's time limit."""

POSTGRESQL_CONNECT_S = 10
READ_ONLY_SERVER = "25006"
"""PostgreSQL's code for a write to a standby, as after a failover before clients are led to the new primary."""
_READ_ONLY = "icr_read_only"
_VERSION_TABLE = sa.table("alembic_version", sa.column("version_num"))


def make_engine(url: str) -> Engine:
    """Open a database lazily: nothing is connected or created yet.

    Raises
    ------
    SettingsError
        If the URL is malformed or names another kind of database.
    """
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() == "postgresql":
            return _postgresql_engine(parsed.set(drivername="postgresql+psycopg"))
        if parsed.get_backend_name() == "sqlite":
            return _sqlite_engine(parsed)
    except (ArgumentError, NoSuchModuleError) as error:
        raise SettingsError(
            "the database URL is malformed: use sqlite:////path/to/file.db or postgresql://user:password@host/name"
        ) from error
    raise SettingsError(f"no database of the kind {parsed.get_backend_name()!r}: use sqlite or postgresql")


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Open one transaction that only reads, all of it from one moment: on SQLite it never waits for a writer."""
    with _translated(), engine.connect() as connection:
        reader = connection.execution_options(**{_READ_ONLY: True})
        if engine.dialect.name == "postgresql":  # else each statement sees what others have committed meanwhile
            reader = reader.execution_options(isolation_level="REPEATABLE READ")
        with reader.begin():
            yield reader


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Open one transaction that writes; all of it is committed, or nothing."""
    with _translated(), engine.begin() as connection:
        yield connection


def database_now(connection: Connection) -> datetime:
    """Return the database's clock, the one clock of all leases, whatever the clocks of the workers say."""
    if connection.dialect.name == "sqlite":
        now = connection.exec_driver_sql("SELECT strftime('%Y-%m-%dT%H:%M:%f', 'now')").scalar_one()
        return datetime.fromisoformat(now).replace(tzinfo=UTC)
    moment: datetime = connection.exec_driver_sql("SELECT clock_timestamp()").scalar_one()
    return moment.astimezone(UTC)


def wait_for_database(engine: Engine, timeout_s: float, say: Callable[[str], Any] = print) -> None:
    """Wait with growing pauses until the database answers, and say so through ``say``.

    Raises
    ------
    DatabaseUnavailableError
        If it has not answered within ``timeout_s`` seconds.
    """
    import tenacity  # commands that wait for nothing are spared it

    def tell(state: tenacity.RetryCallState) -> None:
        pause_s = state.next_action.sleep if state.next_action else 0
        error = state.outcome.exception() if state.outcome else None
        say(f"waiting for the database {describe(engine)}: trying again in {pause_s:.1f} s ({error})")

    waiting = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(DatabaseUnavailableError),
        wait=tenacity.wait_exponential_jitter(multiplier=0.2, max=5),
        stop=tenacity.stop_after_delay(timeout_s),
        before_sleep=tell,
        reraise=True,
    )
    waiting(_ask, engine)


def describe(engine: Engine) -> str:
    """Name the database for people: the file, or the server and the database without user and password."""
    url = engine.url
    if engine.dialect.name == "sqlite":
        return url.database or "in memory"
    return f"{url.database} at {url.host or url.query.get('host') or 'localhost'}"


def upgrade_database(engine: Engine, revision: str = "head") -> None:
    """Bring the schema to ``revision`` (forward only), creating a SQLite file where there is none."""
    from alembic import command  # slow to import, and only migrating needs it

    _make_sqlite_file(engine)
    with _translated():
        command.upgrade(alembic_config(engine), revision)


def database_revision(engine: Engine) -> str | None:
    """Return the revision the database is at, None where it has none; a missing SQLite file stays missing."""
    if _sqlite_file_is_missing(engine):
        return None
    with reading(engine) as connection:
        if not sa.inspect(connection).has_table(_VERSION_TABLE.name):
            return None
        return connection.execute(sa.select(_VERSION_TABLE.c.version_num)).scalar_one_or_none()


def head_revision() -> str:
    """Return the newest revision of this installation: migrations are numbered, and their files begin with it.

    Alembic would import every migration to say the same; a test holds the two equal.
    """
    folder = Path(next(iter(migrations.__path__))) / "versions"
    return max(path.name.partition("_")[0] for path in folder.glob("[0-9]*.py"))


def require_database(engine: Engine) -> None:
    """Raise ``DatabaseUnavailableError``, saying what to do, unless the database is there and up to date."""
    revision = database_revision(engine)
    if revision is None:
        raise DatabaseUnavailableError(
            f"there is no database at {describe(engine)} yet: start with 'icr up', or set ICR_DATABASE_URL"
        )
    if revision != head_revision():
        raise DatabaseUnavailableError(
            f"the database {describe(engine)} is at revision {revision}, this program needs "
            f"{head_revision()}: run 'icr migrate'"
        )


def alembic_config(engine: Engine | None = None) -> Config:
    """Return Alembic's configuration: the migrations that lie beside this package, on ``engine``."""
    from alembic.config import Config

    config = Config()
    folder = next(iter(migrations.__path__))
    config.set_main_option("script_location", folder.replace("%", "%%"))
    config.attributes["engine"] = engine
    return config


def _postgresql_engine(url: sa.URL) -> Engine:
    return sa.create_engine(
        url,
        pool_size=2,
        max_overflow=4,
        pool_pre_ping=True,
        connect_args={
            "connect_timeout": POSTGRESQL_CONNECT_S,
            "options": "-c timezone=UTC",
            "application_name": "icr",
        },
    )


def _sqlite_engine(url: sa.URL) -> Engine:
    engine = sa.create_engine(url, connect_args={"timeout": SQLITE_BUSY_S, "check_same_thread": False})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # SQLAlchemy begins the transactions, not the driver
    connection.execute("PRAGMA journal_mode=WAL")
    # FULL: with NORMAL a power cut takes back commits whose files have already moved to done/.
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")


def _begin_sqlite(connection: Connection) -> None:
    # IMMEDIATE: a writer that began as a reader would fail at once instead of waiting for its turn.
    read_only = connection.get_execution_options().get(_READ_ONLY, False)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


def _ask(engine: Engine) -> None:
    _make_sqlite_file(engine)
    with reading(engine) as connection:
        connection.execute(sa.text("SELECT 1"))


def _make_sqlite_file(engine: Engine) -> None:
    """Make the file, which SQLite would make readable for everybody; its log gets the rights of the file.

    A file that is there is not opened: closing it would drop the locks of every connection of this process to it
    (POSIX locks; "How To Corrupt An SQLite Database File", 2.2).
    """
    if engine.dialect.name == "sqlite" and engine.url.database:
        path = Path(engine.url.database)
        make_private_folder(path.parent)
        with suppress(OSError):  # it is there; or SQLite itself says what is wrong
            make_private_file(path)


def _sqlite_file_is_missing(engine: Engine) -> bool:
    return engine.dialect.name == "sqlite" and not Path(engine.url.database or "").exists()


@contextmanager
def _translated() -> Iterator[None]:
    """Turn "gone", "locked", "disk full" and "a standby" into the one error that is worth trying again.

    A missing column or table, a right that was taken away and a file that is no database are the same: somebody is at
    work on the database, and no scan is at fault. What a scan may cause, as a value out of range, is not among them.
    """
    try:
        yield
    except DBAPIError as error:
        passing = error.connection_invalidated or getattr(error.orig, "sqlstate", None) == READ_ONLY_SERVER
        unfit = isinstance(error, ProgrammingError) or type(error) is DatabaseError
        if passing or unfit or isinstance(error, OperationalError | InterfaceError):
            reason = str(error.orig).strip().partition("\n")[0]
            raise DatabaseUnavailableError(f"the database does not answer: {reason}") from error
        raise
