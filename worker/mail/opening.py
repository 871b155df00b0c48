"""Take messages apart in a process of its own, whose memory is bounded: anybody may write to a mailbox."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from concurrent.futures import TimeoutError as OpeningTimeoutError

from worker.mail.letter import Letter, Refusal, name_message, open_letter
from worker.settings import Settings
from worker.system.child import bound_child

OPEN_S = 60.0
"""A message of 50 MB takes about a second."""


class Opener:
    """One helper process that takes messages apart; it is started for the first one, and anew after it died or hung."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._pool: ProcessPoolExecutor | None = None

    def open(self, raw: bytes) -> Letter:
        """Return the letter; of a message that cannot be taken apart within the limits, one that says so."""
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(1, context, bound_child, (self._settings.job_memory_mb,))
        try:
            return self._pool.submit(open_letter, raw, max_file_mb=self._settings.max_file_mb).result(OPEN_S)
        except (BrokenExecutor, OpeningTimeoutError, MemoryError):
            self.close()
            broken = Refusal("", f"taking it apart needs more than {self._settings.job_memory_mb} MB or {OPEN_S:g} s")
            return Letter(name_message(None, raw), refusals=(broken,))

    def close(self) -> None:
        """Stop the helper process, whatever it is doing."""
        if self._pool is not None:
            for process in (self._pool._processes or {}).values():
                process.kill()
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None
