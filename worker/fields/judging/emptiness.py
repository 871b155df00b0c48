"""Whether a field that reads as digits is empty after all: its form asks for digits, and its paper holds none.

A field's grammar leaves out the empty string, so that the best string that fits may be a corner of print that the
sequence reader itself holds for nothing. What each of its networks makes of the line tells,
and what the digit model makes of every mark.
"""

from __future__ import annotations

from worker.fields.line_reader.transcription import Transcript

LEAST_SHARE = 0.7
"""The probability that the sequence reader leaves to strings that do not fit, where it sees nothing written."""
EMPTY_CONFIDENCE = 0.97
"""Least confidence of such a field: of drawn ones, half of them empty, 97 in 100 are (docs/lab-notebook/reading.md)."""
SURE_DIGIT, SURELY_NONE = 0.6, 0.1
"""A mark that both readers hold for this digit, and hardly for no digit, is looked at by a person."""
LIKE_PRINT = ("1", "7")
"""What dividers, teeth and corners of frames look like."""


def seems_empty(seen: Transcript) -> bool:
    """Tell whether there are no digits, or only print or paper: no network reads any, and none looks like writing.

    A crop higher than wide was cut around its strokes, and is never called empty against them.
    """
    if any(seen.readings) or _share_of_empty(seen) < LEAST_SHARE:
        return False
    height, width = seen.crop.grey.shape
    return not seen.digits or (height <= width and not _looks_written(seen))


def empty_confidence(seen: Transcript) -> float:
    """Return how sure it is that a field is empty of which ``seems_empty`` says so."""
    return max(EMPTY_CONFIDENCE, min(_share_of_empty(seen), 0.999))


def _share_of_empty(seen: Transcript) -> float:
    best = seen.candidates[0]
    return 1 - best.probability if best.digits else best.probability


def _looks_written(seen: Transcript) -> bool:
    confidence = sum(d.confidence for d in seen.digits) / len(seen.digits)
    strange = min(d.outlier for d in seen.digits)
    return confidence > SURE_DIGIT and strange < SURELY_NONE and seen.text not in LIKE_PRINT
