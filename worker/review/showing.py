"""How much of a reading a person is shown: a wrong digit shown as a suggestion is worse than none.

The greater the risk that the machine misleads, the less is shown: all of the reading, to be confirmed; all but its
doubtful digits; or nothing, so that the field is keyed blind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from worker.doubts import DoubtKind
from worker.store.tables import LOW_CONFIDENCE

Mode = Literal["confirm", "partial", "blind"]

GAP = "_"
"""Stands in a shown text for a digit that is left out."""
LEAST_SHOWN = 0.9
"""A field of less confidence is never shown whole, however sure each of its digits is."""
MOST_GAPS = 0.5
"""With a greater share of doubtful digits, filling gaps takes longer than keying, and leads astray."""
MARKS = frozenset("0123456789.,:/-+' ")
"""What may stand in a shown text: characters that a person can type and confirm."""

HARMLESS = frozenset(
    {
        DoubtKind.LOW_CONFIDENCE,
        DoubtKind.NOT_CALIBRATED,
        DoubtKind.NO_PROMISE,
        DoubtKind.NEAR_TIE,
        DoubtKind.TOUCHING_DIGITS,
        DoubtKind.REGISTRATION_UNCERTAIN,
        DoubtKind.DAMAGED_FILE,
        DoubtKind.NO_CURRENCY_SIGN,
        DoubtKind.LIMIT_BROKEN,
        DoubtKind.UNEVEN_PITCH,
        DoubtKind.UNSURE_CHARACTER,
    }
)
"""Doubts whose digits may be shown, the doubtful ones left out. With any other, as two readers that differ, a struck
or overwritten digit, ink that was not read or a broken rule, a suggestion would mislead."""


@dataclass(frozen=True, slots=True)
class Showing:
    """What a person is shown of a reading: the mode, and the text with a gap for each digit left out."""

    mode: Mode
    text: str = ""


def choose_showing(
    *, text: str, written: str, confidence: float, digits: Sequence[float], doubts: frozenset[str], kind: str
) -> Showing:
    """Choose what is shown of a field by its doubts and by the confidence of each of its digits.

    ``text`` are its digits, ``written`` the same with their marks; ``digits`` are the confidences in [0, 1], in order.
    """
    shown = written or text
    is_plain = "".join(c for c in shown if c.isdigit()) == text and MARKS.issuperset(shown)
    if kind == "mark" or not text or len(digits) != len(text) or not is_plain or not doubts <= HARMLESS:
        return Showing("blind")
    doubtful = [probability < LOW_CONFIDENCE for probability in digits]
    if sum(doubtful) > MOST_GAPS * len(doubtful):
        return Showing("blind")
    if any(doubtful):
        gaps = iter(doubtful)
        return Showing("partial", "".join(GAP if c.isdigit() and next(gaps) else c for c in shown))
    return Showing("confirm", shown) if confidence >= LEAST_SHOWN else Showing("blind")
