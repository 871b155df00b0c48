"""TIFF to pages: fax (1-bit G3, G4), grey and colour of 8 or 16 bits, many pages."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator

from PIL import Image, ImageSequence

from worker.errors import UnreadableScanError
from worker.rasterizer.limits import RasterLimits
from worker.rasterizer.pixels import make_page, pillow_pixels
from worker.values import Page

_SUBFILE_TAG = 254
_THUMBNAIL_OR_MASK = 0b101
"""TIFF 6.0, NewSubfileType: bit 0 is a reduced picture, bit 2 a transparency mask."""


def tiff_pages(content: bytes, scan_id: str, limits: RasterLimits) -> Iterator[Page]:
    """Yield the pages of a TIFF; thumbnails and masks beside them are not pages."""
    limits.check_page_count(count_directories(content, limits))
    number = 0
    with Image.open(io.BytesIO(content), formats=["TIFF"]) as image:
        for frame in ImageSequence.Iterator(image):
            if _tag(frame, _SUBFILE_TAG) & _THUMBNAIL_OR_MASK:
                continue
            limits.check_page_size(*frame.size)
            frame.load()  # Pillow turns a TIFF upright by itself
            yield make_page(pillow_pixels(frame), scan_id=scan_id, number=number, dpi=frame.info.get("dpi"))
            number += 1
    if number == 0:
        raise UnreadableScanError("the TIFF holds no page")


def _tag(frame: Image.Image, tag: int) -> int:
    return int(getattr(frame, "tag_v2", {}).get(tag, 0))


def count_directories(content: bytes, limits: RasterLimits) -> int:
    """Follow a TIFF's chain of image directories without decoding; one past the page limit is far enough.

    Raises
    ------
    UnreadableScanError
        The chain loops or leaves the file.
    """
    order = "<" if content[:2] == b"II" else ">"
    big = struct.unpack_from(order + "H", content, 2)[0] == 43
    count_format, entry_size, link_format = ("Q", 20, "Q") if big else ("H", 12, "I")
    at = struct.unpack_from(order + link_format, content, 8 if big else 4)[0]
    seen: set[int] = set()
    while at and len(seen) <= limits.max_pages:
        if at in seen:
            raise UnreadableScanError("damaged TIFF: its page directories run in a loop")
        seen.add(at)
        try:
            entries = struct.unpack_from(order + count_format, content, at)[0]
            link = at + struct.calcsize(order + count_format) + entries * entry_size
            at = struct.unpack_from(order + link_format, content, link)[0]
        except struct.error:
            raise UnreadableScanError("truncated TIFF: a page directory lies beyond its end") from None
    return len(seen)
