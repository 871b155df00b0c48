"""Turn the crop of a field into the picture that the line reader knows: flat paper, digits of one height.

Training and the worker call the same function, so the reader never sees a picture made in another way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.fields.line_reader.straight_rules import find_straight_rules, open_mask
from worker.imaging.pieces import find_pieces
from worker.values import Box, Grey

LINE_HEIGHT = 40
DIGIT_HEIGHT = 28
"""Rows that the digits fill, in the middle of ``LINE_HEIGHT``; the rest is room for what hangs over."""
WIDTH_STRIDE = 4
MAX_WIDTH = 1000
EMPTY_LEFT = 8
"""Empty columns before a line: without them a leading thin 1 was taken for a frame (docs/lab-notebook/reading.md)."""
WORKING_HEIGHT = 72
"""Height in rows at which the line is looked for; the digits of the smallest real crops have about 20."""
GUTTER_TONE = 0.3
"""Darkest paper as a share of the brightest; a darker area along a whole side is a gutter, a shadow is brighter."""
MIN_CONTRAST = 0.10
"""Least share by which ink darkens its paper; fainter marks count as texture of the paper."""
LEAST_PASSED_OVER = 0.5
"""Heights of a digit from which a piece of ink beside it may be one more (0.6 let `53` pass above a taller 0)."""
DASH_ASPECT = 1.8
"""A piece at least this many times as wide as high may be a dash."""
DASH_GAP, FARTHEST_DASH = 0.8, 1.2
"""In heights of the line: the space before a dash that belongs to it, and how much of one is worth reading."""
LEAST_MINUS, LEAST_POINT = 0.07, 0.05
"""In heights of the line: a shorter dab before the digits is a speck, and so is a smaller point at their feet."""
MINUS_LEVELS = (0.05, 0.85)
"""Where the middle of a minus sign lies beside the first digit, in heights of it."""
SMALLEST_DAB_PX = 3
"""Area in pixels of the working height; less is grain."""
HIGHEST_POINT, POINT_LEVELS = 0.5, (0.55, 1.35)
"""In heights of the line: how high a point or comma before the digits may be, and where its middle lies."""
CUT_TOP, CUT_FOOT = (-0.25, 0.3), (0.6, 1.45)
"""In heights of the line: where an upright that the rim cuts has its ends if it may be a digit; a frame's is longer."""
WHOLE_SIDE = 0.95
"""In heights of the crop: an upright at its rim that is longer is the side of a frame."""
LEAST_JOINED, JOINED_FILL, JOINED_LEVELS = 0.35, 0.5, (0.0, 1.15)
"""Of a wide flat piece that may be joined digits, `000` in one stroke: its least height and where its middle lies, in
heights of the line, and the most of its box that it fills."""
THINNEST_CUT, FARTHEST_CUT = 0.06, 1.6
"""In heights of the line: its least width, for a frame's sides are thin, and how far beside the digits it may stand."""


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """A normalized line: ``image`` is (40, W) uint8, 255 = ink; ``scale`` is line pixels a crop pixel.

    ``x0`` and ``y0`` are the crop pixels at the line's top left, so that ``crop = line / scale + (x0, y0)``.
    ``ink`` is the number of ink pixels, at ``WORKING_HEIGHT``, that belong to the line: 0 on an empty field.
    ``left_out`` counts the pieces of ink that may be more digits: as high as its own in the rest of the crop, cut by
    its rim, or joined in a wide flat stroke.
    ``pieces`` (n, 4) are left, top, width and height of all connected ink of the crop but rules, in crop pixels.
    """

    image: NDArray[np.uint8]
    scale: float
    x0: float
    y0: float
    ink: int
    left_out: int = 0
    pieces: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 4)))

    def to_crop_box(self, box: Box) -> Box:
        """Return a box of line pixels in pixels of the crop that the line was made of."""
        return Box(box.x / self.scale + self.x0, box.y / self.scale + self.y0, box.w / self.scale, box.h / self.scale)


class _Pieces(NamedTuple):
    """Connected ink: the ``boxes`` (n, 5) and ``centres`` (n, 2) of writing, and the boxes of what may be ``dashes``.

    Rules, frames and specks are not writing; short rules may be dashes, and ``dabs`` minus signs and points.
    ``at_rim`` (n, 5) are uprights that the left or right rim cuts: sides of frames, or 1s. ``flat`` (n, 5) are wide and
    low: remnants of rules, or joined digits. ``every`` (n, 4) has the boxes of specks, too.
    """

    boxes: NDArray[Any]
    centres: NDArray[Any]
    dashes: NDArray[Any]
    dabs: NDArray[Any]
    at_rim: NDArray[Any]
    flat: NDArray[Any]
    every: NDArray[Any]


def normalize_line(grey: Grey) -> Line:
    """Find the line of writing in a crop and bring its digits to ``DIGIT_HEIGHT`` rows.

    Parameters
    ----------
    grey
        (h, w) uint8, 0 = ink.

    Returns
    -------
    Line
        An image of one empty stride where no ink is found.
    """
    height, width = grey.shape
    rows = WORKING_HEIGHT * float(np.clip(1.5 * height / width, 1, 2.2))  # in a tall crop the line is a small part
    working = min(1.0, rows / height, 1600 / width)
    darkness = flatten(_shrink(grey, working))
    pieces = _find_writing(darkness)
    extent = _extent_of(pieces)
    if extent is None:
        return Line(np.zeros((LINE_HEIGHT, WIDTH_STRIDE), np.uint8), 1.0, 0.0, 0.0, 0)
    top, bottom, left, right, ink = extent
    left = _reach_before(pieces.dabs, top, bottom, left, _first_rows(pieces.boxes, top, bottom))
    right = _reach_dashes(pieces.dashes, top, bottom, right)
    if working < 0.7 and (bottom - top) < 0.6 * WORKING_HEIGHT:  # small writing in a large crop: look closer
        margin = 0.6 * (bottom - top)
        y, x = (max(0, int((v - margin) / working)) for v in (top, left))
        y2, x2 = (int((v + margin) / working) + 1 for v in (bottom, right))
        inner = normalize_line(grey[y:y2, x:x2]) if (y2 - y) < height else None
        if inner is not None and inner.ink:
            found = replace(inner, x0=inner.x0 + x, y0=inner.y0 + y)
            return replace(found, left_out=_count_left_out(pieces, found, working), pieces=pieces.every / working)
    scale = DIGIT_HEIGHT / (bottom - top)
    margin = (LINE_HEIGHT - DIGIT_HEIGHT) / 2 / scale
    cut = _cut(darkness, (left - margin, top - margin, right + margin), scale)
    image = np.zeros((LINE_HEIGHT, EMPTY_LEFT + cut.shape[1]), np.uint8)
    image[:, EMPTY_LEFT:] = cut
    x0 = left - margin - EMPTY_LEFT / scale
    line = Line(image, scale * working, x0 / working, (top - margin) / working, ink)
    return replace(line, left_out=_count_left_out(pieces, line, working), pieces=pieces.every / working)


def flatten(grey: Grey) -> Grey:
    """Return how far each pixel lies from paper (0) to ink (255), whatever the light and the paper's shade.

    The paper is the closing of the smoothed picture, which follows the edge of a shadow and loses what is narrower than
    a third of the crop; the two levels are those of Otsu's classes.
    """
    size = max(9, min(grey.shape[0] // 3, 41)) | 1
    closed = cv2.morphologyEx(cv2.blur(grey, (3, 3)), cv2.MORPH_CLOSE, np.ones((size, size), np.uint8))
    paper = cv2.blur(closed, (size // 4 | 1, size // 4 | 1))
    dark = 255 - np.asarray(cv2.divide(grey, paper, scale=255), np.uint8)
    gutters = _solid_areas(grey)
    if gutters is not None:
        dark[gutters > 0] = 0
    otsu, _ = cv2.threshold(dark, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    counts = _count_levels(dark)
    threshold = max(int(otsu), round(255 * MIN_CONTRAST)) + 1
    if not counts[threshold:].any():
        return np.zeros_like(dark)
    high = threshold + _percentile_bin(counts[threshold:], 60)
    low = min(_percentile_bin(counts[:threshold], 50), high // 2)
    ramp = np.clip((np.arange(256) - low) * (255.0 / (high - low)), 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(dark, ramp), np.uint8)


def _find_writing(darkness: Grey) -> _Pieces:
    mask = (darkness > 127).view(np.uint8)
    rules = find_straight_rules(mask)
    _, stats, centres = find_pieces(mask if rules is None else cv2.subtract(mask, rules))
    boxes, centres = stats[1:], centres[1:]
    keep = _is_writing(boxes, darkness.shape)
    either = boxes if rules is None else np.concatenate([boxes, find_pieces(rules).stats[1:]])  # long dashes, too
    dabs = either[either[:, cv2.CC_STAT_AREA] >= SMALLEST_DAB_PX]
    either = either[either[:, cv2.CC_STAT_AREA] >= 6]
    flatness = either[:, cv2.CC_STAT_WIDTH] / either[:, cv2.CC_STAT_HEIGHT]
    whole = boxes if rules is None else find_pieces(mask).stats[1:]
    left, width = whole[:, cv2.CC_STAT_LEFT], whole[:, cv2.CC_STAT_WIDTH]
    is_cut = (left == 0) | (left + width == mask.shape[1])
    height = whole[:, cv2.CC_STAT_HEIGHT]
    at_rim = whole[is_cut & (height >= 2 * width) & (height < WHOLE_SIDE * len(mask))]
    flat = boxes[~keep & _is_flat(boxes, darkness.shape)]
    return _Pieces(boxes[keep], centres[keep], either[flatness > DASH_ASPECT], dabs, at_rim, flat, boxes[:, :4])


def _reach_dashes(dashes: NDArray[Any], top: float, bottom: float, right: float) -> float:
    """Return a line's right end with the dashes behind its last digit: a slash before a dash is not a 1."""
    height, reached = bottom - top, right
    for left, upper, width, thickness, _ in dashes[dashes[:, cv2.CC_STAT_LEFT].argsort()].tolist():
        level = (upper + thickness / 2 - top) / height
        end = min(left + width, right + FARTHEST_DASH * height)
        if 0.1 < level < 0.9 and left < reached + DASH_GAP * height and 0.15 * height < width < 3 * height:
            reached = max(reached, end)
    return reached


def _first_rows(boxes: NDArray[Any], top: float, bottom: float) -> tuple[float, float]:
    """Return top and bottom of the first digit: the line may rise or fall."""
    heights = boxes[:, cv2.CC_STAT_HEIGHT]
    tall = boxes[heights >= LEAST_PASSED_OVER * (bottom - top)]
    if not len(tall):
        return top, bottom
    _, upper, _, high, _ = tall[tall[:, cv2.CC_STAT_LEFT].argmin()].tolist()
    return upper, upper + high


def _reach_before(dabs: NDArray[Any], top: float, bottom: float, left: float, first_rows: tuple[float, float]) -> float:
    """Return a line's left end with the minus sign or the point before its first digit."""
    height, start = bottom - top, left
    for first, upper, width, thickness, _ in dabs.tolist():
        level, gap = (upper + thickness / 2 - top) / height, left - first - width
        beside = (upper + thickness / 2 - first_rows[0]) / (first_rows[1] - first_rows[0])
        is_level = 0.1 < level < 1.1 or MINUS_LEVELS[0] < beside < MINUS_LEVELS[1]
        is_minus = width >= thickness and is_level and LEAST_MINUS * height < width < 3 * height
        is_small = LEAST_POINT * height < max(width, thickness) < HIGHEST_POINT * height
        is_point = is_small and POINT_LEVELS[0] < level < POINT_LEVELS[1]
        if (is_minus or is_point) and -0.3 * height < gap < DASH_GAP * height:
            start = min(start, max(first, left - FARTHEST_DASH * height))
    return start


def _count_left_out(pieces: _Pieces, line: Line, working: float) -> int:
    """Count the pieces as high as the line's digits whose middles lie outside it; they are in ``working`` pixels."""
    boxes, centres = pieces.boxes, pieces.centres
    heights = boxes[:, cv2.CC_STAT_HEIGHT] / working * line.scale / DIGIT_HEIGHT
    across = (centres[:, 0] / working - line.x0) * line.scale
    down = (centres[:, 1] / working - line.y0) * line.scale
    inside = (across >= 0) & (across <= line.image.shape[1]) & (down >= 0) & (down <= LINE_HEIGHT)
    outside = (heights > LEAST_PASSED_OVER) & (heights < 1.6) & ~inside
    pixel, margin = working / line.scale, (LINE_HEIGHT - DIGIT_HEIGHT) / 2
    left, top = line.x0 * working + (EMPTY_LEFT + margin) * pixel, line.y0 * working + margin * pixel
    right = line.x0 * working + (line.image.shape[1] - margin) * pixel
    digits = Box(left, top, right - left, DIGIT_HEIGHT * pixel)
    return int(outside.sum()) + _count_cut(pieces.at_rim, digits) + _count_joined(pieces.flat, digits)


def _count_joined(flat: NDArray[Any], digits: Box) -> int:
    """Count the wide flat pieces in the digits' rows that may be digits joined in one stroke; a rule is lower."""
    _, upper, width, height, area = flat.T.astype(np.float64)
    level = (upper + height / 2 - digits.y) / digits.h
    on_line = (JOINED_LEVELS[0] < level) & (level < JOINED_LEVELS[1])
    return int((on_line & (height > LEAST_JOINED * digits.h) & (area < JOINED_FILL * width * height)).sum())


def _count_cut(at_rim: NDArray[Any], digits: Box) -> int:
    """Count the uprights at the rim that may be digits cut by it: of the digits' height, beside them, not too thin.

    A 1 or a digit's stroke that the crop cuts through looks like the side of a frame to ``_is_writing``.
    """
    left, upper, width, height = at_rim[:, :4].T.astype(np.float64)
    top, foot = (upper - digits.y) / digits.h, (upper + height - digits.y) / digits.h
    gap = np.maximum(digits.x - left - width, left - digits.x - digits.w) / digits.h
    may_be_digit = (CUT_TOP[0] <= top) & (top <= CUT_TOP[1]) & (CUT_FOOT[0] <= foot) & (foot <= CUT_FOOT[1])
    beside = (gap >= -THINNEST_CUT) & (gap <= FARTHEST_CUT) & (width >= THINNEST_CUT * digits.h)
    return int((may_be_digit & beside).sum())


def count_passed_over(grey: Grey, boxes: Sequence[Box]) -> int:
    """Count the pieces of ink as high as the digits of a crop whose middles lie in none of their boxes.

    ``boxes`` are in pixels of the crop, one at least.
    """
    height, width = grey.shape
    working = min(1.0, 1600 / max(height, width))
    pieces = _find_writing(flatten(_shrink(grey, working)))
    centres = pieces.centres
    digit_height = float(np.median([box.h for box in boxes])) * working
    heights = pieces.boxes[:, cv2.CC_STAT_HEIGHT] / digit_height
    read = np.zeros(len(heights), bool)
    for box in boxes:
        x, y = centres[:, 0] / working - box.x, centres[:, 1] / working - box.y
        read |= (x > -1) & (x < box.w + 1) & (y > -1) & (y < box.h + 1)
    passed_over = (heights > LEAST_PASSED_OVER) & (heights < 1.6) & ~read
    left, right = min(box.x for box in boxes), max(box.x + box.w for box in boxes)
    top = float(np.median([box.y for box in boxes]))
    digits = Box(left * working, top * working, (right - left) * working, digit_height)
    return int(passed_over.sum()) + _count_cut(pieces.at_rim, digits)


def _extent_of(pieces: _Pieces) -> tuple[float, float, float, float, int] | None:
    """Return (top, bottom, left, right, ink pixels) of the line of digits, or None where there is no ink.

    Ink off the line does not count. Marks that stick out (a slash, a comma) have little weight, because the extent is a
    percentile over the columns of the ink.
    """
    boxes, middles = pieces.boxes, pieces.centres[:, 1]
    if not len(boxes):
        return None
    areas, heights = boxes[:, cv2.CC_STAT_AREA], boxes[:, cv2.CC_STAT_HEIGHT]
    tops, bottoms = boxes[:, cv2.CC_STAT_TOP], boxes[:, cv2.CC_STAT_TOP] + heights
    reference = _weighted_percentile(heights, areas, 50)
    centre = _weighted_percentile(middles, areas, 50)
    on_line = np.abs(middles - centre) < 1.2 * reference
    if not on_line.any():  # two lines have the same weight: take the heaviest ink
        on_line = areas == areas.max()
    tall = on_line & (heights >= min(0.5 * reference, heights[on_line].max()))
    widths = boxes[:, cv2.CC_STAT_WIDTH]
    top = _weighted_percentile(tops[tall], widths[tall], 20)
    bottom = max(_weighted_percentile(bottoms[tall], widths[tall], 80), top + 4)
    part = on_line & (heights >= min(0.15 * reference, heights[on_line].max()))
    lefts = boxes[part, cv2.CC_STAT_LEFT]
    return top, bottom, float(lefts.min()), float((lefts + widths[part]).max()), int(areas[on_line].sum())


def _shrink(grey: Grey, scale: float) -> Grey:
    if scale >= 1:
        return grey
    if min(grey.shape) * scale < 1:  # of a strip, one row or column is left
        size = tuple(max(1, round(side * scale)) for side in grey.shape[::-1])
        return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.uint8)
    return np.asarray(cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)


def _solid_areas(grey: Grey) -> NDArray[np.uint8] | None:
    """Return the gutters: black areas along a side, wider than a pen, with their shaded rim; None without any."""
    height, width = grey.shape
    bright = _percentile_bin(_count_levels(grey), 95)
    size = max(9, height // 5)
    dark = (grey < GUTTER_TONE * bright).view(np.uint8)
    solid = open_mask(dark, (size, size))
    if solid is None:
        return None
    gutters = np.zeros((height, width), np.uint8)
    gutters[:, (solid[:, 0].mean() > 0.6) * solid.mean(axis=0) > 0.6] = 1
    gutters[:, (solid[:, -1].mean() > 0.6) * solid.mean(axis=0) > 0.6] = 1
    gutters[(solid[0].mean() > 0.6) * solid.mean(axis=1) > 0.6] = 1
    gutters[(solid[-1].mean() > 0.6) * solid.mean(axis=1) > 0.6] = 1
    rim = max(5, size // 2) | 1
    return np.asarray(cv2.dilate(gutters, np.ones((rim, rim), np.uint8)), np.uint8)


def _is_writing(boxes: NDArray[Any], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Tell components that may be digits or marks from specks, print at the edge and remnants of rules."""
    left, top = boxes[:, cv2.CC_STAT_LEFT], boxes[:, cv2.CC_STAT_TOP]
    width, height, area = (
        boxes[:, cv2.CC_STAT_WIDTH],
        boxes[:, cv2.CC_STAT_HEIGHT],
        boxes[:, cv2.CC_STAT_AREA],
    )
    middle = (top + height / 2) / shape[0]
    outside = np.abs(middle - 0.5) > 0.43
    narrow = width < 0.06 * max(shape) if shape[1] > shape[0] else width < 0.25 * shape[1]
    sliver = ((left == 0) | (left + width == shape[1])) & narrow & (height > 3 * width)
    return np.asarray((area >= 6) & (height >= 4) & ~_is_flat(boxes, shape) & ~outside & ~sliver, bool)


def _is_flat(boxes: NDArray[Any], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    width, height = boxes[:, cv2.CC_STAT_WIDTH], boxes[:, cv2.CC_STAT_HEIGHT]
    return np.asarray((width > 4 * height) & (height < 0.25 * shape[0]), bool)


def _weighted_percentile(values: NDArray[np.generic], weights: NDArray[np.generic], percent: float) -> float:
    order = values.argsort(kind="stable")
    total = weights[order].cumsum()
    return float(values[order[total.searchsorted(percent / 100 * total[-1])]])


def _count_levels(grey: Grey) -> NDArray[np.int64]:
    """Return how many pixels have each of the 256 levels; below 16 million, 32-bit floats count exactly."""
    if grey.size >= 1 << 24:
        return np.bincount(grey.ravel(), minlength=256)
    return cv2.calcHist([grey], [0], None, [256], [0, 256]).ravel().astype(np.int64)


def _percentile_bin(counts: NDArray[np.int64], percent: float) -> int:
    total = counts.cumsum()
    return int(total.searchsorted(percent / 100 * total[-1]))


def _cut(darkness: Grey, corner: tuple[float, float, float], scale: float) -> NDArray[np.uint8]:
    """Return ``darkness`` from (left, top) to the right edge, scaled to ``LINE_HEIGHT`` rows of uint8."""
    left, top, right = corner
    width = int(np.ceil(min((right - left) * scale, MAX_WIDTH) / WIDTH_STRIDE)) * WIDTH_STRIDE
    if scale < 0.8:  # bilinear sampling would skip pixels, so smooth by the factor of reduction
        darkness = np.asarray(cv2.GaussianBlur(darkness, (0, 0), 0.5 * (1 / scale - 0.7)), np.uint8)
    half = 0.5 * scale - 0.5
    matrix = np.array([[scale, 0, half - left * scale], [0, scale, half - top * scale]], np.float64)
    image = cv2.warpAffine(darkness, matrix, (width, LINE_HEIGHT), flags=cv2.INTER_LINEAR, borderValue=0)
    return np.asarray(image, np.uint8)
