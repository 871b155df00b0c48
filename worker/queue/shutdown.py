"""End a worker within a time limit: finish the scan in hand if time allows, and hand it back if not."""

from __future__ import annotations

import os
import signal
import threading

from celery.signals import worker_shutting_down


def bound_shutdown(grace_s: float) -> None:
    """Turn a warm shutdown, which waits for the scans in hand, into a cold one after ``grace_s`` seconds.

    Celery's own ``worker_soft_shutdown_timeout`` sleeps the whole time even if the scans end at once.
    """

    @worker_shutting_down.connect(weak=False)  # type: ignore[untyped-decorator]
    def _start_clock(how: str, **_: object) -> None:
        if how == "Warm":
            timer = threading.Timer(grace_s, os.kill, (os.getpid(), signal.SIGQUIT))
            timer.daemon = True
            timer.start()
