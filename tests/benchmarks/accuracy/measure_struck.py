"""How often a number with one digit struck out is accepted as if it stood: drawn numbers on plain paper.

``python -m tests.benchmarks.accuracy.measure_struck [--fields 40]``
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np

from tests.benchmarks.accuracy.measure_blanks import read
from worker.bootstrap import build_runtime
from worker.synthesis.fields import write_line
from worker.synthesis.forms import write_on
from worker.synthesis.glyphs import Shape
from worker.synthesis.samples import draw_writer
from worker.values import FieldStatus, Grey

HEIGHT_PX = 52.0
STRIKES: dict[str, list[list[tuple[float, float]]]] = {
    "slash": [[(-0.1, 1.05), (1.1, -0.05)]],
    "backslash": [[(-0.1, -0.05), (1.1, 1.05)]],
    "line": [[(-0.25, 0.5), (1.25, 0.53)]],
    "two lines": [[(-0.2, 0.4), (1.2, 0.4)], [(-0.2, 0.62), (1.2, 0.6)]],
    "cross": [[(0.0, 0.0), (1.0, 1.0)], [(1.0, 0.0), (0.0, 1.0)]],
}
"""Ends of the strokes of each way to strike a digit out, in widths and heights of its box."""


def draw(seed: int, strike: str) -> Grey:
    """Draw a number of three to six digits, one of them struck out: (h, w) uint8."""
    rng = np.random.default_rng([5, seed])
    text = "".join(map(str, rng.integers(0, 10, int(rng.integers(3, 7)))))
    place = int(rng.integers(len(text)))
    hand, pen = draw_writer(np.random.default_rng(700 + seed))
    line = write_line(rng, replace(hand, link=0.0), text, pen.width)
    points = line.shapes[place].reshape(-1, 2)
    low, size = points.min(axis=0), np.maximum(np.ptp(points, axis=0), 0.2)
    strokes: Shape = (low + np.array(STRIKES[strike]) * size).astype(np.float32)
    line = replace(line, extra=np.concatenate([line.extra, strokes]) if len(line.extra) else strokes)
    everything = np.concatenate([*line.shapes, line.extra]).reshape(-1, 2)
    corner, extent = everything.min(axis=0), np.ptp(everything, axis=0)
    width, height = (np.add(extent, (1.2, 0.7)) * HEIGHT_PX).astype(int)
    page = np.full((height, width), 246, np.uint8)
    origin = ((np.array([0.6, 0.35]) - corner) * HEIGHT_PX).astype(np.float32)
    write_on(rng, page, line, pen, (origin, HEIGHT_PX))
    return page


def main() -> None:
    """Print how many of each way to strike a digit out are accepted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fields", type=int, default=40)
    count = parser.parse_args().fields
    recognizers = build_runtime().recognizers()
    for strike in STRIKES:
        found = [read(draw(seed, strike), 0, recognizers).status for seed in range(count)]
        print(f"{strike:<12} accepted {found.count(FieldStatus.ACCEPTED)} of {count}")


if __name__ == "__main__":
    main()
