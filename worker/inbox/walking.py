"""What lies in the watched folder and its folders, looked through without ever following a link."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from worker.inbox.folder import OUTCOMES, REASON_SUFFIX
from worker.sources.beneath import open_folder
from worker.system.harmless import make_harmless

DEEPEST = 64
"""Folders within folders that are looked into; each costs a descriptor meanwhile."""

_TEMPORARY_SUFFIXES = (
    ".tmp",
    ".temp",
    ".part",
    ".partial",
    ".crdownload",
    ".download",
    ".swp",
    ".filepart",
    REASON_SUFFIX,
    "~",
)
_TEMPORARY_NAMES = {"thumbs.db", "desktop.ini"}
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def is_passed_over(name: str) -> bool:
    """Tell hidden and temporary files, which are left alone."""
    low = name.lower()
    return name.startswith(".") or low.endswith(_TEMPORARY_SUFFIXES) or low in _TEMPORARY_NAMES


def iter_scans(inbox: Path, left: list[Path] | None = None, *, turn: int = 0) -> Iterator[Path]:
    """Yield the paths within the inbox of what may be scans, in it and in its folders, never through links.

    One entry at a time, so that a backlog of any size costs no memory. A folder that cannot be read is passed
    over, but the inbox itself must be there. Links, devices and folders that lie too deep are put into ``left``.
    With an odd ``turn`` the folders come before the files beside them, and each turn begins with another folder: who
    takes only the first few each time then gets to all of them.

    Raises
    ------
    OSError
        The inbox is gone or may not be read.
    """
    with open_folder(inbox, Path()) as root:
        yield from _walk(root, Path(), [] if left is None else left, turn)


def list_folders(inbox: Path, *, most: int) -> list[Path]:
    """Return the folders that scans may lie in, the inbox first, never through links, at most so many."""
    found = [inbox]
    for folder in found:
        with contextlib.suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                is_ours = entry.name.startswith(".") or (folder == inbox and entry.name in OUTCOMES)
                if len(found) < most and not is_ours and entry.is_dir(follow_symlinks=False):
                    found.append(folder / entry.name)
    return found


def find_left(inbox: Path) -> list[Path]:
    """Return what lies in the inbox and is never taken: links, devices, folders that lie too deep."""
    left: list[Path] = []
    with contextlib.suppress(OSError):
        for _ in iter_scans(inbox, left):
            pass
    return sorted(left)


def describe_left(left: Sequence[str]) -> str:
    """Say in one line what is never taken; a name that could forge a line is made harmless."""
    shown = ", ".join(make_harmless(name) for name in left[:5])
    one = len(left) == 1
    what = "1 link, device or folder too deep is" if one else f"{len(left)} links, devices or folders too deep are"
    return f"{what} not taken: {shown}{', ...' if len(left) > 5 else ''}"


def _walk(folder: int, inside: Path, left: list[Path], turn: int) -> Iterator[Path]:
    if turn % 2:
        yield from _walk_below(folder, inside, left, turn)
    with os.scandir(folder) as entries:
        for entry in entries:
            if is_passed_over(entry.name) or (not inside.parts and entry.name in OUTCOMES):
                continue
            if entry.is_file(follow_symlinks=False):
                yield inside / entry.name
            elif not entry.is_dir(follow_symlinks=False) or len(inside.parts) >= DEEPEST:
                left.append(inside / entry.name)
    if not turn % 2:
        yield from _walk_below(folder, inside, left, turn)


def _walk_below(folder: int, inside: Path, left: list[Path], turn: int) -> Iterator[Path]:
    """Walk through the folders in a folder, beginning with another one each turn."""
    if len(inside.parts) >= DEEPEST:
        return
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    first = turn // 2 % max(1, len(names))
    for name in [*names[first:], *names[:first]]:
        if is_passed_over(name) or (not inside.parts and name in OUTCOMES):
            continue
        try:
            below = os.open(name, _FOLDER, dir_fd=folder)
        except OSError:
            continue
        try:
            yield from _walk(below, inside / name, left, turn)
        finally:
            os.close(below)
