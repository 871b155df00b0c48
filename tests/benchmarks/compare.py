"""``make bench-compare``: the ratios of a run beside those that are kept, and which of them got worse.

``python -m tests.benchmarks.compare docs/reference/speed.json new.json`` ends with 1 if one is worse by a tenth.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

WORSE = 1.10
"""A ratio of the same code differs by some hundredths from run to run."""
LEAST_MS = 2.0
"""What takes less is not compared: the clock of the processor is too coarse."""


def find_worse(kept: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Return one line for each ratio that got worse by a tenth, and for each that is missing.

    Raises
    ------
    ValueError
        The two were measured on different pages.
    """
    if kept["page"] != now["page"]:
        raise ValueError(f"the kept figures are of the page {kept['page']}, the new ones of {now['page']}")
    worse = []
    for name, before in kept["measures"].items():
        after = now["measures"].get(name)
        if after is None:
            worse.append(f"{name}: not measured")
        elif min(before["ms"], after["ms"]) >= LEAST_MS and after["times"] > WORSE * before["times"]:
            worse.append(f"{name}: {after['times']:.2f} times {after['beside']}, was {before['times']:.2f}")
    return worse


def main() -> None:
    kept, now = (json.loads(Path(name).read_text("utf-8")) for name in sys.argv[1:3])
    peers = {name for name in kept["measures"] if name.startswith("exam page")}
    if not peers & set(now["measures"]):  # a short run
        kept["measures"] = {name: one for name, one in kept["measures"].items() if name not in peers}
    worse = find_worse(kept, now)
    print("\n".join(worse) or f"none of {len(kept['measures'])} ratios is worse by a tenth")
    sys.exit(1 if worse else 0)


if __name__ == "__main__":
    main()
