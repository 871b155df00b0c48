"""When one-machine mode takes a worker that runs and is not heard for one that hangs, and starts it again."""

from __future__ import annotations

from pathlib import Path

import pytest

from worker import one_machine
from worker.bootstrap import build_runtime
from worker.settings import Settings


class Clock:
    """A clock and a worker that the test drives; ``killed`` has the times at which the worker was ended."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.killed: list[float] = []

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(one_machine.time, "monotonic", clock.time)
    monkeypatch.setattr(one_machine, "beat_ages", lambda client: {})
    monkeypatch.setattr(one_machine.os, "cpu_count", lambda: 2)
    return clock


def pass_time(machine: one_machine.OneMachine, clock: Clock, seconds: int) -> None:
    for _ in range(seconds):
        clock.now += 1
        machine._heal_silence()


@pytest.mark.parametrize(("load", "heard_after_s"), [(0.5, 30), (2.0, 30), (20.0, 300), (1000.0, 600)])
def test_a_silent_worker_is_given_the_time_that_the_load_of_the_machine_takes(
    load: float, heard_after_s: int, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(one_machine.os, "getloadavg", lambda: (load, load, load))
    runtime = build_runtime(Settings(home=tmp_path / "home"))
    machine = one_machine.OneMachine(runtime, once=False, show=lambda _: None, say=lambda _: None)
    machine._worker.started = clock.now
    monkeypatch.setattr(machine._worker, "kill", lambda: clock.killed.append(clock.now))
    pass_time(machine, clock, heard_after_s)
    assert clock.killed == []
    pass_time(machine, clock, 15)
    assert len(clock.killed) == 1
    machine._worker.started = clock.now
    pass_time(machine, clock, 2 * heard_after_s)
    assert len(clock.killed) == 1, "the next start has twice as long"
    pass_time(machine, clock, 15)
    assert len(clock.killed) == 2
