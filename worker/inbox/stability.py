"""Find the files that are ready: unchanged for a while, written by nobody, and decoding whole."""

from __future__ import annotations

import fcntl
import math
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import structlog

from worker.errors import MissingProgramError, SlowScanError, UnreadableScanError
from worker.inbox.folder import Sighting, sight
from worker.inbox.walking import describe_left, iter_scans

log = structlog.get_logger(__name__)

PROGRAM_PAUSE_S = 60.0
"""How often a scan that waits for a missing program is tried again, because somebody may have installed it."""

DAMAGED_AFTER = 5
"""A file that does not decode, and is no shorter than it says, has this many times ``ICR_STABLE_S`` to change."""


@dataclass(slots=True)
class _Candidate:
    seen: Sighting
    since: float
    damage: UnreadableScanError | None = None
    not_before: float = 0.0


@dataclass(frozen=True, slots=True)
class Ready:
    """A file that may be taken; ``damage`` says why it does not decode, if it does not."""

    name: Path
    seen: Sighting
    damage: str | None = None


class StabilityWatch:
    """The files that are watched until they are taken: a limited number, whatever the backlog.

    ``incomplete_s`` is how long a file may stand still that ends early or that somebody holds open to write: scanners
    and fax servers write page by page. One that has been still for longer when it is first seen is judged at once.
    """

    def __init__(
        self,
        inbox: Path,
        *,
        stable_s: float,
        capacity: int,
        check: Callable[[Path], None],
        incomplete_s: float | None = None,
    ) -> None:
        self._inbox = inbox
        self._stable_s = stable_s
        self._incomplete_s = DAMAGED_AFTER * stable_s if incomplete_s is None else incomplete_s
        self._capacity = capacity
        self._check = check
        self._candidates: dict[Path, _Candidate] = {}
        self._left: list[Path] = []
        self.more = False
        self._turn = 0
        self._newest_first = True

    def __len__(self) -> int:
        return len(self._candidates)

    @property
    def put_aside(self) -> int:
        """The number of files that are left alone for a while."""
        now = time.monotonic()
        return sum(candidate.not_before > now for candidate in self._candidates.values())

    @property
    def due_s(self) -> float:
        """Seconds until the next file will have stood still for long enough, if nobody touches it; inf without any."""
        now = time.monotonic()
        due = (max(one.since + self._stable_s, one.not_before) - now for one in self._candidates.values())
        return min((wait_s for wait_s in due if wait_s > 0), default=math.inf)  # what was due and is not ready, waits

    def look(self) -> None:
        """Look through the folder and watch what is new; ``more`` tells that some was left for later.

        Files put aside take no places, so a folder full of files that cannot be taken stops no other file. A look that
        found more than there was room for is followed by one that begins elsewhere, so that a backlog in one folder
        stops no other folder.
        """
        self._turn = self._turn + 1 if self.more else 0
        self.more = False
        left: list[Path] = []
        room = self._capacity - len(self._candidates) + self.put_aside
        for name in iter_scans(self._inbox, left, turn=self._turn):
            if name in self._candidates:
                continue
            if room <= 0:
                self.more = True
                return
            seen = sight(self._inbox / name)
            if seen is not None:
                self._candidates[name] = _Candidate(seen, time.monotonic())
                room -= 1
        self._tell_left(sorted(left))

    def ready(self) -> Iterator[Ready]:
        """Yield files that are unchanged and decode, and files that are unchanged for long and do not.

        Every second time the newest come first, so that a row of files that take long to decode holds up one that came
        after them for no longer than two of them take.
        """
        self._newest_first = not self._newest_first
        for name in list(reversed(self._candidates) if self._newest_first else self._candidates):
            if name not in self._candidates:
                continue
            candidate, now = self._candidates[name], time.monotonic()
            seen = sight(self._inbox / name)
            if seen is None:
                del self._candidates[name]
            elif seen != candidate.seen:
                self._candidates[name] = _Candidate(seen, now)
            elif now >= max(candidate.since + self._stable_s, candidate.not_before):
                was_slow = isinstance(candidate.damage, SlowScanError)
                try:
                    is_ready = self._is_ready(name, candidate)
                except MissingProgramError as error:
                    log.warning("a scan waits in the folder", name=str(name), reason=str(error))
                    self.put_off(name, PROGRAM_PAUSE_S)
                    continue
                if is_ready:
                    yield Ready(name, seen, str(candidate.damage) if candidate.damage else None)
                if isinstance(candidate.damage, SlowScanError) and not was_slow:
                    return  # the watcher has other things to do between two that take long

    def forget(self, name: Path) -> None:
        """Stop watching a file that was taken."""
        self._candidates.pop(name, None)

    def put_off(self, name: Path, pause_s: float) -> None:
        """Leave a file alone for a while, for example because it may not be moved."""
        if name in self._candidates:
            self._candidates[name].not_before = time.monotonic() + pause_s

    def _is_ready(self, name: Path, candidate: _Candidate) -> bool:
        """Decode a file; decode a damaged one again only when it would be taken as damaged."""
        still_s = time.monotonic() - candidate.since
        long_still = still_s >= self._incomplete_s or time.time() - candidate.seen.mtime_ns / 1e9 >= self._incomplete_s
        if not long_still and is_being_written(self._inbox / name):
            return False
        if candidate.damage is not None and not self._is_over(candidate.damage, still_s, long_still):
            return False
        if isinstance(candidate.damage, SlowScanError):  # a worker decodes it, once nobody can be writing it any more
            return True
        try:
            self._check(self._inbox / name)
        except UnreadableScanError as error:
            candidate.damage = error
            return self._is_over(error, still_s, long_still)
        candidate.damage = None
        return True

    def _is_over(self, damage: UnreadableScanError, still_s: float, long_still: bool) -> bool:
        """Tell whether a damaged file has had its time."""
        waits = damage.incomplete or isinstance(damage, SlowScanError)
        return long_still if waits else still_s >= DAMAGED_AFTER * self._stable_s

    def _tell_left(self, left: list[Path]) -> None:
        if left and left != self._left:
            log.warning("some entries are left in the folder", what=describe_left([str(name) for name in left]))
        self._left = left


def is_being_written(path: Path) -> bool:
    """Tell whether another process holds a file open to write; False where the system cannot tell.

    A read lease is granted only while nobody does (Linux, ``fcntl(2)``), on local file systems and to the file's owner.
    """
    if not hasattr(fcntl, "F_SETLEASE"):
        return False
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        # Whoever opens it to write meanwhile makes the kernel send a signal: one that is ignored unless handled.
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False
