"""Private copies of scans, which nobody else can change while they are read; deleted at the end, and after a crash."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from urllib.parse import quote, unquote

from worker.errors import StorageUnavailableError
from worker.sources.beneath import hash_scan, open_scan
from worker.system.process_identity import is_dead, name_process

COPY_LIFE_S = 24 * 3600.0
"""A copy this old belongs to a process on a machine that is gone, whose death nobody here can see."""


def copy_scan(path: Path, roots: tuple[Path, ...], folder: Path, *, max_file_mb: float) -> tuple[Path, str]:
    """Copy a scan that lies under one of ``roots`` into ``folder``; return the copy, and the SHA-256 of its bytes.

    Raises
    ------
    InvalidJobError
        The scan cannot be opened, or has more bytes than allowed.
    FolderUnavailableError, StorageUnavailableError
        The folder of the scan does not answer, or there is no room for the copy.
    """
    copy = new_copy(folder)
    try:
        with open_scan(path, roots) as source, copy.open("wb") as target:
            sha256, _ = hash_scan(source, max_file_mb=max_file_mb, copy=target)
    except BaseException:
        copy.unlink(missing_ok=True)
        raise
    return copy, sha256


def new_copy(folder: Path) -> Path:
    """Make an empty file whose name names its process."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f"{quote(name_process(os.getpid()), safe='')}~", dir=folder)
    except OSError as error:
        raise StorageUnavailableError(f"no copy of the scan can be made: {error.strerror}") from error
    os.close(handle)
    return Path(name)


def remove_left_copies(folder: Path) -> int:
    """Delete the copies whose processes are gone, as after a crash; return how many."""
    removed = 0
    for copy in folder.glob("*~*"):
        owner, oldest = unquote(copy.name.rpartition("~")[0]), time.time() - COPY_LIFE_S
        try:
            if is_dead(owner) or copy.stat().st_mtime < oldest:
                copy.unlink()
                removed += 1
        except OSError:  # another process was quicker
            continue
    return removed
