"""One run: scans dropped, sent and posted while faults are thrown; then the count of what came of each."""

from __future__ import annotations

import hashlib
import math
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tests.chaos.fair_time import FairTime
from tests.chaos.faults import throw
from tests.chaos.scans import REPLACED, Fate, Scan, draw_fate, make_scan, put, read_directly
from tests.chaos.senders import Messages, Posts
from tests.chaos.systems import System, ask
from worker.inbox.posted import COMING, LEFT_AFTER_S

OPEN = "state IN ('queued', 'running')"
RESULTS = """
    SELECT j.id, j.source, j.state, s.sha256, j.error_reason, count(p.id), min(f.text), count(f.id)
    FROM jobs j LEFT JOIN scans s ON s.id = j.scan_id
    LEFT JOIN pages p ON p.job_id = j.id LEFT JOIN fields f ON f.page_id = p.id
    GROUP BY j.id, j.source, j.state, s.sha256, j.error_reason
"""
IN_LINE = 80
"""Jobs that may be open before more is handed in."""

TRY_S = 0.2
"""Pause before a fault is thrown again that found nothing, as while a process is being started."""

CLOSED_S = 20.0
"""How long the server that runs has to clear what closed connections left; what a killed one left needs a day."""

STUCK_S = 60.0
"""The promise: as long after the end of the last fault, everything that was handed in has ended."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What one run does; the same seed gives the same scans, senders and faults.

    Scans are handed in by rounds. In a round ``faults`` are thrown, on average, while its scans come in; then there is
    none until all have ended, and what that takes is measured. After ``most_s`` seconds no other round begins.
    Where kinds of faults are named to be thrown ``in_turn``, each is thrown once, spread over the rounds.
    """

    scans: int
    jobs: int
    seed: int
    posts: int = 0
    round: int = 100
    faults: float = 3.0
    freeze_s: float = 5.0
    stuck_s: float = STUCK_S
    patience_s: float = 600.0
    most_s: float = math.inf
    long_faults: bool = False
    in_turn: tuple[str, ...] = ()

    @property
    def rounds(self) -> int:
        """The number of rounds."""
        return -(-self.total // self.round)

    @property
    def total(self) -> int:
        """The number of scans that are handed in."""
        return self.scans + self.jobs + self.posts


@dataclass(frozen=True, slots=True, order=True)
class Recovery:
    """How long after the last fault of a round nothing was open any more, by ``FairTime`` and by the wall."""

    seconds: float
    wall_s: float
    fault: str


@dataclass(slots=True)
class Figures:
    """What came of a run; ``problems`` is empty if everything held."""

    faults: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    ended: int = 0
    refused: int = 0
    replaced: int = 0
    resent: int = 0
    posted: int = 0
    stalled: int = 0
    handed_in: Counter[str] = field(default_factory=Counter)
    recoveries: list[Recovery] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def run_chaos(system: System, plan: Plan, *, say: Callable[[str], None] = print) -> Figures:
    """Run a plan against a system to its end, or until its patience is over."""
    run = _Run(system, plan, say)
    try:
        run.go()
    finally:
        run.posts.close()
        system.stop()
    return run.figures


class _Run:
    def __init__(self, system: System, plan: Plan, say: Callable[[str], None]) -> None:
        self.system, self.plan, self.say = system, plan, say
        self.figures = Figures()
        self.posts = Posts(system, plan.seed)
        self._dice = random.Random(plan.seed)
        self._faults = system.faults
        if plan.long_faults:
            self._faults = (*system.faults, *system.faults, *system.long_faults)
        self._in_turn = iter(plan.in_turn)
        self._beside = system.home.folder.parent
        self._messages = Messages(system, self._beside / "outbox", self._dice)
        self._handed: dict[str, Scan] = {}
        self._to_drop: list[Scan] = []
        self._to_replace: list[tuple[float, Scan]] = []
        self._fault_over, self._thrown = 0.0, "no fault"

    def go(self) -> None:
        self.system.home.inbox.mkdir(exist_ok=True)
        (self.system.home.inbox / "everything").symlink_to("/")  # which nobody may follow
        started = time.monotonic()
        numbers = list(range(self.plan.total))
        self._dice.shuffle(numbers)
        for begin in range(0, len(numbers), self.plan.round):
            if time.monotonic() - started > self.plan.most_s or not self._do_round(numbers[begin:][: self.plan.round]):
                break
        self.figures.seconds = time.monotonic() - started
        self._end_uploads()
        self._verify()

    def _end_uploads(self) -> None:
        """End the senders that stall; let a day pass for what killed servers were receiving, and start another one."""
        self.posts.close()
        coming = self.system.home.inbox / COMING
        if self._is_emptied(coming, CLOSED_S):
            return
        for path in _find_scans(coming, ""):
            os.utime(path, (time.time() - 2 * LEFT_AFTER_S,) * 2)
        for pid in self.system.pids("server"):
            os.kill(pid, signal.SIGKILL)
        self._is_emptied(coming, self.plan.stuck_s)

    def _is_emptied(self, folder: Path, within_s: float) -> bool:
        """Wait until a folder is empty; False if it is not in time."""
        given_up_at = time.monotonic() + within_s
        while (left := any(_find_scans(folder, ""))) and time.monotonic() < given_up_at:
            self.system.supervise()
            time.sleep(0.2)
        return not left

    def _do_round(self, numbers: list[int]) -> bool:
        """Hand scans in under fire, and wait until all have ended; False if they do not."""
        before, left = self._count_ended(), list(numbers)
        faults = iter(sorted(self._draw_faults(len(numbers))))
        next_fault = next(faults, None)
        given_up_at = time.monotonic() + self.plan.patience_s
        while left or next_fault is not None:
            self._tend()
            left = self._feed(left)
            if next_fault is not None and (self._count_ended() - before >= next_fault or not left):
                self._throw()
                next_fault = next(faults, None)
            if time.monotonic() > given_up_at:
                self.figures.problems.append(f"{len(left)} scans of a round could not be handed in")
                return False
            time.sleep(0.1)
        return self._recover()

    def _draw_faults(self, scans: int) -> Iterator[float]:
        """Draw after how many ended scans faults come: by work done, so that a slow machine gets on.

        Every fourth comes at once, into the recovery from the one before. Those that come in turn are spread evenly.
        """
        if self.plan.in_turn:
            each = -(-len(self.plan.in_turn) // self.plan.rounds)
            yield from (scans * (number + 1) / (each + 1) for number in range(each))
            return
        ended = 0.0
        while (ended := ended + self._dice.expovariate(self.plan.faults / scans)) < 0.9 * scans:
            yield ended
            while self._dice.random() < 0.25:
                yield ended

    def _throw(self) -> None:
        """Throw one fault, if there is something to throw it at soon; one that comes in turn waits for that."""
        if self.plan.in_turn and (fault := next(self._in_turn, None)) is not None:
            self._throw_one(partial(str, fault), tries=round(self.plan.patience_s / TRY_S))
        elif not self.plan.in_turn:
            self._throw_one(partial(self._dice.choice, self._faults), tries=5)

    def _throw_one(self, choose: Callable[[], str], *, tries: int) -> None:
        for _ in range(tries):
            fault = choose()
            over = throw(fault, self.system, self._dice, self.plan.freeze_s)
            if over is not None:
                self.figures.faults[fault] += 1
                self._fault_over, self._thrown = max(over, self._fault_over), fault
                return
            time.sleep(TRY_S)
            self.system.supervise()

    def _recover(self) -> bool:
        """Wait until nothing of what was handed in is open, and note how long that took after the last fault."""
        time.sleep(max(0.0, self._fault_over - time.monotonic()))
        clock, said = FairTime(self.system.all_pids), False
        while left := self._name_left():
            clock.tick()
            if clock.seconds > self.plan.stuck_s and not said:
                said = True
                self.figures.problems.append(f"stuck for a minute after '{self._thrown}': {left}")
            if clock.wall_s > self.plan.patience_s:
                self.figures.problems.append(f"not at its end after {clock.wall_s:.0f} s: {left}")
                return False
            self._tend()
            time.sleep(0.2)
        self.figures.recoveries.append(Recovery(clock.seconds, clock.wall_s, self._thrown))
        self.say(
            f"  {self._count_ended()} ended, {self.figures.faults.total()} faults; the round's end "
            f"{clock.seconds:.0f} s after '{self._thrown}' ({clock.wall_s:.0f} s on the wall), "
            f"load {os.getloadavg()[0]:.0f}, {len(self.figures.problems)} problems"
        )
        return True

    def _tend(self) -> None:
        """Start what has died, let senders send, and replace files whose moment has come."""
        self.system.supervise()
        self._messages.send()
        now = time.monotonic()
        waiting = []
        for at, scan in self._to_replace:
            if now < at or not self._drop(scan):
                waiting.append((at, scan))
        self._to_replace = waiting
        self._to_drop = [scan for scan in self._to_drop if not self._drop(scan)]

    def _feed(self, left: list[int]) -> list[int]:
        """Hand in some scans by the way of each, as fast as they are read: faults meet work at every stage."""
        counted = ask(self.system, f"SELECT count(*) FROM jobs WHERE {OPEN}")
        if counted is None or counted[0][0] + self.posts.open > IN_LINE:
            return left
        some = self._dice.randint(0, 24)
        for number in left[:some]:
            if number < self.plan.scans:
                self._plan_drop(number)
                way = "files"
            elif number < self.plan.scans + self.plan.jobs:
                self._messages.add(make_scan(number))
                way = "messages"
            else:
                self.posts.add(make_scan(number))
                way = "posts"
            self.figures.handed_in[way] += 1
        return left[some:]

    def _plan_drop(self, number: int) -> None:
        if self._dice.random() < REPLACED:
            self._to_drop.append(make_scan(number, serial=1, required=False))
            self._to_replace.append((time.monotonic() + self._dice.uniform(0, 1.5), make_scan(number)))
            self.figures.replaced += 1
        else:
            self._to_drop.append(make_scan(number, fate=draw_fate(self._dice)))

    def _drop(self, scan: Scan) -> bool:
        if scan.required and any(scan.number == other.number for other in self._to_drop if not other.required):
            return False  # the file that it replaces is not there yet
        done = put(self.system.home.inbox / "field" / scan.name, scan.content)
        if done:
            self._handed[scan.sha256] = scan
        return done

    def _count_ended(self) -> int:
        counted = ask(self.system, f"SELECT count(*) FROM jobs WHERE NOT {OPEN}")
        return counted[0][0] if counted else 0

    def _name_left(self) -> str:
        """Say what is not at its end; nothing if everything is."""
        ways = {"to drop": len(self._to_drop), "to replace": len(self._to_replace), "to post": self.posts.open}
        inbox = self.system.home.inbox
        ways |= {f"in {place}": len(list(_find_scans(inbox / place))) for place in ("field", ".working")}
        states = ask(self.system, "SELECT state, count(*) FROM jobs GROUP BY state")
        if states is None:
            return "the database does not answer"
        by_state: dict[str, int] = dict(map(tuple, states))
        ways |= {state: by_state.get(state, 0) for state in ("queued", "running")}
        if not any(ways.values()):
            known = {row[0] for row in ask(self.system, "SELECT id FROM jobs") or []}
            ways["messages without a row"] = len(self._messages.scans.keys() - known)
            ways["posts without a row"] = len(self.posts.scans.keys() - known)
            hashes = {row[0] for row in ask(self.system, "SELECT sha256 FROM scans") or []}
            ways["files without a row"] = sum(s.required and sha not in hashes for sha, s in self._handed.items())
        return ", ".join(f"{count} {way}" for way, count in ways.items() if count)

    def _verify(self) -> None:
        """Hold what the database and the folder have against what was put in."""
        self.figures.resent = self._messages.resent
        self.figures.posted, self.figures.stalled = self.posts.tries, self.posts.stalled
        problems = self.figures.problems
        problems += self.posts.problems
        rows = ask(self.system, RESULTS) or []
        by_job = self._messages.scans | {job_id: [scan] for job_id, scan in self.posts.scans.items()}
        truth = read_directly({s.shown for s in self._all_scans()}, self._beside / "truth")
        counted: Counter[str] = Counter()
        for job_id, source, state, sha256, reason, pages, text, fields in rows:
            scans = [self._handed[sha256]] if source == "inbox" and sha256 in self._handed else by_job.get(job_id, [])
            scan = next((scan for scan in scans if scan.sha256 == sha256), None)
            if scan is None:
                problems.append(f"job {job_id} ({source}, {state}: {reason}) is of no scan that was handed in")
                continue
            counted[f"{source} {scan.number} {scan.serial}" if source == "inbox" else job_id] += 1
            problems += self._judge(scan, job_id, state, reason, (pages, fields), text, truth)
        wanted = {f"inbox {s.number} {s.serial}": s.required for s in self._handed.values()}
        wanted |= dict.fromkeys(by_job, True)
        problems += [f"{name} is lost" for name, required in wanted.items() if required and not counted[name]]
        problems += [f"{name} has {count} jobs" for name, count in counted.items() if count > 1]
        problems += self._check_folders(rows)

    def _judge(
        self, scan: Scan, job_id: str, state: str, reason: str | None, counts: tuple[int, int], text: str | None,
        truth: dict[int, str],
    ) -> Iterator[str]:  # fmt: skip
        told = f"scan {scan.number} (job {job_id}, {state}: {reason})"
        if state != scan.fate:
            yield f"{told} should be {scan.fate}"
        elif scan.fate is Fate.READ:
            self.figures.ended += 1
            if counts != (1, 1):
                yield f"{told} has {counts[0]} pages and {counts[1]} fields"
            elif text != truth[scan.shown]:
                yield f"{told} reads {text!r}, not {truth[scan.shown]!r}"
        else:
            self.figures.ended += 1
            self.figures.refused += 1
            if not reason:
                yield f"{told} has no reason"

    def _check_folders(self, rows: list[tuple[str, ...]]) -> Iterator[str]:
        """Find each file of the folder where its row says, once, and none anywhere else."""
        wanted = Counter(("done" if row[2] == "done" else "failed", row[3]) for row in rows if row[1] == "inbox")
        found = Counter(
            (folder, hashlib.sha256(path.read_bytes()).hexdigest())
            for folder in ("done", "failed", "duplicate")
            for path in _find_scans(self.system.home.inbox / folder)
        )
        for (folder, sha256), count in (wanted - found).items():
            yield f"scan {self._name(sha256)} is missing {count} times in {folder}/"
        for (folder, sha256), count in (found - wanted).items():
            yield f"scan {self._name(sha256)} lies {count} times too often in {folder}/"
        for place in ("field", ".working", COMING):
            yield from (f"{place}/{path.name} is left" for path in _find_scans(self.system.home.inbox / place, ""))

    def _name(self, sha256: str) -> str:
        return str(self._handed[sha256].number) if sha256 in self._handed else sha256

    def _all_scans(self) -> Iterator[Scan]:
        yield from self._handed.values()
        yield from self.posts.scans.values()
        for scans in self._messages.scans.values():
            yield from scans


def _find_scans(folder: Path, suffix: str = ".png") -> Iterator[Path]:
    """Yield the files below a folder from which others are moved meanwhile."""
    for at, _, names in os.walk(folder):
        yield from (Path(at) / name for name in names if name.endswith(suffix) and name != "lock")
