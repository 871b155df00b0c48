"""The name of a process in the lease of a job, which tells later whether that very process still lives."""

from __future__ import annotations

import os
import socket
from pathlib import Path


def name_process(pid: int) -> str:
    """Name a process of this machine as ``host/pid/start``; ids are used again, start times are not."""
    return f"{socket.gethostname()}/{pid}/{_start_time(pid)}"


def is_dead(name: str) -> bool:
    """Tell whether a process of this machine is gone; False for one of another machine, which nobody here can see."""
    host, _, process = name.partition("/")
    pid, _, started = process.partition("/")
    if host != socket.gethostname() or not pid.isdigit():
        return False
    return not _exists(int(pid)) or str(_start_time(int(pid))) != started


def _start_time(pid: int) -> int | None:
    """Return the start of a process in clock ticks of the machine; None without /proc."""
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
