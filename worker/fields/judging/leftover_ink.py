"""Strokes in a field that its print does not explain: ink of a pen's kind, whatever any network makes of it.

Patterned paper, grain and print fill a field with ink that is nobody's writing. A stroke stands out from them in one of
three looks at the field: as it is, with its faint ink left out, and smoothed over what is thinner than a pen.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from itertools import combinations
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.fields.cutting.cleaning import erase_print, printed_rules
from worker.fields.locating.cell_ink import remove_cells
from worker.imaging.binarization import Mask, flatten_background, ink_mask
from worker.imaging.line_removal import Rule, find_rules
from worker.imaging.pieces import find_pieces
from worker.values import FieldCrop, Grey

LEAST_LENGTH = 0.25
"""A stroke is at least this long, of the crop's shorter side: digits fill a third of a box and more."""
SMALLEST_PX = 6
MOST_STROKES = 12
"""More pieces that are alike are a pattern."""
ALIKE = 0.25
"""Pieces with this share of the strongest one's ink are strokes beside it."""
PATTERNED = 0.9
"""Ink that fills more than this share of a crop when its gaps are closed is a pattern."""
CUT_OFF, NEAR_SIDE = 0.12, 0.02
"""Ink at one side of a crop, narrower than the first and as near as the second share of its width, reaches in from
outside or is a frame's side."""
RUN_ON = 5
"""So many pieces that run out of a crop, and few others, are a pattern."""
ALONE = 0.1
"""One stroke with no other piece of more than this share of its ink stands out from any number of specks. Of 387 1s
of MNIST on drawn blank boxes 359 are seen so, 337 by their share of all ink alone; of 989 blank boxes 8 and 5."""
FRAME_GAP = 1.5
"""Sides of a frame stand further apart than this many of their lengths."""
TOUCH = 2.5
"""Pixels between the end of an upright and the edge of the flat rule that it stands on."""
SQUARE_PX, LIKE_THICKNESS_PX, LIKE_TONE = 0.3, 1.0, 0.2
"""An upright of the same ruler as the flat rule that it stands on leaves the right angle by no more pixels from end to
end, and differs by no more pixels in thickness and by no more of the darker one's contrast."""
TIGHT = 1.5
"""A crop no wider than so many times its height was cut around its strokes, which may reach its edges."""

LEAST_UNREST = 3.0
"""Grain of the calmest paper, of 255."""
FAINT = 0.5
"""With this share of what a stroke needs to stand out, a piece of ink still may be one."""

Contrast = NDArray[np.float32]


class Leftover(IntEnum):
    """What is left of a field's ink when its print is taken out."""

    NOTHING = 0
    FAINT = 1
    """A piece as long as a stroke, hardly clearer than the paper around it."""
    STROKES = 2


class _Limits(NamedTuple):
    """How much strokes must stand out: their share of all ink, their clearness, their width in heights of the crop."""

    share: float
    clearness: float
    width: float = 0.0


BOX_LIMITS = (_Limits(0.6, 3.0), _Limits(0.7, 3.0), _Limits(0.85, 2.0))
CELL_LIMITS = (_Limits(0.8, 15.0, 0.04), _Limits(0.8, 8.0, 0.04), _Limits(0.8, 6.0, 0.04))
BLOT_LIMITS = _Limits(0.85, 3.0)
BROKEN_LIMITS = _Limits(0.9, 6.0)
"""Measured in docs/lab-notebook/free-pages.md."""


@dataclass(frozen=True, slots=True, eq=False)
class _Look:
    """One way to see a field, and what strokes need to stand out there."""

    contrast: Contrast
    ink: NDArray[np.bool_]
    needed: _Limits
    may_stand_alone: bool = False


def judge_leftover_ink(crop: FieldCrop) -> Leftover:
    """Tell what is left in a field that its print does not explain: ``STROKES`` are writing, whoever reads nothing."""
    if min(crop.grey.shape) < 8:
        return Leftover.NOTHING
    if crop.spec.cells:
        flat, ink = remove_cells(crop, crop.spec.cells)
        sides: list[Rule] = []
    else:
        flat, ink, sides = remove_box_print(crop.grey)
    looks = _looks(flat, ink > 0, CELL_LIMITS if crop.spec.cells else BOX_LIMITS)
    if not crop.spec.cells:
        looks += [_broken(flat, ink), _blots(crop.grey)]
    return max((_judge_look(look, sides) for look in looks), default=Leftover.NOTHING)


def _looks(flat: Grey, ink: NDArray[np.bool_], limits: tuple[_Limits, _Limits, _Limits]) -> list[_Look]:
    """Return a field as it is, with its faint ink left out, and smoothed over what is thinner than a pen."""
    if not ink.any():
        return []
    contrast = np.asarray(255 - flat, np.float32)
    smooth = np.asarray(cv2.blur(contrast, (3, 3) if len(flat) < 80 else (5, 5)), np.float32)
    strong = contrast > 0.65 * np.percentile(contrast[ink], 90)
    broad = smooth > 0.75 * np.percentile(smooth, 99.7)
    shades = ((contrast, ink), (contrast, strong & ink), (smooth, broad & ink))
    alone = limits is BOX_LIMITS
    return [_Look(*shade, needed, alone) for shade, needed in zip(shades, limits, strict=True)]


def _broken(flat: Grey, ink: Mask) -> _Look:
    """Return the ink with its pieces joined: strokes of so few pixels that they fell apart, on calm paper."""
    side = max(3, min(ink.shape) // 4) | 1
    joined = cv2.morphologyEx(ink, cv2.MORPH_CLOSE, np.ones((side, side), np.uint8)) > 0
    if joined.mean() > PATTERNED:
        joined = np.zeros_like(joined)
    return _Look(np.asarray(255 - flat, np.float32), joined, BROKEN_LIMITS)


def _blots(grey: Grey) -> _Look:
    """Return what is dark and solid: ink so broad that it was taken for the paper under it."""
    contrast = np.clip(np.percentile(grey, 90) - grey.astype(np.float32), 0, 255).astype(np.float32)
    return _Look(contrast, _solid(contrast > 0.6 * contrast.max()), BLOT_LIMITS)


def _solid(ink: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Keep the pieces that fill a third of their box: no frame does."""
    labels, stats, _ = find_pieces(ink.view(np.uint8))
    w, h, area = stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT], stats[:, cv2.CC_STAT_AREA]
    return np.asarray((area > w * h / 3)[labels] & ink, bool)


def _judge_look(look: _Look, sides: list[Rule]) -> Leftover:
    """Tell whether strokes stand out: few pieces that hold most of the ink, clearly darker than all around."""
    height, width = look.ink.shape
    labels, stats, _ = find_pieces(look.ink.view(np.uint8))
    count = len(stats)
    if count == 1:
        return Leftover.NOTHING
    weight = np.bincount(labels.ravel(), weights=(look.contrast * look.ink).ravel(), minlength=count)[1:]
    x, y, w, h, area = stats[1:].astype(np.float64).T
    long = h >= max(SMALLEST_PX, LEAST_LENGTH * min(height, width))
    at_edge = (x <= 1) | (y <= 1) | (x + w >= width - 1) | (y + h >= height - 1)
    framed = np.array([any(_covers(side, box) for side in sides) for box in stats[1:]])
    outside = at_edge if width > TIGHT * height else _reaches_in(x, w, long, width)
    strokes = long & (w >= look.needed.width * height) & ~framed & ~outside
    if not strokes.any():
        return Leftover.NOTHING
    strokes &= weight > ALIKE * weight[strokes].max()
    count, run_on = int(strokes.sum()), int((strokes & at_edge).sum())
    if count > MOST_STROKES or (run_on >= RUN_ON and run_on > 0.8 * count):
        return Leftover.NOTHING
    paper = look.contrast[~look.ink]
    unrest = float(np.sqrt((paper**2).mean())) if paper.size else 0.0
    share = weight[strokes].sum() / weight.sum() / look.needed.share
    clearness = weight[strokes].sum() / area[strokes].sum() / (unrest + LEAST_UNREST) / look.needed.clearness
    others = weight[~strokes & ~outside & ~framed].max(initial=0.0)
    alone = look.may_stand_alone and count == 1 and others < ALONE * weight[strokes].max()
    if (share >= 1 or alone) and clearness >= 1:
        return Leftover.STROKES
    return Leftover.FAINT if share >= FAINT and clearness >= FAINT else Leftover.NOTHING


def _reaches_in(
    x: NDArray[np.float64], w: NDArray[np.float64], long: NDArray[np.bool_], width: int
) -> NDArray[np.bool_]:
    """Tell which long and narrow pieces lie at the left or right side of a crop, if only one of the sides has such."""
    narrow, near = long & (w < CUT_OFF * width), max(1, round(NEAR_SIDE * width))
    left, right = narrow & (x <= near), narrow & (x + w >= width - near)
    return np.zeros_like(left) if left.any() and right.any() else left | right


def remove_box_print(grey: Grey) -> tuple[Grey, Mask, list[Rule]]:
    """Return a flattened crop and its ink without any printed line, all taken out at once; and the sides of its frame.

    A rule that is taken out alone leaves stubs of those that cross it, and a grid of stubs looks like strokes.
    """
    flat = flatten_background(grey)
    ink = ink_mask(flat)
    printed = printed_rules(ink)
    corners, sides, lines = _printed_lines(flat, ink)
    flat, ink = erase_print(flat, ink, [*printed, *corners, *sides, *lines], frame=[*printed, *corners])
    return flat, ink, [*corners, *sides, *_sides_between(lines)]


def _is_of_one_ruler(upright: Rule, line: Rule, flat: Grey) -> bool:
    """Tell whether an upright stands on a flat rule, square to it, as thick and as dark: print of the same ruler.

    A hand that writes 1s on a line meets one of these by chance, not all.
    """
    stands = min(abs(end - line.across(upright.across(end))) for end in (upright.start, upright.end))
    if stands > TOUCH + line.thickness / 2 or abs(upright.slope + line.slope) * upright.length > SQUARE_PX:
        return False
    tones = _tone(upright, flat), _tone(line, flat)
    is_as_thick = abs(upright.thickness - line.thickness) <= LIKE_THICKNESS_PX
    return is_as_thick and abs(tones[0] - tones[1]) <= LIKE_TONE * max(tones)


def _tone(rule: Rule, flat: Grey) -> float:
    """Return how dark a rule is at its darkest across, the median of its length, 0 to 255."""
    along = np.arange(rule.start, rule.end)
    across = np.rint(rule.offset + rule.slope * along).astype(np.intp)
    darkest = cv2.erode(flat, np.ones((3, 3), np.uint8))
    image = darkest.T if rule.upright else darkest
    inside = (along < image.shape[1]) & (across >= 0) & (across < image.shape[0])
    return float(255 - np.median(image[across[inside], along[inside]])) if inside.any() else 0.0


def _sides_between(lines: list[Rule]) -> list[Rule]:
    """Return where the sides of a frame lie: from one end of a long flat rule to that of another."""
    sides = []
    for a, b in combinations(sorted(lines, key=lambda line: line.offset), 2):
        for x, other in ((a.start, b.start), (a.end, b.end)):
            if abs(x - other) <= max(2.0, a.thickness):
                thickness = max(a.thickness, b.thickness)
                sides.append(Rule(True, (x + other) / 2, 0.0, thickness, round(a.across(x)), round(b.across(x))))
    return sides


class _PrintedLines(NamedTuple):
    """The uprights at which a flat rule ends, other sides and dividers, and the rules along most of a field."""

    corners: list[Rule]
    sides: list[Rule]
    lines: list[Rule]


def _printed_lines(flat: Grey, ink: Mask) -> _PrintedLines:
    """Find what of a field's ink is its frame, its dividers and its rules.

    Two uprights of one height that stand far apart, with none like them between, are the sides of a frame that lacks
    others. A divider is as high and as thick as an upright at a corner, or reaches from one long flat rule to another.
    """
    height, width = ink.shape
    rules = find_rules(ink, flat_length=0.4 * width, upright_length=max(8.0, 0.3 * height))
    flats, uprights = [r for r in rules if not r.upright], [r for r in rules if r.upright]
    lines = [r for r in flats if r.length > 0.6 * width]
    corners = [r for r in uprights if any(_is_corner(r, flat) for flat in flats)]
    sides = [r for r in uprights if r not in corners and (_stands_beside(r, corners) or _spans(r, lines, height))]
    sides += [r for r in uprights if any(_is_of_one_ruler(r, line, flat) for line in flats)]
    for a, b in combinations(uprights, 2):
        far_apart = abs(a.offset - b.offset) > FRAME_GAP * a.length
        if far_apart and _are_alike(a, b) and not _stands_between(uprights, a, b):
            sides += [a, b]
    return _PrintedLines(corners, sides, lines)


def _stands_beside(rule: Rule, corners: list[Rule]) -> bool:
    """Tell whether a rule has the ends and the thickness of a frame's side; where they join a flat rule is not sure."""
    for side in corners:
        near = max(2.0, 0.06 * side.length) + side.thickness / 2
        ends = abs(rule.start - side.start) <= near and abs(rule.end - side.end) <= near
        if ends and abs(rule.thickness - side.thickness) <= max(1.0, 0.25 * side.thickness):
            return True
    return False


def _spans(rule: Rule, lines: list[Rule], height: int) -> bool:
    """Tell whether both ends of an upright lie on long flat rules, or one does and the other at the end of the crop.

    A 1 hardly fills a box so.
    """
    touched = {i for end in (rule.start, rule.end) for i, line in enumerate(lines) if _touches(rule, end, line)}
    leaves = rule.start <= 1 or rule.end >= height - 1
    return len(touched) > 1 or (len(touched) == 1 and leaves)


def _touches(upright: Rule, end: int, flat: Rule) -> bool:
    level = flat.across(upright.across((upright.start + upright.end) / 2))
    return abs(end - level) < TOUCH + flat.thickness / 2


def _are_alike(a: Rule, b: Rule) -> bool:
    near = max(2.0, 0.06 * a.length)
    return abs(a.start - b.start) <= near and abs(a.end - b.end) <= near


def _stands_between(uprights: list[Rule], a: Rule, b: Rule) -> bool:
    """Tell whether another such line stands between two: a row of 1s, written with care, is no frame."""
    low, high = sorted((a.offset, b.offset))
    return any(low < r.offset < high and min(r.length, a.length) > 0.7 * max(r.length, a.length) for r in uprights)


def _is_corner(upright: Rule, flat: Rule) -> bool:
    x = upright.across((upright.start + upright.end) / 2)
    joined = _touches(upright, upright.start, flat) or _touches(upright, upright.end, flat)
    return joined and min(abs(x - flat.start), abs(x - flat.end)) < 5


def _covers(side: Rule, box: NDArray[np.int32]) -> bool:
    x, y, w, h = (int(v) for v in box[:4])
    across = side.across(y + h / 2)
    return x - 2 <= across <= x + w + 2 and w <= side.thickness + 4 and y >= side.start - 4 and y + h <= side.end + 4
