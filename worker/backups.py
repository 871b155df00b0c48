"""One file that holds what a site cannot make again: database, form templates, calibration, and what was set.

It is a ZIP archive, with a checksum of each part and its directory at its end: a backup that was cut short says so.
The database in it is SQLite's, whichever the site runs on, so it can be looked at anywhere and restored to either.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Any

import pydantic
from sqlalchemy import Engine

from worker.errors import IcrError, SettingsError
from worker.settings import Settings
from worker.store.copying import copy_database, copy_sqlite_file
from worker.store.engine import describe, head_revision, make_engine, upgrade_database

_FORMAT = 1
_MANIFEST, _DATABASE, _CALIBRATION, _TEMPLATES = "manifest.json", "icr.db", "calibration.json", "templates"


class Manifest(pydantic.BaseModel):
    """What a backup says of itself."""

    format: int
    made_at: datetime
    program: str
    revision: str
    rows: dict[str, int]
    settings: dict[str, str]


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup that was opened and looked through."""

    about: Manifest
    archive: zipfile.ZipFile

    def restore_database(self, target: Engine, *, replace: bool) -> Path | None:
        """Bring the rows into a database without rows, and return where the SQLite file lies that was there.

        Raises
        ------
        IcrError
            There is a SQLite database and ``replace`` is False, or the PostgreSQL database has rows.
        """
        if target.dialect.name == "postgresql":
            with tempfile.TemporaryDirectory() as folder, _opened(self._extract(Path(folder))) as source:
                upgrade_database(target)
                copy_database(source, target)
            return None
        path = Path(target.url.database or "")
        if path.exists() and not replace:
            raise IcrError(f"there is a database at {describe(target)}: --replace sets it aside under another name")
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            with _opened(self._extract(Path(folder))):
                pass
            target.dispose()
            aside = _set_aside(path)
            (Path(folder) / _DATABASE).replace(path)
        return aside

    def restore_files(self, settings: Settings, home: Path) -> Iterator[str]:
        """Bring templates and calibration to where the settings or ``home`` have them, and yield what to look at.

        A file that is there and differs stays.
        """
        folder = settings.templates or home / _TEMPLATES
        names = [name for name in self.archive.namelist() if name.startswith(f"{_TEMPLATES}/")]
        for name in names:
            yield from self._restore_file(name, folder / PurePosixPath(name).relative_to(_TEMPLATES))
        if _CALIBRATION in self.archive.namelist():
            target = settings.calibration or home / _CALIBRATION
            yield from self._restore_file(_CALIBRATION, target)
            if settings.calibration is None:
                yield f"set ICR_CALIBRATION={target}"
        now = list_settings(settings)
        for name, value in self.about.settings.items():
            if now.get(name) != value:
                yield f"{name} was {value} then, and is {now.get(name, 'not set')} now"

    def _extract(self, folder: Path) -> Engine:
        """Take the database out, and bring it to this program's revision."""
        with self.archive.open(_DATABASE) as source, _create(folder / _DATABASE) as target:
            shutil.copyfileobj(source, target)
        engine = make_engine(f"sqlite:///{folder / _DATABASE}")
        upgrade_database(engine)
        return engine

    def _restore_file(self, name: str, target: Path) -> Iterator[str]:
        content = self.archive.read(name)
        if target.exists():
            if target.read_bytes() != content:
                yield f"{target} differs from that of the backup, and stays"
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        yield f"{target} is back"


def write_backup(engine: Engine, settings: Settings, file: Path) -> Manifest:
    """Write a backup while others work; the file appears when it is whole, and only its owner may read it.

    Raises
    ------
    IcrError
        The file is there already, or cannot be written, or the database is damaged, or a file of yours is missing.
    """
    if file.exists():
        raise IcrError(f"{file} is there already: name a new file")
    try:
        with tempfile.TemporaryDirectory(prefix=".icr-backup-", dir=file.absolute().parent) as folder:
            about = _write_archive(engine, settings, Path(folder))
            (Path(folder) / "backup").replace(file)
    except OSError as error:
        raise IcrError(f"cannot write {file}: {error.strerror or error}") from error
    return about


@contextmanager
def open_backup(file: Path) -> Iterator[Backup]:
    """Open a backup and compare every checksum in it.

    Raises
    ------
    IcrError
        It is damaged or no backup, or a newer program made it.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            damaged = archive.testzip()
            about = Manifest.model_validate_json(archive.read(_MANIFEST))
            archive.getinfo(_DATABASE)
            if damaged:
                raise IcrError(f"{file} is damaged: {damaged}; take another backup")
            if about.format > _FORMAT or about.revision > head_revision():
                raise IcrError(f"{file} was made by icr-worker {about.program}: install that version or a newer one")
            if any(".." in PurePosixPath(name).parts or name.startswith("/") for name in archive.namelist()):
                raise IcrError(f"{file} is no backup of icr")
            yield Backup(about, archive)
    except (zipfile.BadZipFile, KeyError, EOFError, pydantic.ValidationError) as error:
        raise IcrError(f"{file} is damaged, or no backup of icr; take another backup") from error
    except OSError as error:
        raise IcrError(f"cannot restore {file}: {error.strerror or error}") from error


def list_settings(settings: Settings) -> dict[str, str]:
    """Return what is set, by the names of the environment, without anything that may hold a password or a key."""
    found = {}
    for name in sorted(settings.model_fields_set):
        value: Any = getattr(settings, name)
        if type(settings).model_fields[name].repr and not isinstance(value, pydantic.SecretStr):
            found[f"ICR_{name.upper()}"] = str(value)
    return found


@contextmanager
def _opened(engine: Engine) -> Iterator[Engine]:
    """Close a SQLite file at the end, which folds its log into it."""
    try:
        yield engine
    finally:
        engine.dispose()


def _write_archive(engine: Engine, settings: Settings, folder: Path) -> Manifest:
    made_at, copy = datetime.now(UTC), folder / _DATABASE
    with _create(copy):  # only its owner may read it, from the beginning
        pass
    if engine.dialect.name == "sqlite":
        rows = copy_sqlite_file(engine, copy)
    else:
        with _opened(make_engine(f"sqlite:///{copy}")) as target:
            upgrade_database(target)
            rows = copy_database(engine, target)
    about = Manifest(
        format=_FORMAT,
        made_at=made_at,
        program=version("icr-worker"),
        revision=head_revision(),
        rows=rows,
        settings=list_settings(settings),
    )
    with _create(folder / "backup") as target_file:
        with zipfile.ZipFile(target_file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            archive.writestr(_MANIFEST, about.model_dump_json(indent=2))
            archive.write(copy, _DATABASE)
            for path, name in _files_of(settings):
                archive.write(path, name)
        target_file.flush()
        os.fsync(target_file.fileno())
    return about


def _files_of(settings: Settings) -> Iterator[tuple[Path, str]]:
    for name, wanted in (("ICR_TEMPLATES", settings.templates), ("ICR_CALIBRATION", settings.calibration)):
        if wanted is not None and not wanted.exists():
            raise SettingsError(f"{wanted} ({name}) is not there: a backup without it would be none")
    templates = settings.templates or settings.home / _TEMPLATES
    for path in sorted(templates.rglob("*")) if templates.is_dir() else ():
        if path.is_file():
            yield path, f"{_TEMPLATES}/{path.relative_to(templates)}"
    if settings.calibration is not None:
        yield settings.calibration, _CALIBRATION


def _create(path: Path) -> Any:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _set_aside(path: Path) -> Path | None:
    """Rename a SQLite database that is there, with its log, and return its new name."""
    if not path.exists():
        return None
    aside = path.with_name(f"{path.name}.before-{datetime.now(UTC):%Y%m%dT%H%M%SZ}")
    for end in ("-wal", "-shm", ""):
        part = path.with_name(path.name + end)
        if part.exists():
            part.rename(aside.with_name(aside.name + end))
    return aside
