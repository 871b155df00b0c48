"""The name of a process in the lease of a job, which tells later whether that very process still lives.

The name of the host is not enough to say "here": machines are cloned with it, and containers on the host's network
share it while they see none of each other's processes. So the name holds the boot of the kernel and the space of
process ids, too. A process from before a reboot is therefore of another machine: its lease runs out.
"""

from __future__ import annotations

import functools
import os
import socket
from pathlib import Path


def name_process(pid: int) -> str:
    """Name a process of this machine as ``machine/pid/start``; ids are used again, start times are not."""
    return f"{_machine()}/{pid}/{_start_time(pid)}"


def is_dead(name: str) -> bool:
    """Tell whether a process of this machine is gone; False for one of another machine, which nobody here can see."""
    host, _, process = name.partition("/")
    pid, _, started = process.partition("/")
    if host != _machine() or not pid.isdigit():
        return False
    return not _exists(int(pid)) or str(_start_time(int(pid))) != started


@functools.cache
def _machine() -> str:
    """Name what can see the process ids that this process sees; without /proc it is the host."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        space = Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        return socket.gethostname()
    return f"{socket.gethostname()}~{boot[:13]}~{space}"


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
