"""Where scans lie, folders and buckets behind one call: ``Places.fetch`` hands out a file of this machine to read."""

from __future__ import annotations

import stat
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote_to_bytes, urlsplit

from worker.errors import FolderUnavailableError, InvalidJobError, StorageUnavailableError

STORAGE_SCHEME = "s3://"

WORKING = ".working"
"""The folder in the inbox where scans lie whose jobs have not ended."""


@dataclass(frozen=True, slots=True)
class ScanFile:
    """A scan as a file of this machine, for the length of a ``with`` block; a copy is deleted at its end."""

    path: Path
    is_copy: bool = False

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, *_: object) -> None:
        if self.is_copy:
            self.path.unlink(missing_ok=True)


class Place(Protocol):
    """A kind of place that scans lie in."""

    def fetch(self, uri: str) -> ScanFile:
        """Return the scan that a job names, if it lies where jobs may name scans.

        Raises
        ------
        InvalidJobError
            It is not there, is no scan, or lies elsewhere. What lies elsewhere is not told.
        FolderUnavailableError, StorageUnavailableError
            The place itself is away: waiting helps.
        """
        ...


@dataclass(frozen=True, slots=True)
class Folders:
    """The folders under which jobs may name files, links resolved."""

    roots: tuple[Path, ...]

    def fetch(self, uri: str) -> ScanFile:
        """Return the file itself, where it lies."""
        return ScanFile(locate_scan(uri, self.roots))


@dataclass(slots=True)
class Resting:
    """A place that, once it did not answer, is left alone for ``rest_s``: each ask may take as long as its timeouts."""

    place: Place
    rest_s: float
    _until: float = field(default=0.0, init=False)
    _reason: str = field(default="", init=False)

    def fetch(self, uri: str) -> ScanFile:
        """Return the scan, or say at once what was wrong a moment ago."""
        if time.monotonic() < self._until:
            raise StorageUnavailableError(self._reason)
        try:
            return self.place.fetch(uri)
        except StorageUnavailableError as error:
            self._until, self._reason = time.monotonic() + self.rest_s, str(error)
            raise


@dataclass(frozen=True, slots=True)
class Places:
    """Every place that jobs may name scans in; ``storage`` is None where no bucket is allowed."""

    folders: Place
    storage: Place | None = None

    def fetch(self, uri: str) -> ScanFile:
        """Return the scan from the place that its URI is of; see ``Place.fetch``."""
        if self.storage is not None and uri.startswith(STORAGE_SCHEME):
            return self.storage.fetch(uri)
        return self.folders.fetch(uri)


def locate_scan(uri: str, roots: tuple[Path, ...]) -> Path:
    """Return the file that a job names, links resolved, if it lies under one of the allowed ``roots``.

    Raises
    ------
    InvalidJobError
        It names another scheme, no regular file, or one elsewhere. What lies elsewhere is not told.
    FolderUnavailableError
        The folder itself that it should lie under is not there.
    """
    try:
        path = _path_of(uri).resolve(strict=False)
        if not any(path.is_relative_to(root) for root in roots):
            raise InvalidJobError("the file lies under none of the allowed folders (ICR_INBOX, ICR_SCAN_ROOTS)")
        _require_folder(path, roots)
        mode = path.stat().st_mode
    except (OSError, ValueError, RuntimeError) as error:
        raise InvalidJobError(f"the file cannot be found: {getattr(error, 'strerror', None) or error}") from error
    if not stat.S_ISREG(mode):
        raise InvalidJobError("the job names no regular file")
    return path


def _require_folder(path: Path, roots: tuple[Path, ...]) -> None:
    """Refuse to judge a file while its folder is away; of a drive taken off, an empty mount point stays."""
    for folder in (*roots, *(root / WORKING for root in roots)):
        if path.is_relative_to(folder) and not folder.is_dir():
            raise FolderUnavailableError(f"the folder {folder} is not there")


def _path_of(uri: str) -> Path:
    if uri.startswith("/"):
        return Path(uri)
    parts = urlsplit(uri)
    if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
        raise InvalidJobError(
            "a scan is named by an absolute path or a file:// URI, or by s3:// where ICR_SCAN_ROOTS names a bucket"
        )
    return Path(unquote_to_bytes(parts.path).decode("utf-8", "surrogateescape"))
