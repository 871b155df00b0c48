"""Try whether a file decodes whole in a process of its own, which a hostile file may kill instead of the watcher."""

from __future__ import annotations

import multiprocessing
import os
import signal
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures import TimeoutError as ProbeTimeoutError
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path

from worker.bootstrap import read_limits
from worker.errors import SlowScanError, UnreadableScanError
from worker.settings import Settings
from worker.sources.beneath import open_file
from worker.system.child import prepare_child

PROBE_S = 3.0
"""Processor time for one file: an A4 page takes 0.03 to 0.2 s to decode, and all other files wait meanwhile.

Of poppler, which looks through a PDF in a process of its own in 0.03 s, it is the time by the wall.
"""
END_S = 0.2


class Prober:
    """One helper process that decodes; a new one is started after each that died or hung."""

    def __init__(self, settings: Settings, inbox: Path, *, probe_s: float = PROBE_S) -> None:
        self._probe_s = probe_s
        self._settings = settings
        self._inbox = inbox
        self._pool: ProcessPoolExecutor | None = None

    def check(self, path: Path) -> None:
        """Decode a file.

        Raises
        ------
        UnreadableScanError
            It does not decode, killed the process that tried, or ran past the time limit.
        SlowScanError
            It takes more than ``probe_s``.
        """
        settings = self._settings
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                1, multiprocessing.get_context("spawn"), prepare_child, (settings.job_memory_mb,)
            )
        try:
            self._pool.submit(_probe, self._inbox, path, settings, self._probe_s).result(settings.job_time_limit_s)
        except BrokenProcessPool as error:
            codes = self.close()
            if -signal.SIGPROF in codes:
                raise SlowScanError(f"decoding takes more than {self._probe_s:g} s") from error
            raise UnreadableScanError("the decoder crashed on this file") from error
        except ProbeTimeoutError as error:
            self.close()
            raise UnreadableScanError(f"decoding takes longer than {settings.job_time_limit_s} s") from error
        except MemoryError as error:
            raise UnreadableScanError(f"decoding needs more than {settings.job_memory_mb} MB of memory") from error

    def close(self) -> list[int | None]:
        """Stop the helper process, whatever it is doing, and return how it ended: minus the signal that killed it."""
        if self._pool is None:
            return []
        processes = list((self._pool._processes or {}).values())
        for process in processes:
            process.join(END_S)
            process.kill()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._pool = None
        return [process.exitcode for process in processes]


def _probe(inbox: Path, path: Path, settings: Settings, probe_s: float) -> None:
    """Decode a file in the inbox, and no other file that a folder swapped for a link leads to."""
    from worker.rasterizer import probe  # in the helper only, because the watcher itself loads no decoder

    try:
        file = open_file(inbox, path.relative_to(inbox))
    except OSError as error:
        raise UnreadableScanError(f"cannot open {path.name!r}: {error.strerror}") from error
    signal.setitimer(signal.ITIMER_PROF, probe_s)  # its signal kills: a decoder returns to no handler of Python
    try:
        with file:
            opened = Path(f"/proc/{os.getpid()}/fd/{file.fileno()}")  # for poppler, too, a child of this process
            limits = read_limits(settings)
            limits = replace(limits, page_timeout_s=min(limits.page_timeout_s, probe_s))
            probe(opened if opened.exists() else path, limits)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
