"""Files that appear under their name when they are whole, so that a full disk costs nobody the file of yesterday."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yield a place beside ``path`` to write to; what was written there takes the place of ``path`` at the end.

    If anything fails, ``path`` stays as it was and nothing is left beside it. A pipe or a device is written to itself,
    and so is a file in a folder in which no other may be made.

    Raises
    ------
    OSError
        The file cannot be made.
    """
    target = Path(os.path.realpath(path))
    is_there, is_file = os.path.lexists(target), os.path.isfile(target)  # noqa: PTH113  # of a name too long, Path's raise
    partial = target.with_name(f".icr-{secrets.token_hex(8)}.part")
    try:
        if not is_there or is_file:
            partial.touch(exist_ok=False)
    except PermissionError:
        if not is_file:
            raise
    if not partial.exists():
        yield path
        return
    try:
        if is_file:
            _take_after(partial, target)
        yield partial
        partial.replace(target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _take_after(partial: Path, target: Path) -> None:
    """Give a file the rights of the one whose place it will take, and its owner where that may be given."""
    shutil.copymode(target, partial)
    found = target.stat()
    with suppress(OSError):
        os.chown(partial, found.st_uid, found.st_gid)
