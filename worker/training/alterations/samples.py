"""Digits to learn on, clean and altered ones: drawn in whole fields, and cut out of their lines as the worker cuts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.digits.framing import FRAME, frame_digits
from worker.digits.normalization import normalize_digits
from worker.fields.line_reader.alignment import cut_symbols
from worker.fields.line_reader.decoding import Symbol
from worker.fields.line_reader.normalization import WIDTH_STRIDE, normalize_line
from worker.synthesis.alterations import OFF_PLACE, OFF_SIZE, alter_digit, curl_zero, lay_over
from worker.synthesis.fields import FieldSample, draw_line_on_paper
from worker.synthesis.glyphs import GlyphSource, draw_hand
from worker.synthesis.lines import WrittenLine, write_cells, write_line
from worker.synthesis.paper import add_ink, degrade, draw_paper
from worker.synthesis.pen import draw_pen
from worker.synthesis.pens import draw_written_number
from worker.training.fields.glyphs import UNNAMED, load_shape_bank, read_sets
from worker.training.fields.samples import draw_text, find_shown
from worker.training.general.pens import PenBank, load_pen_bank
from worker.values import NOT_A_DIGIT, DigitClassifier

CLEAN, ALTERED, NOT_ASKED = 0, 1, 2
WRITTEN_SHARE, SCANNED_SHARE = 0.1, 0.28
"""Shares of real pens' whole numbers, all clean, and of digits as they were scanned; the rest is the generator's."""
CELLS_SHARE, REAL_SHARE = 0.2, 0.6
"""Of the generator's fields: rows of cells, and those that take their digits from real writers."""
ALTERED_SHARE = 0.4
"""Of the digits in a field with altered ones."""
ALTERED_FIELDS = 0.8
CURLED_SHARE, ROWS_SHARE = 0.25, 0.35
"""Of the 0s, those with a curl inside; of the fields, those into which rows above and below reach."""
MOST_SHAKEN = 1.5
"""One sigma of how far a digit's column is off, in pixels of a line: the networks do not point at its middle."""
LEAST_KNOWN = 0.5
"""Least probability with which the digit model takes an ink for a digit, and for which."""
LEAST_SEEN = 0.15
"""Least share of a scanned digit's ink that another over it leaves to be seen."""

Pixels = NDArray[np.uint8]
Targets = NDArray[np.uint8]
"""(10,) for each digit as which an ink may be read: ``CLEAN``, ``ALTERED`` or ``NOT_ASKED``."""


@dataclass(frozen=True, slots=True, eq=False)
class Digits:
    """Framed digits (N, 32, 32) uint8 and their targets (N, 10) uint8."""

    images: Pixels
    targets: Targets


def as_clean(digit: int) -> Targets:
    """Return the target of a clean digit: nothing is said of what else it might be read as."""
    target = np.full(10, NOT_ASKED, np.uint8)
    target[digit] = CLEAN
    return target


def as_altered(*digits: int) -> Targets:
    """Return the target of an altered digit that may be read as one of those it was and became."""
    target = np.full(10, NOT_ASKED, np.uint8)
    target[list(digits)] = ALTERED
    return target


NOTHING_CUT = Digits(np.zeros((0, FRAME, FRAME), np.uint8), np.zeros((0, 10), np.uint8))
NOTHING_ASKED: Targets = np.full(10, NOT_ASKED, np.uint8)


class Drawings:
    """Draws fields whose digits are known to be clean or altered, of hands that train."""

    def __init__(self, data_dir: Path, cache: Path) -> None:
        self._shapes: GlyphSource = load_shape_bank(data_dir, cache)
        self._pens: PenBank = load_pen_bank(data_dir, held_out=False)
        self._scans = ScannedDigits(*read_sets(data_dir))

    def draw(self, rng: np.random.Generator) -> Digits:
        """Draw one field and cut its digits; none where its line is not found."""
        kind = rng.random()
        if kind < WRITTEN_SHARE:
            sample = draw_written_number(rng, self._pens.pick_number(rng))
            targets = [as_clean(int(c)) if c.isdigit() else NOTHING_ASKED for c in sample.text]
        elif kind < WRITTEN_SHARE + SCANNED_SHARE:
            sample, targets = self._scans.draw(rng)
        else:
            sample, targets = draw_altered_field(rng, self._pens if rng.random() < 0.4 else self._shapes)
        return cut_digits(rng, sample, targets)


def draw_altered_field(
    rng: np.random.Generator, glyphs: GlyphSource | None = None
) -> tuple[FieldSample, list[Targets]]:
    """Draw one of the generator's fields, with some of its digits altered, and the target of each character."""
    text = draw_text(rng)
    while "#" in text:
        text = draw_text(rng)
    hand, pen = draw_hand(rng, glyphs, real_share=REAL_SHARE), draw_pen(rng)
    in_cells = text.isdigit() and len(text) > 1 and rng.random() < CELLS_SHARE
    pitch = float(rng.uniform(0.95, 1.9)) if in_cells else 0.0
    line = write_cells(rng, hand, text, pitch) if in_cells else write_line(rng, hand, text, pen.width)
    share = ALTERED_SHARE if rng.random() < ALTERED_FIELDS else 0.0
    shapes, targets = list(line.shapes), []
    for i, sign in enumerate(text):
        if sign == "0" and rng.random() < CURLED_SHARE:
            shapes[i] = lay_over(rng, curl_zero(rng), shapes[i])
        if not sign.isdigit() or rng.random() >= share:
            targets.append(as_clean(int(sign)) if sign.isdigit() else NOTHING_ASKED)
            continue
        altered = alter_digit(rng, hand, shapes[i], int(sign), pen.width) if len(shapes[i]) else None
        if altered is not None:
            shapes[i] = altered.shape
        targets.append(NOTHING_ASKED if altered is None else as_altered(*altered.digits))
    changed = WrittenLine(tuple(shapes), line.extra, line.printed)
    return draw_line_on_paper(rng, text, changed, pen, pitch=pitch, row_share=ROWS_SHARE), targets


class ScannedDigits:
    """Digits as they were scanned, by writer where the set names them, put together to fields."""

    def __init__(self, images: list[Pixels], labels: NDArray[np.int64], writers: NDArray[np.int64]) -> None:
        self._images, self._labels = images, labels
        named = np.flatnonzero(writers != UNNAMED)
        order = named[np.argsort(writers[named], kind="stable")]
        self._hands = np.split(order, np.flatnonzero(np.diff(writers[order])) + 1)
        self._unnamed = np.flatnonzero(writers == UNNAMED)

    def draw(self, rng: np.random.Generator) -> tuple[FieldSample, list[Targets]]:
        """Draw a field of one writer's scanned digits, some of them with another laid over."""
        rows = (
            self._unnamed
            if len(self._unnamed) and rng.random() < 0.1
            else self._hands[int(rng.integers(len(self._hands)))]
        )
        height = float(rng.uniform(16, 60))
        share = ALTERED_SHARE if rng.random() < ALTERED_FIELDS else 0.0
        inks, targets = [], []
        for row in rng.choice(rows, int(rng.integers(1, 9))):
            ink, target = self._scaled(rng, int(row), height), as_clean(int(self._labels[row]))
            if rng.random() < share:
                ink, target = self._overwrite(rng, ink, int(self._labels[row]), rows, height)
            inks.append(ink)
            targets.append(target)
        return _lay_out(rng, inks, height, "".join("0" for _ in inks)), targets

    def _scaled(self, rng: np.random.Generator, row: int, height: float) -> Pixels:
        """Return one digit's ink cut close, about ``height`` pixels high."""
        ink = self._images[row]
        x, y, w, h = cv2.boundingRect((ink > 40).view(np.uint8))
        if not w:
            return np.zeros((4, 4), np.uint8)
        high = height * float(np.exp(rng.normal(0, 0.06))) * (1.0 if h > 0.5 * w else 0.6)
        size = max(2, round(w * high / h)), max(4, round(high))
        return np.asarray(cv2.resize(ink[y : y + h, x : x + w], size, interpolation=cv2.INTER_AREA), np.uint8)

    def _overwrite(
        self, rng: np.random.Generator, lower: Pixels, digit: int, rows: NDArray[np.intp], height: float
    ) -> tuple[Pixels, Targets]:
        row = int(rng.choice(rows))
        other = int(self._labels[row])
        if other == digit:
            return lower, as_clean(digit)
        upper = self._scaled(rng, row, len(lower) * float(np.exp(rng.normal(0, OFF_SIZE))))
        if rng.random() < 0.35:
            upper = np.asarray(cv2.dilate(upper, np.ones((2, 2), np.uint8), iterations=max(1, len(upper) // 30)))
        both = np.zeros((2, *(3 * np.maximum(lower.shape, upper.shape))), np.uint8)
        middle = np.array(both.shape[1:]) / 2
        _put(both[0], lower, middle)
        _put(both[1], upper, middle + rng.normal(0, OFF_PLACE, 2) * height)
        is_ink = both > 110
        near = [cv2.dilate(one.view(np.uint8), np.ones((3, 3), np.uint8)) > 0 for one in is_ink]
        seen = [(is_ink[i] & ~near[1 - i]).sum() / max(1, is_ink[i].sum()) for i in (0, 1)]
        merged = both.max(axis=0)
        x, y, w, h = cv2.boundingRect((merged > 40).view(np.uint8))
        target = as_altered(digit, other) if min(seen) > LEAST_SEEN else NOTHING_ASKED
        return merged[y : y + h, x : x + w], target


def _put(canvas: Pixels, ink: Pixels, middle: NDArray[np.float64]) -> None:
    y, x = (round(m - side / 2) for m, side in zip(middle, ink.shape, strict=True))
    part = canvas[y : y + ink.shape[0], x : x + ink.shape[1]]
    np.maximum(part, ink, out=part)


def _lay_out(rng: np.random.Generator, inks: list[Pixels], height: float, text: str) -> FieldSample:
    """Put digits on paper side by side and scan it."""
    gap = float(rng.uniform(-0.02, 0.35)) * height
    left, top = (float(v) * height for v in rng.uniform(0.1, 0.9, 2))
    width = sum(ink.shape[1] + gap for ink in inks)
    tallest = max(len(ink) for ink in inks)
    canvas = np.zeros((int(tallest + 2 * top), int(width + 2 * left + height)), np.uint8)
    boxes, x = [], left
    for ink in inks:
        y = top + tallest - len(ink) + rng.normal(0, 0.03) * height
        y = max(y, 0.0)
        sides = np.array(ink.shape)
        _put(canvas, ink, np.maximum(np.array([y, x]) + sides / 2, sides / 2 + 1))
        boxes.append((x, y, ink.shape[1], len(ink)))
        x += ink.shape[1] + max(gap * float(np.exp(rng.normal(0, 0.3))), -0.1 * ink.shape[1])
    paper = draw_paper(rng, canvas.shape) if rng.random() < 0.7 else np.full(canvas.shape, 245, np.uint8)
    grey = degrade(rng, add_ink(paper, canvas, float(rng.uniform(0.5, 0.95))))
    return FieldSample(grey.clip(0, 255).astype(np.uint8), text, np.array(boxes, np.float32))


def ask_digit_model(digits: Digits, classify: DigitClassifier) -> Digits:
    """Leave out clean digits that the digit model does not know, and ask of altered ones what it takes them for.

    What it does not take for a digit is left out, too: such a field is hardly accepted, and teaches nothing.
    """
    answers = classify(normalize_digits(digits.images))
    taken_for = answers[:, :NOT_A_DIGIT].argmax(axis=1)
    rows = np.arange(len(taken_for))
    targets = digits.targets.copy()
    is_altered = (targets == ALTERED).any(axis=1)
    is_digit = (answers[:, NOT_A_DIGIT] < LEAST_KNOWN) & (answers[rows, taken_for] > LEAST_KNOWN)
    known = is_digit & (is_altered | (targets[rows, taken_for] == CLEAN))
    targets[rows[is_altered], taken_for[is_altered]] = ALTERED
    return Digits(digits.images[known], targets[known])


def cut_digits(rng: np.random.Generator, sample: FieldSample, targets: list[Targets]) -> Digits:
    """Find a drawn field's line and cut its digits as the worker does, their places taken from the drawing."""
    line = normalize_line(sample.grey)
    if not line.ink or len(sample.boxes) != len(sample.text):
        return NOTHING_CUT
    shown = find_shown(line, sample)
    middles = (sample.boxes[:, 0] + sample.boxes[:, 2] / 2 - line.x0) * line.scale + rng.normal(
        0, MOST_SHAKEN, len(sample.boxes)
    )
    last = line.image.shape[1] // WIDTH_STRIDE - 1
    columns = np.clip(middles // WIDTH_STRIDE, 0, last).astype(int)
    order = [i for i in np.argsort(columns, kind="stable") if shown[i]]
    if (np.diff(columns[order]) <= 0).any():  # two signs in one place: the networks would name one
        return NOTHING_CUT
    symbols = [Symbol(sample.text[i], int(columns[i]), int(columns[i]) + 1, int(columns[i])) for i in order]
    cuts = cut_symbols(line.image, symbols)
    wanted = [k for k, i in enumerate(order) if (targets[i] != NOT_ASKED).any() and cuts[k].ink.any()]
    framed = frame_digits([cuts[k].ink for k in wanted])
    return Digits(framed, np.array([targets[order[k]] for k in wanted], np.uint8).reshape(-1, 10))
