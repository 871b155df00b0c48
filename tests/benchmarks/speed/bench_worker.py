"""The running system: digits a second, scans a second by one and by two processes, memory, drop to row.

``python -m tests.benchmarks.speed.bench_worker --scans 60``
"""

from __future__ import annotations

import argparse
import os
import signal
import struct
import sys
import tempfile
import time
import zlib
from pathlib import Path

import numpy as np

from tests.support.data import DATA_DIR, PROJECT
from tests.support.system import Home, children_of, processes_of, wait_until
from worker.models.runtime import BATCH, load_recognizers

HSF_PAGES = DATA_DIR / "fields" / "nist_hsf_pages" / "images"


def default_scan() -> Path:
    """Return the NIST page where it is there, else the first form page of the samples."""
    for folder in (HSF_PAGES, PROJECT / "samples"):
        if found := sorted(folder.glob("*.png")):
            return found[0]
    raise SystemExit("no scan to read: name a PNG with --scan")


def copies(scan: Path, folder: Path, count: int) -> list[Path]:
    """Write copies of a PNG that differ in a comment, so that none is a duplicate."""
    content = scan.read_bytes()
    head, end = content[:-12], content[-12:]
    paths = []
    for number in range(count):
        body = b"tEXtComment\0" + f"{number} {os.urandom(4).hex()}".encode()
        chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
        paths.append(folder / f"{number:04d}.png")
        paths[-1].write_bytes(head + chunk + end)
    return paths


def measure_digits(seconds: float = 3.0) -> float:
    """Return the digits that the model classifies in a second, in one thread."""
    classify = load_recognizers().classify_digits
    images = np.random.default_rng(0).integers(0, 256, (BATCH, 28, 28), dtype=np.uint8)
    classify(images)
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        count += len(classify(images))
    return count / (time.perf_counter() - began)


def resident_mb(home: Path) -> float:
    """Return the resident memory of the largest of the worker's children."""
    commands = {pid: Path(f"/proc/{pid}/cmdline").read_text().split("\0") for pid in processes_of(home)}
    children = [child for pid, words in commands.items() if "worker" in words for child in children_of(pid)]
    sizes = [Path(f"/proc/{pid}/status").read_text().partition("VmRSS:")[2].split()[0] for pid in children]
    return max(int(size) for size in sizes) / 1024


def measure_system(scan: Path, *, processes: int, scans: int) -> dict[str, float]:
    """Run one-machine mode on copies of a scan, sent as jobs; the last one comes by the folder."""
    with tempfile.TemporaryDirectory(prefix="icr-bench-") as folder:
        there = Path(folder)
        pending = there / "pending"
        pending.mkdir()
        files = copies(scan, pending, scans + 2 * processes + 1)
        settings = {"ICR_CONCURRENCY": str(processes), "ICR_SCAN_ROOTS": str(pending), "ICR_STABLE_S": "1.0"}
        home = Home(there / "var", **settings)
        try:
            home.start("up")
            wait_until(lambda: home.icr("submit", *map(str, files[: 2 * processes])).returncode == 0, 60)
            home.wait_for_states(120, done=2 * processes)
            sent = files[2 * processes : -1]
            assert home.icr("submit", *map(str, sent)).returncode == 0
            home.wait_for_states(600, done=len(files) - 1)
            (spent,) = home.rows(
                "SELECT (julianday(max(finished_at)) - julianday(min(started_at))) * 86400 FROM "
                "(SELECT * FROM jobs ORDER BY finished_at DESC LIMIT ?)",
                len(sent),
            )[0]
            began = time.perf_counter()
            files[-1].rename(home.inbox / "last.png")
            wait_until(lambda: home.states().get("done") == len(files), 60)
            latency = time.perf_counter() - began
            return {"scans/s": len(sent) / spent, "MB": resident_mb(home.folder), "drop to row, s": latency}
        finally:
            home.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scans", type=int, default=40)
    parser.add_argument("--scan", type=Path, help="a PNG; the NIST page where it is there")
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that no system is left behind
    scan = chosen.scan or default_scan()
    print(f"digits classified a second, one thread: {measure_digits():,.0f}")
    rates = {}
    for processes in (1, 2):
        told = measure_system(scan, processes=processes, scans=chosen.scans)
        rates[processes] = told["scans/s"]
        print(f"{processes} process(es), {scan.name}: " + ", ".join(f"{k} {v:.2f}" for k, v in told.items()))
    print(f"two processes against one: {rates[2] / rates[1]:.2f} times")


if __name__ == "__main__":
    main()
