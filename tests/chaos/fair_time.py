"""Time as it would pass if no other work shared the machine: a recovery that waits for a core is not stuck."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

SAMPLE_S = 1.0
_TICKS = os.sysconf("SC_CLK_TCK")


class FairTime:
    """Counts seconds, each by the share of the processors that other programs leave.

    Where others take 1.5 of two cores, four seconds count as one. What the system's own processes take counts in full.
    """

    def __init__(self, find_ours: Callable[[], list[int]]) -> None:
        self._find_ours = find_ours
        self.seconds = self.wall_s = 0.0
        self._at, self._busy_s, self._idle_s = time.monotonic(), *_machine_s()
        self._ours = self._ours_s()

    def tick(self) -> None:
        """Count the time since the last tick; call it often."""
        now = time.monotonic()
        if now - self._at < SAMPLE_S:
            return
        busy_s, idle_s = _machine_s()
        ours = self._ours_s()
        passed_s = busy_s - self._busy_s + idle_s - self._idle_s
        taken_s = sum(seconds - self._ours.get(pid, 0.0) for pid, seconds in ours.items())
        others = min(0.95, max(0.0, busy_s - self._busy_s - taken_s) / max(passed_s, 0.01))
        self.seconds += (now - self._at) * (1 - others)
        self.wall_s += now - self._at
        self._at, self._busy_s, self._idle_s, self._ours = now, busy_s, idle_s, ours

    def _ours_s(self) -> dict[int, float]:
        return {pid: _process_s(pid) for pid in [*self._find_ours(), os.getpid()]}


def _machine_s() -> tuple[float, float]:
    """Return how long all processors together have been busy and idle."""
    user, nice, system, idle, waiting, *rest = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + sum(rest)) / _TICKS, (idle + waiting) / _TICKS


def _process_s(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS
