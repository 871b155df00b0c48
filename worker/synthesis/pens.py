"""Real pens: recorded strokes as shapes, so that every pen, paper and print of the generator can redraw them.

A tablet records a number as strokes of points. Traced and laid on a line they are shapes like those of
``worker.synthesis.glyphs``, with the spacing, joining and separators of a real hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.synthesis.fields import FieldSample, draw_line_on_paper
from worker.synthesis.glyphs import Shape, segments_of, warp
from worker.synthesis.lines import NOTHING, WrittenLine

Points = NDArray[Any]
"""(n, 2) float32: x right, y down."""

NEAREST, FARTHEST = 0.015, 0.07
"""In heights of the writing: points nearer than the one are dropped, a gap wider than the other is bent round."""
SAME_CHARACTER = 0.5
"""Strokes that share so much of the narrower one's width are of one character."""
NARROWEST = 0.06
"""In heights: what a stroke counts as wide at least, so that an upright shares its width with what it crosses."""
LEAST_DIGIT, LARGEST_POINT = 0.45, 0.7
"""Heights, of the digits' median: a digit has the one at least, a point or a dash the other at most."""
TALL_STROKE = 0.4
"""Of the tallest stroke's height: shorter ones are marks, bars or flags, and say nothing of the line."""


@dataclass(frozen=True, slots=True, eq=False)
class WrittenNumber:
    """A number as a real hand wrote it, in unit heights: digits from 0 (top) to 1 (baseline).

    ``shapes`` has a shape for each sign of ``text`` where the strokes could be told apart, else one for all of them.
    """

    text: str
    shapes: tuple[Shape, ...]

    @property
    def is_split(self) -> bool:
        """Whether each sign has a shape of its own."""
        return len(self.shapes) == len(self.text)


def trace_stroke(points: Points) -> Shape:
    """Return a recorded stroke, in heights of its writing, as short segments; a tap of the pen is a dot.

    Where the pen was fast the tablet left wide gaps; a Catmull-Rom curve bends round them.
    """
    steps = np.linalg.norm(points[1:] - points[:-1], axis=1)
    travelled = np.concatenate([[0], steps.cumsum()]) // NEAREST
    path = points[np.concatenate([[True], travelled[1:] > travelled[:-1]])]
    if len(path) == 1:
        path = np.stack([path[0], path[0] + np.float32(NEAREST)])
    gaps = np.linalg.norm(path[1:] - path[:-1], axis=1)
    pieces = 1 + (gaps / FARTHEST).astype(int)
    if (pieces > 1).any():
        path = _bend(path, pieces)
    return segments_of(path)


def _bend(path: Points, pieces: NDArray[np.int64]) -> Points:
    """Return a Catmull-Rom curve through the points of a path, ``pieces`` segments for each of its own."""
    tangents = np.concatenate([path[1:2] - path[:1], (path[2:] - path[:-2]) / 2, path[-1:] - path[-2:-1]])
    i = np.repeat(np.arange(len(pieces)), pieces)
    first = np.repeat(pieces.cumsum() - pieces, pieces)
    t = ((1 + np.arange(len(i)) - first) / pieces[i]).astype(np.float32)[:, None]
    curve = (
        (2 * t**3 - 3 * t**2 + 1) * path[i]
        + (t**3 - 2 * t**2 + t) * tangents[i]
        + (3 * t**2 - 2 * t**3) * path[i + 1]
        + (t**3 - t**2) * tangents[i + 1]
    )
    return np.concatenate([path[:1], curve]).astype(np.float32)


def lay_out_number(text: str, strokes: Sequence[Points]) -> WrittenNumber:
    """Lay the strokes of a number on a line; its signs are told apart where strokes do not run through several."""
    height = max(float(np.ptp(np.concatenate(strokes)[:, 1])), 1e-3)
    shapes = [trace_stroke(np.asarray(stroke, np.float32) / np.float32(height)) for stroke in strokes]
    signs = _split(text, shapes)
    tops, feet = np.array([_span(shape, 1) for shape in (signs or shapes)]).T
    is_tall = feet - tops >= TALL_STROKE * (feet - tops).max()
    digits = np.array([sign.isdigit() for sign in text]) if signs else is_tall
    top, foot = np.median(tops[digits]), np.median(feet[digits])
    left = min(float(shape[..., 0].min()) for shape in shapes)
    corner, scale = np.array([left, top], np.float32), np.float32(max(foot - top, 0.1))
    placed = [(shape - corner) / scale for shape in (signs or [np.concatenate(shapes)])]
    return WrittenNumber(text, tuple(placed))


def _split(text: str, strokes: Sequence[Shape]) -> list[Shape] | None:
    """Return a shape a sign, left to right; None where strokes and signs do not match."""
    if not any(sign.isdigit() for sign in text):
        return None
    groups: list[list[Shape]] = []
    for stroke in sorted(strokes, key=lambda s: float(s[..., 0].min())):
        left, right = _span(stroke, 0)
        for group in groups[::-1]:
            start, end = _span(np.concatenate(group), 0)
            narrower = max(min(right - left, end - start), NARROWEST)
            if min(end, right) - max(start, left) > SAME_CHARACTER * narrower - 1e-6:
                group.append(stroke)
                break
        else:
            groups.append([stroke])
    if len(groups) != len(text):
        return None
    signs = [np.concatenate(group) for group in groups]
    heights = np.array([np.subtract(*_span(sign, 1)[::-1]) for sign in signs])
    digits = np.array([sign.isdigit() for sign in text])
    low = np.array([sign in ".,-=" for sign in text])
    shares = heights / max(float(np.median(heights[digits])), NEAREST)
    fits = (shares[digits] > LEAST_DIGIT).all() and (shares[low] < LARGEST_POINT).all()
    return signs if fits else None


def _span(shape: Shape, axis: int) -> tuple[float, float]:
    return float(shape[..., axis].min()), float(shape[..., axis].max())


def rewrite_number(
    rng: np.random.Generator, number: WrittenNumber, digits: Sequence[Sequence[Shape]], share: float
) -> WrittenNumber:
    """Swap a share of a number's digits for others of the same hand, each on the line as it was written elsewhere.

    ``digits`` has the hand's shapes of each of the ten digits, in unit heights. The gaps between signs stay.
    """
    known = [digit for digit in range(10) if digits[digit]]
    if not number.is_split or not known:
        return number
    text, shapes, shift = list(number.text), [], 0.0
    for i, shape in enumerate(number.shapes):
        left, right = _span(shape, 0)
        if text[i].isdigit() and rng.random() < share:
            digit = int(rng.choice(known))
            text[i] = str(digit)
            other = digits[digit][int(rng.integers(len(digits[digit])))]
            start, end = _span(other, 0)
            shapes.append(other + np.array([left + shift - start, 0], np.float32))
            shift += (end - start) - (right - left)
        else:
            shapes.append(shape + np.array([shift, 0], np.float32))
    return WrittenNumber("".join(text), tuple(shapes))


def draw_written_number(rng: np.random.Generator, number: WrittenNumber) -> FieldSample:
    """Draw a number of a real hand as a field, a little different each time: width, slant, climb and a slow bend.

    Of one whose signs are not told apart ``boxes`` has a single row, all its ink.
    """
    width = float(np.exp(rng.normal(0.05, 0.16)))
    slant = float(rng.normal(0, 0.12))
    climb = float(rng.normal(0, 0.02))
    everything = warp(np.concatenate(number.shapes), rng, float(rng.uniform(0.0, 0.02)))
    x, y = everything[..., 0] * np.float32(width), everything[..., 1]
    bent = np.stack([x + np.float32(slant) * (1 - y), y - np.float32(climb) * x], axis=-1)
    ends = np.cumsum([len(shape) for shape in number.shapes])[:-1]
    return draw_line_on_paper(rng, number.text, WrittenLine(tuple(np.split(bent, ends)), NOTHING, NOTHING))
