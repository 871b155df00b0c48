"""Tell handwritten numbers from print and scribble on a free page, by the digit model and by size."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from worker.fields.locating.number_lines import Glyph, Number

Strangeness = Mapping[Glyph, float]
"""The probability that each glyph is not a digit, by the eleventh answer of the digit model."""

STRANGE = 0.5
"""From this probability on a glyph is not a digit."""

_FEWEST_LETTERS, _LETTER_SHARE = 15, 0.1
"""A page holds print if it has at least this many non-digits, and this share of them."""

_BROAD = 0.9
"""Two digits that touch are broader than this share of their height."""

_LARGER_THAN_PRINT = 1.25
"""Least factor by which people write digits larger than the print around them."""


def without_print(strangeness: Strangeness) -> list[Glyph]:
    """Return the glyphs that are larger than the print of a page; all of them if it has no print.

    Letters that look like digits (l, o, S) are print like their neighbours, whatever they look like.
    """
    heights = {glyph: glyph.extent.height for glyph in strangeness}
    letters = [heights[glyph] for glyph, strange in strangeness.items() if strange > STRANGE and not _is_broad(glyph)]
    if len(letters) < max(_FEWEST_LETTERS, _LETTER_SHARE * len(strangeness)):
        return list(strangeness)
    least = _LARGER_THAN_PRINT * float(np.percentile(letters, 95))
    return [glyph for glyph, height in heights.items() if height > least]


def looks_written(number: Number, strangeness: Strangeness) -> bool:
    """Tell whether most of a number's glyphs look like digits; two digits that touch look like none."""
    return float(np.mean([strangeness[glyph] for glyph in number])) < STRANGE


def may_be_number(number: Number) -> bool:
    """Tell whether strange ink may be digits that touch or are joined by a line: it is broad, or not alone."""
    return len(number) > 1 or _is_broad(number[0])


def _is_broad(glyph: Glyph) -> bool:
    return glyph.extent.width > _BROAD * glyph.extent.height
