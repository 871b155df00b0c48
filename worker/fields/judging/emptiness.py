"""Whether a field is empty: its form asks for digits, and its paper holds none.

Two witnesses that know nothing of each other are asked: the networks of the line reader, and the ink that is left when
print is taken out. A field is blank only if neither sees writing: networks overlook lone 1s, marks that are no digits,
and two lines in one box.
"""

from __future__ import annotations

from worker.fields.judging.leftover_ink import Leftover, judge_leftover_ink
from worker.fields.line_reader.transcription import Transcript
from worker.values import Grey

LEAST_SHARE = 0.7
"""The probability that the line reader leaves to strings that do not fit, where it sees nothing written."""
LEAST_SHARE_OF_ONE = 0.5
"""The same where one of its networks reads something."""
SURE_EMPTY, NEARLY_SURE_EMPTY = 0.998, 0.97
"""Confidence of a field in which nothing is left, and of one in which either witness sees a trace.

Measured on drawn fields: docs/lab-notebook/free-pages.md.
"""
SURE_DIGIT, SURELY_NONE = 0.6, 0.1
"""A mark that both readers take for this digit, and hardly for no digit, is looked at by a person."""
LIKE_PRINT = ("1", "7")
"""What dividers, teeth and corners of frames look like."""
BLACK, WHITE, TWO_VALUED, MOST_BLACK = 60, 195, 0.97, 0.55
"""A crop with this share of its pixels darker than the first or lighter than the second has two values, and hides what
is written if more than the last is black. 1.3 % of drawn blank boxes and 0.5 % of blank rows are such crops."""


def hides_writing(grey: Grey) -> bool:
    """Tell whether a crop (H, W) uint8 has two values and is so black that no writing could be seen in it."""
    is_black = grey < BLACK
    return float((is_black | (grey > WHITE)).mean()) >= TWO_VALUED and float(is_black.mean()) > MOST_BLACK


def judge_emptiness(seen: Transcript, *, is_print: bool = False) -> float | None:
    """Return how sure it is that nothing is written in a field; None where something is, or may be.

    A crop higher than wide was cut around its strokes, and is never called empty against the digits read of them.
    ``is_print`` says that the digits that were read are known to be print.
    """
    if is_print:
        return NEARLY_SURE_EMPTY if judge_leftover_ink(seen.crop) is Leftover.NOTHING else None
    share = _share_of_empty(seen)
    readings = [vote.reading for vote in seen.networks]
    silent = not any(readings) and share >= LEAST_SHARE
    if not silent and ("" not in readings or share < LEAST_SHARE_OF_ONE):
        return None
    height, width = seen.crop.grey.shape
    if seen.digits and (height > width or _looks_written(seen)):
        return None
    left = judge_leftover_ink(seen.crop)
    if left is Leftover.STROKES or (left is Leftover.FAINT and not silent):
        return None
    return SURE_EMPTY if silent and left is Leftover.NOTHING else NEARLY_SURE_EMPTY


def _share_of_empty(seen: Transcript) -> float:
    best = seen.candidates[0]
    return 1 - best.probability if best.digits else best.probability


def _looks_written(seen: Transcript) -> bool:
    confidence = sum(d.confidence for d in seen.digits) / len(seen.digits)
    strange = min(d.outlier for d in seen.digits)
    return confidence > SURE_DIGIT and strange < SURELY_NONE and seen.text not in LIKE_PRINT
