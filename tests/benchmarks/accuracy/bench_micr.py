"""Measure how many MICR lines, drawn with print defects, noise and skew, are read whole.

``python -m tests.benchmarks.accuracy.bench_micr``
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from worker.checks.micr import read_micr
from worker.synthesis.micr import draw_line, draw_line_text

UNIT_PX = (2.2, 3.9)
"""0.013 in on a check of 6 to 8.5 in, laid flat 1600 px wide, takes 2.4 to 3.5 px."""


def read_drawn(seed: int) -> tuple[str, str, float, float]:
    """Return the text of a drawn line, what was read, the least lead among its characters, and the seconds."""
    rng = np.random.default_rng([19570, seed])
    text = draw_line_text(rng)
    picture = draw_line(rng, text, float(rng.uniform(2.4, 3.6)))
    start = time.process_time()
    symbols = read_micr(picture, UNIT_PX)
    spent = time.process_time() - start
    read = "".join(s.character for s in symbols)
    return text.replace(" ", ""), read, min((s.lead for s in symbols), default=0.0), spent


def main() -> None:
    """Print the share of lines read whole, and what a threshold on the least lead would keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=300)
    parser.add_argument("--first", type=int, default=0, help="First seed.")
    given = parser.parse_args()
    results = []
    for seed in range(given.first, given.first + given.lines):
        results.append(read_drawn(seed))
        truth, read, lead, _ = results[-1]
        if truth != read:
            print(f"seed {seed}: {truth} read {read or 'nothing'}, least lead {lead:.3f}", flush=True)
    right = np.array([truth == read for truth, read, _, _ in results])
    leads = np.array([lead for _, _, lead, _ in results])
    print(f"lines whole: {right.sum()} of {len(right)} ({right.mean():.1%})")
    for least in (0.04, 0.06, 0.08, 0.1, 0.12):
        kept = leads >= least
        print(f"least lead {least}: {kept.sum()} kept, {(kept & ~right).sum()} wrong among them")
    print(f"CPU: {np.mean([s for *_, s in results]):.3f} s a line")


if __name__ == "__main__":
    main()
