"""Try whether a file decodes whole in a process of its own, which a hostile file may kill instead of the watcher."""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures import TimeoutError as ProbeTimeoutError
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from worker.bootstrap import read_limits
from worker.errors import UnreadableScanError
from worker.settings import Settings
from worker.sources.beneath import open_file
from worker.system.child import prepare_child


class Prober:
    """One helper process that decodes; a new one is started after each that died or hung."""

    def __init__(self, settings: Settings, inbox: Path) -> None:
        self._settings = settings
        self._inbox = inbox
        self._pool: ProcessPoolExecutor | None = None

    def check(self, path: Path) -> None:
        """Decode a file.

        Raises
        ------
        UnreadableScanError
            It does not decode, killed the process that tried, or ran past the time limit.
        """
        settings = self._settings
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                1, multiprocessing.get_context("spawn"), prepare_child, (settings.job_memory_mb,)
            )
        try:
            self._pool.submit(_probe, self._inbox, path, settings).result(settings.job_time_limit_s)
        except BrokenProcessPool as error:
            self.close()
            raise UnreadableScanError("the decoder crashed on this file") from error
        except ProbeTimeoutError as error:
            self.close()
            raise UnreadableScanError(f"decoding takes longer than {settings.job_time_limit_s} s") from error
        except MemoryError as error:
            raise UnreadableScanError(f"decoding needs more than {settings.job_memory_mb} MB of memory") from error

    def close(self) -> None:
        """Stop the helper process, whatever it is doing."""
        if self._pool is not None:
            for process in list((self._pool._processes or {}).values()):
                process.kill()
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None


def _probe(inbox: Path, path: Path, settings: Settings) -> None:
    """Decode a file in the inbox, and no other file that a folder swapped for a link leads to."""
    from worker.rasterizer import probe  # in the helper only, because the watcher itself loads no decoder

    try:
        file = open_file(inbox, path.relative_to(inbox))
    except OSError as error:
        raise UnreadableScanError(f"cannot open {path.name!r}: {error.strerror}") from error
    with file:
        opened = Path(f"/proc/{os.getpid()}/fd/{file.fileno()}")  # for poppler, too, which is a child of this process
        probe(opened if opened.exists() else path, read_limits(settings))
