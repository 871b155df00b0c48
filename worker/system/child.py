"""What a worker's child does first: tie its life to its parent's, limit its memory, and use one thread."""

from __future__ import annotations

import resource
import signal

from worker.system.private_redis import die_with_parent


def bound_child(memory_mb: int) -> None:
    """Let this process die with its parent, and take at most so much memory.

    The limit is on data, not on address space, because models and libraries are mapped from files and shared.
    """
    die_with_parent(signal.SIGKILL)()
    limit = memory_mb * 2**20
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def prepare_child(memory_mb: int) -> None:
    """Bound this process and prepare it for decoding; the poppler processes that it starts inherit the memory limit."""
    bound_child(memory_mb)
    import cv2  # imported here, because a parent that has used OpenCV must not fork (opencv#5150)

    cv2.setNumThreads(1)
