"""The moves of a scan through the watched folder; every move is one atomic rename.

``inbox/[template/...]name`` is claimed to ``inbox/.working/<job id>/[template/...]name`` and ends as
``inbox/{done,failed,duplicate}/[template/...]name``. The job's id is in the path, so that after a kill at any
moment the SQL job row tells what to do with what lies in ``.working``.

Whoever may drop scans may swap a folder for a link at any moment. So folders are opened one by one, never through a
link, and files are moved by the descriptors of the folders: see ``worker.sources.beneath``.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import stat
import uuid
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from worker.errors import FolderUnavailableError, SettingsError
from worker.sources.beneath import is_foreign, open_folder
from worker.sources.places import WORKING as WORKING

DONE, FAILED, DUPLICATE = OUTCOMES = ("done", "failed", "duplicate")
REASON_SUFFIX = ".reason.txt"
NAME_LIMIT = 255
"""Bytes in a file's name on the common file systems."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """A regular file as it was seen: it stands still while this stays equal."""

    size: int
    mtime_ns: int
    inode: int


@dataclass(frozen=True, slots=True)
class Claimed:
    """A scan that is ours: where it lies in ``.working`` and its path within the inbox."""

    job_id: str
    path: Path
    name: Path

    def template_among(self, known: Collection[str]) -> str | None:
        """Return the template that its folders name, the outermost known one; None where each page finds its form."""
        plain = {_plain(name): name for name in known}
        named = (folder if folder in known else plain.get(_plain(folder)) for folder in self.name.parts[:-1])
        return next((name for name in named if name is not None), None)


def _plain(name: str) -> str:
    """Return a name as it is compared: people write capitals and spaces where a template's name has none."""
    return "-".join(re.findall(r"[^\W_]+", name.casefold()))


def prepare(inbox: Path) -> None:
    """Make the inbox and its working folder; the outcomes are made when needed.

    Raises
    ------
    SettingsError
        The inbox cannot be made, or not be written.
    """
    try:
        (inbox / WORKING).mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"the inbox {inbox} cannot be made or written: {error.strerror}") from error
    require(inbox)


def require(inbox: Path) -> None:
    """Raise ``FolderUnavailableError`` while the inbox is away; of a drive taken off, an empty mount point stays.

    A working folder that somebody else made counts as away: its owner could take, read and swap the scans in it.
    """
    try:
        with open_folder(inbox, Path()) as root, open_folder(inbox, Path(WORKING)) as working:
            foreign = is_foreign(root, working)
    except OSError:
        raise FolderUnavailableError(f"the folder {inbox} is not there, or not the one that was prepared") from None
    if foreign:
        raise FolderUnavailableError(f"{inbox / WORKING} belongs to another user: remove it")


def check_working(inbox: Path) -> None:
    """Refuse a working folder that was planted; one that is not there yet is no mistake.

    Raises
    ------
    FolderUnavailableError
        It is a link, a file, or another user's.
    """
    if os.path.lexists(inbox / WORKING):
        require(inbox)


def sight(path: Path) -> Sighting | None:
    """Look at a file; None if it is gone or not a regular file."""
    try:
        return _sighting(path.lstat())
    except OSError:
        return None


def _sighting(seen: os.stat_result) -> Sighting | None:
    return Sighting(seen.st_size, seen.st_mtime_ns, seen.st_ino) if stat.S_ISREG(seen.st_mode) else None


def claim(inbox: Path, name: Path, seen: Sighting) -> Claimed | None:
    """Take a scan by one rename; None if it changed or went since it was ``seen``.

    Raises
    ------
    OSError
        The file may not be moved, or lies on another file system.
    """
    job_id = str(uuid.uuid4())
    inside = Path(WORKING, job_id) / name
    try:
        with _opened_source(inbox, name.parent) as source, open_folder(inbox, inside.parent, make=True) as target:
            os.rename(name.name, name.name, src_dir_fd=source, dst_dir_fd=target)
            if _sighting(os.stat(name.name, dir_fd=target, follow_symlinks=False)) == seen:
                return Claimed(job_id, inbox / inside, name)
            back = _free_in(source, name.name, job_id)
            os.rename(name.name, back, src_dir_fd=target, dst_dir_fd=source)
    except FileNotFoundError:
        _remove_empty(inbox, job_id)
        return None
    except OSError:
        _remove_empty(inbox, job_id)
        raise
    _remove_empty(inbox, job_id)
    return None


@contextlib.contextmanager
def _opened_source(inbox: Path, inside: Path) -> Iterator[int]:
    """Open the folder that a scan was seen in; one that became a link meanwhile is as good as gone."""
    try:
        opened = open_folder(inbox, inside)
        source = opened.__enter__()
    except OSError as error:
        raise FileNotFoundError(str(inside)) from error
    try:
        yield source
    finally:
        opened.__exit__(None, None, None)


def iter_claimed(inbox: Path) -> Iterator[Claimed]:
    """Yield what lies in the working folder; folders that a kill left empty are removed."""
    with open_folder(inbox, Path(WORKING)) as working:
        entries = sorted(os.listdir(working))  # noqa: PTH208  # of a descriptor, which pathlib does not take
    for entry in entries:
        try:
            job_id = str(uuid.UUID(entry))
        except ValueError:
            continue
        found: list[Path] = []
        with contextlib.suppress(OSError), open_folder(inbox, Path(WORKING, entry)) as folder:
            found = [Path(_relative(top), name) for top, _, names, _ in os.fwalk(dir_fd=folder) for name in names]
        regular = [name for name in found if sight(inbox / WORKING / entry / name) is not None]
        for name in regular:
            yield Claimed(job_id, inbox / WORKING / entry / name, name)
        if not regular:
            _remove_empty(inbox, entry)


def _relative(top: str) -> str:
    return os.path.relpath(top, ".")


def place(inbox: Path, claimed: Claimed, outcome: str) -> Path:
    """Return where a scan ends."""
    return free_name(inbox / outcome / claimed.name, claimed.job_id)


def dispose(inbox: Path, claimed: Claimed, target: Path, reason: str | None = None) -> None:
    """Move a scan to where it ends, the reason beside it where there is one.

    Raises
    ------
    OSError
        The folder cannot be written, or is a link; the scan stays in ``.working``.
    """
    inside = Path(WORKING, claimed.job_id) / claimed.name
    with (
        open_folder(inbox, inside.parent) as source,
        open_folder(inbox, target.relative_to(inbox).parent, make=True) as end,
    ):
        if reason is not None:
            _write_reason(end, target.name + REASON_SUFFIX, f"{reason}\njob {claimed.job_id}\n")
        _move_file(inside.name, source, target.name, end)
    _remove_empty(inbox, claimed.job_id)


def _move_file(name: str, source: int, new_name: str, end: int) -> None:
    """Move a file between two folders, also to another file system, where it is whole before it has its name."""
    try:
        os.rename(name, new_name, src_dir_fd=source, dst_dir_fd=end)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
    else:
        return
    coming = f".{new_name}"[:NAME_LIMIT]
    with contextlib.suppress(FileNotFoundError):
        os.unlink(coming, dir_fd=end)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with (
        os.fdopen(os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=source), "rb") as old,
        os.fdopen(os.open(coming, flags, 0o644, dir_fd=end), "wb") as new,
    ):
        shutil.copyfileobj(old, new, 2**20)
        new.flush()
        os.fsync(new.fileno())
        os.utime(new.fileno(), ns=(os.fstat(old.fileno()).st_atime_ns, os.fstat(old.fileno()).st_mtime_ns))
    os.rename(coming, new_name, src_dir_fd=end, dst_dir_fd=end)
    os.unlink(name, dir_fd=source)


def bring_back(inbox: Path, name: Path, outcome: str, job_id: str) -> None:
    """Move a scan that has ended back to ``.working``, where the watcher finds it; its reason goes."""
    inside = Path(WORKING, job_id) / name
    with (
        open_folder(inbox, (Path(outcome) / name).parent) as ended,
        open_folder(inbox, inside.parent, make=True) as working,
    ):
        _move_file(name.name, ended, name.name, working)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name.name + REASON_SUFFIX, dir_fd=ended)


def remove_ended(inbox: Path, inside: Path) -> None:
    """Delete a scan that ended, by its path within the inbox, and its reason file; one that is gone is no mistake.

    Raises
    ------
    OSError
        It may not be deleted, or a folder on its way is a link now.
    """
    if ".." in inside.parts:
        return
    with contextlib.suppress(FileNotFoundError), open_folder(inbox, inside.parent) as ended:
        for name in (inside.name, inside.name + REASON_SUFFIX):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=ended)


def _write_reason(folder: int, name: str, text: str) -> None:
    """Write a reason file; one that was planted, or left by a kill, is removed and never written through."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(name, flags, 0o644, dir_fd=folder), "wb") as file:
        file.write(text.encode("utf-8", "backslashreplace"))


def free_name(target: Path, job_id: str) -> Path:
    """Return ``target``, or where that is taken or too long, its name with a part of the job's id."""
    room = NAME_LIMIT - len(REASON_SUFFIX)
    if len(os.fsencode(target.name)) <= room and not os.path.lexists(target):
        return target
    return target.with_name(_name_with_id(target.name, job_id))


def _free_in(folder: int, name: str, job_id: str) -> str:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except OSError:
        return name
    return _name_with_id(name, job_id)


def _name_with_id(name: str, job_id: str) -> str:
    room = NAME_LIMIT - len(REASON_SUFFIX)
    stem, suffix = Path(name).stem, Path(name).suffix
    end = f".{job_id[:8]}{suffix if len(os.fsencode(suffix)) <= 16 else ''}"
    return _whole_characters(os.fsencode(stem)[: room - len(os.fsencode(end))]) + end


def _whole_characters(name: bytes) -> str:
    """Decode a cut name without half a character at its end."""
    for cut in range(4):
        try:
            return name[: len(name) - cut].decode()
        except UnicodeDecodeError:
            continue
    return os.fsdecode(name)


def _remove_empty(inbox: Path, job_id: str) -> None:
    """Remove a job's working folder with the folders in it; leave it if something lies there."""
    with contextlib.suppress(OSError), open_folder(inbox, Path(WORKING)) as working:
        for _, folders, _, parent in os.fwalk(job_id, topdown=False, dir_fd=working):
            for name in folders:
                os.rmdir(name, dir_fd=parent)
        os.rmdir(job_id, dir_fd=working)
