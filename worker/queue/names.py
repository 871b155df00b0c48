"""Names on the queue and numbers that its parts share, without importing Celery."""

from __future__ import annotations

QUEUE = "icr"
READ_SCAN = "icr.read_scan"
CANARY = "icr.canary"
HARD_LIMIT_MARGIN_S = 10
"""Time from the soft limit, where a job records its own failure, to the hard one, where its process is killed."""
MOST_URGENT = 9


def wire_priority(priority: int) -> int:
    """Turn a job's priority (9 is most urgent) into that of a Redis message, where 0 is served first."""
    return MOST_URGENT - priority
