"""Folders and files that only their owner may enter or read: they hold readings, and parts of scans."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO


def make_private_folder(folder: Path) -> None:
    """Make a folder that only its owner may enter; one that is there stays as it is, because somebody may share it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def append_to_private(path: Path) -> BinaryIO:
    """Open a file to append to, made so that only its owner may read it."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600), "ab")


def make_private_file(path: Path) -> None:
    """Make an empty file that only its owner may read; one that is there is not touched.

    Raises
    ------
    OSError
        It is there, or cannot be made.
    """
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def is_open_to_others(path: Path) -> bool:
    """Tell whether every user of the machine may read a file, or look into a folder."""
    mode = path.stat().st_mode
    return bool(mode & (stat.S_IROTH | stat.S_IXOTH if stat.S_ISDIR(mode) else stat.S_IROTH))
