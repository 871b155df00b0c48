"""Pictures of pages and fields, cut in a process of its own, which a hostile file may kill instead of the server."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import threading
from collections import OrderedDict
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worker.api.iiif import PictureOrder
from worker.bootstrap import Runtime, build_runtime
from worker.errors import UnreadableScanError
from worker.settings import Settings
from worker.sources.beneath import hash_scan, open_scan
from worker.system.child import prepare_child

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CACHE_BYTES = 96 * 2**20
"""Pages kept in the helper: eleven pages of A4 at 300 dpi, so that the fields of one page cost one decoding."""

JPEG_QUALITY = 90


@dataclass(frozen=True, slots=True)
class PagePlace:
    """Which page: of which scan, by the place and the SHA-256 of its bytes as they were read, and how large it was."""

    uri: str
    sha256: str
    number: int
    size_px: tuple[int, int]


class PictureMaker:
    """One helper process that decodes and cuts; a new one is started after each that died or hung."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._pool: ProcessPoolExecutor | None = None
        self._lock = threading.Lock()

    async def draw(self, place: PagePlace, order: PictureOrder) -> bytes:
        """Return a picture as the bytes of a file.

        Raises
        ------
        UnreadableScanError
            The scan does not decode, killed the process that tried, ran past the time limit, or has changed.
        InvalidJobError
            The scan is not there any more.
        """
        limit_s = self._settings.job_time_limit_s
        pool = self._open()
        try:
            drawn = asyncio.wrap_future(pool.submit(_draw, place, order))
            return await asyncio.wait_for(drawn, limit_s)
        except (BrokenExecutor, TimeoutError) as error:
            self._close(pool)
            raise UnreadableScanError("the scan cannot be shown: its decoder crashed or hung") from error
        except MemoryError as error:
            raise UnreadableScanError("the scan cannot be shown: it needs too much memory") from error

    def close(self) -> None:
        """Stop the helper, whatever it is doing."""
        if self._pool is not None:
            self._close(self._pool)

    def _open(self) -> ProcessPoolExecutor:
        with self._lock:
            if self._pool is None:
                spawning = multiprocessing.get_context("spawn")
                self._pool = ProcessPoolExecutor(1, spawning, _prepare, (self._settings,))
            return self._pool

    def _close(self, pool: ProcessPoolExecutor) -> None:
        with self._lock:
            if self._pool is pool:
                self._pool = None
        for process in list((pool._processes or {}).values()):
            process.kill()
        pool.shutdown(wait=False)  # what waits in it ends as broken, and is not cancelled: that would end requests


class _Pages:
    """The pages that were shown lately, the latest last, within ``CACHE_BYTES``."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._kept: OrderedDict[tuple[str, int], NDArray[np.uint8]] = OrderedDict()

    def get(self, place: PagePlace) -> NDArray[np.uint8]:
        """Return the pixels of a page."""
        key = place.sha256, place.number
        if key not in self._kept:
            self._kept[key] = _decode(self._runtime, place)
            while len(self._kept) > 1 and sum(grey.nbytes for grey in self._kept.values()) > CACHE_BYTES:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]


_pages: list[_Pages] = []
"""The one of the helper process; a list, because its initializer cannot return it."""


def _prepare(settings: Settings) -> None:
    prepare_child(settings.job_memory_mb)
    _pages.append(_Pages(build_runtime(settings)))


def _decode(runtime: Runtime, place: PagePlace) -> NDArray[np.uint8]:
    """Decode a page of the very bytes that were read, and of no other file that has taken their place."""
    from worker.rasterizer import open_page
    from worker.rasterizer.pixels import fit_size

    limits = runtime.limits()
    with runtime.places().fetch(place.uri) as path, open_scan(path, runtime.file_roots) as file:
        if hash_scan(file, max_file_mb=limits.max_file_mb)[0] != place.sha256:
            raise UnreadableScanError("the scan has changed since it was read")
        opened = Path(f"/proc/{os.getpid()}/fd/{file.fileno()}")  # for poppler, too, which is a child of this process
        page = open_page(opened if opened.exists() else path, place.number, scan_id="", limits=limits)
        return fit_size(page.grey, place.size_px)


def _draw(place: PagePlace, order: PictureOrder) -> bytes:
    import cv2

    grey = _pages[0].get(place)
    x, y, w, h = order.box
    cut: Any = grey[max(0, y) : y + h, max(0, x) : x + w]
    if cut.size == 0:
        raise UnreadableScanError("the region lies beyond the page")
    if cut.shape[1::-1] != order.size:
        smaller = order.size[0] < cut.shape[1]
        cut = cv2.resize(cut, order.size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC)
    turns = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}
    if order.turn_deg:
        cut = cv2.rotate(cut, turns[order.turn_deg])
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if order.format == "jpg" else [cv2.IMWRITE_PNG_COMPRESSION, 1]
    _, encoded = cv2.imencode(f".{order.format}", cut, options)
    return encoded.tobytes()
