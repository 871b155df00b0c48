"""Scans that came by HTTP: kept under the inbox, where every worker finds them, and never moved."""

from __future__ import annotations

import contextlib
import os
import secrets
import time
import uuid
from pathlib import Path

from worker.inbox.folder import NAME_LIMIT
from worker.sources.beneath import open_folder

POSTED = ".posted"
"""The folder in the inbox; the watcher passes over it, because its name is hidden."""

_COMING = "coming"
LEFT_AFTER_S = 24 * 3600.0
"""A file that was being received so long ago belongs to a request that is long over."""


def new_file(inbox: Path) -> Path:
    """Make an empty file for what is being received, on the file system where it will stay."""
    folder = inbox / POSTED / _COMING
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / secrets.token_hex(16)
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
    return path


def keep_file(inbox: Path, received: Path, job_id: str, name: str) -> Path:
    """Give what was received its lasting place, on the disk; return the place.

    Raises
    ------
    FileExistsError
        A scan of this id lies there already, in a file of any name.
    """
    folder = inbox / POSTED / str(uuid.UUID(job_id))
    folder.mkdir(mode=0o700, exist_ok=True)
    target = folder / plain_name(name)
    if any(path.name != target.name for path in folder.iterdir()):
        raise FileExistsError(str(folder))
    _sync(received)
    os.link(received, target)
    for changed in (folder, folder.parent):
        _sync(changed)
    return target


def find_kept(inbox: Path, job_id: str) -> Path | None:
    """Return where the scan of a job lies that came by HTTP, None where there is none."""
    folder = inbox / POSTED / str(uuid.UUID(job_id))
    return next(iter(folder.iterdir()), None) if folder.is_dir() else None


def remove_posted(inbox: Path, inside: Path) -> None:
    """Delete a scan that came by HTTP, by its path within the inbox, and its folder; one that is gone is no mistake.

    Raises
    ------
    OSError
        It may not be deleted, or a folder on its way is a link now.
    """
    if ".." in inside.parts:
        return
    with contextlib.suppress(FileNotFoundError):
        with open_folder(inbox, inside.parent) as folder:
            os.unlink(inside.name, dir_fd=folder)
        with open_folder(inbox, inside.parent.parent) as above, contextlib.suppress(OSError):
            os.rmdir(inside.parent.name, dir_fd=above)


def remove_left_files(inbox: Path) -> int:
    """Delete what requests left behind that were cut off by a crash; return how many."""
    removed, oldest = 0, time.time() - LEFT_AFTER_S
    for path in (inbox / POSTED / _COMING).glob("*"):
        with contextlib.suppress(OSError):
            if path.lstat().st_mtime < oldest:
                path.unlink()
                removed += 1
    return removed


def plain_name(name: str) -> str:
    """Return a file name that is one, whatever a client sent: no folder, no control mark, not hidden, not too long."""
    last = name.replace("\\", "/").rpartition("/")[2]
    kept = "".join(char if char.isprintable() else "_" for char in last).strip().lstrip(".")
    while len(os.fsencode(kept)) > NAME_LIMIT // 2:
        kept = kept[1:]
    return kept or "scan"


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
