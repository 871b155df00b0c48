"""``icr backup``, ``restore`` and ``move-database``: all that was read, kept in one file, or moved to PostgreSQL."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import click

from worker.bootstrap import Runtime
from worker.commands.entry import pass_runtime, ready_engine
from worker.commands.saying import say
from worker.errors import SettingsError
from worker.system.private_redis import LOCK, HomeLock

if TYPE_CHECKING:  # SQLAlchemy loads when a command runs, so that `icr --help` does not wait for it
    from collections.abc import Mapping

_TOLD = ("jobs", "scans", "pages", "fields", "digits", "reviews")


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@pass_runtime
def backup(runtime: Runtime, file: Path) -> None:
    """Write the database, your templates, your calibration and what is set into one FILE, while everything runs.

    Passwords and keys are not in it, and no scans: copy the inbox as you copy any folder.
    """
    from worker.backups import write_backup

    about = write_backup(ready_engine(runtime), runtime.settings, file)
    say(f"{file}: {_tell_rows(about.rows)}; {file.stat().st_size / 2**20:.1f} MB")


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--replace", is_flag=True, help="Set the SQLite database that is there aside, under another name.")
@pass_runtime
def restore(runtime: Runtime, file: Path, replace: bool) -> None:
    """Bring the database, templates and calibration of a backup FILE back; stop everything else first.

    The database is the one that is set, SQLite or PostgreSQL, whichever the backup was made of. It must not be there
    yet, or be empty (PostgreSQL).
    """
    from worker.backups import open_backup

    _require_stopped(runtime)
    with HomeLock(runtime.home.resolve() / LOCK), open_backup(file) as kept:
        aside = kept.restore_database(runtime.engine(), replace=replace)
        say(f"{_tell_rows(kept.about.rows)}, as of {kept.about.made_at:%Y-%m-%d %H:%M:%S} UTC")
        if aside:
            say(f"the database that was there is {aside} now")
        for line in kept.restore_files(runtime.settings, runtime.home):
            say(line)
    say(f"scans read since are not in it: move their files from {runtime.inbox / 'done'} back into the inbox")


@click.command("move-database")
@click.argument("source", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@pass_runtime
def move_database(runtime: Runtime, source: Path) -> None:
    """Copy a SQLite database, the file SOURCE, into the empty PostgreSQL database of ICR_DATABASE_URL.

    Stop everything else first. All rows arrive, or none; the file stays as it is.
    """
    from worker.store.copying import copy_database
    from worker.store.engine import describe, make_engine, upgrade_database

    target = runtime.engine()
    if target.dialect.name != "postgresql":
        raise SettingsError(
            "set ICR_DATABASE_URL to the empty PostgreSQL database: postgresql://user:password@host/name"
        )
    _require_stopped(runtime)
    with HomeLock(runtime.home.resolve() / LOCK):
        origin = make_engine(f"sqlite:///{source.absolute()}")
        upgrade_database(origin)
        upgrade_database(target)
        rows = copy_database(origin, target, hold=True)
    for table, count in rows.items():
        say(f"{table:<12} {count:>10}")
    say(f"{describe(target)} has every row of {source}, which stays as it is; keep ICR_DATABASE_URL set")


def _require_stopped(runtime: Runtime) -> None:
    """Refuse to go on while a worker or a watcher beats on the Redis of many machines; a private one has a lock."""
    if runtime.settings.broker_url is None:
        return
    import redis

    from worker.queue.beats import beat_ages

    with contextlib.suppress(redis.RedisError):
        ages = beat_ages(runtime.redis_client())
        alive = [name for name, age in ages.items() if age <= 3 * runtime.settings.canary_s]
        if alive:
            raise SettingsError(f"{', '.join(alive)} is still running: stop everything first")


def _tell_rows(rows: Mapping[str, int]) -> str:
    return ", ".join(f"{rows.get(name, 0)} {name}" for name in _TOLD)
