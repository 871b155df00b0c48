"""Read digits that stand far apart one by one, because the line reader takes thin ones between wide gaps for rules.

The line reader was trained on numbers written together. If it reads fewer digits than stand there, and these are alike
and each certainly a digit by itself, they are the number, and a person sees it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from worker.digits.classification import read_digits, spell_digits
from worker.doubts import Doubt, DoubtKind
from worker.fields.cutting.cleaning import remove_print, writing_line
from worker.fields.cutting.segmentation import InkPart, digit_crop, digit_parts
from worker.values import FieldCrop, RawReading, Recognizers

LEAST_GAP = 0.6
"""Digits stand apart if the smallest gap between two is wider than this share of the highest one's height."""
LEAST_DISTANCE = 0.85
"""Least distance of the middles of two digits that stand apart, in heights, by the line reader's own boxes."""
LEAST_HEIGHT = 0.6
"""Least height of a digit of such a number, as a share of the highest."""
SURE, SURELY_NONE = 0.9, 0.1
MOST_CONFIDENCE = 0.5
"""Two readers differ on how many digits there are: a person looks."""


def read_apart(crop: FieldCrop, read: RawReading, recognizers: Recognizers) -> RawReading:
    """Return the reading of a free field, by single digits if they stand apart and some of them were not read."""
    if not read.digits or not _may_stand_apart(crop, read):
        return read
    flat, ink = remove_print(crop.grey)
    parts = digit_parts(writing_line(ink))
    if len(parts) <= len(read.digits) or not stand_apart(parts):
        return read
    cut = [digit_crop(crop, flat, part, k) for k, part in enumerate(parts)]
    digits = tuple(read_digits(cut, recognizers))
    if not all(d.confidence > SURE and d.outlier < SURELY_NONE for d in digits):
        return read
    text = spell_digits(digits)
    doubt = Doubt(DoubtKind.DIGITS_FAR_APART, readings=(text, read.text))
    confidence = min(read.confidence, MOST_CONFIDENCE)
    read = replace(read, marks=(), rival_marks=())  # they stand among other digits
    return replace(read, text=text, digits=digits, confidence=confidence, doubts=(doubt, *read.doubts))


def stand_apart(parts: Sequence[InkPart]) -> bool:
    """Tell whether parts are alike in height with wide gaps between all of them."""
    tallest = max(p.height for p in parts)
    alike = min(p.height for p in parts) >= LEAST_HEIGHT * tallest
    return alike and all(b.x - a.right > LEAST_GAP * tallest for a, b in pairwise(parts))


def _may_stand_apart(crop: FieldCrop, read: RawReading) -> bool:
    """Tell from the reading whether a closer look is worth its time: the digits read keep their distance, too."""
    height, width = crop.grey.shape
    boxes = [d.box_px for d in read.digits]
    tallest = max(max(box.w, box.h) for box in boxes)
    middles = [(box.x + box.w / 2, box.y + box.h / 2) for box in boxes]
    apart = all(math.dist(a, b) > LEAST_DISTANCE * tallest for a, b in pairwise(middles))
    return apart and 8 <= height < width
