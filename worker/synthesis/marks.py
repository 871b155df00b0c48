"""What stands among digits and is none: separators, currency signs, strike-outs, letters, scribbles, blots.

Shapes are in units of digit height like those of ``worker.synthesis.glyphs``: baseline at 1, top at 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from worker.synthesis.allographs import LETTERS
from worker.synthesis.glyphs import Shape, pick, segments_of, shape_from_strokes, warp

CURRENCY = {
    "rupee": "4,4 56,2! | 4,30 54,29 | 10,3 30,4 44,18 30,44 6,46! 44,100",
    "dollar": "48,18 28,8 8,22 24,46 46,62 38,88 18,92 2,82 | 26,-8 26,108",
    "dollar_two_bars": "48,18 28,8 8,22 24,46 46,62 38,88 18,92 2,82 | 20,-6 20,106 | 32,-6 32,106",
    "pound": "50,16 36,0 22,12 22,50 18,84 4,98! 24,92 54,98 | 6,52 44,50",
    "euro": "56,14 32,2 10,30 10,70 32,98 56,86 | -4,40 44,38 | -6,60 40,58",
}
_OTHERS = {
    "percent": "10,4 2,20 14,30 24,16 10,4 | 56,0 4,100 | 46,68 36,82 48,98 60,84 46,68",
    "plus": "30,20 30,80 | 2,50 58,50",
    "star": "30,20 30,80 | 6,36 54,66 | 54,34 6,64",
    "check": "0,60 18,96! 60,0",
    "colon": "8,40 9,46 | 8,90 9,96",
    "hash": "16,4 8,98 | 44,4 36,98 | 0,36 56,32 | -2,68 54,64",
    "ampersand": "56,98 10,20 24,0 36,16 4,76 22,100 54,56",
}


def draw_point(rng: np.random.Generator) -> Shape:
    """Draw a point: a dab, sometimes a short dash."""
    x, y = 0.03, rng.normal(0.95, 0.05) if rng.random() < 0.85 else rng.uniform(0.4, 0.8)
    length = rng.uniform(0.0, 0.05) if rng.random() < 0.7 else rng.uniform(0.05, 0.14)
    angle = rng.uniform(-0.8, 1.8)
    end = (x + length * np.cos(angle), y + length * np.sin(angle))
    return np.array([[(x, y), end]], np.float32)


def draw_comma(rng: np.random.Generator) -> Shape:
    """Draw a comma, small to huge, sometimes written as a tall slanting stroke."""
    size = rng.uniform(0.12, 0.3) if rng.random() < 0.8 else rng.uniform(0.3, 0.7)
    lean, top = rng.uniform(0.0, 0.7), rng.normal(0.9, 0.07) - 0.2 * max(0.0, size - 0.3)
    bow = rng.uniform(-0.05, 0.2) * size
    points = np.array([(lean * size, top), (lean * size * 0.8 + bow, top + size * 0.5), (0, top + size)], np.float32)
    middle = (points[:-1] + points[1:]) / 2 + np.float32(0.1 * bow)
    return segments_of(np.array([points[0], middle[0], points[1], middle[1], points[2]], np.float32))


def draw_apostrophe(rng: np.random.Generator) -> Shape:
    """Draw an apostrophe: a comma at the digits' tops."""
    comma = draw_comma(rng)
    return comma * np.float32(0.8) - np.array([0, rng.normal(0.72, 0.06)], np.float32)


def draw_degree(rng: np.random.Generator) -> Shape:
    """Draw a degree sign: a small ring at the digits' tops, often open."""
    size, turns = rng.uniform(0.12, 0.28), rng.uniform(0.85, 1.1)
    angles = rng.uniform(0, 2 * np.pi) + 2 * np.pi * turns * np.linspace(0, 1, 9)
    ring = np.stack([np.cos(angles), np.sin(angles) * rng.uniform(0.8, 1.3)], axis=1) * size / 2
    return segments_of((ring + np.array([size / 2, rng.normal(0.08, 0.07)])).astype(np.float32))


def draw_dash(rng: np.random.Generator) -> Shape:
    """Draw a dash, short to very long, level, rising or wavy."""
    length = rng.uniform(0.15, 0.5) if rng.random() < 0.7 else rng.uniform(0.4, 1.6)
    y, rise = rng.normal(0.55, 0.12), rng.normal(-0.08, 0.15) * length
    x = np.linspace(0, 1, 7, dtype=np.float32)
    wave = rng.normal(0, 0.04) * np.sin(x * rng.uniform(3, 9))
    return segments_of(np.stack([x * length, y + rise * x + wave], axis=1).astype(np.float32))


def draw_equals(rng: np.random.Generator) -> Shape:
    """Draw two dashes, one over the other, sometimes joined into a z."""
    length, apart = rng.uniform(0.2, 0.7), rng.uniform(0.1, 0.26)
    y, rise = rng.uniform(0.3, 0.6), rng.normal(-0.05, 0.08)
    upper = np.array([(0, y), (length, y + rise)], np.float32)
    lower = np.array([(rng.normal(0, 0.06), y + apart), (length * rng.uniform(0.7, 1.2), y + apart + rise)], np.float32)
    strokes = [upper, lower]
    if rng.random() < 0.15:
        strokes.append(np.array([upper[1], lower[0]]))
    return np.concatenate([segments_of(s) for s in strokes])


def draw_slash(rng: np.random.Generator) -> Shape:
    """Draw a slash: upright to leaning, often longer than the digits."""
    top, bottom = rng.uniform(-0.4, 0.15), rng.uniform(0.9, 1.4)
    lean, bow = rng.uniform(0.0, 0.6), rng.normal(0, 0.04)
    t = np.linspace(0, 1, 6, dtype=np.float32)
    x = lean * (1 - t) + bow * np.sin(np.pi * t)
    return segments_of(np.stack([x, top + (bottom - top) * t], axis=1).astype(np.float32))


def draw_closing(rng: np.random.Generator) -> tuple[Shape, Shape]:
    """Draw the ``/-`` that closes an amount in India: a tall slash, and a dash that begins high, on it or near it."""
    top, bottom = rng.uniform(-0.6, 0.1), rng.uniform(0.85, 1.4)
    lean = rng.uniform(0.02, 0.5)
    slash = np.array([(lean, top), (lean * rng.uniform(0.3, 0.6), (top + bottom) / 2), (0, bottom)], np.float32)
    y, length = rng.uniform(top + 0.15, 0.75), rng.uniform(0.15, 0.6) if rng.random() < 0.5 else rng.uniform(0.5, 1.6)
    at = lean * (bottom - y) / (bottom - top)
    start, rise = at + rng.uniform(-0.05, 0.35), rng.normal(0, 0.12) * length
    middle = (start + length / 2, y + rise / 2 + rng.normal(0, 0.04))
    dash = np.array([(start, y), middle, (start + length, y + rise)], np.float32)
    return segments_of(slash), segments_of(dash)


def draw_currency(rng: np.random.Generator) -> Shape:
    """Draw a currency sign by hand."""
    names = list(CURRENCY)
    return warp(shape_from_strokes(CURRENCY[names[int(rng.integers(len(names)))]], rng, 0.02), rng, 0.02)


def draw_letter(rng: np.random.Generator) -> Shape:
    """Draw a letter or another sign that is no digit."""
    texts = [*LETTERS.values(), *_OTHERS.values()]
    return warp(shape_from_strokes(texts[int(rng.integers(len(texts)))], rng, 0.03), rng, 0.03)


def draw_scribble(rng: np.random.Generator, width: float = 0.6) -> Shape:
    """Draw a scribble about ``width`` wide: loops, zigzag or a tangle."""
    kind, n = rng.random(), int(rng.integers(12, 40))
    t = np.linspace(0, 1, n, dtype=np.float32)
    turns = rng.uniform(2, 7)
    if kind < 0.4:
        x, y = (
            t * width + 0.1 * np.cos(6.28 * turns * t),
            0.5 + rng.uniform(0.2, 0.5) * np.sin(6.28 * turns * t),
        )
    elif kind < 0.75:
        x = t * width
        y = 0.5 + rng.uniform(0.2, 0.5) * (2 * np.abs((turns * 2 * t) % 2 - 1) - 1)
    else:
        x, y = rng.random(n) * width, rng.uniform(0, 1, n)
    return warp(segments_of(np.stack([x, y], axis=1).astype(np.float32)), rng, 0.05)


def strike_out(rng: np.random.Generator, shape: Shape) -> Shape:
    """Strike a shape out: two or more lines, a cross or a scribble over it; one line might be a slashed 0."""
    low, high = shape.reshape(-1, 2).min(axis=0), shape.reshape(-1, 2).max(axis=0)
    w, h = np.maximum(high - low, 0.15)
    if rng.random() < 0.3:
        over = draw_scribble(rng, float(w)) * np.array([1, h], np.float32) + low
        return np.concatenate([shape, over.astype(np.float32)])
    lines = []
    for _ in range(int(rng.integers(2, 5))):
        y0, y1 = rng.uniform(0.1, 0.9, 2)
        x0, x1 = rng.uniform(-0.25, 0.1), rng.uniform(0.9, 1.25)
        lines.append([(low[0] + x0 * w, low[1] + y0 * h), (low[0] + x1 * w, low[1] + y1 * h)])
    if rng.random() < 0.3:
        lines = [[tuple(low), tuple(high)], [(high[0], low[1]), (low[0], high[1])]]
    return np.concatenate([shape, np.array(lines, np.float32)])


def strike_through(rng: np.random.Generator, shapes: Sequence[Shape], digits: str) -> Shape:
    """Return the strokes that strike out a run of digits as a pen does it: lines along it, a slash, a cross, a zigzag.

    They reach beyond the run where a single one might belong to a digit: the bar of a 7, the slash of a 0.
    """
    points = np.concatenate(shapes).reshape(-1, 2)
    low, size = points.min(axis=0), np.maximum(np.ptp(points, axis=0), 0.2)
    alone = len(digits) == 1
    ways = (0.4, 0.15, 0.15, 0.12, 0.1, 0.08)
    if alone:
        ways = (0.2 if digits not in "17" else 0.0, 0.2 if digits not in "07" else 0.0, 0.15, 0.2, 0.15, 0.1)
    reach = rng.uniform(0.08, 0.35, 2) / max(1.0, len(digits) / 2)
    over, under = rng.uniform(-0.15, 0.15, 2)
    kind = pick(rng, [way / sum(ways) for way in ways])
    if kind == 0:
        lines = [_level(rng, rng.uniform(0.35, 0.65), reach)]
    elif kind == 1:
        lines = [[(-reach[0], 1 + over), (1 + reach[1], under)]]
    elif kind == 2:
        lines = [[(-reach[0], over), (1 + reach[1], 1 + under)]]
    elif kind == 3:
        lines = [[(over, over), (1 + under, 1)], [(1 - under, under), (-over, 1)]]
    elif kind == 4:
        at = rng.uniform(0.25, 0.45)
        lines = [_level(rng, at, reach), _level(rng, at + rng.uniform(0.12, 0.3), reach)]
    else:
        turns = int(rng.integers(3, 4 + 2 * len(digits)))
        lines = [[(t / turns, 0.1 + 0.8 * (t % 2) + rng.normal(0, 0.06)) for t in range(turns + 1)]]
    strokes = [segments_of(np.array(line, np.float32) * size.astype(np.float32) + low) for line in lines]
    return warp(np.concatenate(strokes), rng, float(rng.uniform(0.0, 0.02)))


def _level(rng: np.random.Generator, y: float, reach: NDArray[np.float64]) -> list[tuple[float, float]]:
    return [(-reach[0], y + rng.normal(0, 0.08)), (1 + reach[1], y + rng.normal(0, 0.08))]


def _drawn(strokes: str, size: float = 1.0) -> Callable[[np.random.Generator], Shape]:
    """Return a drawer of one sign, ``size`` digits high and standing on the baseline."""

    def draw(rng: np.random.Generator) -> Shape:
        shape = shape_from_strokes(strokes) * np.float32(size) + np.array([0, 1 - size], np.float32)
        return warp(shape.astype(np.float32), rng, 0.02)

    return draw


MARKS: dict[str, Callable[[np.random.Generator], Shape]] = {
    ".": draw_point,
    ",": draw_comma,
    "-": draw_dash,
    "=": draw_equals,
    "/": draw_slash,
    "$": draw_currency,
    "#": draw_letter,
    ":": _drawn(_OTHERS["colon"]),
    "%": _drawn(_OTHERS["percent"]),
    "m": _drawn("0,34 4,100 | 4,56 16,36 28,40 32,100 | 32,56 44,36 56,40 60,100", 0.8),
    "k": _drawn("6,0 6,100 | 44,40 8,72! 46,100"),
    "g": _drawn("44,44 20,38 6,60 14,84 40,76 44,44! 42,120 20,132 4,120"),
    "l": _drawn("16,0 14,80 24,98 34,88"),
    "h": _drawn("6,0 6,100 | 6,56 22,40 36,48 38,100"),
    "'": draw_apostrophe,
    "°": draw_degree,
}
"""Every sign that is drawn, by its name in a text; the line reader has names for those of its alphabet only."""
