"""What a worker's child does first: it dies with its parent, is bounded in memory, and uses one thread."""

from __future__ import annotations

import resource
import signal

from worker.system.private_redis import die_with_parent


def prepare_child(memory_mb: int) -> None:
    """Arm this process; the poppler processes it starts inherit the bound on memory.

    The bound is on data, not on address space: the models and the libraries are mapped from files and shared.
    """
    die_with_parent(signal.SIGKILL)()
    limit = memory_mb * 2**20
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    import cv2  # here and not above: a parent that has used OpenCV must not fork (opencv#5150)

    cv2.setNumThreads(1)
