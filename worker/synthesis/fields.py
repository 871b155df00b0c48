"""Handwritten number fields with known truth: a hand, a pen, a paper, its print and its scanner."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.synthesis.glyphs import (
    GlyphSource,
    Shape,
    draw_hand,
    pick,
)
from worker.synthesis.lines import NOTHING, WrittenLine, write_cells, write_line
from worker.synthesis.marks import MARKS, draw_scribble, strike_through
from worker.synthesis.numbers import draw_number
from worker.synthesis.paper import Paper, add_ink, binarize, degrade, draw_paper
from worker.synthesis.pen import Pen, draw_ink, draw_pen
from worker.synthesis.printing import WritingPlace, print_around, print_worn_rule
from worker.values import Grey

MAX_WIDTH_PX = 1400
_OFF_PAPER = np.float32(1000)
"""In unit heights: where signs lie that leave no ink."""

ROW_SHARE = 0.06
"""Of the fields: those into which digits of the rows above and below reach, as in a table."""


class FieldSample(NamedTuple):
    """A drawn field: ``grey`` (H, W) uint8, 0 = ink; ``boxes`` (len(text), 4) float32 px, x, y, w, h."""

    grey: Grey
    text: str
    boxes: NDArray[np.float32]


def draw_field(
    rng: np.random.Generator,
    text: str | None = None,
    *,
    glyphs: GlyphSource | None = None,
    clean: bool = False,
    in_cells: bool | None = None,
    real_share: float = 0.4,
    struck_share: float = 0.0,
    worn_share: float = 0.0,
    inked: bool = True,
    hidden: Collection[int] = (),
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
    worn_share : float
        The share of fields with remnants of a dotted rule at the digits' feet, half of them in black and white.
    inked : bool
        Whether the pen leaves ink; without, the field that the same state of ``rng`` draws, as if nobody had written.
    hidden : collection of int
        Places in ``text`` of signs that leave no ink; all else is drawn as without, so that what they add can be seen.
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
    return _photograph(rng, text, line, pen, pitch, clean, worn_share=worn_share, inked=inked, hidden=hidden)


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


def _photograph(
    rng: np.random.Generator,
    text: str,
    line: WrittenLine,
    pen: Pen,
    pitch: float,
    clean: bool,
    row_share: float = ROW_SHARE,
    worn_share: float = 0.0,
    inked: bool = True,
    hidden: Collection[int] = (),
) -> FieldSample:
    """Put a written line on paper at a random size and give back pixels and boxes."""
    is_worn = bool(worn_share) and rng.random() < worn_share
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
        if is_worn:
            print_worn_rule(rng, paper, place)
    strokes = _strokes_of(line, hidden, origin, height_px)
    if not clean and rng.random() < 0.12:
        strokes = np.concatenate([strokes, _intruders(rng, (H, W), height_px)])
    if not clean and rng.random() < row_share:
        strokes = np.concatenate([strokes, _neighbouring_rows(rng, _bounds(line, origin, height_px), (H, W))])
    ink = draw_ink(rng, strokes, (H, W), pen, height_px)
    unrest = float(cv2.meanStdDev(paper)[1][0, 0]) / 80  # faint ink on busy paper cannot be read by anyone
    darkness = min(0.95, unrest + (rng.uniform(0.55, 0.95) if rng.random() < 0.75 else rng.uniform(0.25, 0.6)))
    picture = add_ink(paper, ink, darkness if inked else 0.0)
    if len(line.printed):
        picture = _print_upon(rng, picture, line.printed * np.float32(height_px) + origin, pen, height_px)
    boxes = _boxes(line.shapes, origin, height_px, pen.width, (H, W))
    if clean:
        return FieldSample(picture.clip(0, 255).astype(np.uint8), text, boxes)
    if rng.random() < 0.25:
        picture, boxes = _tilt(picture, boxes, float(rng.normal(0, 1.5)))
    seen = degrade(rng, picture)
    if is_worn and rng.random() < 0.5:
        seen = binarize(rng, seen)
    return FieldSample(seen, text, boxes)


def _strokes_of(
    line: WrittenLine, hidden: Collection[int], origin: NDArray[np.float32], height_px: float
) -> NDArray[np.float32]:
    """Return what a pen writes of a line, in pixels; the signs at ``hidden`` places lie off the paper."""
    shapes = [shape + _OFF_PAPER if i in hidden else shape for i, shape in enumerate(line.shapes)]
    written = [shape for shape in (*shapes, line.extra) if shape is not line.printed and len(shape)]
    return np.concatenate(written) * np.float32(height_px) + origin if written else NOTHING


def _print_upon(
    rng: np.random.Generator, picture: NDArray[np.float32], strokes: NDArray[np.float32], pen: Pen, height_px: float
) -> NDArray[np.float32]:
    """Return a picture with strokes, in pixels, as a press prints them."""
    bold = replace(pen, width=float(rng.uniform(0.07, 0.14)), grain=0.0, gaps=0.0, blobs=0.0)
    height, width = picture.shape
    printed = draw_ink(rng, strokes, (height, width), bold, height_px)
    return add_ink(picture, printed, rng.uniform(0.6, 0.95))


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
