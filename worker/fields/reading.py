"""Field crops to readings, by the reader that a field's layout wants; every digit goes through the digit model.

Free fields are read whole by the sequence reader, rows of cells both cell by cell and as a line; without its model
both are cut into digits, and nobody knows when that is right.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from worker.digits.normalization import normalize_digits
from worker.fields.cell_rows import read_cell_rows, read_digit
from worker.fields.cutting.apart import read_apart
from worker.fields.cutting.segmentation import segment_field
from worker.fields.judging.confidence import NOTHING_ACCEPTED
from worker.fields.line_reader.normalization import normalize_line
from worker.fields.line_reader.reading import read_sequence
from worker.fields.locating.cells import segment_cells
from worker.values import DigitCrop, DigitReading, FieldCrop, ReadField, Recognizers

UNSURE_DIGIT = 0.9
"""A digit less likely than this is named as a reason for review."""
BLANK_AGREED, BLANK_DISPUTED = 0.999, 0.5
"""Confidence that a field is empty where both ways to find its ink find none, and where only one does."""


def read_fields(crops: Sequence[FieldCrop], recognizers: Recognizers) -> list[ReadField]:
    """Read every crop with the reader for its layout; results in the order of the crops."""
    if recognizers.transcribe_fields is None:
        return _read_cut(crops, recognizers)
    by_index: dict[int, ReadField] = {}
    for layout, read in (("free", _read_free), ("cells", read_cell_rows)):
        chosen = [i for i, crop in enumerate(crops) if crop.spec.layout == layout]
        reads = read([crops[i] for i in chosen], recognizers) if chosen else []
        by_index.update(zip(chosen, reads, strict=True))
    return [by_index[i] for i in range(len(crops))]


def _read_free(crops: Sequence[FieldCrop], recognizers: Recognizers) -> list[ReadField]:
    """Read free fields as lines, and numbers whose digits stand far apart one by one where a line misses some."""
    reads = read_sequence(crops, recognizers)
    return [read_apart(crop, read, recognizers) for crop, read in zip(crops, reads, strict=True)]


def _read_cut(crops: Sequence[FieldCrop], recognizers: Recognizers) -> list[ReadField]:
    """Cut every crop into digits and classify them all in one batch; none is accepted without the other reader."""
    places = [_segment(crop) for crop in crops]
    inks = [digit.ink for row in places for digit in row if digit is not None]
    answers = iter(recognizers.classify_digits(normalize_digits(inks)) if inks else ())
    return [
        _read_places(crop, row, [read_digit(d, next(answers)) for d in row if d is not None])
        for crop, row in zip(crops, places, strict=True)
    ]


def _segment(crop: FieldCrop) -> Sequence[DigitCrop | None]:
    """Return the digit candidates of a field left to right; None is an empty cell."""
    return segment_field(crop) if crop.spec.cells is None else segment_cells(crop, crop.spec.cells)


def _read_places(crop: FieldCrop, places: Sequence[DigitCrop | None], digits: Sequence[DigitReading]) -> ReadField:
    return ReadField(
        text="".join(str(d.digit) for d in digits),
        confidence=_product(digits) if digits else _blank_confidence(crop),
        box_px=crop.box_px,
        blank=not digits,
        digits=tuple(digits),
        doubts=(*_gaps(places), *_doubted(digits)),
        registration=crop.registration,
        accept_threshold=NOTHING_ACCEPTED if digits else None,
    )


def _product(digits: Sequence[DigitReading]) -> float:
    """Return the probability that all digits are right if each errs on its own: cells keep them apart."""
    return float(np.prod([d.confidence * (1 - d.outlier) for d in digits]))


def _blank_confidence(crop: FieldCrop) -> float:
    if crop.spec.layout == "cells":
        return BLANK_AGREED
    return BLANK_AGREED if min(crop.grey.shape) < 8 or normalize_line(crop.grey).ink == 0 else BLANK_DISPUTED


def _gaps(places: Sequence[DigitCrop | None]) -> list[str]:
    """Name the empty cells between filled ones: a digit may be too faint there."""
    filled = [i for i, place in enumerate(places) if place is not None]
    inside = range(filled[0], filled[-1]) if filled else range(0)
    return [f"cell {i + 1} is empty between digits" for i in inside if places[i] is None]


def _doubted(digits: Sequence[DigitReading]) -> list[str]:
    unsure = [
        f"digit {i + 1} may be {' or '.join(str(d) for d, _ in digit.top(2))}"
        for i, digit in enumerate(digits)
        if digit.confidence < UNSURE_DIGIT
    ]
    strange = [f"digit {i + 1} may be no digit" for i, digit in enumerate(digits) if digit.outlier > 0.5]
    return unsure + strange
