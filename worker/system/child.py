"""What a worker's child does first: tie its life to its parent's, limit its memory, and use one thread."""

from __future__ import annotations

import resource
import signal

from worker.system.private_redis import die_with_parent


def prepare_child(memory_mb: int) -> None:
    """Prepare this process; the poppler processes that it starts inherit the memory limit.

    The limit is on data, not on address space, because models and libraries are mapped from files and shared.
    """
    die_with_parent(signal.SIGKILL)()
    limit = memory_mb * 2**20
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    import cv2  # imported here, because a parent that has used OpenCV must not fork (opencv#5150)

    cv2.setNumThreads(1)
