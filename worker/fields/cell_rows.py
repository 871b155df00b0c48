"""Rows of cells read twice: cell by cell by the digit model, and as one line by the sequence reader.

Cutting at the dividers loses strokes that touch the print; a whole line can lose count of its digits. They fail
unlike each other, so their agreement is the best evidence that a row was read right (docs/lab-notebook/reading.md).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.calibration import FieldCalibration
from worker.digits.normalization import normalize_digits
from worker.doubts import Doubt, DoubtKind
from worker.fields.judging.confidence import list_doubts
from worker.fields.judging.emptiness import judge_emptiness
from worker.fields.judging.evidence import FLOOR, FieldEvidence, gather_evidence, log_odds
from worker.fields.line_reader.reading import describe_unread
from worker.fields.line_reader.transcription import Transcript, transcribe
from worker.fields.locating.cells import segment_cells
from worker.values import NOT_A_DIGIT, Alternative, Box, DigitCrop, DigitReading, FieldCrop, RawReading, Recognizers

SURE_LINE = 0.9
"""From this probability on a line whose networks agree outweighs cells that differ (docs/lab-notebook/reading.md)."""


@dataclass(frozen=True, slots=True)
class RowEvidence(FieldEvidence):
    """The evidence of a row of cells: that of its line, what its cells say, read alone, and what was settled on.

    ``cells_agree`` and ``cells_as_many`` are 1 where the cells read as the line does, and as many digits;
    ``as_the_line`` is 1 where the line's digits were settled on; ``cells_weakest`` and ``weakest_settled`` are
    log-odds.
    """

    cells_agree: float
    cells_as_many: float
    cells_weakest: float
    as_the_line: float
    weakest_settled: float


@dataclass(frozen=True, slots=True, eq=False)
class CellRowReading:
    """What both readers made of one row: ``cells`` has a digit a cell, None where it is empty."""

    cells: tuple[DigitReading | None, ...]
    line: Transcript
    digits: tuple[DigitReading, ...]

    @property
    def text(self) -> str:
        """The digits that are taken for the row's."""
        return _spell(self.digits)

    @property
    def cells_text(self) -> str:
        """The digits that the cells alone spell."""
        return _spell([d for d in self.cells if d is not None])


def read_cell_rows(crops: Sequence[FieldCrop], recognizers: Recognizers) -> list[RawReading]:
    """Read every row by its cells and as a line; each has one calibrated confidence."""
    return [_describe(row, recognizers.calibration.cells) for row in look_at_rows(crops, recognizers)]


def look_at_rows(crops: Sequence[FieldCrop], recognizers: Recognizers) -> list[CellRowReading]:
    """Return what both readers see in each row, and the digits that follow from it."""
    lines = transcribe(crops, recognizers)
    return [
        CellRowReading(tuple(cells), line, settle_digits(cells, line, crop.spec.cells or 0))
        for crop, cells, line in zip(crops, read_cells(crops, recognizers), lines, strict=True)
    ]


def read_cells(crops: Sequence[FieldCrop], recognizers: Recognizers) -> list[list[DigitReading | None]]:
    """Cut every row at its dividers and classify the digits of all rows in one batch; None is an empty cell."""
    rows = [segment_cells(crop, crop.spec.cells or 1) for crop in crops]
    inks = [cell.ink for row in rows for cell in row if cell is not None]
    answers = iter(recognizers.classify_digits(normalize_digits(inks)) if inks else ())
    return [[None if cell is None else read_digit(cell, next(answers)) for cell in row] for row in rows]


def gather_row_evidence(row: CellRowReading) -> RowEvidence:
    """Return the evidence of one row in which digits were read."""
    cells = [d for d in row.cells if d is not None]
    chosen = [d.digit for d in row.digits]
    weakest = FLOOR
    if len(cells) == len(chosen) and cells:
        weakest = min(float(d.probabilities[k]) * (1 - d.outlier) for d, k in zip(cells, chosen, strict=True))
    return RowEvidence(
        **dataclasses.asdict(gather_evidence(row.line)),
        cells_agree=float(row.cells_text == row.line.text),
        cells_as_many=float(len(cells) == len(row.line.digits)),
        cells_weakest=log_odds(weakest),
        as_the_line=float(row.text == row.line.text),
        weakest_settled=log_odds(min((d.confidence for d in row.digits), default=FLOOR)),
    )


def settle_digits(cells: Sequence[DigitReading | None], line: Transcript, count: int) -> tuple[DigitReading, ...]:
    """Return the digits that follow from both readings.

    A sure line with a digit for every cell counts. Where both see as many digits, the probabilities of each that both
    cut out of the same ink are pooled; elsewhere the cells were cut beside the digits, and the line counts. Else the
    one that fills the row counts, and where neither does, the line: cells lose whole digits more often.
    """
    if len(line.digits) == count and _is_sure(line):
        return line.digits
    found = [d for d in cells if d is not None]
    if found and len(found) == len(line.digits):
        pairs = zip(found, line.digits, strict=True)
        return tuple(_pool(a, b) if _is_same_ink(a.box_px, b.box_px) else b for a, b in pairs)
    return tuple(found) if len(found) == count and line.digits else line.digits


def _is_sure(line: Transcript) -> bool:
    return line.candidates[0].probability >= SURE_LINE and set(line.readings) == {line.text}


def _is_same_ink(a: Box, b: Box) -> bool:
    """Tell whether two boxes are of one digit: each one's middle column lies in the other."""
    middles = (a.x + a.w / 2, b.x + b.w / 2)
    return all(box.x <= middle <= box.x + box.w for box, middle in zip((b, a), middles, strict=True))


def _pool(cell: DigitReading, in_line: DigitReading) -> DigitReading:
    """Return the cell's digit with the geometric mean of both readers' probabilities."""
    pooled = np.sqrt((cell.probabilities + FLOOR) * (in_line.probabilities + FLOOR))
    outlier = min(cell.outlier, in_line.outlier)
    return DigitReading(cell.position, np.asarray(pooled / pooled.sum(), np.float32), outlier, cell.box_px)


def _describe(row: CellRowReading, calibration: FieldCalibration) -> RawReading:
    crop = row.line.crop
    empty = None if _cells_look_written(row) else judge_emptiness(row.line)
    if empty is not None:
        return RawReading("", empty, crop.box_px, blank=True, registration=crop.registration)
    if not row.digits:
        return describe_unread(row.line)
    confidence = calibration.confidence(gather_row_evidence(row))
    others = {row.cells_text, row.line.text} - {row.text, ""}
    as_many = len(row.digits) == len(row.line.digits)
    return RawReading(
        text=row.text,
        confidence=confidence,
        box_px=crop.box_px,
        digits=row.digits,
        alternatives=tuple(Alternative(text, (1 - confidence) / 2) for text in sorted(others)),
        doubts=(*_gaps(row), *(() if calibration.is_enough(confidence) else _differences(row))),
        registration=crop.registration,
        accept_threshold=calibration.accept_threshold,
        marks=row.line.gap_marks if as_many else (),
        rival_marks=row.line.rival_marks if as_many else (),
    )


def _cells_look_written(row: CellRowReading) -> bool:
    """Tell whether a third of the cells, two at least, hold what the digit model takes for a digit, 1s aside."""
    sure = [d for d in row.cells if d is not None and d.confidence > 0.7 and d.outlier < 0.3 and d.digit != 1]
    return len(sure) >= max(2, 0.34 * len(row.cells))


def _differences(row: CellRowReading) -> list[Doubt]:
    if row.cells_text == row.line.text:
        return list(list_doubts(row.line))
    return [Doubt(DoubtKind.CELLS_AND_LINE_DIFFER, readings=(row.cells_text, row.line.text))]


def _gaps(row: CellRowReading) -> list[Doubt]:
    """Name the empty cells between filled ones, unless the line shows a digit in every cell."""
    filled = [i for i, cell in enumerate(row.cells) if cell is not None]
    inside = range(filled[0], filled[-1]) if filled and len(row.digits) < len(row.cells) else range(0)
    return [Doubt(DoubtKind.EMPTY_CELL, position=i + 1) for i in inside if row.cells[i] is None]


def _spell(digits: Sequence[DigitReading]) -> str:
    return "".join(str(d.digit) for d in digits)


def read_digit(crop: DigitCrop, probabilities: NDArray[np.float32]) -> DigitReading:
    """Return a cut-out digit with its (11,) probabilities shared out among digits and "not a digit"."""
    digits = probabilities[:NOT_A_DIGIT] + np.float32(1e-7)
    return DigitReading(crop.position, digits / digits.sum(), float(probabilities[NOT_A_DIGIT]), crop.box_px)
