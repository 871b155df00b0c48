"""The values that the store returns about jobs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from worker.store.tables import JobState

if TYPE_CHECKING:  # values load NumPy, which nobody needs who asks how the jobs stand
    from worker.values import Scan


@dataclass(frozen=True, slots=True)
class JobTicket:
    """What a sender gets for a job: its id, its state, and the job whose bytes it repeats, if any."""

    id: str
    state: JobState
    duplicate_of: str | None = None


@dataclass(frozen=True, slots=True)
class ClaimedJob:
    """One job held by one worker; ``attempt`` is a fencing token, which differs for every claim of a job.

    ``waited_s`` is how long ago the job came.
    """

    id: str
    scan: Scan
    template: str | None
    reference: str | None
    priority: int
    attempt: int
    deliveries: int
    waited_s: float = 0.0

    @property
    def is_identified(self) -> bool:
        """Whether the bytes of the scan are known; those of a message are looked at under the claim."""
        return bool(self.scan.sha256)


@dataclass(frozen=True, slots=True)
class FailedJob:
    """One job that ended without a reading; ``kind`` is a short code, ``reason`` one line for a person."""

    id: str
    uri: str | None
    state: JobState
    kind: str | None
    reason: str | None
    finished_at: datetime


@dataclass(frozen=True, slots=True)
class QueueSummary:
    """The state of the queue: jobs by state, the longest wait and run in seconds, the latest failures."""

    counts: dict[JobState, int]
    oldest_queued_s: float | None
    oldest_running_s: float | None
    failures: list[FailedJob]


@dataclass(frozen=True, slots=True)
class JobRecord:
    """All that is known about one job."""

    id: str
    uri: str | None
    sha256: str | None
    template: str | None
    reference: str | None
    priority: int
    source: str
    state: JobState
    attempts: int
    deliveries: int
    leased_by: str | None
    lease_until: datetime | None
    created_at: datetime
    published_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    error_kind: str | None
    error_reason: str | None
    raw_message: str | None
    duplicate_of: str | None
    linked: bool
