"""Find digits that no longer count by their ink: one with a line through it, and one that was written over.

Readers that were taught on numbers look for digits, and a struck digit is still one to them.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.fields.line_reader.alignment import INK, Cut
from worker.fields.line_reader.transcription import Transcript

STRIKE_SHARE, LEAST_RUN, STEEPEST_PX = 0.8, 0.6, 2
"""Least length of a line through a digit, in widths and in heights of it, and its largest rise.

Measured in docs/lab-notebook/free-pages.md.
"""
END_SHARE, END_HEIGHT = 0.1, 0.3
"""At one end, this share of the width, there is nothing but the line, no higher than this share of the digit."""
MIDDLE = (0.25, 0.75)
"""Where it lies, between the digit's top and foot."""
WITH_BAR = "472"
"""Digits that have a flat bar of their own, or end in one."""
ALTERED = 0.5
"""The witness's answer from which a digit is doubted; its export puts its threshold here."""


def find_altered(altered: NDArray[np.float32]) -> tuple[int, ...]:
    """Return the positions, from 1, of digits that look struck out or written over; each answer is from 0 to 1."""
    return tuple(int(i) + 1 for i in np.flatnonzero(altered >= ALTERED))


def find_struck(seen: Transcript) -> tuple[int, ...]:
    """Return the positions, from 1, of digits through whose middle a flat line runs that sticks out on one side."""
    return tuple(
        i for i, (cut, digit) in enumerate(zip(seen.cuts, seen.text, strict=True), 1) if _is_struck(cut, digit)
    )


def _is_struck(cut: Cut, digit: str) -> bool:
    if digit in WITH_BAR:
        return False
    mask = cut.ink > INK
    x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
    if not width or width < 0.3 * height:
        return False
    ink = mask[y : y + height, x : x + width]
    end = max(1, round(END_SHARE * width))
    for view in (ink, ink[:, ::-1]):
        tip = np.flatnonzero(view[:, :end].any(axis=1)).tolist()
        row = sum(tip) / len(tip)
        alone = tip[-1] - tip[0] <= END_HEIGHT * height and MIDDLE[0] < row / max(height - 1, 1) < MIDDLE[1]
        if alone and _run_from(view, round(row)) >= max(STRIKE_SHARE * width, LEAST_RUN * height):
            return True
    return False


def _run_from(ink: NDArray[np.bool_], start: int) -> int:
    """Return how far a straight line that begins at the left, in row ``start``, stays on ink, in columns."""
    height, width = ink.shape
    columns, rises = np.arange(width), np.arange(-STEEPEST_PX, STEEPEST_PX + 1)[:, None]
    rows = np.rint(start + rises * columns / max(width - 1, 1)).astype(int).clip(0, height - 1)
    on_ink = ink[rows, columns]
    lengths = np.where(on_ink.all(axis=1), width, on_ink.argmin(axis=1))
    return int(lengths.max())
