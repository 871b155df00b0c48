"""Somebody who may only drop scans, and tries to reach more: whatever is planted or swapped, nothing else is touched.

Each trick plants things at one moment in the life of two scans: before the watcher starts, when the scans were seen,
claimed, read, or moved to their end, and before they are purged. The watcher, what a worker reads, ``icr retry``,
``icr purge`` and the receiving of posts then do what they do. A private home lies beside the inbox: not a byte of it
may be read, changed, moved or deleted.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from sqlalchemy import text

from tests.support.readings import PAGE, claim
from worker.bootstrap import build_runtime
from worker.errors import IcrError
from worker.inbox import folder
from worker.inbox.posted import POSTED, keep_file, new_file, remove_left_files
from worker.inbox.removal import remove_own_scan
from worker.inbox.reopening import reopen_scan
from worker.inbox.watcher import Watcher
from worker.queue.publishing import Publisher
from worker.settings import Settings
from worker.sources.beneath import open_file
from worker.sources.copies import copy_scan
from worker.store import jobs
from worker.store.engine import make_engine, reading
from worker.system.private_redis import HomeLock

SECRET = b"not for those who drop scans"
POST_ID = "6f1c0f0e-8a44-4b83-9d1e-2f6a55d0a001"
PLANTED_ID = "6f1c0f0e-8a44-4b83-9d1e-2f6a55d0a002"


class SilentPublisher(Publisher):
    """Publishes nothing, because the test asks the rows."""

    def send_message(self, args: Any, message_id: str, priority: int) -> None:
        """Do nothing."""


class Site:
    """An inbox, a home that is none of the dropper's business, and everything of ours that touches files."""

    def __init__(self, folder_: Path, template: Path) -> None:
        self.inbox, self.home, self.service = folder_ / "inbox", folder_ / "private", folder_ / "service"
        for each in (self.inbox, self.home, self.service):
            each.mkdir()
        for name in ("icr.db", "a.png", "b.png", "secret.png", "form/a.png", "coming/old.png", f"{POST_ID}/post.png"):
            (self.home / name).parent.mkdir(exist_ok=True)
            (self.home / name).write_bytes(SECRET + name.encode())
            os.utime(self.home / name, (1, 1))
        shutil.copy(template, self.service / "icr.db")
        self.engine = make_engine(f"sqlite:///{self.service / 'icr.db'}")
        settings = Settings(home=self.service, inbox=self.inbox, stable_s=0.001, incomplete_s=0.001)
        self.publisher = SilentPublisher(replace(build_runtime(settings), engine=lambda: self.engine))
        self.read: list[bytes] = []

    def listed(self) -> dict[str, tuple[bytes, int]]:
        found = {}
        for path in sorted(self.home.rglob("*")):
            about = path.lstat()
            content = path.read_bytes() if path.is_file() else b""
            found[str(path.relative_to(self.home))] = (content, about.st_mode)
        return found

    def link(self, where: str, to: str = "") -> None:
        """Put a link to something in the home where whatever lies there is moved away."""
        place = self.inbox / where
        if os.path.lexists(place):
            place.rename(self.inbox / f".moved-{uuid.uuid4()}")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(self.home / to)

    def working(self) -> list[Path]:
        """Return the folders of the scans in work."""
        return [path for path in (self.inbox / folder.WORKING).iterdir() if path.is_dir() and not path.is_symlink()]

    def live(self, trick: Trick) -> None:
        """Let two scans go through their life, and the trick be played at its moment."""

        def play(moment: str) -> None:
            if trick.moment == moment:
                trick.play(self)

        play("before")
        with contextlib.suppress(IcrError, OSError):
            folder.prepare(self.inbox)
            with HomeLock(self.inbox / folder.WORKING / "lock"):
                pass
        watch = Watcher(self.publisher, cast(Any, SimpleNamespace(check=self._probe)))
        for name in ("form/a.png", "form/b.png", "c.png"):
            place = self.inbox / name
            if not place.parent.is_symlink():
                place.parent.mkdir(exist_ok=True)
                place.write_bytes(name.encode())
        self._step(watch, watch.look)
        play("seen")
        for _ in range(4):
            time.sleep(0.002)
            self._step(watch, watch.look, watch.step)
        play("claimed")
        self._work()
        play("read")
        self._step(watch, watch.step)
        play("ended")
        self._step(watch, watch.step, watch.recover)
        for ticket in jobs.retry_jobs(self.engine):
            with contextlib.suppress(IcrError, OSError):
                reopen_scan(self.inbox, self.engine, ticket.id)
        self._step(watch, watch.recover, watch.step)
        self._work()
        self._step(watch, watch.step, watch.look, watch.step)
        play("purged")
        for uri, source in self._jobs("1 = 1", "uri, source"):
            with contextlib.suppress(IcrError, OSError):
                remove_own_scan(uri, source)
        self._receive()

    def _probe(self, path: Path) -> None:
        with contextlib.suppress(OSError), open_file(self.inbox, path.relative_to(self.inbox)) as file:
            self.read.append(file.read(1000))

    def _step(self, watch: Watcher, *steps: Callable[[], None]) -> None:
        for step in steps:
            with contextlib.suppress(IcrError, OSError):  # as the loop of the watcher does
                step()

    def _jobs(self, condition: str, columns: str) -> list[Any]:
        with reading(self.engine) as connection:
            return list(connection.execute(text(f"SELECT {columns} FROM jobs WHERE {condition}")))

    def _work(self) -> None:
        """Read what is queued as a worker does, from a private copy; a scan called b fails."""
        runtime = self.publisher.runtime
        for (job_id,) in self._jobs("state = 'queued'", "id"):
            taken = claim(self.engine, job_id)
            assert taken is not None
            try:
                with runtime.places().fetch(taken.scan.uri) as path:
                    copy, _ = copy_scan(path, runtime.file_roots, runtime.copies_folder, max_file_mb=1)
                self.read.append(copy.read_bytes()[:1000])
                copy.unlink()
            except IcrError as error:
                jobs.fail_job(self.engine, taken, kind="x", reason=str(error))
                continue
            if taken.scan.uri.endswith("b.png"):
                jobs.fail_job(self.engine, taken, kind="x", reason="damaged")
            else:
                jobs.store_readings(self.engine, taken, taken.scan, [PAGE])

    def _receive(self) -> None:
        """Receive a scan by HTTP, after the server has cleared what the last one left behind."""
        remove_left_files(self.inbox)
        with contextlib.suppress(OSError):
            path, file = new_file(self.inbox)
            with file:
                file.write(b"a post")
            with contextlib.suppress(OSError):
                keep_file(self.inbox, path, POST_ID, "post.png")
            path.unlink(missing_ok=True)


class Trick:
    """What is done, and when."""

    def __init__(self, moment: str, play: Callable[[Site], object]) -> None:
        self.moment, self.play = moment, play


def plant(name: str, to: str = "") -> Callable[[Site], object]:
    return lambda site: site.link(name, to)


def in_work(name: str, to: str = "") -> Callable[[Site], object]:
    """Swap something in the folder of each scan in work for a link."""
    return lambda site: [site.link(str(each.relative_to(site.inbox) / name), to) for each in site.working()]


def make(name: str, content: bytes = b"mine") -> Callable[[Site], object]:
    def play(site: Site) -> None:
        (site.inbox / name).parent.mkdir(parents=True, exist_ok=True)
        (site.inbox / name).write_bytes(content)

    return play


def twin(name: str, of: str = "icr.db") -> Callable[[Site], object]:
    """Give a file of the home a second name in the inbox, as systems without ``protected_hardlinks`` allow."""

    def play(site: Site) -> None:
        (site.inbox / name).parent.mkdir(parents=True, exist_ok=True)
        (site.inbox / name).unlink(missing_ok=True)
        os.link(site.home / of, site.inbox / name)

    return play


def listen(site: Site) -> None:
    with socket.socket(socket.AF_UNIX) as server, contextlib.chdir(site.inbox):
        server.bind("socket.png")


def swap_for_twin(site: Site) -> None:
    """Let the name of a scan that was seen lead to a file of the same size and time in a folder that is a link."""
    (site.inbox / "form").rename(site.inbox / ".was-form")
    (site.inbox / "form").symlink_to(site.home / "form")


def sparse(site: Site) -> None:
    with (site.inbox / "huge.png").open("wb") as file:
        os.truncate(file.fileno(), 2**40)


TRICKS: dict[str, Trick] = {
    # what lies in the inbox before the watcher starts
    "a link to a file": Trick("before", plant("x.png", "secret.png")),
    "a link by a relative path": Trick("before", lambda s: (s.inbox / "x.png").symlink_to("../private/a.png")),
    "a link to a link": Trick("before", lambda s: [s.link("y.png", "a.png"), (s.inbox / "x.png").symlink_to("y.png")]),
    "a link that leads to itself": Trick("before", lambda s: (s.inbox / "x.png").symlink_to("x.png")),
    "a link to nothing in the home": Trick("before", plant("x.png", "new.png")),
    "a link to the home": Trick("before", plant("x")),
    "a link to the root": Trick("before", lambda s: (s.inbox / "everything").symlink_to("/")),
    "a link to the folder above": Trick("before", lambda s: (s.inbox / "up").symlink_to("..")),
    "a link in a folder": Trick("before", plant("form/x.png", "a.png")),
    "a linked folder in a folder": Trick("before", plant("form/x")),
    "a folder of the scans that is a link": Trick("before", plant("form", "form")),
    "a pipe": Trick("before", lambda s: os.mkfifo(s.inbox / "pipe.png")),
    "a socket": Trick("before", listen),
    "a folder with the name of a scan": Trick("before", lambda s: (s.inbox / "x.png").mkdir()),
    "a terabyte of nothing": Trick("before", sparse),
    "a name that climbs": Trick("before", make("..%2fprivate%2fa.png")),
    "a name of two dots": Trick("before", make("..png")),
    "a name with a line break": Trick("before", make("a\nfile:/private/a.png")),
    "a name that is an option": Trick("before", make("-rf")),
    "a name that is no UTF-8": Trick("before", lambda s: (s.inbox / os.fsdecode(b"\xff\xfe.png")).write_bytes(b"mine")),
    "a name of 255 bytes": Trick("before", make("x" * 251 + ".png")),
    "folders 300 deep": Trick("before", lambda s: (s.inbox / "/".join("d" * 300)).mkdir(parents=True)),
    # the folders of the outcomes
    **{f"{end}/ is a link": Trick("before", plant(end)) for end in folder.OUTCOMES},
    **{f"{end}/form is a link": Trick("before", plant(f"{end}/form")) for end in folder.OUTCOMES},
    **{f"{end} is a file": Trick("before", make(end)) for end in folder.OUTCOMES},
    **{f"{end}/ becomes a link when all is read": Trick("read", plant(end)) for end in ("done", "failed")},
    "the place in done/ is a link": Trick("before", plant("done/form/a.png", "icr.db")),
    "the place in failed/ is a link": Trick("before", plant("failed/form/b.png", "icr.db")),
    "the reason file is a link": Trick("before", plant("failed/form/b.png.reason.txt", "icr.db")),
    "the reason file is a second name": Trick("before", twin("failed/form/b.png.reason.txt")),
    "the copy on its way is a link": Trick("before", plant("done/form/.a.png", "icr.db")),
    # the folder of the scans in work
    ".working is a link": Trick("before", plant(folder.WORKING)),
    ".working becomes a link when the scans are claimed": Trick("claimed", plant(folder.WORKING)),
    "the lock is a link": Trick("before", plant(f"{folder.WORKING}/lock", "icr.db")),
    "the lock is a second name": Trick("before", twin(f"{folder.WORKING}/lock")),
    "the lock is a pipe": Trick("before", lambda s: [folder.prepare(s.inbox), os.mkfifo(s.inbox / ".working/lock")]),
    "a job's folder is a link": Trick("before", plant(f"{folder.WORKING}/{PLANTED_ID}")),
    "a job's folder holds a link": Trick("before", plant(f"{folder.WORKING}/{PLANTED_ID}/a.png", "a.png")),
    "a job's folder holds a linked folder": Trick("before", plant(f"{folder.WORKING}/{PLANTED_ID}/form", "form")),
    "a claimed scan becomes a link": Trick("claimed", in_work("form/a.png", "a.png")),
    "the folder of a claimed scan becomes a link": Trick("claimed", in_work("form", "form")),
    "the job's folder becomes a link": Trick("claimed", in_work("", "")),
    "a scan that was read becomes a link": Trick("read", in_work("form/a.png", "a.png")),
    # swaps between two looks
    "a scan that was seen becomes a link": Trick("seen", plant("form/a.png", "form/a.png")),
    "the folder of a scan that was seen becomes a link": Trick("seen", swap_for_twin),
    # at the end of a scan, before it is looked at once more, tried again or purged
    "done/ becomes a link at the end": Trick("ended", plant("done")),
    "a scan in done/ becomes a link": Trick("ended", plant("done/form/a.png", "a.png")),
    "done/form becomes a link": Trick("ended", plant("done/form", "form")),
    "failed/ becomes a link before a retry": Trick("ended", plant("failed")),
    "a scan in failed/ becomes a link before a retry": Trick("ended", plant("failed/form/b.png", "b.png")),
    "failed/form becomes a link before a retry": Trick("ended", plant("failed/form", "form")),
    "done/ becomes a link before a purge": Trick("purged", plant("done")),
    "done/form becomes a link before a purge": Trick("purged", plant("done/form", "form")),
    "a scan in done/ becomes a link before a purge": Trick("purged", plant("done/form/a.png", "a.png")),
    # where posts are kept
    ".posted is a link": Trick("purged", plant(POSTED)),
    ".posted/coming is a link": Trick("purged", plant(f"{POSTED}/coming")),
    "the folder of a post is a link": Trick("purged", plant(f"{POSTED}/{POST_ID}", POST_ID)),
    "the place of a post is a link": Trick("purged", plant(f"{POSTED}/{POST_ID}/post.png", "icr.db")),
}  # fmt: skip


@pytest.fixture
def site(tmp_path: Path, sqlite_template: Path) -> Iterator[Site]:
    site = Site(tmp_path, sqlite_template)
    yield site
    site.engine.dispose()


def test_there_are_fifty() -> None:
    assert len(TRICKS) >= 50


@pytest.mark.parametrize("name", TRICKS)
def test_a_trick_reaches_nothing(name: str, site: Site) -> None:
    trick = TRICKS[name]
    before: dict[str, tuple[bytes, int]] = {}
    played = trick.play

    def play(site: Site) -> None:
        played(site)
        before.update(site.listed())

    trick = Trick(trick.moment, play)
    site.live(trick)
    assert before, "the trick was played"
    assert site.listed() == before
    assert not [content for content in site.read if SECRET in content]
    for path in site.inbox.rglob("*"):
        if path.is_file() and not path.is_symlink() and path.stat().st_nlink == 1:
            assert SECRET not in path.read_bytes()[:1000], path


def test_without_a_trick_the_scans_reach_their_ends(site: Site) -> None:
    """The test itself looks at lives that are lived to their end."""
    site.live(Trick("purged", lambda _: None))
    assert {b"form/a.png", b"form/b.png", b"c.png"} <= set(site.read)
    assert dict(map(tuple, site._jobs("1 = 1 GROUP BY state", "state, count(*)"))) == {
        "done": 2,
        "failed": 1,
    }
    assert [path.name for path in (site.inbox / POSTED).rglob("*") if path.is_file()] == ["post.png"]
