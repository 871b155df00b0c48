"""Pictures of fields and pages, cut from the scans when they are asked for; nothing is written to disk."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
import simplejpeg

from worker.bootstrap import Runtime
from worker.errors import UnreadableScanError
from worker.rasterizer import open_pages
from worker.values import Grey, Page, UnreadablePage

KEPT_PIXELS = 27_000_000
"""So many pixels of decoded pages are kept (one byte each): three pages of A4 at 300 dpi."""
JPEG_QUALITY = 85
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


def place_crop(box: PxBox, page_size: tuple[int, int], turns: int = 0) -> CropPlace:
    """Return where to cut a field with its surroundings out of a page of (width, height) pixels."""
    x, y, w, h = box
    margin = max(LEAST_SURROUNDINGS_PX, round(SURROUNDINGS * min(w, h)))
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


class PagePictures:
    """Decodes pages and keeps the last few; the pages of one file are decoded in order, and once."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, int], Grey] = OrderedDict()
        self._open: tuple[str, Iterator[Page | UnreadablePage], ExitStack] | None = None
        self._next = 0

    def page(self, uri: str, number: int) -> Grey:
        """Return a page as (H, W) uint8 grey.

        Raises
        ------
        UnreadableScanError
            It cannot be decoded, or the file has no such page any more.
        InvalidJobError, PlaceUnavailableError
            The file is gone, or its place is away.
        """
        with self._lock:
            key = uri, number
            if key not in self._kept:
                self._keep(key, self._decode(uri, number))
            self._kept.move_to_end(key)
            return self._kept[key]

    def crop(self, uri: str, number: int, place: CropPlace) -> bytes:
        """Return a crop as a grey JPEG, upright."""
        x, y, w, h = place.window
        return _encode(np.rot90(self.page(uri, number)[y : y + h, x : x + w], place.turns), MAX_CROP_PX)

    def whole(self, uri: str, number: int) -> bytes:
        """Return a page as a grey JPEG, as it lies in the file."""
        return _encode(self.page(uri, number), MAX_PAGE_PX)

    def _keep(self, key: tuple[str, int], grey: Grey) -> None:
        self._kept[key] = grey
        while len(self._kept) > 1 and sum(page.size for page in self._kept.values()) > KEPT_PIXELS:
            self._kept.popitem(last=False)

    def _decode(self, uri: str, number: int) -> Grey:
        if self._open is None or self._open[0] != uri or self._next > number:
            self._close()
            stack = ExitStack()
            path = stack.enter_context(self._runtime.places().fetch(uri))
            self._open = uri, open_pages(path, scan_id="", limits=self._runtime.limits()), stack
        try:
            for page in self._open[1]:
                self._next = page.number + 1
                if page.number != number:
                    continue
                if isinstance(page, UnreadablePage):
                    raise UnreadableScanError(page.problem)
                return page.grey
        except BaseException:
            self._close()
            raise
        self._close()
        raise UnreadableScanError(f"the file has no page {number + 1} any more")

    def _close(self) -> None:
        if self._open is not None:
            self._open[2].close()
        self._open, self._next = None, 0


def _encode(grey: Grey, longest_px: int) -> bytes:
    scale = min(1.0, longest_px / max(grey.shape))
    shown = np.ascontiguousarray(grey)
    if scale < 1:
        shown = np.asarray(cv2.resize(shown, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
    picture: bytes = simplejpeg.encode_jpeg(shown[:, :, None], JPEG_QUALITY, "GRAY")
    return picture
