"""Files and folders opened beneath a root, one part of the path at a time, and never through a link.

A path that is checked and then opened may lead elsewhere by then: whoever may write into a folder swaps a part of the
path for a link. So each part is opened by the descriptor of the one before, with ``O_NOFOLLOW``, and what is checked
is what was opened. The root itself is the administrator's and may be a link.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from worker.errors import FolderUnavailableError, InvalidJobError, MissingScanError, StorageUnavailableError

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
_BLOCK_BYTES = 2**20

_OF_THE_FILE = {errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENAMETOOLONG, errno.ENXIO}
"""What is wrong with the file itself. Everything else, as EIO or ESTALE, is of the place, which may come back."""


@contextmanager
def open_folder(root: Path, inside: Path, *, make: bool = False, mode: int = 0o777) -> Iterator[int]:
    """Yield the descriptor of a folder beneath ``root``; ``make`` makes what is missing below it, with that ``mode``.

    Raises
    ------
    OSError
        A part is missing, is no folder, or is a link.
    """
    current = os.open(root, _FOLDER)
    try:
        for part in inside.parts:
            if make:
                _make_folder(part, current, mode)
            below = os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=current)
            os.close(current)
            current = below
        yield current
    finally:
        os.close(current)


def _make_folder(name: str, parent: int, mode: int) -> None:
    try:
        os.mkdir(name, mode, dir_fd=parent)
    except FileExistsError:
        return


def is_foreign(root: int, folder: int) -> bool:
    """Tell whether a folder beneath ``root`` belongs to somebody else, who made it first and sees what it holds.

    Both are descriptors. Whoever owns the root is trusted. Some file systems give every file one owner, or another one
    than its maker; there a folder is compared with one that is made to see.
    """
    owner = os.fstat(folder).st_uid
    if owner in (os.geteuid(), os.fstat(root).st_uid):
        return False
    name = f".{secrets.token_hex(16)}"
    os.mkdir(name, 0o700, dir_fd=root)
    try:
        return os.stat(name, dir_fd=root, follow_symlinks=False).st_uid != owner
    finally:
        os.rmdir(name, dir_fd=root)


def open_file(root: Path, inside: Path) -> BinaryIO:
    """Open a regular file beneath ``root``.

    Raises
    ------
    OSError
        It cannot be opened, is no regular file, or a part of its path is a link.
    """
    with open_folder(root, inside.parent) as parent:
        descriptor = os.open(inside.name, _FILE | os.O_NOFOLLOW, dir_fd=parent)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.ELOOP, "it is not a regular file")
    return os.fdopen(descriptor, "rb")


@contextmanager
def open_scan(path: Path, roots: tuple[Path, ...]) -> Iterator[BinaryIO]:
    """Open the file of a scan beneath whichever of ``roots`` it lies under; what goes wrong meanwhile is told apart.

    Raises
    ------
    InvalidJobError
        The file is missing, may not be read, or is no regular file of that root.
    FolderUnavailableError
        The place does not answer.
    """
    root = next((root for root in roots if path.is_relative_to(root)), None)
    if root is None:
        raise InvalidJobError("the file lies under none of the allowed folders (ICR_INBOX, ICR_SCAN_ROOTS)")
    try:
        with open_file(root, path.relative_to(root)) as file:
            yield file
    except OSError as error:
        if error.errno == errno.ENOENT:
            raise MissingScanError(f"the file cannot be opened: {error.strerror}") from error
        if error.errno in _OF_THE_FILE:
            raise InvalidJobError(f"the file cannot be opened: {error.strerror}") from error
        raise FolderUnavailableError(f"the folder of the scan does not answer: {error.strerror}") from error


def _write(copy: BinaryIO, block: bytes) -> None:
    try:
        copy.write(block)
        copy.flush()
    except OSError as error:
        raise StorageUnavailableError(f"no copy of the scan can be made: {error.strerror}") from error


def hash_scan(source: BinaryIO, *, max_file_mb: float, copy: BinaryIO | None = None) -> tuple[str, int]:
    """Return the SHA-256 of a file's bytes and their number, and write them to ``copy`` on the way.

    Raises
    ------
    InvalidJobError
        It has more bytes than allowed: nobody reads a terabyte to find that out.
    StorageUnavailableError
        There is no room for the copy.
    """
    digest, size, most = hashlib.sha256(), os.fstat(source.fileno()).st_size, max_file_mb * 2**20
    if size <= most:
        size = 0
        while size <= most and (block := source.read(_BLOCK_BYTES)):
            size += len(block)
            digest.update(block)
            if copy is not None:
                _write(copy, block)
    if size > most:
        raise InvalidJobError(f"a file of {size / 2**20:.1f} MB; the limit is {max_file_mb:g} (ICR_MAX_FILE_MB)")
    return digest.hexdigest(), size
