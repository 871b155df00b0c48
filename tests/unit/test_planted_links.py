"""Somebody who may only drop scans plants links where the watcher's lock and the posts of the HTTP API lie."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from worker.commands.demo import copy_scans
from worker.commands.doctor import check_folder
from worker.errors import FolderUnavailableError, SettingsError
from worker.inbox.folder import WORKING, check_working, prepare, require
from worker.inbox.posted import POSTED, find_kept, keep_file, new_file, remove_left_files
from worker.sources.beneath import is_foreign, open_folder
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


@pytest.fixture
def stranger(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Return what gives a folder to another user."""

    def give(folder: Path) -> None:
        if os.geteuid() == 0:
            os.chown(folder, 4711, 4711)
            return
        owner, asked = folder.stat().st_ino, os.fstat

        def fstat(descriptor: int) -> os.stat_result:
            seen = asked(descriptor)
            return os.stat_result([*seen[:4], 4711, *seen[5:]]) if seen.st_ino == owner else seen

        monkeypatch.setattr("worker.sources.beneath.os.fstat", fstat)

    return give


def test_a_folder_for_scans_in_work_that_somebody_else_made_takes_none(
    inbox: Path, stranger: Callable[[Path], None]
) -> None:
    """Its owner could read, swap and take away the scans of all others."""
    prepare(inbox)
    stranger(inbox / WORKING)
    for look in (prepare, require, check_working, check_folder):
        with pytest.raises(FolderUnavailableError, match="belongs to another user: remove it"):
            look(inbox)
    assert [path.name for path in inbox.iterdir()] == [WORKING], "what was made to see is gone"


def test_a_folder_for_posts_that_somebody_else_made_takes_none(inbox: Path, stranger: Callable[[Path], None]) -> None:
    (inbox / POSTED).mkdir()
    stranger(inbox / POSTED)
    with pytest.raises(PermissionError, match="belongs to another user: remove it"):
        new_file(inbox)
    assert list((inbox / POSTED).iterdir()) == []


def test_where_every_file_has_one_owner_no_folder_is_foreign(inbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.sources.beneath.os.geteuid", lambda: 4712)
    monkeypatch.setattr("worker.sources.beneath.os.fstat", lambda seen: SimpleNamespace(st_uid=seen))
    with open_folder(inbox, Path()) as root, open_folder(inbox, Path(WORKING)) as working:
        monkeypatch.setattr("worker.sources.beneath.os.stat", lambda *_, **__: SimpleNamespace(st_uid=working))
        assert not is_foreign(root, working)
        monkeypatch.setattr("worker.sources.beneath.os.stat", lambda *_, **__: SimpleNamespace(st_uid=4713))
        assert is_foreign(root, working)
        monkeypatch.undo()


@pytest.mark.parametrize("name", [".a.png.part", "a.png", "field"])
def test_the_samples_of_the_demo_are_written_through_no_link(name: str, inbox: Path, home: Path) -> None:
    samples, before = inbox.parent / "samples", listed(home)
    (samples / "field").mkdir(parents=True)
    for sample in ("a.png", "field/b.png"):
        (samples / sample).write_bytes(b"a sample")
    (inbox / name).symlink_to(home if name == "field" else home / "icr.db")
    if name == "field":
        with pytest.raises(SettingsError, match="cannot be copied"):
            copy_scans(samples, inbox)
    else:
        assert copy_scans(samples, inbox) == 2
        assert (inbox / "a.png").read_bytes() == (inbox / "field/b.png").read_bytes() == b"a sample"
    assert listed(home) == before


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
