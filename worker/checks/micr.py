"""Read the MICR line of a check (E-13B): find its row of ink, and correlate it with the standard's shapes."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.checks.e13b import CHARACTERS, PITCH_UNITS, ROWS, render
from worker.imaging.binarization import flatten_background, ink_mask
from worker.imaging.pieces import find_pieces
from worker.values import Box, Grey

Floats = NDArray[np.float32]

UNIT_PX = 3
"""Pixels for each unit of the standard's grid at which characters are compared."""
_PAD = 3
"""Paper around a shape that it is compared with, one unit: a character beside it must not count."""
_PITCH_PX = PITCH_UNITS * UNIT_PX
_STRIP_ROWS = 15 * UNIT_PX
"""Rows of the strip that is cut out: nine units of a character, and three above and below for its place."""
_LEAST_LIKENESS = 0.45
"""Least correlation of a character; blank security paper reaches 0.35."""
_USUAL_STRENGTH = 0.6
"""Usual strength of a line's characters beside its most certain ones; fainter marks count for less."""
_SCALES = (0.82, 0.88, 0.94, 1.0, 1.06, 1.12)
"""Sizes that are tried beside the row's height; more are smaller, for bled ink is higher than its character."""
_SLOPES = np.linspace(-0.05, 0.05, 41)
_FEWEST = 6
"""Pieces of ink, or characters, without which a row is no MICR line: a routing number alone has eleven."""


class MicrSymbol(NamedTuple):
    """One character: its place on the band, its correlation, and its lead over the next likely character."""

    character: str
    box: Box
    likeness: float
    lead: float


class _Row(NamedTuple):
    """A row of ink: ``y = offset + slope * x`` through its middle, and a character's height in pixels."""

    slope: float
    offset: float
    height: float


def read_micr(band: Grey, unit_px: tuple[float, float]) -> list[MicrSymbol]:
    """Read the E-13B characters in a band of a check, left to right; none if there is no row of them.

    Parameters
    ----------
    band
        (h, w) uint8, 0 = ink; the lower part of a check laid flat.
    unit_px
        The least and the most pixels that 0.013 in may take.
    """
    flat = flatten_background(band)
    row = _find_row(ink_mask(flat), unit_px)
    if row is None:
        return []
    contrast = np.asarray(255 - flat, np.uint8)
    tries = [_read_row(contrast, row._replace(height=row.height * scale)) for scale in _SCALES]
    return max(tries, key=lambda found: sum(s.likeness - _LEAST_LIKENESS for s in found))


def _find_row(ink: NDArray[np.uint8], unit_px: tuple[float, float]) -> _Row | None:
    """Find the straight row that holds the most parts as high as a character."""
    size = max(3, round(1.4 * unit_px[0])) | 1  # joins broken strokes; characters stand 2.6 units apart and more
    closed = cv2.morphologyEx(ink, cv2.MORPH_CLOSE, np.ones((size, size), np.uint8))
    stats = find_pieces(closed).stats
    x, y, w, h = stats[1:, :4].T.astype(np.float64)
    sized = (h >= 0.75 * ROWS * unit_px[0]) & (h <= 1.3 * ROWS * unit_px[1]) & (w <= 1.6 * h)
    x, y, h = (x + w / 2)[sized], (y + h / 2)[sized], h[sized]
    if len(x) < _FEWEST:
        return None
    reach = 1.5 * unit_px[0]
    best: tuple[int, _Row] | None = None
    for slope in _SLOPES:
        level = np.sort(y - slope * x)
        count = np.searchsorted(level, level + 2 * reach, side="right") - np.arange(len(level))
        at = int(np.argmax(count))
        if best is None or count[at] > best[0]:
            best = int(count[at]), _Row(float(slope), float(np.median(level[at : at + count[at]])), 0.0)
    if best is None or best[0] < _FEWEST:
        return None
    near = np.abs(y - best[1].slope * x - best[1].offset) <= 1.5 * reach
    slope, offset = np.polyfit(x[near], y[near], 1) if np.ptp(x[near]) > 20 else (best[1].slope, best[1].offset)
    return _Row(float(slope), float(offset), float(np.percentile(h[near], 60)))


def _read_row(contrast: Grey, row: _Row) -> list[MicrSymbol]:
    """Lay the row flat at ``UNIT_PX`` and choose the characters that explain it best."""
    step = row.height / (ROWS * UNIT_PX)
    width = int(contrast.shape[1] / step)
    top = row.offset - _STRIP_ROWS / 2 * step
    band_from_strip = np.array([[step, 0, 0], [row.slope * step, step, top]], np.float64)
    if step > 1.3:
        contrast = np.asarray(cv2.GaussianBlur(contrast, (0, 0), 0.4 * step), np.uint8)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    strip = cv2.warpAffine(contrast, band_from_strip, (width, _STRIP_ROWS), flags=flags, borderValue=0)
    strip = np.asarray(cv2.GaussianBlur(strip, (0, 0), 1.0), np.uint8)
    likeness = np.stack([cv2.matchTemplate(strip, t, cv2.TM_CCOEFF_NORMED).max(axis=0) for t in _templates()])
    likeness = np.asarray(likeness * _strength(strip, likeness.max(axis=0)), np.float32)
    return [_symbol(likeness, column, row, step) for column in _choose_columns(likeness.max(axis=0))]


def _strength(strip: NDArray[Any], likeness: NDArray[Any]) -> Floats:
    """Return how strong the ink of each place is beside that of the most certain characters, at most 1.

    Correlation ignores contrast, so the grain of paper would look like characters in places.
    """
    height, width = ROWS * UNIT_PX + 2 * _PAD, 7 * UNIT_PX + 2 * _PAD
    ones = np.full((height, width), 1 / (height * width), np.float32)
    levels = strip.astype(np.float32)
    mean = cv2.filter2D(levels, -1, ones, anchor=(0, 0))[: -height + 1, : -width + 1]
    square = cv2.filter2D(levels**2, -1, ones, anchor=(0, 0))[: -height + 1, : -width + 1]
    spread = np.sqrt(np.maximum(square - mean**2, 0)).max(axis=0)
    sure = spread[likeness >= np.percentile(likeness, 97)]
    return np.asarray(np.clip(spread / (_USUAL_STRENGTH * max(float(np.median(sure)), 1.0)), 0, 1), np.float32)


def _symbol(likeness: Floats, column: int, row: _Row, step: float) -> MicrSymbol:
    low, high = max(0, column - 2), column + 3  # the runner-up may fit best one pixel away
    scores = likeness[:, low:high].max(axis=1)
    order = np.argsort(scores)[::-1]
    x = (column + _PAD) * step
    y = row.offset + row.slope * x - row.height / 2
    box = Box(x, y, 7 * UNIT_PX * step, row.height)
    first, second = float(scores[order[0]]), float(scores[order[1]])
    return MicrSymbol(CHARACTERS[int(order[0])], box, first, first - second)


@functools.lru_cache(maxsize=1)
def _templates() -> tuple[Grey, ...]:
    padded = (np.pad(render(c, UNIT_PX), _PAD) for c in CHARACTERS)
    return tuple(np.asarray(cv2.GaussianBlur(p, (0, 0), 0.8), np.uint8) for p in padded)


def _choose_columns(likeness: Floats) -> list[int]:
    """Choose places at least most of a pitch apart with the largest sum of likeness, by a shortest path."""
    pitch = int(0.85 * _PITCH_PX)
    gain = np.asarray(likeness, np.float64) - _LEAST_LIKENESS
    best = np.zeros(len(gain) + 1)
    taken = np.zeros(len(gain), bool)
    for i, value in enumerate(gain):
        with_it = value + best[max(0, i + 1 - pitch)]
        taken[i] = with_it > best[i]
        best[i + 1] = max(best[i], with_it)
    columns, i = [], len(gain) - 1
    while i >= 0:
        if taken[i]:
            columns.append(i)
            i -= pitch
        else:
            i -= 1
    return columns[::-1]


def spell(symbols: list[MicrSymbol]) -> str:
    """Return the characters, with a blank between those that are more than a pitch and a half apart."""
    text = ""
    for before, symbol in zip([None, *symbols], symbols, strict=False):
        if before is not None and symbol.box.x - before.box.x > 1.5 * PITCH_UNITS / ROWS * symbol.box.h:
            text += " "
        text += symbol.character
    return text


@dataclass(frozen=True, slots=True)
class MicrFields:
    """The fields of a line as (start, stop) among its symbols; None for a field that the line lacks."""

    routing: tuple[int, int] | None = None
    account: tuple[int, int] | None = None
    serial: tuple[int, int] | None = None
    amount: tuple[int, int] | None = None


_ROUTING = re.compile(r"T(\d{9})T")
_AUXILIARY = re.compile(r"U(\d{4,})U")
_ON_US = re.compile(r"T?([\dD]{3,})[UT](\d{0,10})")
_AMOUNT = re.compile(r"A(\d{10})A")


def parse_micr(text: str) -> MicrFields:
    """Find the fields of a US line by its symbols: ``TrrrrrrrrrT aaaaaaU ssss`` or ``UssssssU TrrrrrrrrrT aaaaaaU``.

    ``text`` holds symbols without blanks. A serial stands in the auxiliary on-us field before the routing number, or
    behind the on-us symbol. An account between transit symbols, as some banks print it, is an account too.
    """
    routing = _ROUTING.search(text)
    if routing is None:
        return MicrFields()
    auxiliary = _AUXILIARY.search(text, 0, routing.start() + 1)
    amount = _AMOUNT.search(text, routing.end())
    on_us = _ON_US.match(text, routing.end())
    serial = auxiliary.span(1) if auxiliary else on_us.span(2) if on_us and on_us[2] else None
    return MicrFields(routing.span(1), on_us.span(1) if on_us else None, serial, amount.span(1) if amount else None)
