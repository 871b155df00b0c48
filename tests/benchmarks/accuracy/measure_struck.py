"""How often a number with one digit struck out, or written over another, is accepted as if it stood alone.

``python -m tests.benchmarks.accuracy.measure_struck [--fields 60] [--overwritten 200] [--seed 0]``

Drawn numbers on plain paper. One that is accepted as the upper digit of two counts as right, as the lower or any other
as wrong.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np

from tests.benchmarks.accuracy.measure_blanks import read
from worker.bootstrap import build_runtime
from worker.synthesis.alterations import lean
from worker.synthesis.forms import write_on
from worker.synthesis.glyphs import Hand, Shape
from worker.synthesis.lines import WrittenLine, write_line
from worker.synthesis.pen import Pen
from worker.synthesis.samples import draw_writer
from worker.values import FieldStatus, Grey

HEIGHT_PX = 52.0
STRIKES: dict[str, list[list[tuple[float, float]]]] = {
    "not at all": [],
    "slash": [[(-0.1, 1.05), (1.1, -0.05)]],
    "backslash": [[(-0.1, -0.05), (1.1, 1.05)]],
    "line": [[(-0.25, 0.5), (1.25, 0.53)]],
    "two lines": [[(-0.2, 0.4), (1.2, 0.4)], [(-0.2, 0.62), (1.2, 0.6)]],
    "cross": [[(0.0, 0.0), (1.0, 1.0)], [(1.0, 0.0), (0.0, 1.0)]],
}
"""Ends of the strokes of each way to strike a digit out, in widths and heights of its box."""
OFF_PLACE, OFF_SIZE = 0.04, 0.06
"""One sigma of how far a digit written over another misses its place and its size, in heights."""


def draw(seed: int, strike: str) -> Grey:
    """Draw a number of three to six digits, one of them struck out, or none of them: (h, w) uint8."""
    rng = np.random.default_rng([5, seed])
    text, hand, pen = _draw_number(rng, seed)
    place = int(rng.integers(len(text)))
    line = write_line(rng, hand, text, pen.width)
    low, size = _box_of(line.shapes[place])
    if STRIKES[strike]:
        line = _add(line, (low + np.array(STRIKES[strike]) * size).astype(np.float32))
    return _draw_on_paper(rng, line, pen)


def draw_overwritten(seed: int) -> tuple[Grey, str]:
    """Draw a number of three to six digits, one of them over another by the same pen; return it as it should be read.

    The picture is (h, w) uint8; the digits that were meant are the upper ones.
    """
    rng = np.random.default_rng([6, seed])
    text, hand, pen = _draw_number(rng, seed)
    place = int(rng.integers(len(text)))
    below = (int(text[place]) + int(rng.integers(1, 10))) % 10
    line = write_line(rng, hand, text, pen.width)
    shape = lean(hand.write(rng, below), hand.slant)
    corner, extent = _box_of(shape)
    low, size = _box_of(line.shapes[place])
    factor = size[1] / extent[1] * np.exp(rng.normal(0, OFF_SIZE))
    middle = low + size / 2 + rng.normal(0, OFF_PLACE, 2)
    under: Shape = ((shape - corner - extent / 2) * factor + middle).astype(np.float32)
    return _draw_on_paper(rng, _add(line, under), pen), text


def _draw_number(rng: np.random.Generator, seed: int) -> tuple[str, Hand, Pen]:
    text = "".join(map(str, rng.integers(0, 10, int(rng.integers(3, 7)))))
    hand, pen = draw_writer(np.random.default_rng(700 + seed))
    return text, replace(hand, link=0.0), pen


def _box_of(shape: Shape) -> tuple[Shape, Shape]:
    points = shape.reshape(-1, 2)
    return points.min(axis=0), np.maximum(np.ptp(points, axis=0), 0.2)


def _add(line: WrittenLine, strokes: Shape) -> WrittenLine:
    return replace(line, extra=np.concatenate([line.extra, strokes]) if len(line.extra) else strokes)


def _draw_on_paper(rng: np.random.Generator, line: WrittenLine, pen: Pen) -> Grey:
    everything = np.concatenate([*line.shapes, line.extra]).reshape(-1, 2)
    corner, extent = everything.min(axis=0), np.ptp(everything, axis=0)
    width, height = (np.add(extent, (1.2, 0.7)) * HEIGHT_PX).astype(int)
    page = np.full((height, width), 246, np.uint8)
    origin = ((np.array([0.6, 0.35]) - corner) * HEIGHT_PX).astype(np.float32)
    write_on(rng, page, line, pen, (origin, HEIGHT_PX))
    return page


def main() -> None:
    """Print how many numbers with a digit struck out, each way, and with one written over another are accepted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fields", type=int, default=60)
    parser.add_argument("--overwritten", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    recognizers = build_runtime().recognizers()
    for strike in STRIKES:
        seeds = range(asked.seed, asked.seed + asked.fields)
        found = [read(draw(seed, strike), 0, recognizers).status for seed in seeds]
        print(f"{strike:<12} accepted {found.count(FieldStatus.ACCEPTED)} of {asked.fields}")
    right = wrong = 0
    for seed in range(asked.seed, asked.seed + asked.overwritten):
        grey, text = draw_overwritten(seed)
        reading = read(grey, 0, recognizers)
        if reading.status is FieldStatus.ACCEPTED:
            right, wrong = right + (reading.text == text), wrong + (reading.text != text)
    print(f"overwritten  accepted {right + wrong} of {asked.overwritten}, {wrong} of them not as the upper digit")


if __name__ == "__main__":
    main()
