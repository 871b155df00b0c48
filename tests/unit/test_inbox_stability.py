"""When a file of the watched folder is taken: it stands still, decodes, and its writer has let go of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.inbox import drop
from worker.errors import UnreadableScanError
from worker.inbox import folder
from worker.inbox.stability import StabilityWatch, is_being_written


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder.prepare(tmp_path)
    return tmp_path


def taken(watch: StabilityWatch) -> list[tuple[str, str | None]]:
    return sorted((str(ready.name), ready.damage) for ready in watch.ready())


def test_a_file_is_ready_when_it_stands_still_and_decodes(inbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now, checked = [100.0], []
    monkeypatch.setattr("worker.inbox.stability.time.monotonic", lambda: now[0])

    def check(path: Path) -> None:
        checked.append(path.name)
        if b"half" in path.read_bytes():
            raise UnreadableScanError("half")

    watch = StabilityWatch(inbox, stable_s=1.0, capacity=10, check=check)
    drop(inbox, "whole.png", b"all of it")
    drop(inbox, "half.png", b"half of it")
    watch.look()
    assert taken(watch) == [] and checked == []
    now[0] += 1.1
    assert taken(watch) == [("whole.png", None)]
    drop(inbox, "half.png", b"half of it and some more")
    assert taken(watch) == [("whole.png", None)]  # it changed: it begins anew
    now[0] += 1.1
    assert taken(watch) == [("whole.png", None)]  # it stands still, and is not whole
    now[0] += 4.0
    assert taken(watch) == [("half.png", "half"), ("whole.png", None)]
    drop(inbox, "half.png", b"now it is all there")
    taken(watch)
    now[0] += 1.1
    assert taken(watch) == [("half.png", None), ("whole.png", None)]


def test_it_is_known_when_the_next_file_may_be_taken(inbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the watcher sleeps until then, and not for ever shorter times while a damaged file has its time."""
    now = [100.0]
    monkeypatch.setattr("worker.inbox.stability.time.monotonic", lambda: now[0])

    def check(path: Path) -> None:
        raise UnreadableScanError("half")

    watch = StabilityWatch(inbox, stable_s=1.0, capacity=10, check=check)
    assert watch.due_s == float("inf")
    drop(inbox, "a.png")
    watch.look()
    assert watch.due_s == pytest.approx(1.0)
    now[0] += 0.4
    drop(inbox, "b.png")
    watch.look()
    assert watch.due_s == pytest.approx(0.6)
    now[0] += 0.7
    assert taken(watch) == []
    assert watch.due_s == pytest.approx(0.3)
    now[0] += 0.4
    assert watch.due_s == float("inf")
    watch.put_off(Path("a.png"), 30.0)
    assert watch.due_s == pytest.approx(30.0)


def test_a_backlog_of_any_size_is_watched_a_bounded_number_at_a_time(inbox: Path) -> None:
    for i in range(50):
        drop(inbox, f"{i}.png")
    watch = StabilityWatch(inbox, stable_s=0.01, capacity=8, check=lambda path: None)
    watch.look()
    assert len(watch) == 8 and watch.more
    seen = set()
    for _ in range(7):
        watch.look()
        for name in list(watch._candidates):
            (inbox / name).unlink()
            watch.forget(name)
            seen.add(str(name))
    assert len(seen) == 50 and not watch.more


def test_a_file_that_ends_early_is_waited_for_longer_than_a_damaged_one(
    inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr("worker.inbox.stability.time.monotonic", lambda: now[0])

    def check(path: Path) -> None:
        raise UnreadableScanError(path.stem, incomplete=path.stem == "early")

    watch = StabilityWatch(inbox, stable_s=1.0, capacity=10, check=check, incomplete_s=60.0)
    for name in ("early.pdf", "damaged.pdf", "long-ago.pdf"):
        drop(inbox, name)
    watch.look()
    found = {}
    for _ in range(70):
        now[0] += 1.0
        found |= {ready.name.stem: found.get(ready.name.stem, now[0] - 100.0) for ready in watch.ready()}
    assert found["damaged"] <= 6
    assert 60 <= found["early"] <= 62


def test_a_file_that_ends_early_and_is_old_is_judged_at_once(inbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("worker.inbox.stability.time.monotonic", lambda: now[0])

    def check(path: Path) -> None:
        raise UnreadableScanError("early", incomplete=True)

    watch = StabilityWatch(inbox, stable_s=1.0, capacity=10, check=check, incomplete_s=60.0)
    name = drop(inbox, "a.pdf")
    os.utime(inbox / name, (1e9, 1e9))
    watch.look()
    now[0] += 1.1
    assert taken(watch) == [("a.pdf", "early")]


def test_a_file_that_its_writer_holds_open_is_not_taken(inbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("worker.inbox.stability.time.monotonic", lambda: now[0])
    watch = StabilityWatch(inbox, stable_s=1.0, capacity=10, check=lambda path: None, incomplete_s=60.0)
    program = "import sys; f = open(sys.argv[1], 'wb'); f.write(b'page 1'); f.flush(); print(flush=True); input()"
    command = [sys.executable, "-c", program, str(inbox / "fax.tif")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        if not is_being_written(inbox / "fax.tif"):
            pytest.skip("this file system grants no leases")
        watch.look()
        now[0] += 10
        assert taken(watch) == []
        writer.communicate(b"\n")
    assert taken(watch) == [("fax.tif", None)]


def test_what_is_put_aside_keeps_no_other_file_out(inbox: Path) -> None:
    watch = StabilityWatch(inbox, stable_s=0.01, capacity=3, check=lambda path: None)
    for i in range(3):
        drop(inbox, f"stuck-{i}.png")
    watch.look()
    for name in list(watch._candidates):
        watch.put_off(name, 60)
    drop(inbox, "good.png")
    watch.look()
    assert Path("good.png") in watch._candidates


def test_a_steady_backlog_at_the_top_keeps_no_sub_folder_waiting(inbox: Path) -> None:
    """As many new files come at the top as are taken; those of every folder, however deep, have their turn."""
    watch = StabilityWatch(inbox, stable_s=0.0, capacity=3, check=lambda path: None)
    below = {Path("form/a.png"), Path("form/b/c.png"), Path("zone/d.png")}
    for name in below:
        (inbox / name).parent.mkdir(parents=True, exist_ok=True)
        (inbox / name).write_bytes(b"scan")
    taken: set[Path] = set()
    for look in range(24):
        for i in range(4):
            drop(inbox, f"{look}-{i}.png")
        watch.look()
        for name in list(watch._candidates):
            (inbox / name).unlink()
            watch.forget(name)
            taken.add(name)
    assert below <= taken


def test_a_row_of_files_that_decode_slowly_holds_up_no_later_one(inbox: Path) -> None:
    """One step takes one slow file, for its time is over then; fifteen of them lie there before the quick one comes."""
    probed: list[str] = []
    watch = StabilityWatch(inbox, stable_s=0.0, capacity=100, check=lambda path: probed.append(path.name))

    def step() -> None:
        for ready in watch.ready():
            (inbox / ready.name).unlink()
            watch.forget(ready.name)
            return

    for i in range(15):
        drop(inbox, f"slow-{i:02d}.tif")
        watch.look()
    step()
    drop(inbox, "quick.png")
    watch.look()
    for _ in range(2):
        step()
    assert "quick.png" in probed and len(probed) <= 3
    for _ in range(14):
        step()
    assert len(set(probed)) == 16, "and none waits for ever"
