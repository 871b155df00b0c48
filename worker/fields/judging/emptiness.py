"""Whether a field is empty: its form asks for digits, and its paper holds none.

Two witnesses that know nothing of each other are asked: the networks of the line reader, and the ink that is left when
print is taken out. A field is blank only if neither sees writing: networks overlook lone 1s, marks that are no digits,
and two lines in one box.
"""

from __future__ import annotations

import cv2
import numpy as np

from worker.fields.judging.leftover_ink import Leftover, judge_leftover_ink
from worker.fields.line_reader.transcription import Transcript
from worker.values import Grey

LEAST_SHARE = 0.7
"""The probability that the line reader leaves to strings that do not fit, where it sees nothing written."""
LEAST_SHARE_OF_ONE = 0.5
"""The same where one of its networks reads something."""
NOTHING_SHARE = 0.99
"""The same for all readers together: so much outweighs what a network makes of a pattern, and what cells do. Of 2,300
drawn written fields 8 had it where the second look saw nothing, 7 of them hardly to be seen; strokes were left in the
other one."""
LEAST_ROWS = 28
"""In cells of fewer pixels from top to bottom a digit is a few grey specks that the readers of lines may miss."""
SURE_EMPTY, NEARLY_SURE_EMPTY = 0.998, 0.97
"""Confidence of a field in which nothing is left, and of one in which either witness sees a trace.

Measured on drawn fields: docs/lab-notebook/free-pages.md.
"""
SURE_DIGIT, SURELY_NONE = 0.6, 0.1
"""A mark that both readers take for this digit, and hardly for no digit, is looked at by a person."""
LIKE_PRINT = ("1", "7")
"""What dividers, teeth and corners of frames look like."""
BLACK, WHITE, TWO_VALUED, MOST_BLACK = 60, 195, 0.97, 0.55
"""A crop with this share of its pixels darker than the first or lighter than the second has two values, and may hide
what is written if more than the last is black."""
SOLID, MOST_SOLID = 0.1, 0.3
"""It does if more than the last is black without a gap as wide as a pen, which is the first, in shorter sides of the
crop. Grain and patterns of dots or lines reach 0.1, written crops that hid their writing had 0.4 and more."""


def hides_writing(grey: Grey) -> bool:
    """Tell whether a crop (H, W) uint8 has two values and is so black that no writing could be seen in it.

    Fine grain and patterns hide none, however black they are: a stroke closes their gaps.
    """
    is_black = grey < BLACK
    if float((is_black | (grey > WHITE)).mean()) < TWO_VALUED or float(is_black.mean()) <= MOST_BLACK:
        return False
    side = max(3, round(SOLID * min(grey.shape)))
    padded = cv2.copyMakeBorder(is_black.view(np.uint8), side, side, side, side, cv2.BORDER_REPLICATE)
    solid = cv2.morphologyEx(padded, cv2.MORPH_OPEN, np.ones((side, side), np.uint8))[side:-side, side:-side]
    return float(solid.mean()) > MOST_SOLID


def judge_emptiness(seen: Transcript, *, is_print: bool = False, cells_read: bool = False) -> float | None:
    """Return how sure it is that nothing is written in a field; None where something is, or may be.

    A crop higher than wide was cut around its strokes, and is never called empty against the digits read of them.
    ``is_print`` says that the digits that were read are known to be print, ``cells_read`` that the cells of a row, read
    alone, hold digits: then it is empty only if all readers of the line see nothing, and nothing is left.
    """
    if cells_read and (seen.crop.grey.shape[0] < LEAST_ROWS or not _read_nothing(seen)):
        return None
    if is_print or cells_read:
        return NEARLY_SURE_EMPTY if judge_leftover_ink(seen.crop) is Leftover.NOTHING else None
    share = _share_of_empty(seen)
    readings = [vote.reading for vote in seen.networks]
    silent = not any(readings) and share >= LEAST_SHARE
    if not (silent or _read_nothing(seen)) and ("" not in readings or share < LEAST_SHARE_OF_ONE):
        return None
    height, width = seen.crop.grey.shape
    if seen.digits and (height > width or _looks_written(seen)):
        return None
    left = judge_leftover_ink(seen.crop)
    if left is Leftover.STROKES or (left is Leftover.FAINT and not silent):
        return None
    return SURE_EMPTY if silent and left is Leftover.NOTHING else NEARLY_SURE_EMPTY


def _read_nothing(seen: Transcript) -> bool:
    """Tell whether all readers together see nothing, the general reader among them, though networks read something.

    What two networks make of a pattern differs; what both read the same, or one reads as a 1, may be a stroke.
    """
    asked = seen.general is not None and not seen.general.reading
    readings = {vote.reading for vote in seen.networks}
    at_odds = (len(readings) > 1 and not readings & {*LIKE_PRINT}) or not any(readings)
    return asked and at_odds and not seen.digits and _share_of_empty(seen) >= NOTHING_SHARE


def _share_of_empty(seen: Transcript) -> float:
    best = seen.candidates[0]
    return 1 - best.probability if best.digits else best.probability


def _looks_written(seen: Transcript) -> bool:
    confidence = sum(d.confidence for d in seen.digits) / len(seen.digits)
    strange = min(d.outlier for d in seen.digits)
    return confidence > SURE_DIGIT and strange < SURELY_NONE and seen.text not in LIKE_PRINT
