"""Where a field is cut out of its page for the station, and the addresses of the pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

MAX_CROP_PX = 1600
MAX_PAGE_PX = 2000
"""Longest side of the picture of a crop and of a whole page."""
SURROUNDINGS = 0.9
"""What is shown on each side of a field, in heights of its box, so that stray ink and printed labels are seen."""
LEAST_SURROUNDINGS_PX = 24

PxBox = tuple[int, int, int, int]
"""(x, y, w, h) in pixels."""


@dataclass(frozen=True, slots=True)
class CropPlace:
    """Where a crop is cut: a ``window`` in page pixels, turned by quarter ``turns`` anticlockwise.

    ``size`` is that of the crop after the turns, and ``box`` that of the field in it.
    """

    window: PxBox
    turns: int
    size: tuple[int, int]
    box: PxBox


def place_crop(box: PxBox, page_size: tuple[int, int], turns: int = 0, *, around: float = SURROUNDINGS) -> CropPlace:
    """Return where to cut a box with its surroundings out of a page of (width, height) pixels.

    ``around`` is what is shown on each side, in heights of the box.
    """
    x, y, w, h = box
    margin = max(round(LEAST_SURROUNDINGS_PX * around), round(around * min(w, h)))
    left, top = max(0, x - margin), max(0, y - margin)
    right, bottom = min(page_size[0], x + w + margin), min(page_size[1], y + h + margin)
    window = left, top, max(1, right - left), max(1, bottom - top)
    inner = x - left, y - top, w, h
    size = window[2], window[3]
    for _ in range(turns):
        inner = inner[1], size[0] - inner[0] - inner[2], inner[3], inner[2]
        size = size[1], size[0]
    return CropPlace(window, turns, size, inner)


def find_turns(digits: Sequence[Any]) -> int:
    """Return how many quarter turns anticlockwise bring a page upright, by the direction in which its digits run.

    ``digits`` are rows of several fields, in order within each; 0 where nothing tells.
    """
    across = down = 0.0
    for one, other in pairwise(digits):
        if one.field_id == other.field_id:
            across += other.box_x + other.box_w / 2 - one.box_x - one.box_w / 2
            down += other.box_y + other.box_h / 2 - one.box_y - one.box_h / 2
    if abs(across) >= abs(down):
        return 2 if across < 0 else 0
    return 1 if down > 0 else 3


def crop_url(page_id: int, place: CropPlace, most_px: int = MAX_CROP_PX) -> str:
    """Return the address of a crop: the API's picture of a page, cut and turned (IIIF turns clockwise)."""
    x, y, w, h = place.window
    turn_deg = -90 * place.turns % 360
    return f"/v1/pages/{page_id}/image/{x},{y},{w},{h}/!{most_px},{most_px}/{turn_deg}/gray.jpg"


def page_url(page_id: int) -> str:
    """Return the address of the picture of a whole page, as it lies in its file."""
    return f"/v1/pages/{page_id}/image/full/!{MAX_PAGE_PX},{MAX_PAGE_PX}/0/gray.jpg"
