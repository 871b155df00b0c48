"""Find digits that no longer count by their ink: struck out or written over, as a network of its own sees it.

Readers that were taught on numbers look for digits, and a struck digit is still one to them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ALTERED = 0.5
"""The witness's answer from which a digit is doubted; its export puts its threshold here."""


def find_altered(altered: NDArray[np.float32]) -> tuple[int, ...]:
    """Return the positions, from 1, of digits that look struck out or written over; each answer is from 0 to 1."""
    return tuple(int(i) + 1 for i in np.flatnonzero(altered >= ALTERED))
