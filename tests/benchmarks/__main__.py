"""``make bench``: run every benchmark that needs no option, one after the other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ALL = ("bench_page", "bench_worker")


def main() -> None:
    for name in ALL:
        if (HERE / "speed" / f"{name}.py").exists():
            print(f"== python -m tests.benchmarks.speed.{name}", flush=True)
            subprocess.run([sys.executable, "-m", f"tests.benchmarks.speed.{name}"], check=True)


if __name__ == "__main__":
    main()
