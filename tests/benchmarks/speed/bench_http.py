"""HTTP beside one worker that reads: scans posted a second, and what a request costs the server's processor.

``python -m tests.benchmarks.speed.bench_http --scans 100``
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import httpx

from tests.benchmarks.speed.bench_worker import copies, default_scan
from tests.support.system import Home, processes_of, wait_until
from worker.system.local_token import FILE

LISTS = 100


def main() -> None:
    """Post scans one after the other, then ask for lists; print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scans", type=int, default=100)
    parser.add_argument("--scan", type=Path, default=None, help="a PNG [default: the NIST page, else a sample]")
    parser.add_argument("--real-time", action="store_true", help="put server and client before other work")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
        free.close()
        scans = copies(arguments.scan or default_scan(), Path(folder), arguments.scans)
        home = Home(Path(folder) / "home", ICR_SERVE_PORT=str(port), ICR_CONCURRENCY="1")
        home.start("up")
        try:
            home.wait_for_worker()
            measure(home, f"http://127.0.0.1:{port}", scans, is_first=arguments.real_time)
        finally:
            home.stop()


def measure(home: Home, address: str, scans: list[Path], *, is_first: bool) -> None:
    """Print the figures of a system that runs."""
    wait_until(lambda: (home.folder / FILE).exists() and _answers(address), 60)
    headers = {"Authorization": f"Bearer {(home.folder / FILE).read_text()}"}
    server = next(pid for pid in processes_of(home.folder) if _is_server(pid))
    with httpx.Client(base_url=address, headers=headers, timeout=60) as client:
        client.get("/v1/fields")
        if is_first:
            for process in (server, os.getpid()):
                subprocess.run(["chrt", "--all-tasks", "--rr", "--pid", "1", str(process)], check=True)
        took, cpu_s = _timed(server, [lambda scan=scan: _post(client, scan) for scan in scans])
        size_mb = statistics.mean(scan.stat().st_size for scan in scans) / 2**20
        print(f"scans of {size_mb:.2f} MB posted a second by one client   {1 / statistics.mean(took):.0f}")
        print(f"processor time of the server for one, ms              {1000 * cpu_s / len(scans):.1f}")
        took, cpu_s = _timed(server, [lambda: client.get("/v1/fields?status=review").raise_for_status()] * LISTS)
        print(f"GET /v1/fields?status=review, p50 / p95, ms           {_quantiles_ms(took)}")
        print(f"processor time of the server for one, ms              {1000 * cpu_s / LISTS:.1f}")
        print(f"load of the machine over the last minute              {os.getloadavg()[0]:.1f}")


def _post(client: httpx.Client, scan: Path) -> None:
    client.post("/v1/scans", params={"template": "free"}, content=scan.read_bytes()).raise_for_status()


def _timed(server: int, calls: list) -> tuple[list[float], float]:  # type: ignore[type-arg]
    took, before = [], _cpu_s(server)
    for call in calls:
        began = time.perf_counter()
        call()
        took.append(time.perf_counter() - began)
    return took, _cpu_s(server) - before


def _quantiles_ms(took: list[float]) -> str:
    cuts = statistics.quantiles(took, n=20)
    return f"{1000 * cuts[9]:.1f} / {1000 * cuts[18]:.1f}"


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _is_server(pid: int) -> bool:
    words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return b"serve" in words


def _answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}/login").status_code == 200
    except httpx.TransportError:
        return False


if __name__ == "__main__":
    main()
