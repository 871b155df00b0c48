"""Handwritten number fields with known truth: a hand, a pen, a paper, its print and its scanner."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.synthesis.glyphs import (
    GlyphSource,
    Hand,
    Shape,
    bridge,
    draw_chain,
    draw_coil,
    draw_hand,
    pick,
    shape_from_strokes,
)
from worker.synthesis.marks import CURRENCY, MARKS, draw_closing, draw_scribble, strike_out, strike_through
from worker.synthesis.numbers import draw_number
from worker.synthesis.paper import Paper, add_ink, degrade, draw_paper
from worker.synthesis.pen import Pen, draw_ink, draw_pen
from worker.synthesis.printing import WritingPlace, print_around
from worker.values import Grey

MAX_WIDTH_PX = 1400
STEEPEST_LINK = 0.25
"""In digit heights; a steeper stroke between two digits would be a 1."""

ROW_SHARE = 0.06
"""Of the fields: those into which digits of the rows above and below reach, as in a table."""

DEEPEST_OVERLAP = 0.4
"""Of the narrower one's width: deeper in its neighbour nobody could see a 1."""


class FieldSample(NamedTuple):
    """A drawn field: ``grey`` (H, W) uint8, 0 = ink; ``boxes`` (len(text), 4) float32 px, x, y, w, h."""

    grey: Grey
    text: str
    boxes: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class WrittenLine:
    """A written line in unit heights: a shape a character, strokes that belong to none, and printed ones."""

    shapes: tuple[Shape, ...]
    extra: Shape
    printed: Shape


NOTHING: Shape = np.zeros((0, 2, 2), np.float32)


def draw_field(
    rng: np.random.Generator,
    text: str | None = None,
    *,
    glyphs: GlyphSource | None = None,
    clean: bool = False,
    in_cells: bool | None = None,
    real_share: float = 0.4,
    struck_share: float = 0.0,
) -> FieldSample:
    """Draw one field with its truth.

    Parameters
    ----------
    rng : numpy.random.Generator
        The source of all chance: the same state draws the same field.
    text : str, optional
        What is written, over the alphabet of ``worker.synthesis.numbers``; drawn where None.
    glyphs : GlyphSource, optional
        Real writers' digits to mix in with the table of allographs.
    clean : bool
        Leave out print, texture and degradation: ink on plain paper.
    in_cells : bool, optional
        Whether each character stands in a printed cell of its own; drawn where None.
    real_share : float
        The share of fields that take their digits from ``glyphs``.
    struck_share : float
        The share of fields of which a run of digits, or the whole number, is struck out: ``#`` each in the truth.
    """
    text = draw_number(rng) if text is None else text
    digits = "0123456789" if "#" in text else text
    hand, pen = draw_hand(rng, glyphs, real_share=real_share, digits=digits), draw_pen(rng)
    if in_cells is None:
        in_cells = text.isdigit() and len(text) > 1 and rng.random() < (0.5 if len(text) == 8 else 0.25)
    pitch = float(rng.uniform(0.95, 1.9)) if in_cells else 0.0
    line = write_cells(rng, hand, text, pitch) if in_cells else write_line(rng, hand, text, pen.width)
    if struck_share and rng.random() < struck_share:
        text, line = _strike_run(rng, text, line)
    return _photograph(rng, text, line, pen, pitch, clean)


def _strike_run(rng: np.random.Generator, text: str, line: WrittenLine) -> tuple[str, WrittenLine]:
    """Strike out one digit, some neighbours, or a whole run of digits, and name each ``#``."""
    run = max(re.finditer(r"\d+", text), key=lambda found: len(found.group()), default=None)
    if run is None:
        return text, line
    count = (1, len(run.group()), int(rng.integers(1, len(run.group()) + 1)))[pick(rng, (0.5, 0.25, 0.25))]
    start = run.start() + int(rng.integers(len(run.group()) - count + 1))
    struck = slice(start, start + count)
    strokes = strike_through(rng, line.shapes[struck], text[struck])
    extra = np.concatenate([line.extra, strokes]) if len(line.extra) else strokes
    return text[:start] + "#" * count + text[start + count :], replace(line, extra=extra)


def draw_line_on_paper(
    rng: np.random.Generator,
    text: str,
    line: WrittenLine,
    pen: Pen | None = None,
    *,
    pitch: float = 0.0,
    row_share: float = ROW_SHARE,
) -> FieldSample:
    """Draw a line that is already written, as a field: with a pen, on paper with print, scanned.

    ``pitch`` is that of its cells, in unit heights, 0 without; ``row_share`` how often rows above and below reach in.
    """
    return _photograph(rng, text, line, pen or draw_pen(rng), pitch, clean=False, row_share=row_share)


def draw_blank_field(rng: np.random.Generator, *, cells: int = 0) -> Grey:
    """Draw a field in which nobody wrote: (H, W) uint8 paper with its print, sometimes ink that reaches in."""
    height_px = float(rng.uniform(18, 60))
    pitch = float(rng.uniform(0.95, 1.9)) if cells else 0.0
    width = pitch * cells or float(rng.uniform(2, 8))
    left, top = rng.uniform(0.1, 0.6, 2) * height_px
    W, H = int(width * height_px + 2 * left), int(height_px + 2 * top)
    paper = draw_paper(rng, (H, W))
    print_around(rng, paper, WritingPlace(left, top, height_px, width * height_px, pitch * height_px, cells))
    if rng.random() < 0.06:
        ink = draw_ink(rng, _intruders(rng, (H, W), height_px), (H, W), draw_pen(rng), height_px)
        paper = add_ink(paper, ink, 0.8).clip(0, 255).astype(np.uint8)
    return degrade(rng, paper)


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


def _photograph(
    rng: np.random.Generator,
    text: str,
    line: WrittenLine,
    pen: Pen,
    pitch: float,
    clean: bool,
    row_share: float = ROW_SHARE,
) -> FieldSample:
    """Put a written line on paper at a random size and give back pixels and boxes."""
    low, high = _extent_of(line)
    margins = rng.uniform(0.02, 0.35, 4) if rng.random() < 0.6 else rng.uniform(0.1, 1.2, 4)
    if rng.random() < 0.05:  # a tall ledger cell
        margins[[1, 3]] = rng.uniform(0.5, 4, 2)
    if pitch:
        low[0], high[0] = min(low[0], 0.0), max(high[0], pitch * len(text))
        margins[3] += rng.uniform(0, 0.8)  # the print under the cells
    extent = high - low + [margins[0] + margins[2], margins[1] + margins[3]]
    height_px = float(rng.uniform(*((9, 18), (18, 40), (30, 60))[pick(rng, (0.08, 0.54, 0.38))]))
    height_px = min(height_px, MAX_WIDTH_PX / float(extent[0]))
    W, H = (max(8, int(v)) for v in np.ceil(extent * height_px))
    origin = ((margins[:2] - low) * height_px).astype(np.float32)

    boxed = "$" in text or "/-" in text  # amounts of cheques stand in boxes
    patterned = 0.85 if boxed or "." in text or text.endswith(("=", "-")) else 0.65  # checks have a pattern
    paper = np.full((H, W), rng.uniform(215, 255), np.uint8) if clean else draw_paper(rng, (H, W), textured=patterned)
    if not clean:
        cells = len(text) if pitch else 0
        width = height_px * float(high[0])
        left, top = float(origin[0]), float(origin[1])
        place = WritingPlace(left, top, height_px, width, height_px * pitch, cells)
        print_around(rng, paper, place, frame_share=0.55 if boxed else 0.22)
    written = [s for s in (*line.shapes, line.extra) if s is not line.printed and len(s)]
    strokes = np.concatenate(written) * np.float32(height_px) + origin if written else NOTHING
    if not clean and rng.random() < 0.12:
        strokes = np.concatenate([strokes, _intruders(rng, (H, W), height_px)])
    if not clean and rng.random() < row_share:
        strokes = np.concatenate([strokes, _neighbouring_rows(rng, _bounds(line, origin, height_px), (H, W))])
    ink = draw_ink(rng, strokes, (H, W), pen, height_px)
    unrest = float(cv2.meanStdDev(paper)[1][0, 0]) / 80  # faint ink on busy paper cannot be read by anyone
    darkness = min(0.95, unrest + (rng.uniform(0.55, 0.95) if rng.random() < 0.75 else rng.uniform(0.25, 0.6)))
    picture = add_ink(paper, ink, darkness)
    if len(line.printed):
        bold = replace(pen, width=float(rng.uniform(0.07, 0.14)), grain=0.0, gaps=0.0, blobs=0.0)
        print_ = draw_ink(rng, line.printed * np.float32(height_px) + origin, (H, W), bold, height_px)
        picture = add_ink(picture, print_, rng.uniform(0.6, 0.95))
    boxes = _boxes(line.shapes, origin, height_px, pen.width, (H, W))
    if clean:
        return FieldSample(picture.clip(0, 255).astype(np.uint8), text, boxes)
    if rng.random() < 0.25:
        picture, boxes = _tilt(picture, boxes, float(rng.normal(0, 1.5)))
    return FieldSample(degrade(rng, picture), text, boxes)


def _bounds(line: WrittenLine, origin: NDArray[np.float32], height_px: float) -> NDArray[np.float32]:
    """Return left, top, right, bottom of a line's characters in pixels."""
    points = np.concatenate(line.shapes).reshape(-1, 2) * np.float32(height_px) + origin
    return np.concatenate([points.min(axis=0), points.max(axis=0)])


def _extent_of(line: WrittenLine) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the corners of what is shown of a line: far tails may be cut off, no digit of a line that climbs."""
    everything = np.concatenate([*line.shapes, line.extra]).reshape(-1, 2)
    low, high = everything.min(axis=0), everything.max(axis=0)
    tops, feet = zip(*((s[..., 1].min(), s[..., 1].max()) for s in line.shapes), strict=True)
    low[1] = max(low[1], min(-0.35, min(feet) - 0.9))
    high[1] = min(high[1], max(1.4, max(tops) + 0.9))
    return low, high


def _tilt(picture: Paper, boxes: NDArray[np.float32], degrees: float) -> tuple[Paper, NDArray[np.float32]]:
    """Turn a field with its print, as on a page that was laid down askew; the boxes move along, upright."""
    H, W = picture.shape
    matrix = cv2.getRotationMatrix2D((W / 2, H / 2), degrees, 1.0)
    turned = cv2.warpAffine(picture, matrix, (W, H), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    half = boxes[:, 2:] / 2
    middles = (boxes[:, :2] + half) @ matrix[:, :2].T + matrix[:, 2]
    return turned, np.concatenate([middles - half, boxes[:, 2:]], axis=1).astype(np.float32)


def _boxes(
    shapes: tuple[Shape, ...],
    origin: NDArray[np.float32],
    height_px: float,
    width: float,
    size: tuple[int, int],
) -> NDArray[np.float32]:
    limit = np.array([size[1], size[0]], np.float32)
    reach = max(1.0, width * height_px) / 2
    lows = np.array([shape.min(axis=(0, 1)) for shape in shapes]) * np.float32(height_px) + origin
    highs = np.array([shape.max(axis=(0, 1)) for shape in shapes]) * np.float32(height_px) + origin
    lows = np.clip(lows - reach, 0, limit - 1)
    highs = np.clip(highs + reach + 1, lows + 1, limit)
    return np.concatenate([lows, highs - lows], axis=1).astype(np.float32)


def _neighbouring_rows(rng: np.random.Generator, line_box: NDArray[np.float32], size: tuple[int, int]) -> Shape:
    """Feet of the row above or heads of the row below, as in a table whose rows stand close, in pixels.

    ``line_box`` is left, top, right, bottom of the line's own digits; a row's tall digits and tails may touch them.
    """
    left, top, right, bottom = line_box
    height = max(bottom - top, 4.0)
    text = "".join(map(str, rng.integers(0, 10, max(1, min(9, round((right - left) / height * rng.uniform(0.8, 2)))))))
    hand = draw_hand(rng, digits=text)
    row = np.concatenate(write_line(rng, replace(hand, link=0.0), text, 0.08).shapes) * np.float32(height)
    row = row + np.array([left + rng.normal(0, 0.3) * height - row[..., 0].min(), 0], np.float32)
    H = size[0]
    clear = rng.uniform(0.04, 0.2) * height
    rows = []
    if rng.random() < 0.65 and H - bottom > 2:
        rows.append(row + np.array([0, max(bottom + clear, H - rng.uniform(0.05, 0.4) * height)], np.float32))
    if (rng.random() < 0.5 or not rows) and top > 2:
        foot = min(top - clear, rng.uniform(0.05, 0.4) * height)
        rows.append(row + np.array([0, foot - height], np.float32))
    return np.concatenate(rows) if rows else NOTHING


def _intruders(rng: np.random.Generator, size: tuple[int, int], height_px: float) -> Shape:
    """Ink of neighbouring lines and fields that reaches over the border, in pixels."""
    H, W = size
    pieces = []
    for _ in range(int(rng.integers(1, 4))):
        shape = draw_scribble(rng) if rng.random() < 0.5 else MARKS["#"](rng)
        side, depth = rng.integers(4), rng.uniform(0.03, 0.22) * height_px
        at = {
            0: (rng.uniform(0, W), depth - 1.0 * height_px),
            1: (rng.uniform(0, W), H - depth),
            2: (depth - 0.55 * height_px, rng.uniform(-0.2, 0.8) * H - 0.3 * height_px),
            3: (W - depth * 0.7, rng.uniform(-0.2, 0.8) * H - 0.3 * height_px),
        }[int(side)]
        pieces.append(shape * np.float32(height_px) + np.array(at, np.float32))
    return np.concatenate(pieces).astype(np.float32)
