"""One run: scans dropped and jobs sent while faults are thrown; then the count of what came of each."""

from __future__ import annotations

import json
import random
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import redis

from tests.chaos.faults import throw
from tests.chaos.systems import System, ask
from tests.support.system import draw_scan

OPEN = "state IN ('queued', 'running')"
RESULTS = """
    SELECT j.id, j.state, j.uri, j.error_reason, count(p.id), min(f.text), count(f.id)
    FROM jobs j LEFT JOIN pages p ON p.job_id = j.id LEFT JOIN fields f ON f.page_id = p.id
    GROUP BY j.id, j.state, j.uri, j.error_reason
"""
LATE = 0.1
"""Share of the messages that are quicker than their files."""

RESEND_S = 20.0
"""A sender that finds no row of its job sends it again: until then the message in Redis is the only copy."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What one run does; the same seed gives the same scans, senders and faults."""

    scans: int
    jobs: int
    seed: int
    scans_per_fault: float
    freeze_s: float
    patience_s: float
    long_faults: bool = False


@dataclass(slots=True)
class Figures:
    """What came of a run; ``problems`` is empty if everything held."""

    faults: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    done: int = 0
    resent: int = 0
    longest_standstill_s: float = 0.0
    standstill_after: str = ""
    problems: list[str] = field(default_factory=list)


def run_chaos(system: System, plan: Plan, *, say: Callable[[str], None] = print) -> Figures:
    """Run a plan against a system to its end, or until its patience is over."""
    run = _Run(system, plan, say)
    try:
        run.go()
    finally:
        system.stop()
    return run.figures


class _Run:
    def __init__(self, system: System, plan: Plan, say: Callable[[str], None]) -> None:
        self.system, self.plan, self.say = system, plan, say
        self.figures = Figures()
        self._dice = random.Random(plan.seed)
        self._faults = system.faults
        if plan.long_faults:
            self._faults = (*system.faults, *system.faults, *system.long_faults)
        self._outbox = system.home.folder.parent / "outbox"
        self._to_drop = list(range(plan.scans))
        self._to_send = list(range(plan.scans, plan.scans + plan.jobs))
        self._sent: dict[str, tuple[int, float]] = {}

    def go(self) -> None:
        (self.system.home.inbox / "everything").symlink_to("/")  # which nobody may follow
        started = time.monotonic()
        next_fault = self._next_fault(0)
        moved = started
        ended, thrown = 0, "no fault"
        while not self._all_ended():
            now = time.monotonic()
            self.system.supervise()
            self._feed()
            counted = self._count_ended()
            if counted > ended:
                ended = counted
                if now - moved > self.figures.longest_standstill_s:
                    self.figures.longest_standstill_s, self.figures.standstill_after = now - moved, thrown
                moved = now
            if ended >= next_fault and ended < self.plan.scans + self.plan.jobs:
                fault = self._dice.choice(self._faults)
                if throw(fault, self.system, self._dice, self.plan.freeze_s):
                    self.figures.faults[fault] += 1
                    thrown = fault
                    next_fault = self._next_fault(ended)
            if now - started > self.plan.patience_s:
                self.figures.problems.append(f"not at its end after {self.plan.patience_s:.0f} s")
                break
            time.sleep(0.2)
        self.figures.seconds = time.monotonic() - started
        self._wait_for_moves()
        self._verify()

    def _next_fault(self, ended: int) -> float:
        """Return after how many ended scans the next fault comes: by work done, so that a slow machine gets on.

        Every fourth comes at once, into the recovery from the one before.
        """
        return ended if self._dice.random() < 0.25 else ended + self._dice.expovariate(1 / self.plan.scans_per_fault)

    def _feed(self) -> None:
        """Drop some scans and send some jobs, as fast as they are read: faults meet work at every stage."""
        counted = ask(self.system, f"SELECT count(*) FROM jobs WHERE {OPEN}")
        if counted is None or counted[0][0] > 40:
            return
        for _ in range(self._dice.randint(0, 6)):
            if self._to_drop:
                number = self._to_drop.pop()
                draw_scan(self.system.home.inbox / "field" / f"{number}.png", number)
            if self._to_send:
                number = self._to_send.pop()
                self._sent[str(uuid.UUID(int=self._dice.getrandbits(128), version=4))] = (number, 0.0)
        self._send_unknown()

    def _send_unknown(self) -> None:
        """Send every job of which the database knows nothing, and again after a while."""
        known = ask(self.system, "SELECT id FROM jobs WHERE source = 'message'")
        if known is None:
            return
        left = self._sent.keys() - {row[0] for row in known}
        now = time.monotonic()
        for job_id in left:
            number, at = self._sent[job_id]
            if now - at < RESEND_S:
                continue
            path = self._outbox / f"{number}.png"
            is_late = not path.exists() and self._dice.random() < LATE
            if not path.exists() and not is_late:
                draw_scan(path, number)
            try:
                self._push(job_id, path)
            except redis.RedisError:
                return
            finally:
                if is_late:
                    time.sleep(0.2)
                    draw_scan(path, number)
            self.figures.resent += at > 0
            self._sent[job_id] = (number, now)

    def _push(self, job_id: str, path: Path) -> None:
        message = {
            "body": json.dumps([[{"uri": path.as_uri(), "id": job_id, "template": "field"}], {}, {}]),
            "content-type": "application/json",
            "content-encoding": "utf-8",
            "headers": {"task": "icr.read_scan", "id": job_id},
            "properties": {"delivery_tag": str(uuid.uuid4()), "delivery_info": {}, "priority": 4},
        }
        with redis.Redis(unix_socket_path=str(self.system.redis_socket), socket_timeout=2) as client:
            client.lpush("icr", json.dumps(message))

    def _count_ended(self) -> int:
        counted = ask(self.system, f"SELECT count(*) FROM jobs WHERE NOT {OPEN}")
        return counted[0][0] if counted else 0

    def _all_ended(self) -> bool:
        if self._to_drop or self._to_send:
            return False
        if self._count_ended() < self.plan.scans + self.plan.jobs:
            self._send_unknown()
            return False
        return ask(self.system, f"SELECT count(*) FROM jobs WHERE {OPEN}") == [(0,)]

    def _wait_for_moves(self) -> None:
        deadline = time.monotonic() + 60
        while len(self.system.home.listed("done")) < self.plan.scans and time.monotonic() < deadline:
            self.system.supervise()
            time.sleep(0.2)

    def _verify(self) -> None:
        """Hold what the database and the folder have against what was put in."""
        problems, total = self.figures.problems, self.plan.scans + self.plan.jobs
        rows = ask(self.system, RESULTS) or []
        numbers = Counter(int(Path(row[2]).stem) for row in rows)
        problems += [f"scan {n} has {count} jobs" for n, count in numbers.items() if count != 1]
        problems += [f"scan {n} is lost" for n in range(total) if n not in numbers]
        problems += [f"job {row[0]} is {row[1]}: {row[3]}" for row in rows if row[1] != "done"]
        problems += [f"job {row[0]} has {row[4]} pages, {row[6]} fields" for row in rows if (row[4], row[6]) != (1, 1)]
        truth = _read_directly(self._outbox.parent / "truth", range(total))
        problems += [
            f"scan {Path(row[2]).stem} reads {row[5]!r}, not {truth[int(Path(row[2]).stem)]!r}"
            for row in rows
            if row[5] != truth.get(int(Path(row[2]).stem))
        ]
        missing = {f"{n}.png" for n in range(self.plan.scans)} - set(self.system.home.listed("done"))
        problems += [f"{name} is not in done/" for name in sorted(missing)]
        left = [p.name for p in (self.system.home.inbox / ".working").rglob("*.png")]
        problems += [f"{name} is left in .working/" for name in left]
        self.figures.done = sum(row[1] == "done" for row in rows)


def _read_directly(folder: Path, numbers: range) -> dict[int, str]:
    """Read the same scans in this process, with no queue and no fault."""
    from worker.bootstrap import build_runtime
    from worker.page_kinds import LoneField
    from worker.pipeline import read_page
    from worker.rasterizer import open_pages

    runtime, texts = build_runtime(), {}
    for number in numbers:
        path = draw_scan(folder / f"{number}.png", number)
        (page,) = open_pages(path, scan_id="truth", limits=runtime.limits())
        reading = read_page(page, LoneField(), runtime.recognizers(), runtime.accept_policy)
        texts[number] = reading.fields[0].text
    return texts
