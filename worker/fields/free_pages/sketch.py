"""A page reduced for looking at its ink: without rules, underlines and rings, and turned by quarters."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.fields.cutting.segmentation import InkPart, ink_parts
from worker.fields.locating.joined_ink import take_out_rings, take_out_underlines
from worker.imaging.binarization import Mask, dark_area, divide_by_background, estimate_background, ink_mask
from worker.imaging.line_removal import Rule, find_rules, remove_rules
from worker.values import Grey, Page

WORKING_PX = 1400
"""Longer side of the image that is searched for writing; crops are cut from the page itself."""

SMALLEST_SHARE = 0.012
"""Least height of a digit as a share of the page's longer side: 3.5 mm on A4."""

_WIDEST_HIDDEN = 0.02
"""Widest bottom of a digit that a rule may hide, as a share of the page's longer side."""

_NARROWEST_HIDDEN_PX, _BILEVEL_SHARE = 6, 0.98
"""The same in pixels on 1-bit pages, whose squares are as black as ink: what lies between two strokes there is a rule.

A page is 1-bit if this share of it is black or white.
"""

LONG_RULE, FEWEST_RULES = 0.3, 3
"""Least length of a long rule as a share of a page's side, and how many in one direction make ruled paper."""

_RULED_SHARE = 0.6
"""Least length of the rules of ruled paper as a share of a page's side; underlines are shorter."""

_INK_IN_THE_DARK, _FAINTEST_IN_THE_DARK, _LARGEST_IN_THE_DARK = 0.4, 12, 0.15
"""Where it is too dark for paper: least contrast of ink as a share of what is around it and of 255, and its largest
height or width as a share of the page's longer side."""

_GLARE, _PAPER_IN_GLARE = 250, 240
"""Paper at least so light is bleached by a flash, where most of the page's paper is darker than the other."""

_PEN_SHARE = 0.7
"""Ink of a rule that has this share of the pen's contrast may be a stroke of the pen."""


@dataclass(frozen=True, slots=True, eq=False)
class Sketch:
    """A page reduced for looking: ``page_from_sketch`` leads from its pixels to the page's.

    ``bare`` is its ``ink`` without rules, ``underlines`` and ``rings`` around numbers. ``hides_strokes`` is set where
    it was squared in the ink's own black, so that a stroke along a rule went with it; ``covered`` is ink that went with
    a rule and is as dark as a pen's. In the ``dark`` nobody looked for ink: a table top, a gutter, or deep shadow.
    """

    grey: Grey
    background: Grey
    ink: Mask
    bare: Mask
    underlines: Mask
    rings: Mask
    page_from_sketch: NDArray[np.float64]
    covered: Mask
    dark: Mask
    hides_strokes: bool = False


def sketch_page(page: Page) -> Sketch:
    """Reduce a page, find its ink, and take rules, underlines and rings out of it."""
    scale = min(1.0, WORKING_PX / max(page.grey.shape))
    size = (max(1, round(page.grey.shape[1] * scale)), max(1, round(page.grey.shape[0] * scale)))
    grey = np.asarray(cv2.resize(page.grey, size, interpolation=cv2.INTER_AREA), np.uint8)
    background = estimate_background(grey)
    ink = ink_mask(divide_by_background(grey, background))
    smallest, hidden = SMALLEST_SHARE * max(ink.shape), round(_WIDEST_HIDDEN * max(ink.shape))
    bilevel = np.isin(page.grey[::7, ::7], (0, 255)).mean() > _BILEVEL_SHARE
    rules = long_rules(ink, share=LONG_RULE) if bilevel else []
    squared = min(sum(rule.upright for rule in rules), sum(not rule.upright for rule in rules)) >= FEWEST_RULES
    joined = _without_rules(grey, ink, _NARROWEST_HIDDEN_PX if squared else hidden)
    parted = take_out_underlines(joined, smallest=smallest, hidden=hidden)
    bare = take_out_rings(parted, smallest=smallest)
    is_ruled = len(long_rules(ink, share=_RULED_SHARE)) >= FEWEST_RULES
    underlines = (joined if is_ruled else ink) & ~parted  # a long underline goes as a rule does
    covered = _covered_ink(grey, background, ink & ~joined, bare)
    page_from_sketch = np.diag([1 / scale, 1 / scale, 1.0])
    rings = np.asarray(parted & ~bare, np.uint8)
    dark = dark_area(background)
    return Sketch(grey, background, ink, bare, underlines, rings, page_from_sketch, covered, dark, squared)


def _covered_ink(grey: Grey, background: Grey, rules: Mask, bare: Mask) -> Mask:
    """Return what of the rules is as dark as the pen: a stroke along a rule, or one that crosses it."""
    contrast = 1 - grey.astype(np.float32) / np.maximum(background, 1)
    if not rules.any() or not bare.any():
        return np.zeros_like(rules)
    pen, print_ = (float(np.percentile(contrast[ink > 0], 75)) for ink in (bare, rules))
    dark = contrast > max(0.5 * (pen + print_), _PEN_SHARE * pen)
    return np.asarray(rules & dark, np.uint8)


def turn_sketch(sketch: Sketch, turns: int) -> Sketch:
    """Turn a sketch counter-clockwise by quarter turns."""
    height, width = sketch.ink.shape
    back = {
        0: [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
        1: [[0, -1, width - 1], [1, 0, 0], [0, 0, 1]],
        2: [[-1, 0, width - 1], [0, -1, height - 1], [0, 0, 1]],
        3: [[0, 1, 0], [-1, 0, height - 1], [0, 0, 1]],
    }[turns]
    masks = (sketch.ink, sketch.bare, sketch.underlines, sketch.rings, sketch.covered, sketch.dark)
    turned = (np.ascontiguousarray(np.rot90(image, turns)) for image in (sketch.grey, sketch.background, *masks))
    grey, background, ink, bare, lines, rings, covered, dark = turned
    page_from_turned = sketch.page_from_sketch @ np.array(back, np.float64)
    return Sketch(grey, background, ink, bare, lines, rings, page_from_turned, covered, dark, sketch.hides_strokes)


def _without_rules(grey: Grey, ink: Mask, hidden: int) -> Mask:
    """Take the lines of ruled and squared paper out of the ink; they hide bottoms of ``hidden`` pixels at most."""
    height, width = ink.shape
    _, _, stats, _ = cv2.connectedComponentsWithStats(ink, connectivity=8)
    wide = stats[1:, cv2.CC_STAT_WIDTH] > LONG_RULE * width
    high = stats[1:, cv2.CC_STAT_HEIGHT] > LONG_RULE * height
    if not (wide | high).any():
        return ink
    rules = long_rules(ink, share=LONG_RULE)
    ink = remove_rules(grey, ink, rules, longest_hidden=hidden)[1]
    if len(rules) >= FEWEST_RULES:  # ruled paper: the remains of its rules are shorter
        ink = remove_rules(grey, ink, long_rules(ink, share=LONG_RULE / 3), longest_hidden=hidden)[1]
    return ink


def long_rules(ink: Mask, *, share: float) -> list[Rule]:
    """Return the rules that run along such a share of the page."""
    height, width = ink.shape
    return find_rules(ink, flat_length=share * width, upright_length=share * height)


def ink_in_the_dark(sketch: Sketch) -> list[InkPart]:
    """Return what looks like digits' ink where it is too dark for paper: writing in deep shadow is told, not read."""
    if not sketch.dark.any():
        return []
    contrast, longer = cv2.subtract(sketch.background, sketch.grey), max(sketch.ink.shape)
    ink = (contrast > _INK_IN_THE_DARK * sketch.background) & (contrast > _FAINTEST_IN_THE_DARK) & (sketch.dark > 0)
    low, high = SMALLEST_SHARE * longer, _LARGEST_IN_THE_DARK * longer
    return [part for part in ink_parts(ink.astype(np.uint8)) if low <= part.height < high and part.width < high]


def ink_in_the_glare(sketch: Sketch) -> list[InkPart]:
    """Return what looks like digits' ink where a flash has bleached it, too faint to be a stroke of the page's pen."""
    if np.median(sketch.background) >= _PAPER_IN_GLARE:
        return []
    contrast, longer = cv2.subtract(sketch.background, sketch.grey), max(sketch.ink.shape)
    ink = (sketch.background >= _GLARE) & (contrast > _FAINTEST_IN_THE_DARK)
    low, high = SMALLEST_SHARE * longer, _LARGEST_IN_THE_DARK * longer
    return [part for part in ink_parts(ink.astype(np.uint8)) if low <= part.height < high and part.width < high]
