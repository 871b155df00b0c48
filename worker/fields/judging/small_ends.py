"""Find what is small at the end of a line: cents that only stand raised, a power, or the letter of a unit.

The labelled numbers of the development halves chose the limits: 1,013 of them are lines in which digits were read, and
none that is accepted and right has such an end.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from worker.fields.line_reader.alignment import Cut
from worker.fields.line_reader.transcription import Transcript
from worker.values import Box

HIGHER, CLEARLY_HIGHER = 0.15, 0.4
"""How far the feet of two raised digits stand above the foot of the digit before them, in heights of the digits before;
and of a single one, or where only one digit stands before them, which may be the tall one."""
SMALLER, TOP = 0.85, 0.35
"""Raised digits have at most this share of the others' height, and begin no further than that below their top."""
UNDERLINED, CENTS_HIGHER = 0.95, 0.22
"""The same of two that stand so much higher: the line under them is in their boxes."""
LEAST_BEFORE = 0.7
"""The digit before them is no smaller than this share of the others: digits may shrink towards the end."""

LETTER, APART = 0.6, 0.25
"""What stands this far behind the digits, and is no higher than so much of them, may be a letter: an s is like a 5."""
LOWER_TOP, LOWER_FOOT = 0.25, 0.15
"""So may what begins and ends so much lower than the digit before it: a g is like a 9."""


def ends_in_letter(seen: Transcript) -> bool:
    """Tell whether the last digit of a line, behind the others, is so small or stands so low that it may be a unit."""
    boxes = [cut.box for cut in seen.cuts]
    if len(boxes) < 2 or seen.crop.spec.kind in ("date", "time") or seen.gap_marks[-2]:
        return False
    height, before, last = statistics.median(box.h for box in boxes[:-1]), boxes[-2], boxes[-1]
    feet = statistics.median(box.y + box.h for box in boxes[:-2] or boxes[:1])
    stands = before.y + before.h > feet - LOWER_FOOT * height
    top = min(before.y, before.y + before.h - height) if stands else before.y  # a small 0 may stand on the line
    lower, foot = last.y - top, last.y + last.h - before.y - before.h
    hangs = lower >= LOWER_TOP * height and foot >= LOWER_FOOT * height
    return (last.h <= LETTER * height or hangs) and last.x - before.x - before.w >= APART * height


def part_raised(seen: Transcript) -> str:
    """Return a line's digits with a point before those that are raised, or small and apart; '' where none are.

    Behind a written `328` small printed zeros were read as 32800. A mark that parts the digits tells by itself. In a
    date or a time raised digits mean the same, and so they do where the last digits are decimals anyhow.
    """
    spec = seen.crop.spec
    if spec.kind in ("date", "time") or spec.cents == "implied":
        return ""
    boxes = [cut.box for cut in seen.cuts]
    raised = next((n for n in (2, 1) if n < len(boxes) and _are_raised(boxes[:-n], boxes[-n:])), 0)
    raised = raised or next((n for n in (3, 2) if n < len(boxes) and _are_small(seen.cuts[:-n], seen.cuts[-n:])), 0)
    at = len(boxes) - raised
    if not raised or any(seen.gap_marks[at:-1]) or "/" in seen.gap_marks[-1]:
        return ""
    return f"{seen.text[:at]}.{seen.text[at:]}"


def _are_raised(others: list[Box], last: list[Box]) -> bool:
    height, before = statistics.median(box.h for box in others), others[-1]
    smaller, higher = SMALLER, CLEARLY_HIGHER
    if min(len(others), len(last)) > 1:
        is_underlined = any(box.h > SMALLER * height for box in last)
        smaller, higher = (UNDERLINED, CENTS_HIGHER) if is_underlined else (SMALLER, HIGHER)
    foot, top = before.y + before.h - higher * height, before.y + TOP * height
    return before.h >= LEAST_BEFORE * height and all(
        box.h <= smaller * height and box.y + box.h < foot and box.y < top for box in last
    )


def _are_small(others: Sequence[Cut], last: Sequence[Cut]) -> bool:
    height, before, first = statistics.median(cut.box.h for cut in others), others[-1].box, last[0].box
    is_apart = first.x - before.x - before.w >= APART * height
    return is_apart and all(cut.box.h <= LETTER * height or not cut.ink.any() for cut in last)
