"""Scans that came by HTTP: kept under the inbox, where every worker finds them, and never moved."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import time
import uuid
from pathlib import Path
from typing import BinaryIO

from worker.inbox.folder import NAME_LIMIT
from worker.sources.beneath import is_foreign, open_folder

POSTED = ".posted"
"""The folder in the inbox; the watcher passes over it, because its name is hidden."""

COMING = Path(POSTED, "coming")
"""What is being received, within the inbox."""

LEFT_AFTER_S = 24 * 3600.0
"""A file that was being received so long ago belongs to a request that is long over."""


def new_file(inbox: Path) -> tuple[Path, BinaryIO]:
    """Make an empty file for what is being received, on the file system where it will stay; return it open.

    Raises
    ------
    OSError
        There is no room, or somebody who drops scans has planted the folder that posts are kept in, or a link.
    """
    name = secrets.token_hex(16)
    inbox.mkdir(parents=True, exist_ok=True)  # of a site that has a server before it has a watcher
    with open_folder(inbox, Path()) as root, open_folder(inbox, Path(POSTED), make=True, mode=0o700) as posted:
        if is_foreign(root, posted):
            raise PermissionError(errno.EPERM, f"{inbox / POSTED} belongs to another user: remove it")
    with open_folder(inbox, COMING, make=True, mode=0o700) as folder:
        file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=folder)
    return inbox / COMING / name, os.fdopen(file, "wb")


def keep_file(inbox: Path, received: Path, job_id: str, name: str) -> Path:
    """Give what was received its lasting place, on the disk; return the place.

    Raises
    ------
    FileExistsError
        A scan of this id lies there already, in a file of any name.
    OSError
        There is no room, or a folder on its way is a link.
    """
    inside = Path(POSTED, str(uuid.UUID(job_id)))
    target = plain_name(name)
    with (
        open_folder(inbox, received.relative_to(inbox).parent) as coming,
        open_folder(inbox, inside, make=True, mode=0o700) as folder,
        open_folder(inbox, inside.parent) as above,
    ):
        if any(other != target for other in os.listdir(folder)):  # noqa: PTH208  # of a descriptor
            raise FileExistsError(str(inbox / inside))
        _sync(received.name, coming)
        os.link(received.name, target, src_dir_fd=coming, dst_dir_fd=folder, follow_symlinks=False)
        os.fsync(folder)
        os.fsync(above)
    return inbox / inside / target


def find_kept(inbox: Path, job_id: str) -> Path | None:
    """Return where the scan of a job lies that came by HTTP, None where there is none."""
    inside = Path(POSTED, str(uuid.UUID(job_id)))
    with contextlib.suppress(OSError), open_folder(inbox, inside) as folder:
        return next((inbox / inside / name for name in os.listdir(folder)), None)  # noqa: PTH208  # of a descriptor
    return None


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
    with contextlib.suppress(OSError), open_folder(inbox, COMING) as folder:
        for name in os.listdir(folder):  # noqa: PTH208  # of a descriptor
            with contextlib.suppress(OSError):
                if os.stat(name, dir_fd=folder, follow_symlinks=False).st_mtime < oldest:
                    os.unlink(name, dir_fd=folder)
                    removed += 1
    return removed


def plain_name(name: str) -> str:
    """Return a file name that is one, whatever a client sent: no folder, no control mark, not hidden, not too long."""
    last = name.replace("\\", "/").rpartition("/")[2]
    kept = "".join(char if char.isprintable() else "_" for char in last).strip().lstrip(".")
    while len(os.fsencode(kept)) > NAME_LIMIT // 2:
        kept = kept[1:]
    return kept or "scan"


def _sync(name: str, folder: int) -> None:
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=folder)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
