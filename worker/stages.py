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

STAGES = ("decode", "read", "store")
BOUNDS_S = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
"""Upper bounds of the buckets: half a decade apart, from a small picture to the time limit of a job."""

_KEY = "icr:stages"


class Stopwatch:
    """Adds up the seconds that one scan spends in each stage."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(STAGES, 0.0)

    def time(self, stage: str, act: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what ``act`` returns, and charge its time to the stage."""
        started = time.monotonic()
        try:
            return act(*args, **kwargs)
        finally:
            self.seconds[stage] += time.monotonic() - started

    def each(self, stage: str, values: Iterable[T]) -> Iterator[T]:
        """Yield the values; the time that it takes to make them is the stage's."""
        iterator, end = iter(values), object()
        while (value := self.time(stage, next, iterator, end)) is not end:
            yield value  # type: ignore[misc]


@dataclass(frozen=True, slots=True)
class Histogram:
    """How many scans took at most each of ``BOUNDS_S`` and, last, any time at all; and their seconds in all."""

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
