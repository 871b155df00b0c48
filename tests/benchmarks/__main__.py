"""``make bench``: the table of ratios with the peers, then the running system; the ratios are kept in ``var/``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

KEPT = Path("var") / "speed.json"
ALL = (
    ("tests.benchmarks.speed.ratios", "--json", str(KEPT)),
    ("tests.benchmarks.speed.bench_page",),
    ("tests.benchmarks.speed.bench_worker",),
)


def main() -> None:
    KEPT.parent.mkdir(exist_ok=True)
    for module, *options in ALL:
        print(f"== python -m {' '.join((module, *options))}", flush=True)
        subprocess.run([sys.executable, "-m", module, *options], check=True)


if __name__ == "__main__":
    main()
