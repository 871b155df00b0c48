"""Which files of the folder are ready: size and time have stood still, and the file decodes whole."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import structlog

from worker.errors import MissingProgramError, UnreadableScanError
from worker.inbox.folder import Sighting, iter_scans, sight

log = structlog.get_logger(__name__)

PROGRAM_PAUSE_S = 60.0
"""How often a scan that waits for a missing program is tried again: somebody may have installed it."""

DAMAGED_AFTER = 5
"""A file that does not decode has this many settling times to become whole; then it is taken as damaged."""


@dataclass(slots=True)
class _Candidate:
    seen: Sighting
    since: float
    undecodable: bool = False
    not_before: float = 0.0


@dataclass(frozen=True, slots=True)
class Ready:
    """A file that may be taken; ``damage`` says why it does not decode, if it does not."""

    name: Path
    seen: Sighting
    damage: str | None = None


class Settling:
    """The files that are watched on their way to being taken: a bounded number, whatever the backlog."""

    def __init__(self, inbox: Path, *, settle_s: float, capacity: int, check: Callable[[Path], None]) -> None:
        self._inbox = inbox
        self._settle_s = settle_s
        self._capacity = capacity
        self._check = check
        self._candidates: dict[Path, _Candidate] = {}
        self.more = False

    def __len__(self) -> int:
        return len(self._candidates)

    @property
    def put_aside(self) -> int:
        """How many files are left alone for a while."""
        now = time.monotonic()
        return sum(candidate.not_before > now for candidate in self._candidates.values())

    def look(self) -> None:
        """Look through the folder and watch what is new; ``more`` tells that some was left for later."""
        self.more = False
        for name in iter_scans(self._inbox):
            if name in self._candidates:
                continue
            if len(self._candidates) >= self._capacity:
                self.more = True
                return
            seen = sight(self._inbox / name)
            if seen is not None:
                self._candidates[name] = _Candidate(seen, time.monotonic())

    def ready(self) -> Iterator[Ready]:
        """Yield what has stood still and decodes, and what has stood still for long and does not."""
        for name in list(self._candidates):
            candidate, now = self._candidates[name], time.monotonic()
            seen = sight(self._inbox / name)
            if seen is None:
                del self._candidates[name]
            elif seen != candidate.seen:
                self._candidates[name] = _Candidate(seen, now)
            elif now >= max(candidate.since + self._settle_s, candidate.not_before):
                try:
                    damage = self._damage(name, candidate)
                except MissingProgramError as error:
                    log.warning("a scan waits in the folder", name=str(name), reason=str(error))
                    self.put_off(name, PROGRAM_PAUSE_S)
                    continue
                if damage is None or now >= candidate.since + DAMAGED_AFTER * self._settle_s:
                    yield Ready(name, seen, damage)

    def forget(self, name: Path) -> None:
        """Stop watching a file that was taken."""
        self._candidates.pop(name, None)

    def put_off(self, name: Path, pause_s: float) -> None:
        """Leave a file alone for a while, as when it may not be moved."""
        if name in self._candidates:
            self._candidates[name].not_before = time.monotonic() + pause_s

    def _damage(self, name: Path, candidate: _Candidate) -> str | None:
        """Decode a file; a damaged one is decoded again only when it would be taken as such."""
        if candidate.undecodable and time.monotonic() < candidate.since + DAMAGED_AFTER * self._settle_s:
            return "not yet whole"
        try:
            self._check(self._inbox / name)
        except UnreadableScanError as error:
            candidate.undecodable = True
            return str(error)
        return None
