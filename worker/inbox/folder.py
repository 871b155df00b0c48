"""What lies in the watched folder, and the moves of a scan through it; every move is one atomic rename.

``inbox/[template/]name`` is claimed to ``inbox/.working/<job id>/[template/]name`` and ends as
``inbox/{done,failed,duplicate}/[template/]name``. The job's id is in the path, so that after a kill at any
moment the SQL job row tells what to do with what lies in ``.working``.
"""

from __future__ import annotations

import os
import stat
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from worker.errors import FolderUnavailableError
from worker.sources.places import WORKING as WORKING

DONE, FAILED, DUPLICATE = OUTCOMES = ("done", "failed", "duplicate")
REASON_SUFFIX = ".reason.txt"
NAME_LIMIT = 255
"""Bytes in a file's name on the common file systems."""

_TEMPORARY_SUFFIXES = (
    ".tmp",
    ".temp",
    ".part",
    ".partial",
    ".crdownload",
    ".download",
    ".swp",
    ".filepart",
    "~",
)
_TEMPORARY_NAMES = {"thumbs.db", "desktop.ini"}


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

    @property
    def template(self) -> str | None:
        """The sub-folder that it was dropped into."""
        return self.name.parts[0] if len(self.name.parts) > 1 else None


def prepare(inbox: Path) -> None:
    """Make the inbox and its working folder; the outcomes are made when needed."""
    (inbox / WORKING).mkdir(mode=0o700, parents=True, exist_ok=True)


def require(inbox: Path) -> None:
    """Raise ``FolderUnavailableError`` while the inbox is away; of a drive taken off, an empty mount point stays."""
    if not (inbox / WORKING).is_dir():
        raise FolderUnavailableError(f"the folder {inbox} is not there, or not the one that was prepared")


def is_passed_over(name: str) -> bool:
    """Tell hidden and temporary files, which are left alone."""
    low = name.lower()
    return name.startswith(".") or low.endswith(_TEMPORARY_SUFFIXES) or low in _TEMPORARY_NAMES


def iter_scans(inbox: Path) -> Iterator[Path]:
    """Yield the paths within the inbox of what may be scans: in it and one folder down, never through links.

    One entry at a time, so that a backlog of any size costs no memory. A folder that cannot be read is passed
    over, but the inbox itself must be there.

    Raises
    ------
    OSError
        The inbox is gone or may not be read.
    """
    folders = []
    with os.scandir(inbox) as entries:
        for entry in entries:
            if is_passed_over(entry.name):
                continue
            if entry.is_file(follow_symlinks=False):
                yield Path(entry.name)
            elif entry.is_dir(follow_symlinks=False) and entry.name not in OUTCOMES:
                folders.append(entry.name)
    for folder in folders:
        yield from _iter_template_folder(inbox, folder)


def _iter_template_folder(inbox: Path, folder: str) -> Iterator[Path]:
    try:
        entries = os.scandir(inbox / folder)
    except OSError:
        return
    with entries:
        for entry in entries:
            if entry.is_file(follow_symlinks=False) and not is_passed_over(entry.name):
                yield Path(folder, entry.name)


def sight(path: Path) -> Sighting | None:
    """Look at a file; None if it is gone or not a regular file."""
    try:
        seen = path.lstat()
    except OSError:
        return None
    return Sighting(seen.st_size, seen.st_mtime_ns, seen.st_ino) if stat.S_ISREG(seen.st_mode) else None


def claim(inbox: Path, name: Path, seen: Sighting) -> Claimed | None:
    """Take a scan by one rename; None if it changed or went since it was ``seen``.

    Raises
    ------
    OSError
        The file may not be moved, or lies on another file system.
    """
    job_id = str(uuid.uuid4())
    target = inbox / WORKING / job_id / name
    _make_below(inbox / WORKING, target.parent)
    try:
        (inbox / name).rename(target)
    except FileNotFoundError:
        _remove_empty(inbox / WORKING / job_id)
        return None
    except OSError:
        _remove_empty(inbox / WORKING / job_id)
        raise
    if sight(target) != seen:
        target.rename(free_name(inbox / name, job_id))
        _remove_empty(inbox / WORKING / job_id)
        return None
    return Claimed(job_id, target, name)


def iter_claimed(inbox: Path) -> Iterator[Claimed]:
    """Yield what lies in the working folder; folders that a kill left empty are removed."""
    working = inbox / WORKING
    for entry in sorted(path.name for path in working.iterdir()):
        try:
            job_id = str(uuid.UUID(entry))
        except ValueError:
            continue
        found = [p for p in (working / entry).rglob("*") if sight(p) is not None]
        for path in found:
            yield Claimed(job_id, path, path.relative_to(working / entry))
        if not found:
            _remove_empty(working / entry)


def place(inbox: Path, claimed: Claimed, outcome: str) -> Path:
    """Return where a scan ends."""
    return free_name(inbox / outcome / claimed.name, claimed.job_id)


def dispose(inbox: Path, claimed: Claimed, target: Path, reason: str | None = None) -> None:
    """Move a scan to where it ends, the reason beside it where there is one.

    Raises
    ------
    OSError
        The folder cannot be written; the scan stays in ``.working``.
    """
    _make_below(inbox, target.parent)
    if reason is not None:
        text = f"{reason}\njob {claimed.job_id}\n"
        target.with_name(target.name + REASON_SUFFIX).write_text(text, "utf-8", "backslashreplace")
    claimed.path.rename(target)
    _remove_empty(inbox / WORKING / claimed.job_id)


def free_name(target: Path, job_id: str) -> Path:
    """Return ``target``, or where that is taken or too long, its name with a part of the job's id."""
    room = NAME_LIMIT - len(REASON_SUFFIX)
    name = target.name
    if len(os.fsencode(name)) <= room and not os.path.lexists(target):
        return target
    stem, suffix = target.stem, target.suffix
    end = f".{job_id[:8]}{suffix if len(os.fsencode(suffix)) <= 16 else ''}"
    short = os.fsencode(stem)[: room - len(os.fsencode(end))]
    return target.with_name(_whole_characters(short) + end)


def _whole_characters(name: bytes) -> str:
    """Decode a cut name without half a character at its end."""
    for cut in range(4):
        try:
            return name[: len(name) - cut].decode()
        except UnicodeDecodeError:
            continue
    return os.fsdecode(name)


def _make_below(root: Path, folder: Path) -> None:
    """Make a folder and those above it up to ``root``, which must be there: an inbox that is away is not made up."""
    made = root
    for part in folder.relative_to(root).parts:
        made /= part
        made.mkdir(exist_ok=True)


def _remove_empty(folder: Path) -> None:
    """Remove a job's working folder with the template folder in it; leave it if something else lies there."""
    for path in [*sorted(folder.glob("*")), folder]:
        try:
            path.rmdir()
        except OSError:
            return
