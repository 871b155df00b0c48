"""Text written by hand, left to right or one sign a cell: shapes in unit heights, with joins, slant and drift."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from worker.synthesis.glyphs import (
    Hand,
    Shape,
    bridge,
    draw_chain,
    draw_coil,
    shape_from_strokes,
)
from worker.synthesis.marks import CURRENCY, MARKS, draw_closing, draw_scribble, strike_out

STEEPEST_LINK = 0.25
"""In digit heights; a steeper stroke between two digits would be a 1."""
DEEPEST_OVERLAP = 0.4
"""Of the narrower one's width: deeper in its neighbour nobody could see a 1."""


@dataclass(frozen=True, slots=True, eq=False)
class WrittenLine:
    """A written line in unit heights: a shape a character, strokes that belong to none, and printed ones."""

    shapes: tuple[Shape, ...]
    extra: Shape
    printed: Shape


NOTHING: Shape = np.zeros((0, 2, 2), np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class _Script:
    """How a text is put down: ``coils`` by where they begin, where raised cents begin, the closing ``/-``."""

    text: str
    raised: int
    coils: dict[int, tuple[Shape, ...]]
    closing: tuple[Shape, Shape] | None

    def is_drawn(self, i: int) -> bool:
        """Tell whether a sign was drawn with one before it."""
        return any(start < i < start + len(run) for start, run in self.coils.items())

    def closes(self, i: int) -> bool:
        """Tell whether a sign is of the closing ``/-``."""
        return self.closing is not None and i >= len(self.text) - 2


def _draw_script(rng: np.random.Generator, text: str) -> _Script:
    raised = _raised_from(rng, text)
    coils = dict(_coiled_runs(rng, text)) if not raised < len(text) else {}
    closing = draw_closing(rng) if text.endswith("/-") and rng.random() < 0.7 else None
    return _Script(text, raised, coils, closing)


def write_line(rng: np.random.Generator, hand: Hand, text: str, pen_width: float) -> WrittenLine:
    """Write a text freely, left to right, as a hand does: spacing, links, drift, slant.

    ``pen_width`` in unit heights keeps a broad pen from closing the gaps.
    """
    shapes: list[Shape] = []
    extra: list[Shape] = []
    x, width, printed = 0.0, 0.0, NOTHING
    chain = hand.link > 0 and rng.random() < 0.7
    chained_zeros = rng.random() < 0.25
    script = _draw_script(rng, text)
    for i, sign in enumerate(text):
        if script.is_drawn(i):
            continue
        shape, is_printed = _shape_at(rng, hand, script, i)
        printed = shape if is_printed else printed
        before = text[i - 1] if i else ""
        share = 0.8 if chained_zeros and before + sign == "00" else hand.link * (chain and _can_link(before, sign))
        linked = share > 0 and rng.random() < share
        left, right = float(shape[..., 0].min()), float(shape[..., 0].max())
        gap = _gap(rng, hand, sign, before)
        if linked:
            gap = min(gap, float(rng.uniform(-0.1, 0.12)) - 0.8 * pen_width)
        if before.isdigit() and sign.isdigit():
            gap = max(gap, -DEEPEST_OVERLAP * min(right - left, width))
        gap, width = gap + 0.8 * pen_width, right - left
        if i == 1 and before in ".,":
            gap = min(gap, float(rng.uniform(0.1, 0.6)))  # a point far before the number would be a speck
        if i == 1 and len(printed):
            gap = float(rng.uniform(0.0, 1.5))
        if script.closing and i == len(text) - 1:  # the dash keeps its place by the slash
            gap, left = 0.0, float(script.closing[0][..., 0].max())
        x += 0.0 if i == 0 else gap
        place = np.array([x - left, 0], np.float32)
        if linked:
            extra.append(_link(rng, shapes[-1], shape + place, before + sign == "00"))
        shapes += [part + place for part in script.coils.get(i, (shape,))]
        x += max(right - left, 0.0)
    whole = [_lean(hand, s, x) for s in shapes]
    if len(printed):
        whole[0] = shapes[0]
    if rng.random() < 0.06:
        extra.append(_underline(rng, x))
    joined = _lean(hand, np.concatenate(extra), x) if extra else NOTHING
    return WrittenLine(tuple(whole), joined, whole[0] if len(printed) else NOTHING)


def _shape_at(rng: np.random.Generator, hand: Hand, script: _Script, i: int) -> tuple[Shape, bool]:
    """Return the shape of a sign, or of the coil that begins there, and whether it is printed."""
    text, sign = script.text, script.text[i]
    shape = np.concatenate(script.coils[i]) if i in script.coils else _write_sign(rng, hand, sign)
    if script.closing and script.closes(i):
        shape = script.closing[i - len(text)]
    if i == 0 and sign == "$" and rng.random() < 0.55:
        return _printed_currency(rng), True
    if sign == "." and i == len(text) - 1 and rng.random() < 0.3:  # a point halfway up ends the number
        shape = shape - np.array([0, rng.uniform(0.2, 0.5)], np.float32)
    if i >= script.raised:
        shape = shape * np.float32(0.58) + np.array([0, rng.normal(-0.02, 0.04)], np.float32)
    return shape, False


def write_cells(rng: np.random.Generator, hand: Hand, text: str, pitch: float) -> WrittenLine:
    """Write a text one character a cell, ``pitch`` unit heights apart, hardly ever in the cell's middle."""
    shapes = []
    for i, sign in enumerate(text):
        shape = _lean(hand, _write_sign(rng, hand, sign), 1.0)
        width = float(shape[..., 0].max() - shape[..., 0].min())
        shape[..., 0] *= min(1.0, rng.uniform(0.75, 1.05) * pitch / max(width, 0.1))  # people squeeze
        middle = (shape[..., 0].min() + shape[..., 0].max()) / 2
        offset = (i + 0.5) * pitch - middle + rng.normal(0, 0.07 * pitch)
        shapes.append(shape + np.array([offset, rng.normal(0, 0.05)], np.float32))
    return WrittenLine(tuple(shapes), NOTHING, NOTHING)


def _write_sign(rng: np.random.Generator, hand: Hand, sign: str) -> Shape:
    if sign.isdigit():
        return hand.write(rng, int(sign))
    if sign == "#" and rng.random() < 0.5:
        digit = hand.write(rng, int(rng.integers(10)))
        return strike_out(rng, digit) if rng.random() < 0.7 else draw_scribble(rng)
    return MARKS[sign](rng)


def _printed_currency(rng: np.random.Generator) -> Shape:
    name = str(rng.choice(["rupee", "rupee", "dollar", "pound", "euro"]))
    shape = shape_from_strokes(CURRENCY[name]) * np.float32(rng.uniform(0.7, 1.4))
    return shape + np.array([0, rng.uniform(-0.3, 0.3)], np.float32)


def _coiled_runs(rng: np.random.Generator, text: str) -> Iterator[tuple[int, tuple[Shape, ...]]]:
    """Choose runs of zeros that one pen writes, as a coil or a chain; yield where each begins and its zeros."""
    if rng.random() < 0.55:
        return
    draw_run = draw_coil if rng.random() < 0.4 else draw_chain
    for run in re.finditer("00+", text):
        yield run.start(), draw_run(rng, len(run.group()))


def _raised_from(rng: np.random.Generator, text: str) -> int:
    """Return where raised small cents begin; past the text's end for none."""
    if text.endswith("/100"):
        return len(text) - 6
    if len(text) > 4 and text[-3] in ".," and text[-2:].isdigit() and rng.random() < 0.2:
        return len(text) - 2
    return len(text)


def _gap(rng: np.random.Generator, hand: Hand, sign: str, before: str) -> float:
    gap = hand.gap + hand.gap_jitter * rng.standard_normal()
    if sign in ".,'°":
        return max(0.0, float(rng.normal(0.06, 0.08)))  # a point within a digit's ink could not be seen
    if before and before in ".,'":
        return float(gap + rng.uniform(-0.05, 0.35))
    if before + sign == "0/" and rng.random() < 0.4:  # the last zero runs into the slash
        return float(rng.uniform(-0.2, 0.1))
    if sign in "-/=$#" or before in "-/=$#":
        return float(rng.uniform(-0.02, 0.5))
    return float(gap)


def _can_link(before: str, sign: str) -> bool:
    return before.isdigit() and sign.isdigit() and (before + sign == "00" or sign not in "14")


def _link(rng: np.random.Generator, before: Shape, after: Shape, at_top: bool) -> Shape:
    """Join two digits: zeros from top to top, others from the right end to the left end."""
    a, b = before.reshape(-1, 2), after.reshape(-1, 2)
    if at_top:
        start, end = a[np.argmin(a[:, 1] - 0.6 * a[:, 0])], b[np.argmin(b[:, 1] + 0.3 * b[:, 0])]
        sag = rng.uniform(-0.02, 0.16)
    else:
        start, end = a[np.argmax(a[:, 0])], b[np.argmin(b[:, 0])]
        sag = rng.uniform(-0.05, 0.08)
    if abs(end[1] - start[1]) > STEEPEST_LINK:
        return NOTHING
    return bridge(start, end, sag)


def _lean(hand: Hand, shape: Shape, width: float) -> Shape:
    """Give a shape the line's growth, slant and drift; ``width`` is the line's."""
    if len(shape) == 0:
        return shape
    x = shape[..., 0]
    above = (1 - shape[..., 1]) * (1 + hand.growth * (x / max(width, 1.0) - 0.5))
    leaning = np.empty_like(shape)
    leaning[..., 0] = x + hand.slant * above
    leaning[..., 1] = 1 - above - hand.drift * x
    return leaning


def _underline(rng: np.random.Generator, width: float) -> Shape:
    y, lines = rng.uniform(1.1, 1.35), []
    for k in range(int(rng.integers(1, 3))):
        lines.append(
            [
                (rng.uniform(-0.2, 0.2), y + 0.14 * k),
                (width * rng.uniform(0.8, 1.1), y + 0.14 * k + rng.normal(0, 0.06)),
            ]
        )
    return np.array(lines, np.float32)
