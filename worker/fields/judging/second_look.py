"""Ask the general reader about fields that are about to be called blank: no line of writing was found in them.

Contrast tells what is ink, and a dark rule, a shadow's edge or a print may set it above a pencil's. The general reader
sees raw grey, and needs no line to be found first. Of 32 written fields that were called blank among 6,000 drawn ones
it sees 15, and a digit in none of 984 blank ones (docs/lab-notebook/free-pages.md).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from worker.fields.judging.printed_digits import are_cell_numbers
from worker.fields.line_reader.decoding import merge_marks, spell_greedily
from worker.fields.line_reader.general_line import cut_extent
from worker.values import Extent, FieldCrop, Recognizers

RIM = 0.12
"""Share of a crop's height that is left out above and below in one of the two looks: frames and rules lie there."""
LEAST_DIGIT = 0.3
"""A column that holds a digit with this probability may be writing."""
DIGITS = 10


def see_digits(crops: Sequence[FieldCrop], recognizers: Recognizers) -> list[bool]:
    """Tell of each crop whether the general reader sees a digit in it, in the whole of it or in its middle rows."""
    ask = recognizers.transcribe_general
    if ask is None or not crops:
        return [False] * len(crops)
    looks = [cut_extent(crop.grey, extent) for crop in crops for extent in _extents(crop)]
    cells = [crop.spec.cells or 0 for crop in crops for _ in range(2)]
    seen = [_holds_digit(answer, count) for answer, count in zip(ask(looks), cells, strict=True)]
    return [whole or middle for whole, middle in zip(seen[::2], seen[1::2], strict=True)]


def _holds_digit(answer: NDArray[np.float32], cells: int) -> bool:
    """Tell whether the reader, (T, C), sees a digit that is not of the numbers printed under so many cells."""
    is_seen = np.exp(answer[:, :DIGITS]).sum(axis=1).max() > LEAST_DIGIT
    return bool(is_seen) and not are_cell_numbers(spell_greedily(merge_marks(answer)), cells)


def _extents(crop: FieldCrop) -> tuple[Extent, Extent]:
    height, width = crop.grey.shape
    return Extent(0.0, 0.0, width, height), Extent(0.0, RIM * height, width, (1 - RIM) * height)
