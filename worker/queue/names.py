"""Names on the queue and numbers that its parts share, without importing Celery."""

from __future__ import annotations

QUEUE = "icr"
"""The queue of other programs."""
OWN_QUEUE = "icr.jobs"
"""The queue of jobs that have rows. Workers take from the two in turns, so that a flood in one delays no other."""
READ_SCAN = "icr.read_scan"
CANARY = "icr.canary"
CANARY_QUEUE = "icr.canary."
"""What the names of the workers' own queues begin with."""
HARD_LIMIT_MARGIN_S = 10
"""Time from the soft limit, where a job records its own failure, to the hard one, where its process is killed."""
MOST_URGENT = 9
