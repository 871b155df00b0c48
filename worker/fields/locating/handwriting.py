"""Handwritten numbers told from print and scribble on a free page, by the digit model and by size."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from worker.fields.locating.number_lines import Glyph, Number

Strangeness = Mapping[Glyph, float]
"""How likely each glyph is no digit, by the digit model's eleventh answer."""

STRANGE = 0.5
"""From here on a glyph is no digit."""

_FEWEST_LETTERS, _LETTER_SHARE = 15, 0.1
"""A page with so many glyphs that are no digits, and with this share of them, holds print."""

_LARGER_THAN_PRINT = 1.25
"""People write digits larger than the print around them by this factor at least."""


def without_print(strangeness: Strangeness) -> list[Glyph]:
    """Return the glyphs that are larger than the print of a page: all of them where it has no print.

    Letters that look like digits (l, o, S) are print as their neighbours are, whatever they look like.
    """
    heights = {glyph: glyph.box[3] - glyph.box[1] for glyph in strangeness}
    letters = [heights[glyph] for glyph, strange in strangeness.items() if strange > STRANGE]
    if len(letters) < max(_FEWEST_LETTERS, _LETTER_SHARE * len(strangeness)):
        return list(strangeness)
    least = _LARGER_THAN_PRINT * float(np.percentile(letters, 95))
    return [glyph for glyph, height in heights.items() if height > least]


def keep_numbers(rows: list[list[Number]], strangeness: Strangeness) -> list[list[Number]]:
    """Leave out what is mostly no digits, and the rows that hold nothing else."""
    kept = [[n for n in row if np.mean([strangeness[g] for g in n]) < STRANGE] for row in rows]
    return [row for row in kept if row]
