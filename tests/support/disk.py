"""A small file system of its own, to be filled to the last byte."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BALLAST = ".ballast"


@contextmanager
def small_disk(megabytes: int, *options: str) -> Iterator[Path]:
    """Mount a file system of a few megabytes; unmount it whatever happens.

    Raises
    ------
    PermissionError
        Nothing may be mounted here.
    """
    place = Path(tempfile.mkdtemp(prefix="icr-disk-", dir="/tmp"))
    command = ["mount", "-t", "tmpfs", "-o", ",".join([f"size={megabytes}m", *options]), "icr-test", str(place)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        place.rmdir()
        raise PermissionError(f"no file system can be mounted here: {mounted.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)
        place.rmdir()


def fill(disk: Path) -> Path:
    """Take the last byte of a disk; deleting the file that is returned gives it back."""
    ballast = disk / BALLAST
    with ballast.open("ab", buffering=0) as file:
        for size in (2**20, 2**16, 2**12, 1):
            try:
                while file.write(b"\0" * size):
                    pass
            except OSError:
                continue
    return ballast
