"""Somebody who may only drop scans plants links where the watcher's lock and the posts of the HTTP API lie."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from worker.errors import SettingsError
from worker.inbox.folder import WORKING
from worker.inbox.posted import POSTED, find_kept, keep_file, new_file, remove_left_files
from worker.system.private_redis import HomeLock

POST = "6f1c0f0e-8a44-4b83-9d1e-2f6a55d0a001"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return a private home, with an old file in each folder that a link could lead to."""
    for name in ("icr.db", "coming/old", f"{POST}/old"):
        (tmp_path / "home" / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / "home" / name).write_bytes(b"ours")
        os.utime(tmp_path / "home" / name, (1, 1))
    return tmp_path / "home"


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    (tmp_path / "inbox" / WORKING).mkdir(parents=True)
    return tmp_path / "inbox"


def listed(home: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}


@pytest.mark.parametrize("plant", [lambda lock, file: lock.symlink_to(file), lambda lock, file: os.link(file, lock)])
def test_a_planted_lock_is_refused_and_never_written_through(
    plant: Callable[[Path, Path], None], inbox: Path, home: Path
) -> None:
    lock, before = inbox / WORKING / "lock", listed(home)
    plant(lock, home / "icr.db")
    with pytest.raises(SettingsError, match="remove it"), HomeLock(lock):
        pass
    assert listed(home) == before
    lock.unlink()
    with HomeLock(lock):
        assert lock.read_text() == str(os.getpid())


def test_a_post_is_kept_and_what_a_crash_left_is_deleted(inbox: Path) -> None:
    path, file = new_file(inbox)
    with file:
        file.write(b"a scan")
    kept = keep_file(inbox, path, POST, "a.png")
    assert kept.read_bytes() == b"a scan" and find_kept(inbox, POST) == kept
    with pytest.raises(FileExistsError):
        keep_file(inbox, path, POST, "b.png")
    os.utime(path, (1, 1))
    assert remove_left_files(inbox) == 1 and not path.exists()


@pytest.mark.parametrize("link", [POSTED, f"{POSTED}/coming", f"{POSTED}/{POST}"])
def test_no_post_is_received_or_cleared_through_a_planted_link(link: str, inbox: Path, home: Path) -> None:
    before = listed(home)
    (inbox / link).parent.mkdir(exist_ok=True)
    (inbox / link).symlink_to(home if link == POSTED else home / Path(link).name)
    assert remove_left_files(inbox) == 0
    with pytest.raises(OSError):
        path, file = new_file(inbox)
        file.close()
        keep_file(inbox, path, POST, "a.png")
    assert find_kept(inbox, POST) is None
    assert listed(home) == before
