"""All rows of one database into another that is empty, of either kind: for backups and for a move to PostgreSQL."""

from __future__ import annotations

import errno
import json
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy as sa
from sqlalchemy import Column, Connection, Engine, Table

from worker.errors import IcrError
from worker.store.engine import describe, reading, writing
from worker.store.service_tables import UserRow

BATCH = 2000
"""Rows in one statement."""

_UNFIT = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")
"""How JSON text spells NUL and halves of surrogate pairs; jsonb refuses NUL, and halves without their other half."""

_Batches = Iterator[list[dict[str, Any]]]

_TABLES: tuple[Table, ...] = tuple(UserRow.metadata.sorted_tables)
"""Those of the readings and those of the service, whose module has to be loaded for this."""


def copy_database(source: Engine, target: Engine, *, hold: bool = False) -> dict[str, int]:
    """Copy every row of one database, as it stood at one moment, into another that is empty; all arrive, or none.

    Ids go on where those of the source ended, so that no id of a purged field is given out again. ``hold`` keeps every
    writer of a SQLite source waiting meanwhile.

    Returns
    -------
    The number of rows of each table.

    Raises
    ------
    IcrError
        The target has rows, or fewer than the source when all are written.
    """
    try:
        return _copy_all(source, target, hold=hold)
    except (psycopg.Error, sa.exc.DatabaseError) as error:
        reason = str(getattr(error, "orig", error)).partition("\n")[0]
        raise IcrError(f"{describe(target)} does not take every row ({reason}); nothing was kept") from error


def _copy_all(source: Engine, target: Engine, *, hold: bool) -> dict[str, int]:
    with writing(source) if hold else _snapshot(source) as rows, writing(target) as into:
        if taken := [name for name, count in count_rows(into).items() if count]:
            raise IcrError(f"{describe(target)} is not empty ({', '.join(taken)}): name a database without rows")
        for table in _TABLES:
            _copy_table(rows, into, table)
        _continue_ids(rows, into)
        found, wanted = count_rows(into), count_rows(rows)
        if found != wanted:
            short = [f"{name} {found[name]} of {wanted[name]}" for name in wanted if found[name] != wanted[name]]
            raise IcrError(f"not every row arrived ({', '.join(short)}); nothing was kept")
    return found


def copy_sqlite_file(engine: Engine, target: Path) -> dict[str, int]:
    """Copy a SQLite database to a file while others write to it, by SQLite's own backup, and check the copy.

    Returns
    -------
    The number of rows of each table.

    Raises
    ------
    IcrError
        The copy is malformed, as the database itself must be then.
    OSError
        There is no room for the copy.
    """
    copy = sqlite3.connect(target)
    try:
        with reading(engine) as connection:
            original = connection.connection.driver_connection
            assert isinstance(original, sqlite3.Connection)
            original.backup(copy)
        copy.execute("PRAGMA journal_mode=DELETE")  # one file, without a log beside it
        (verdict,) = copy.execute("PRAGMA quick_check(1)").fetchone()
        rows = {t.name: copy.execute(f"SELECT count(*) FROM {t.name}").fetchone()[0] for t in _TABLES}  # noqa: S608
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:  # the disk of the copy, not the database
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        verdict = str(error)
    finally:
        copy.close()
    if verdict != "ok":
        raise IcrError(f"{describe(engine)} is damaged ({verdict}): restore the latest backup")
    return rows


def _snapshot(engine: Engine) -> AbstractContextManager[Connection]:
    """Open a transaction that sees the database as it stands now, while others write."""
    if engine.dialect.name == "postgresql":
        engine = engine.execution_options(isolation_level="REPEATABLE READ")
    return reading(engine)


def count_rows(connection: Connection) -> dict[str, int]:
    """Return the number of rows of every table."""
    return {t.name: connection.execute(sa.select(sa.func.count()).select_from(t)).scalar_one() for t in _TABLES}


def _copy_table(source: Connection, target: Connection, table: Table) -> None:
    """Copy a table; what refers to a row of the same table is set when all of them are there."""
    own = [fk.parent for fk in table.foreign_keys if fk.column.table is table]
    columns = [column for column in table.columns if column not in own]
    write = _stream_rows if target.dialect.name == "postgresql" else _insert_rows
    write(target, table, columns, _batches(source, columns))
    for column in own:
        (key,) = table.primary_key
        linked = sa.update(table).where(key == sa.bindparam("of")).values({column.name: sa.bindparam("to")})
        for rows in _batches(source, [key.label("of"), column.label("to")], column.is_not(None)):
            target.execute(linked, rows)


def _insert_rows(target: Connection, table: Table, columns: list[Column[Any]], batches: _Batches) -> None:
    typed = {column.name: sa.Text() if _is_json(column) else column.type for column in columns}
    values = {name: sa.type_coerce(sa.bindparam(name, type_=kind), kind) for name, kind in typed.items()}
    statement = sa.insert(table).values(values)
    for rows in batches:
        target.execute(statement, rows)


def _stream_rows(target: Connection, table: Table, columns: list[Column[Any]], batches: _Batches) -> None:
    """Write by COPY, which takes rows several times as fast as statements do."""
    names = ", ".join(column.name for column in columns)
    with target.connection.cursor().copy(f"COPY {table.name} ({names}) FROM STDIN") as copy:
        for rows in batches:
            for row in rows:
                copy.write_row([_fit(row[column.name], column) for column in columns])


def _batches(source: Connection, columns: list[Any], *where: sa.ColumnElement[bool]) -> _Batches:
    wanted = sa.select(*(_to_read(column, source) for column in columns)).where(*where)
    found = source.execution_options(stream_results=True, yield_per=BATCH).execute(wanted)
    for rows in found.mappings().partitions():
        yield [dict(row) for row in rows]


def _to_read(column: Any, source: Connection) -> Any:
    """Read JSON as the text that it is, so that its null and the database's stay two things."""
    if not _is_json(column):
        return column
    is_text = source.dialect.name == "sqlite"
    return (sa.type_coerce(column, sa.Text) if is_text else sa.cast(column, sa.Text)).label(column.name)


def _is_json(column: Any) -> bool:
    return isinstance(column.type, sa.JSON)


def _fit(value: Any, column: Column[Any]) -> Any:
    """Replace what PostgreSQL refuses, as the types of the tables do."""
    if not isinstance(value, str):
        return value
    if _is_json(column):
        return json.dumps(_plain(json.loads(value)), ensure_ascii=False) if _UNFIT.search(value) else value
    return _plain(value)


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return {_plain(key): _plain(each) for key, each in value.items()} if isinstance(value, dict) else value


def _continue_ids(source: Connection, target: Connection) -> None:
    for table in _TABLES:
        column = table.autoincrement_column
        if column is None or not isinstance(column.type, sa.Integer):
            continue
        last = _last_id(source, table.name, column.name)
        if not last:
            continue
        if target.dialect.name == "postgresql":
            sequence = sa.func.pg_get_serial_sequence(table.name, column.name)
            target.execute(sa.select(sa.func.setval(sequence, last)))
        else:
            target.exec_driver_sql("DELETE FROM sqlite_sequence WHERE name = ?", (table.name,))
            target.exec_driver_sql("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (table.name, last))


def _last_id(connection: Connection, table: str, column: str) -> int | None:
    """Return the last id that was given out, which may be that of a row purged since."""
    if connection.dialect.name == "sqlite":
        known = connection.exec_driver_sql("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,))
        return known.scalar_one_or_none()
    name = connection.execute(sa.select(sa.func.pg_get_serial_sequence(table, column))).scalar_one()
    last, is_called = connection.exec_driver_sql(f"SELECT last_value, is_called FROM {name}").one()  # noqa: S608
    return int(last) if is_called else None
