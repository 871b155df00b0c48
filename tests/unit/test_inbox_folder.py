"""The moves of a scan through the watched folder, and what is left alone."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.inbox import drop
from tests.support.system import wait_until
from worker.errors import FolderUnavailableError
from worker.inbox import folder, walking
from worker.inbox.loop import _listen

NASTY = [
    "a\nb.png",
    "..png",
    "\u202egnp.exe",
    "-rf.png",
    "a;rm *.png",
    "x" * 251 + ".png",
    "é" * 125 + ".png",
]


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder.prepare(tmp_path)
    return tmp_path


def take(inbox: Path, name: Path) -> folder.Claimed:
    seen = folder.sight(inbox / name)
    assert seen is not None
    claimed = folder.claim(inbox, name, seen)
    assert claimed is not None
    return claimed


def test_only_regular_files_that_are_nobodys_temporary_are_scans(inbox: Path) -> None:
    for name in (
        "a.png",
        "form/b.png",
        "form/deeper/c.png",
        ".hidden.png",
        "d.png.part",
        "~",
        "Thumbs.db",
        "done/e.png",
    ):
        (inbox / name).parent.mkdir(parents=True, exist_ok=True)
        (inbox / name).touch()
    (inbox / "link.png").symlink_to(inbox / "a.png")
    (inbox / "linked").symlink_to(inbox / "form")
    os.mkfifo(inbox / "pipe.png")
    left: list[Path] = []
    assert sorted(map(str, walking.iter_scans(inbox, left))) == ["a.png", "form/b.png", "form/deeper/c.png"]
    assert sorted(map(str, left)) == ["link.png", "linked", "pipe.png"] == list(map(str, walking.find_left(inbox)))
    said = walking.describe_left([str(name) for name in left])
    assert said.startswith("3 links, devices or folders too deep are not taken: ") and "\n" not in said


def test_folders_at_any_depth_are_looked_into_and_their_scans_go_through_whole(inbox: Path) -> None:
    deep = Path(*"abcdefghijklmnop", "scan.png")
    (inbox / deep).parent.mkdir(parents=True)
    (inbox / deep).write_bytes(b"bytes")
    assert list(walking.iter_scans(inbox)) == [deep]
    claimed = take(inbox, deep)
    assert [found.path for found in folder.iter_claimed(inbox)] == [claimed.path]
    target = folder.place(inbox, claimed, folder.DONE)
    folder.dispose(inbox, claimed, target)
    assert target == inbox / "done" / deep and target.read_bytes() == b"bytes"
    assert not (inbox / folder.WORKING / claimed.job_id).exists()


@pytest.mark.parametrize(
    ("name", "template"),
    [
        ("a.png", None),
        ("meter-card/a.png", "meter-card"),
        ("Meter-Card/a.png", "meter-card"),
        ("METER CARD/2026/a.png", "meter-card"),
        ("meter_card/a.png", "meter-card"),
        ("no-such-form/a.png", None),
        ("2026/a.png", None),
        ("north.d/a.png", None),
        ("Z\u00e4hlerkarten/a.png", None),
        ("\u0639\u0631\u0628\u064a/a.png", None),
        ("--/a.png", None),
        ("meter-card/north/a.png", "meter-card"),
        ("2026/meter-card/a.png", "meter-card"),
        ("2026/01/a.png", None),
    ],
)
def test_the_outermost_folder_that_is_known_names_the_template(name: str, template: str | None) -> None:
    assert folder.Claimed("1", Path(name), Path(name)).template_among({"meter-card", "free"}) == template


def test_a_reason_file_that_comes_back_is_no_scan(inbox: Path) -> None:
    drop(inbox, "a.png" + folder.REASON_SUFFIX)
    assert list(walking.iter_scans(inbox)) == []


@pytest.fixture
def home(tmp_path: Path, inbox: Path) -> Path:
    """Return a private home beside the inbox that no trick in the inbox may reach."""
    home = inbox / ".home"
    home.mkdir(mode=0o700)
    (home / "icr.db").write_bytes(b"the database")
    return home


def test_a_folder_that_becomes_a_link_while_its_file_is_watched_leads_nowhere(inbox: Path, home: Path) -> None:
    name = drop(inbox, "form/icr.db", b"the database")
    os.link(home / "icr.db", inbox / "form" / "twin")  # the same size, time and inode as the one that is linked to
    (inbox / name).unlink()
    (inbox / "form" / "twin").rename(inbox / name)
    seen = folder.sight(inbox / name)
    (inbox / "form").rename(inbox / ".moved")
    (inbox / "form").symlink_to(home)
    assert seen is not None and folder.claim(inbox, name, seen) is None
    assert (home / "icr.db").read_bytes() == b"the database"
    assert list(folder.iter_claimed(inbox)) == []


@pytest.mark.parametrize("outcome", folder.OUTCOMES)
def test_an_outcome_folder_that_is_a_link_takes_no_scan(inbox: Path, home: Path, outcome: str) -> None:
    (inbox / outcome).symlink_to(home)
    claimed = take(inbox, drop(inbox, "form/a.png"))
    with pytest.raises(OSError):
        folder.dispose(inbox, claimed, folder.place(inbox, claimed, outcome), "why")
    assert sorted(p.name for p in home.iterdir()) == ["icr.db"]
    assert claimed.path.exists()


def test_a_planted_reason_file_is_replaced_and_never_written_through(inbox: Path, home: Path) -> None:
    claimed = take(inbox, drop(inbox, "a.png"))
    target = folder.place(inbox, claimed, folder.FAILED)
    target.parent.mkdir()
    reason = target.with_name(target.name + folder.REASON_SUFFIX)
    reason.symlink_to(home / "icr.db")
    folder.dispose(inbox, claimed, target, "why")
    assert (home / "icr.db").read_bytes() == b"the database"
    assert not reason.is_symlink() and reason.read_text().startswith("why")


def test_a_purge_deletes_nothing_behind_a_link(inbox: Path, home: Path) -> None:
    """A scan called icr.db ended in done/, which is swapped for a link to the home then."""
    claimed = take(inbox, drop(inbox, "icr.db"))
    target = folder.place(inbox, claimed, folder.DONE)
    folder.dispose(inbox, claimed, target)
    (inbox / "done").rename(inbox / ".was-done")
    (inbox / "done").symlink_to(home)
    with pytest.raises(OSError):
        folder.remove_ended(inbox, Path("done/icr.db"))
    folder.remove_ended(inbox, Path("done/../.home/icr.db"))
    assert (home / "icr.db").exists()
    (inbox / "done").unlink()
    (inbox / ".was-done").rename(inbox / "done")
    folder.remove_ended(inbox, Path("done/icr.db"))
    folder.remove_ended(inbox, Path("done/icr.db"))
    assert list((inbox / "done").iterdir()) == []


def test_a_working_folder_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    inbox = tmp_path / "in"
    inbox.mkdir()
    (inbox / folder.WORKING).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FolderUnavailableError):
        folder.prepare(inbox)


def test_a_scan_that_has_ended_comes_back_to_be_read_again(inbox: Path) -> None:
    claimed = take(inbox, drop(inbox, "form/a.png"))
    target = folder.place(inbox, claimed, folder.FAILED)
    folder.dispose(inbox, claimed, target, "why")
    folder.bring_back(inbox, Path("form/a.png"), folder.FAILED, claimed.job_id)
    assert [(found.job_id, found.name) for found in folder.iter_claimed(inbox)] == [
        (claimed.job_id, Path("form/a.png"))
    ]
    assert list((inbox / "failed" / "form").iterdir()) == []


@pytest.mark.parametrize("name", NASTY)
@pytest.mark.parametrize("outcome", folder.OUTCOMES)
def test_any_name_goes_through_whole(inbox: Path, name: str, outcome: str) -> None:
    claimed = take(inbox, drop(inbox, f"form/{name}" if len(name) < 9 else name, b"bytes"))
    assert [found.path for found in folder.iter_claimed(inbox)] == [claimed.path]
    target = folder.place(inbox, claimed, outcome)
    folder.dispose(inbox, claimed, target, "the reason")
    assert target.read_bytes() == b"bytes" and target.is_relative_to(inbox / outcome)
    reason = target.with_name(target.name + folder.REASON_SUFFIX)
    assert reason.read_text().startswith("the reason\njob ")
    assert list(folder.iter_claimed(inbox)) == [] and not (inbox / folder.WORKING / claimed.job_id).exists()


def test_a_name_that_is_not_utf8_is_kept(inbox: Path) -> None:
    name = Path(os.fsdecode(b"caf\xe9.png"))
    claimed = take(inbox, drop(inbox, str(name)))
    claimed.path.as_uri().encode("ascii")
    folder.dispose(inbox, claimed, folder.place(inbox, claimed, folder.DONE))
    assert [os.fsencode(p.name) for p in (inbox / "done").iterdir()] == [b"caf\xe9.png"]


def test_a_taken_name_is_never_written_over(inbox: Path) -> None:
    for content in (b"first", b"second", b"third"):
        claimed = take(inbox, drop(inbox, "a.png", content))
        folder.dispose(inbox, claimed, folder.place(inbox, claimed, folder.DONE))
    assert sorted(p.read_bytes() for p in (inbox / "done").iterdir()) == [b"first", b"second", b"third"]
    assert all(p.suffix == ".png" for p in (inbox / "done").iterdir())


def test_a_file_that_changed_since_it_was_seen_is_given_back(inbox: Path) -> None:
    name = drop(inbox, "a.png")
    seen = folder.sight(inbox / name)
    assert seen is not None
    drop(inbox, "a.png", b"longer than before")
    assert folder.claim(inbox, name, seen) is None
    assert (inbox / name).read_bytes() == b"longer than before" and list(folder.iter_claimed(inbox)) == []
    (inbox / name).unlink()
    assert folder.claim(inbox, name, seen) is None and list(folder.iter_claimed(inbox)) == []


@given(st.text(st.characters(exclude_characters="/\x00", codec="utf-8"), min_size=1, max_size=255))
def test_a_place_always_fits_with_its_reason_beside_it(name: str) -> None:
    if name in (".", "..") or len(os.fsencode(name)) > folder.NAME_LIMIT:
        return
    target = folder.free_name(Path("/nowhere") / name, "0123456789abcdef")
    assert len(os.fsencode(target.name + folder.REASON_SUFFIX)) <= folder.NAME_LIMIT
    assert "/" not in target.name and target.parent == Path("/nowhere")


def wait_for_silence(changed: threading.Event) -> None:
    """Wait until what was written has been told, however late."""
    changed.clear()
    while changed.wait(1.0):
        changed.clear()


def test_a_link_in_the_inbox_leads_the_watch_nowhere_and_new_folders_are_watched(
    inbox: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside, changed, stop = tmp_path_factory.mktemp("outside"), threading.Event(), threading.Event()
    (inbox / "everything").symlink_to(outside)
    (inbox / "form").mkdir()
    assert walking.list_folders(inbox, most=10) == [inbox, inbox / "form"]
    listener = threading.Thread(target=_listen, args=(inbox, changed, stop))
    listener.start()
    try:
        wait_until(lambda: (drop(inbox, "form/a.png"), changed.wait(0.5))[1], 30)
        wait_for_silence(changed)
        (outside / "b.png").write_bytes(b"scan")
        assert not changed.wait(1.0), "the folder behind the link is nobody's business"
        drop(inbox, "new/c.png")
        wait_until(changed.is_set, 30)
        wait_for_silence(changed)
        wait_until(lambda: (drop(inbox, "new/d.png"), changed.wait(0.5))[1], 30)
    finally:
        stop.set()
        listener.join()


def test_an_outcome_folder_on_another_file_system_takes_scans_whole(
    inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    claimed = take(inbox, drop(inbox, "a.png", b"x" * 3_000_000))
    rename = os.rename

    def refuse_across(old: str, new: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        if src_dir_fd != dst_dir_fd:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        rename(old, new, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    monkeypatch.setattr(os, "rename", refuse_across)
    folder.dispose(inbox, claimed, folder.place(inbox, claimed, "done"))
    assert (inbox / "done/a.png").read_bytes() == b"x" * 3_000_000
    assert [path.name for path in (inbox / "done").iterdir()] == ["a.png"]
    assert list((inbox / ".working").iterdir()) == []


@pytest.mark.parametrize("outcome", ["done", "failed"])
def test_an_outcome_that_is_a_file_keeps_the_scan_in_its_place(inbox: Path, outcome: str) -> None:
    claimed = take(inbox, drop(inbox, "a.png"))
    (inbox / outcome).write_bytes(b"in the way")
    with pytest.raises(OSError, match="Not a directory"):
        folder.dispose(inbox, claimed, folder.place(inbox, claimed, outcome), "why")
    (inbox / outcome).unlink()
    folder.dispose(inbox, claimed, folder.place(inbox, claimed, outcome), "why")
    assert (inbox / outcome / "a.png").exists()
