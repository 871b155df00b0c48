"""Pages without a form, with the truth of every number: lists, underlines, rings, tables, squares, any turn."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.synthesis.forms import write_on
from worker.synthesis.glyphs import GlyphSource, Hand, draw_hand, pick
from worker.synthesis.lines import WrittenLine, write_cells, write_line
from worker.synthesis.pages import photograph
from worker.synthesis.paper import binarize, cut_texture
from worker.synthesis.pen import Pen
from worker.values import Box, Grey

PAPERS = ("plain", "ruled", "squared", "black squares", "table")
MARKS = ("none", "underline", "two underlines", "ring")
COLUMNS_APART = 1.5
"""Least space between the numbers of two columns, in heights of their digits."""
WIDEST_LINKED = 0.6
"""Between the digits of a hand that joins some of them, in their heights: joined pairs far apart would be numbers."""


@dataclass(frozen=True, slots=True)
class WrittenNumber:
    """A number on a page: its digits, and its upright box in pixels of the page as it lies."""

    text: str
    box_px: Box


@dataclass(frozen=True, slots=True, eq=False)
class FreePageSample:
    """A drawn page: ``grey`` is (H, W) uint8; ``kind`` says what is on it, in words."""

    grey: Grey
    numbers: tuple[WrittenNumber, ...]
    kind: str


def draw_free_page_sample(
    rng: np.random.Generator, *, size: tuple[int, int] = (1200, 1600), glyphs: GlyphSource | None = None
) -> FreePageSample:
    """Draw a page of numbers with its truth.

    ``size`` is (W, H) before it is turned; with ``glyphs`` all digits of the page are of one real writer.
    """
    W, H = size
    paper = PAPERS[pick(rng, (0.4, 0.2, 0.15, 0.1, 0.15))]
    mark = "none" if paper == "table" else MARKS[pick(rng, (0.5, 0.25, 0.1, 0.15))]
    hand = draw_hand(rng, glyphs, real_share=1.0)
    links = rng.random() < 0.4 and hand.gap < WIDEST_LINKED
    hand = replace(hand, link=float(rng.uniform(0.2, 0.8))) if links else hand
    pen = Pen(width=float(rng.uniform(0.05, 0.12)), pressure=float(rng.uniform(0, 0.25)))
    page: NDArray[Any] = (238 + 1.5 * cut_texture(rng, (H, W))).clip(0, 255).astype(np.uint8)
    places = [place for place in _rule(rng, page, paper) if mark != "ring" or place.x < 0.3 * W]
    numbers: list[WrittenNumber] = []
    row = 0.0
    for place in places:
        if (
            paper != "table"
            and numbers
            and place.y == row
            and place.x < _end_of(numbers[-1]) + COLUMNS_APART * place.height
        ):
            continue  # both would be one number to anybody
        row = place.y
        count = int(rng.integers(1, 3 if paper == "table" else 5 if place.height > 60 else 7))
        number = _write(rng, page, (hand, pen), "".join(map(str, rng.integers(0, 10, count))), place)
        numbers.append(number)
        _mark(rng, page, mark, number, max(2, round(pen.width * place.height)))
    return _take_picture(rng, page, numbers, f"{paper} {mark}")


def draw_cell_page_sample(
    rng: np.random.Generator, *, size: tuple[int, int] = (1200, 1600), glyphs: GlyphSource | None = None
) -> FreePageSample:
    """Draw a page of printed rows of cells, each with a number of one digit a cell; ``glyphs`` as for a free page."""
    W, H = size
    hand = draw_hand(rng, glyphs, real_share=1.0)
    pen = Pen(width=float(rng.uniform(0.05, 0.12)), pressure=float(rng.uniform(0, 0.25)))
    page: NDArray[Any] = (238 + 1.5 * cut_texture(rng, (H, W))).clip(0, 255).astype(np.uint8)
    cell_h = float(rng.uniform(48, 84))
    cell_w = cell_h * float(rng.uniform(0.7, 1.05))
    height, tone = cell_h * float(rng.uniform(0.55, 0.75)), int(rng.integers(30, 170))
    numbers = []
    for top in np.arange(0.06 * H, H - 3 * cell_h, cell_h * rng.uniform(1.7, 2.6))[: int(rng.integers(3, 10))]:
        count = int(rng.integers(5, min(11, int((W - 160) / cell_w))))
        left = float(rng.uniform(60, W - 80 - count * cell_w))
        box = Box(left, float(top), count * cell_w, cell_h)
        for k in range(count + 1):
            x = round(left + k * cell_w)
            cv2.line(page, (x, round(top)), (x, round(top + cell_h)), tone, 2)
        for y in (round(top), round(top + cell_h)):
            cv2.line(page, (round(left), y), (round(left + count * cell_w), y), tone, 2)
        text = "".join(map(str, rng.integers(0, 10, count)))
        line = write_cells(rng, hand, text, cell_w / height)
        write_on(rng, page, line, pen, (np.array([left, top + (cell_h - height) / 2], np.float32), height))
        numbers.append(WrittenNumber(text, box))
    return _take_picture(rng, page, numbers, "rows of cells")


def _end_of(number: WrittenNumber) -> float:
    return number.box_px.x + number.box_px.w


class _Place(NamedTuple):
    """Where a number begins, how high its digits are, and how wide it may be, in pixels."""

    x: float
    y: float
    height: float
    room: float = np.inf


def _rule(rng: np.random.Generator, page: NDArray[Any], paper: str) -> list[_Place]:
    """Print a page's rules; return where numbers are written."""
    H, W = page.shape
    if paper == "table":
        return _print_table(rng, page)
    height = float(rng.uniform(45, 90))
    pitch = height * rng.uniform(2.4, 3.2)
    if paper != "plain":
        step = rng.uniform(36, 90)
        tone = 0 if paper == "black squares" else int(rng.integers(140, 205))
        for at in np.arange(rng.uniform(0, step), max(H, W), step):
            cv2.line(page, (0, round(at)), (W, round(at)), tone, 2)
            if paper != "ruled":
                cv2.line(page, (round(at), 0), (round(at), H), tone, 2)
    rows = np.arange(0.08 * H, H - 2.2 * height, pitch)[: int(rng.integers(3, 9))]
    columns = [0.1 * W, 0.55 * W] if rng.random() < 0.4 else [0.1 * W]
    return [_Place(x + rng.uniform(0, 0.05) * W, y, height * rng.uniform(0.9, 1.1)) for y in rows for x in columns]


def _print_table(rng: np.random.Generator, page: NDArray[Any]) -> list[_Place]:
    """Print a table; numbers begin a quarter into their cells, and reach the next rule at most."""
    W = page.shape[1]
    rows, columns = int(rng.integers(4, 11)), int(rng.integers(5, 8))
    cell_h, cell_w = rng.uniform(60, 90), rng.uniform(1.3, 2.0) * 75
    left, top = rng.uniform(60, max(61, W - 60 - columns * cell_w)), rng.uniform(80, 400)
    for k in range(rows + 1):
        y = round(top + k * cell_h)
        cv2.line(page, (round(left), y), (round(left + columns * cell_w), y), 60, 2)
    for k in range(columns + 1):
        x = round(left + k * cell_w)
        cv2.line(page, (x, round(top)), (x, round(top + rows * cell_h)), 60, 2)
    height = 0.55 * cell_h
    filled = [(r, c) for r in range(rows) for c in range(columns) if rng.random() < 0.5]
    room = 0.72 * cell_w
    return [_Place(left + (c + 0.25) * cell_w, top + (r + 0.2) * cell_h, height, room) for r, c in filled]


def _write(
    rng: np.random.Generator,
    page: NDArray[Any],
    writer: tuple[Hand, Pen],
    text: str,
    place: _Place,
) -> WrittenNumber:
    """Write a number; people squeeze one that does not fit."""
    hand, pen = writer
    x, y, height, room = place
    line = write_line(rng, hand, text, pen.width)
    line = _squeeze(line, room / height)
    points = np.concatenate([*line.shapes]).reshape(-1, 2)
    low, high = points.min(axis=0), points.max(axis=0)
    origin = np.array([x - low[0] * height, y], np.float32)
    write_on(rng, page, line, pen, (origin, height))
    left, top = (float(v) for v in low * height + origin)
    right, bottom = (float(v) for v in high * height + origin)
    return WrittenNumber(text, Box(left, top, right - left, bottom - top))


def _squeeze(line: WrittenLine, room: float) -> WrittenLine:
    """Return a line made narrower so that it is at most ``room`` unit heights wide."""
    x = np.concatenate([*line.shapes])[..., 0]
    narrow = np.array([min(1.0, room / float(np.ptp(x))), 1.0], np.float32)
    return replace(line, shapes=tuple(shape * narrow for shape in line.shapes), extra=line.extra * narrow)


def _mark(rng: np.random.Generator, page: NDArray[Any], mark: str, number: WrittenNumber, pen_px: int) -> None:
    """Underline a number or draw a ring around it, as a hand does; a 7 that stands on its underline would be a 2."""
    box = number.box_px
    highest = box.y + box.h + 2 * pen_px if "7" in number.text else 0.0
    left, right = box.x - rng.uniform(0, 12), box.x + box.w + rng.uniform(0, 12)
    for k in range({"underline": 1, "two underlines": 2}.get(mark, 0)):
        y = max(box.y + box.h * (rng.uniform(0.97, 1.15) + 0.12 * k), highest)
        ends = (round(left), round(y)), (round(right), round(y + rng.normal(0, 3)))
        cv2.line(page, *ends, 50, pen_px, cv2.LINE_AA)
    if mark == "ring":
        middle = round(box.x + box.w / 2), round(box.y + box.h / 2)
        axes = round(0.75 * box.w + 14), round(0.75 * box.h + 8)
        cv2.ellipse(page, middle, axes, rng.uniform(-6, 6), 0, 360, 50, pen_px, cv2.LINE_AA)


def _take_picture(
    rng: np.random.Generator, page: NDArray[Any], numbers: list[WrittenNumber], kind: str
) -> FreePageSample:
    """Scan, photograph, threshold, invert and turn a page; the boxes turn with it."""
    taken = pick(rng, (0.45, 0.3, 0.15, 0.1))
    if "black squares" in kind:
        taken = 2
    grey = (
        (page, photograph(rng, page), binarize(rng, page), 255 - page)[taken] if taken != 1 else photograph(rng, page)
    )
    turns = int(rng.integers(1, 4)) if rng.random() < 0.25 else 0
    H, W = grey.shape
    boxes = [number.box_px for number in numbers]
    for _ in range(turns):  # counter-clockwise by a quarter each
        boxes = [Box(b.y, W - b.x - b.w, b.h, b.w) for b in boxes]
        H, W = W, H
    turned = np.ascontiguousarray(np.rot90(np.asarray(grey, np.uint8), turns))
    words = ("scan", "photo", "1 bit", "inverted")[taken]
    found = tuple(replace(number, box_px=box) for number, box in zip(numbers, boxes, strict=True))
    return FreePageSample(turned, found, f"{kind}, {words}, turned {90 * turns}")
