"""Rows of cells: what each cell reads by itself is one more witness beside those that read the row as a line.

Cutting at the dividers loses strokes that touch the print; a whole line can lose count of its digits. They fail
unlike each other, so their agreement is the best evidence that a row was read right (docs/lab-notebook/confidence.md).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from worker.calibration import FieldCalibration
from worker.digits.classification import read_digits, spell_digits
from worker.digits.framing import frame_digits
from worker.doubts import Doubt, DoubtKind
from worker.fields.judging.altered_digits import find_altered
from worker.fields.judging.confidence import doubt_alterations, list_alternatives, list_doubts
from worker.fields.judging.emptiness import judge_emptiness
from worker.fields.judging.evidence import FLOOR, FieldEvidence, gather_evidence, log_odds
from worker.fields.judging.printed_digits import shows_cell_numbers
from worker.fields.line_reader.reading import describe_unread
from worker.fields.line_reader.transcription import Transcript, transcribe
from worker.fields.locating.cell_ink import segment_cells
from worker.values import Alternative, Box, DigitCrop, DigitReading, FieldCrop, RawReading, Recognizers

Floats = NDArray[np.float32]
CutRow = Sequence[DigitCrop | None]
"""What was cut out of each cell of a row; None is an empty cell."""

WORTH_A_LOOK = 0.2
"""A row of which no digit looks so altered in its line has none in its cells, either."""
MANY_PASSED_OVER = 2
"""Cells with ink beyond the line's digits: print or grain may look like ink in one."""


@dataclass(frozen=True, slots=True)
class RowEvidence(FieldEvidence):
    """The evidence of a row of cells: that of its line, and what its cells say, read alone.

    ``cells_differ`` is 1 where they read another text, ``cells_miscount`` where they read another number of digits;
    ``cells_weakest`` is the log-odds of the text's least likely digit in its cell, ``full_row`` is 1 where every cell
    has a digit.
    """

    cells_differ: float
    cells_miscount: float
    cells_weakest: float
    full_row: float


@dataclass(frozen=True, slots=True, eq=False)
class CellRowReading:
    """What was made of one row: ``cells`` has a digit a cell, None where it is empty; ``line`` is what all read.

    ``altered`` (n,) is how much each digit of the text looks struck out or written over, from 0 to 1: in the cut of the
    line and that of its cell, on average.
    """

    cells: tuple[DigitReading | None, ...]
    line: Transcript
    altered: Floats

    @property
    def text(self) -> str:
        """The row's digits."""
        return self.line.text

    @property
    def digits(self) -> tuple[DigitReading, ...]:
        """The row's digits, in the places of their cells where both cut them out of the same ink."""
        found = [d for d in self.cells if d is not None]
        if len(found) != len(self.line.digits):
            return self.line.digits
        pairs = zip(found, self.line.digits, strict=True)
        return tuple(replace(b, box_px=a.box_px) if _is_same_ink(a.box_px, b.box_px) else b for a, b in pairs)

    @property
    def cells_text(self) -> str:
        """The digits that the cells alone spell."""
        return spell_digits(d for d in self.cells if d is not None)


def read_cell_rows(crops: Sequence[FieldCrop], recognizers: Recognizers) -> list[RawReading]:
    """Read every row by its cells and as a line; each has one calibrated confidence."""
    return [describe_row(row, recognizers.calibration.cells) for row in look_at_rows(crops, recognizers)]


def look_at_rows(crops: Sequence[FieldCrop], recognizers: Recognizers) -> list[CellRowReading]:
    """Return what both readers see in each row, and the digits that follow from it."""
    cut = [segment_cells(crop, crop.spec.cells or 1) for crop in crops]
    cells = _read_cells(cut, recognizers)
    lines = transcribe(crops, recognizers, cells)
    altered = [_see_altered(row, line, recognizers) for row, line in zip(cut, lines, strict=True)]
    rows = zip(cells, lines, altered, strict=True)
    return [CellRowReading(tuple(own), line, answer) for own, line, answer in rows]


def _read_cells(rows: Sequence[CutRow], recognizers: Recognizers) -> list[list[DigitReading | None]]:
    """Read the digits that were cut out of all rows in one batch; None is an empty cell."""
    digits = iter(read_digits([cell for row in rows for cell in row if cell is not None], recognizers))
    return [[None if cell is None else next(digits) for cell in row] for row in rows]


def _see_altered(row: CutRow, line: Transcript, recognizers: Recognizers) -> Floats:
    """Return how altered each digit of a line looks, (n,): the mean of two cuts, where as many cells were cut out.

    The two cuts part digits and print unlike each other, and bits of print make a digit look altered in one of them.
    """
    inks = [cell.ink for cell in row if cell is not None]
    if recognizers.see_alterations is None or len(inks) != len(line.text) or line.altered.max(initial=0) < WORTH_A_LOOK:
        return line.altered
    answers = recognizers.see_alterations(frame_digits(inks))
    own = answers[np.arange(len(inks)), [int(digit) for digit in line.text]]
    return np.asarray((line.altered + own) / 2, np.float32)


def gather_row_evidence(row: CellRowReading) -> RowEvidence:
    """Return the evidence of one row in which digits were read."""
    cells = [d for d in row.cells if d is not None]
    chosen = [int(digit) for digit in row.text]
    weakest = FLOOR
    if len(cells) == len(chosen):
        weakest = min(float(d.probabilities[k]) * (1 - d.outlier) for d, k in zip(cells, chosen, strict=True))
    return RowEvidence(
        **dataclasses.asdict(gather_evidence(row.line)),
        cells_differ=float(row.cells_text != row.text),
        cells_miscount=float(len(cells) != len(chosen)),
        cells_weakest=log_odds(weakest),
        full_row=float(len(chosen) == len(row.cells)),
    )


def _is_same_ink(a: Box, b: Box) -> bool:
    """Tell whether two boxes are of one digit: each one's middle column lies in the other."""
    middles = (a.x + a.w / 2, b.x + b.w / 2)
    return all(box.x <= middle <= box.x + box.w for box, middle in zip((b, a), middles, strict=True))


def describe_row(row: CellRowReading, calibration: FieldCalibration) -> RawReading:
    """Return a row as the decision wants it, with its doubts where it is not sure enough."""
    crop = row.line.crop
    are_numbers = not any(row.cells) and shows_cell_numbers(row.line)
    empty = judge_emptiness(row.line, is_print=are_numbers, cells_read=_cells_look_written(row))
    if empty is not None:
        return RawReading("", empty, crop.box_px, blank=True, registration=crop.registration)
    if not row.digits:
        return describe_unread(row.line)
    confidence = calibration.confidence(gather_row_evidence(row))
    others = list_alternatives(row.line)
    if row.cells_text not in ("", row.text, *(other.text for other in others)):
        others = (*others, Alternative(row.cells_text, 0.0))
    return RawReading(
        text=row.text,
        confidence=confidence,
        box_px=crop.box_px,
        digits=row.digits,
        alternatives=others,
        doubts=(
            *_gaps(row),
            *doubt_alterations(find_altered(row.altered)),
            *(_differences(row) if _passes_over_cells(row) or not calibration.is_enough(confidence) else ()),
        ),
        registration=crop.registration,
        accept_threshold=calibration.accept_threshold,
        marks=row.line.gap_marks,
        rival_marks=row.line.rival_marks,
    )


def _cells_look_written(row: CellRowReading) -> bool:
    """Tell whether a third of the cells, two at least, hold what the digit model takes for a digit, 1s aside."""
    sure = [d for d in row.cells if d is not None and d.confidence > 0.7 and d.outlier < 0.3 and d.digit != 1]
    return len(sure) >= max(2, 0.34 * len(row.cells))


def _passes_over_cells(row: CellRowReading) -> bool:
    """Tell whether the line has fewer digits than cells with ink, by two at least; print seldom fills so many cells.

    Of eight digits on grainy paper the line had read one, surely. In a ``filled`` field crosses fill the others.
    """
    inked = sum(cell is not None for cell in row.cells)
    return not row.line.crop.spec.filled and inked >= len(row.digits) + MANY_PASSED_OVER


def _differences(row: CellRowReading) -> list[Doubt]:
    if row.cells_text == row.line.text:
        return list(list_doubts(row.line))
    return [Doubt(DoubtKind.CELLS_AND_LINE_DIFFER, readings=(row.cells_text, row.line.text))]


def _gaps(row: CellRowReading) -> list[Doubt]:
    """Name the empty cells between filled ones, unless the line shows a digit in every cell."""
    filled = [i for i, cell in enumerate(row.cells) if cell is not None]
    inside = range(filled[0], filled[-1]) if filled and len(row.digits) < len(row.cells) else range(0)
    return [Doubt(DoubtKind.EMPTY_CELL, position=i + 1) for i in inside if row.cells[i] is None]
