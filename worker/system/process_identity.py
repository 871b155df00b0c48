"""The name of a process in a job's lease, by which it can be told later whether that very process lives."""

from __future__ import annotations

import os
import socket
from pathlib import Path


def name_process(pid: int) -> str:
    """Name a process of this machine as ``host/pid/start``; ids come back, start times do not."""
    return f"{socket.gethostname()}/{pid}/{_start_time(pid)}"


def is_dead(name: str) -> bool:
    """Tell whether a process of this machine is gone; of one elsewhere that is never known."""
    host, _, process = name.partition("/")
    pid, _, started = process.partition("/")
    if host != socket.gethostname() or not pid.isdigit():
        return False
    return not _exists(int(pid)) or str(_start_time(int(pid))) != started


def _start_time(pid: int) -> int | None:
    """Return a process's start in clock ticks of the machine; None where there is no /proc to ask."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("ascii", "replace")
    except OSError:
        return None
    return int(stat.rpartition(")")[2].split()[19])


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
