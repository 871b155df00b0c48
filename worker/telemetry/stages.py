"""How long the stages of a scan take: histograms in Redis, where every worker adds and the exporter reads.

They are for watching only. A flushed Redis starts them at zero, which Prometheus takes for a restart.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

import redis

T = TypeVar("T")
P = ParamSpec("P")

STAGES = ("fetch", "decode", "read", "store")
"""Only scans in object storage take time to fetch; a file is read in its place."""
BOUNDS_S = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
"""Upper bounds of the buckets, half a decade apart, from a small picture to the time limit of a job."""

_KEY = "icr:stages"


@dataclass(frozen=True, slots=True)
class Lap:
    """One stay in a stage, in nanoseconds since 1970 by the clock as it was when the watch was started."""

    stage: str
    started_ns: int
    ended_ns: int


class Stopwatch:
    """Adds up the seconds of one scan in each stage, and keeps each stay; ``decode`` and ``read`` alternate."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(STAGES, 0.0)
        self.laps: list[Lap] = []
        self._to_1970_ns = time.time_ns() - time.monotonic_ns()  # a clock that is set meanwhile distorts no lap
        self.started_ns = self.now_ns()

    def now_ns(self) -> int:
        """Return the present time on the clock of the laps."""
        return time.monotonic_ns() + self._to_1970_ns

    def time(self, stage: str, act: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call ``act``, count its time for the stage, and return its result."""
        started_ns = self.now_ns()
        try:
            return act(*args, **kwargs)
        finally:
            self.laps.append(Lap(stage, started_ns, self.now_ns()))
            self.seconds[stage] += (self.laps[-1].ended_ns - started_ns) / 1e9

    def each(self, stage: str, values: Iterable[T]) -> Iterator[T]:
        """Yield the values, and count the time that it takes to make them for the stage."""
        iterator, end = iter(values), object()
        while (value := self.time(stage, next, iterator, end)) is not end:
            yield value  # type: ignore[misc]
        self.laps.pop()  # the end of the values is not one more page


@dataclass(frozen=True, slots=True)
class Histogram:
    """How many scans took at most each of ``BOUNDS_S`` and, last, any time; and the sum of their seconds."""

    cumulative: tuple[int, ...]
    sum_s: float


def record_stages(client: redis.Redis, seconds: dict[str, float]) -> None:
    """Add one scan to the histograms."""
    with client.pipeline(transaction=False) as pipe:
        for stage, taken_s in seconds.items():
            bucket = sum(taken_s > bound for bound in BOUNDS_S)
            pipe.hincrby(_KEY, f"{stage}|{bucket}", 1)
            pipe.hincrbyfloat(_KEY, f"{stage}|sum", taken_s)
        pipe.execute()


def stage_histograms(client: redis.Redis) -> dict[str, Histogram]:
    """Return the histogram of every stage."""
    kept: dict[str, str] = client.hgetall(_KEY)  # type: ignore[assignment]  # the client decodes its answers
    return {
        stage: Histogram(
            tuple(itertools.accumulate(int(kept.get(f"{stage}|{b}", 0)) for b in range(len(BOUNDS_S) + 1))),
            float(kept.get(f"{stage}|sum", 0.0)),
        )
        for stage in STAGES
    }
