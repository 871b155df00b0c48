"""The moves of a scan through the watched folder, and what is left alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import UnreadableScanError
from worker.inbox import folder
from worker.inbox.settling import Settling

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


def drop(inbox: Path, name: str, content: bytes = b"scan") -> Path:
    path = inbox / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return Path(name)


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
    assert sorted(map(str, folder.iter_scans(inbox))) == ["a.png", "form/b.png"]


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


def settled(settling: Settling) -> list[tuple[str, str | None]]:
    return sorted((str(ready.name), ready.damage) for ready in settling.ready())


def test_a_file_is_ready_when_it_stands_still_and_decodes(inbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now, checked = [100.0], []
    monkeypatch.setattr("worker.inbox.settling.time.monotonic", lambda: now[0])

    def check(path: Path) -> None:
        checked.append(path.name)
        if b"half" in path.read_bytes():
            raise UnreadableScanError("half")

    settling = Settling(inbox, settle_s=1.0, capacity=10, check=check)
    drop(inbox, "whole.png", b"all of it")
    drop(inbox, "half.png", b"half of it")
    settling.look()
    assert settled(settling) == [] and checked == []
    now[0] += 1.1
    assert settled(settling) == [("whole.png", None)]
    drop(inbox, "half.png", b"half of it and some more")
    assert settled(settling) == [("whole.png", None)]  # it changed: it begins to settle anew
    now[0] += 1.1
    assert settled(settling) == [("whole.png", None)]  # it stands still, and is not whole
    now[0] += 4.0
    assert settled(settling) == [("half.png", "half"), ("whole.png", None)]
    drop(inbox, "half.png", b"now it is all there")
    settled(settling)
    now[0] += 1.1
    assert settled(settling) == [("half.png", None), ("whole.png", None)]


def test_a_backlog_of_any_size_is_watched_a_bounded_number_at_a_time(inbox: Path) -> None:
    for i in range(50):
        drop(inbox, f"{i}.png")
    settling = Settling(inbox, settle_s=0.01, capacity=8, check=lambda path: None)
    settling.look()
    assert len(settling) == 8 and settling.more
    seen = set()
    for _ in range(7):
        settling.look()
        for name in list(settling._candidates):
            (inbox / name).unlink()
            settling.forget(name)
            seen.add(str(name))
    assert len(seen) == 50 and not settling.more
