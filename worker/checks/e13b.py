"""The fourteen shapes of E-13B on the grid of ANSI X9.27 and ISO 1004: nine rows, up to seven columns of 0.013 in.

They are drawn from the description of the standard: strokes of one unit, widened where the magnetic wave of a
character must differ, and characters four to seven units wide, set right in a cell of 0.125 in. Print rounds the
corners, which ``render`` leaves to blur. The digits 0, 1, 2, 5 and the transit symbol were compared with printed lines
of the development specimens; the other shapes were not seen on paper.
"""

from __future__ import annotations

import functools

import cv2
import numpy as np
from numpy.typing import NDArray

UNIT_IN = 0.013
"""Side of a square of the standard's grid, in inches."""
ROWS, COLUMNS = 9, 7
"""The grid of one character; most are narrower."""
PITCH_UNITS = 0.125 / UNIT_IN
"""Character pitch, 9.6 units."""
TRANSIT, ON_US, AMOUNT, DASH = "T", "U", "A", "D"
CHARACTERS = "0123456789" + TRANSIT + ON_US + AMOUNT + DASH

_SHAPES = {
    "0": "####### #.....# #.....# #.....# #.....# #.....# #.....# #.....# #######",
    "1": "##.. .#.. .#.. .#.. .#.. .#.. #### #### ####",
    "2": "##### ....# ....# ....# ##### #.... #.... #.... #####",
    "3": "####.. ...#.. ...#.. ...#.. ###### ....## ....## ....## ######",
    "4": "##..... ##..... ##..... ##..... ##...## ##...## ####### .....## .....##",
    "5": "##### #.... #.... #.... ##### ....# ....# ....# #####",
    "6": "##.... #..... #..... #..... ###### #....# #....# #....# ######",
    "7": "##### #...# #...# ....# ..### ..#.. ..#.. ..#.. ..#..",
    "8": ".#####. .#...#. .#...#. .#...#. ####### ##...## ##...## ##...## #######",
    "9": "###### #....# #....# #....# ###### ....## ....## ....## ....##",
    TRANSIT: "....### ....### ##..### ##..... ##..... ##..... ##..### ....### ....###",
    ON_US: "....... ....... #.#.... #.#.... #.#.... #.#.### #.#.### #.#.### .......",
    AMOUNT: "....### ....### ..#.### ..#.... ..#.... ..#.... ###.... ###.... ###....",
    DASH: "....... ....... ....... #..#..# #..#..# #..#..# ....... ....... .......",
}


def grid(character: str) -> NDArray[np.uint8]:
    """Return the grid (9, 7) of a character in {0, 1}, set right as in the standard."""
    rows = _SHAPES[character].split()
    cells = np.array([[c == "#" for c in row[-COLUMNS:]] for row in rows], np.uint8)
    return np.pad(cells, ((0, 0), (COLUMNS - cells.shape[1], 0)))


@functools.lru_cache(maxsize=64)
def render(character: str, unit_px: int) -> NDArray[np.uint8]:
    """Return a character (9 u, 7 u) uint8, white ink on black, at ``unit_px`` pixels a unit, with rounded corners."""
    large = np.kron(grid(character) * np.uint8(255), np.ones((unit_px, unit_px), np.uint8))
    size = max(3, unit_px) | 1
    padded = np.pad(large, size)
    soft = cv2.GaussianBlur(padded, (0, 0), 0.3 * unit_px)
    return np.asarray(soft[size:-size, size:-size], np.uint8)
