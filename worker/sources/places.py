"""Where scans lie: ``Places.fetch`` gives a local file for a scan in a folder or in a bucket."""

from __future__ import annotations

import stat
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from worker.errors import FolderUnavailableError, InvalidJobError, MissingScanError, StorageUnavailableError
from worker.sources.file_uris import path_of_uri

STORAGE_SCHEME = "s3://"

WORKING = ".working"
"""The folder in the inbox that holds the scans of jobs that have not ended."""


@dataclass(frozen=True, slots=True)
class ScanFile:
    """A scan as a local file for the length of a ``with`` block; a copy is deleted at its end."""

    path: Path
    is_copy: bool = False

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, *_: object) -> None:
        if self.is_copy:
            self.path.unlink(missing_ok=True)


class Place(Protocol):
    """A kind of place where scans lie."""

    def fetch(self, uri: str) -> ScanFile:
        """Return the scan that a job names, if it lies where jobs may name scans.

        Raises
        ------
        InvalidJobError
            It does not exist, is no scan, or lies elsewhere. The error does not say what lies elsewhere.
        FolderUnavailableError, StorageUnavailableError
            The place itself is away, so waiting helps.
        """
        ...


@dataclass(frozen=True, slots=True)
class Folders:
    """The folders under which jobs may name files, with links resolved."""

    roots: tuple[Path, ...]

    def fetch(self, uri: str) -> ScanFile:
        """Return the file itself, in its place."""
        return ScanFile(locate_scan(uri, self.roots))


@dataclass(slots=True)
class Resting:
    """A place that is left alone for ``rest_s`` after it did not answer, since each try may last until its timeout."""

    place: Place
    rest_s: float
    _until: float = field(default=0.0, init=False)
    _reason: str = field(default="", init=False)

    def fetch(self, uri: str) -> ScanFile:
        """Return the scan, or raise at once what was wrong a moment ago."""
        if time.monotonic() < self._until:
            raise StorageUnavailableError(self._reason)
        try:
            return self.place.fetch(uri)
        except StorageUnavailableError as error:
            self._until, self._reason = time.monotonic() + self.rest_s, str(error)
            raise


@dataclass(frozen=True, slots=True)
class Places:
    """Every place where jobs may name scans; ``storage`` is None if no bucket is allowed."""

    folders: Place
    storage: Place | None = None

    def fetch(self, uri: str) -> ScanFile:
        """Return the scan from the place that its URI names; see ``Place.fetch``."""
        if self.storage is not None and uri.startswith(STORAGE_SCHEME):
            return self.storage.fetch(uri)
        return self.folders.fetch(uri)


def locate_scan(uri: str, roots: tuple[Path, ...]) -> Path:
    """Return the file that a job names, with links resolved, if it lies under one of the allowed ``roots``.

    Raises
    ------
    InvalidJobError
        It names another scheme, no regular file, or one elsewhere. The error does not say what lies elsewhere.
    FolderUnavailableError
        The folder that it should lie under does not exist.
    """
    try:
        named = path_of_uri(uri)
        if named is None:
            raise InvalidJobError(
                "a scan is named by an absolute path or a file:// URI, or by s3:// where ICR_SCAN_ROOTS names a bucket"
            )
        path = named.resolve(strict=False)
        if not any(path.is_relative_to(root) for root in roots):
            raise InvalidJobError("the file lies under none of the allowed folders (ICR_INBOX, ICR_SCAN_ROOTS)")
        _require_folder(path, roots)
        mode = path.stat().st_mode
    except FileNotFoundError as error:
        raise MissingScanError(f"the file cannot be found: {error.strerror}") from error
    except (OSError, ValueError, RuntimeError) as error:
        raise InvalidJobError(f"the file cannot be found: {getattr(error, 'strerror', None) or error}") from error
    if not stat.S_ISREG(mode):
        raise InvalidJobError("the job names no regular file")
    return path


def _require_folder(path: Path, roots: tuple[Path, ...]) -> None:
    """Refuse to judge a file while its folder is away; a removed drive leaves an empty mount point."""
    for folder in (*roots, *(root / WORKING for root in roots)):
        if path.is_relative_to(folder) and not folder.is_dir():
            raise FolderUnavailableError(f"the folder {folder} is not there")
