"""TIFF to pages: fax (1-bit G3, G4), grey and colour of 8 or 16 bits, many pages."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from functools import partial
from itertools import zip_longest
from typing import Any

from PIL import Image

from worker.errors import UnreadableScanError
from worker.rasterizer.libtiff import Listener, silence
from worker.rasterizer.limits import RasterLimits
from worker.rasterizer.pixels import make_page, pillow_pixels
from worker.rasterizer.translation import page_or_problem, translated_errors
from worker.values import Page, UnreadablePage

_SUBFILE_TAG = 254
_THUMBNAIL_OR_MASK = 0b101
"""TIFF 6.0, NewSubfileType: bit 0 is a reduced picture, bit 2 a transparency mask."""

_COMPRESSION_TAG = 259
_DNG_TAG = 50706
"""DNGVersion (Digital Negative Specification 1.7): the photo lies beside its thumbnail, in a form that is not read."""
_PLACE_TAGS = ((273, 279), (324, 325))
"""TIFF 6.0: where strips lie and how long they are; the same of tiles."""


def tiff_pages(
    content: bytes, scan_id: str, limits: RasterLimits, *, first: int = 0
) -> Iterator[Page | UnreadablePage]:
    """Yield the pages of a TIFF from the ``first`` on; thumbnails and masks beside them are not pages."""
    directories, cut = follow_directories(content, limits)
    limits.check_page_count(directories)
    silence()
    number = 0
    with Image.open(io.BytesIO(content), formats=["TIFF"]) as image, closing(Listener(content)) as listener:
        for directory in range(directories):
            damage = _go_to(image, directory)
            if damage is None and _tag(image, _SUBFILE_TAG) & _THUMBNAIL_OR_MASK:
                continue
            if number >= first and damage is not None:
                yield UnreadablePage(scan_id, number, str(damage), damage.incomplete)
            elif number >= first:
                hear = partial(listener.hear_complaints, directory, _tag(image, _COMPRESSION_TAG))
                make = partial(_decode_page, image, len(content), hear, number, scan_id, limits)
                yield page_or_problem(make, scan_id, number)
            number += 1
    if number == 0:
        raw = "; if it is a raw photo of a camera, save it as JPEG" if _DNG_TAG in _tags(image) else ""
        raise UnreadableScanError(f"the TIFF holds no page but thumbnails{raw}")
    if cut is not None:
        yield UnreadablePage(scan_id, number, str(cut), cut.incomplete)


def _go_to(image: Image.Image, directory: int) -> UnreadableScanError | None:
    """Go to a page's directory; return why it cannot be read.

    Pillow stands at a directory that it could not read with the pixels of the page before: these must not be loaded.
    """
    try:
        with translated_errors():
            image.seek(directory)
    except UnreadableScanError as error:
        return error
    return None


def _decode_page(
    image: Image.Image, file_size: int, hear: Callable[[], str | None], number: int, scan_id: str, limits: RasterLimits
) -> Page:
    limits.check_page_size(*image.size)
    _check_places(image, file_size)
    _check_rows(image)
    damage = hear()
    image.load()  # Pillow turns a TIFF upright by itself
    dpi = image.info.get("dpi")
    return make_page(pillow_pixels(image), scan_id=scan_id, number=number, limits=limits, dpi=dpi, damage=damage)


def _check_rows(image: Image.Image) -> None:
    """Refuse a page that names the places of some rows only: the others would show the page before, or nothing."""
    width, height = image.size
    named = {extents for tile in getattr(image, "tile", ()) if (extents := tile[1]) is not None}
    if sum((right - left) * (lower - upper) for left, upper, right, lower in named) < width * height:
        raise UnreadableScanError("damaged TIFF: it does not say where all of its rows lie")


def _check_places(image: Image.Image, size: int) -> None:
    """Refuse a page whose pixels lie beyond the end of the file: what writes it may not be done."""
    tags = getattr(image, "tag_v2", {})
    for places, lengths in _PLACE_TAGS:
        ends = (at + length for at, length in zip_longest(tags.get(places, ()), tags.get(lengths, ()), fillvalue=0))
        if max(ends, default=0) > size:
            raise UnreadableScanError("truncated TIFF: its pixels lie beyond its end", incomplete=True)


def _tags(image: Image.Image) -> Mapping[int, Any]:
    tags: Mapping[int, Any] = getattr(image, "tag_v2", {})
    return tags


def _tag(image: Image.Image, tag: int) -> int:
    return int(_tags(image).get(tag, 0))


def follow_directories(content: bytes, limits: RasterLimits) -> tuple[int, UnreadableScanError | None]:
    """Follow the chain of image directories, and return with their number why it broke off behind the last one.

    Raises
    ------
    UnreadableScanError
        The chain loops, or the first directory lies beyond the end of the file.
    """
    order = "<" if content[:2] == b"II" else ">"
    big = struct.unpack_from(order + "H", content, 2)[0] == 43
    count_format, entry_size, link_format = ("Q", 20, "Q") if big else ("H", 12, "I")
    at = struct.unpack_from(order + link_format, content, 8 if big else 4)[0]
    seen: set[int] = set()
    while at and len(seen) <= limits.max_pages:
        if at in seen:
            raise UnreadableScanError("damaged TIFF: its page directories run in a loop")
        try:
            entries = struct.unpack_from(order + count_format, content, at)[0]
            link = at + struct.calcsize(order + count_format) + entries * entry_size
            following = struct.unpack_from(order + link_format, content, link)[0]
        except struct.error:
            cut = UnreadableScanError("truncated TIFF: a page directory lies beyond its end", incomplete=True)
            if not seen:
                raise cut from None
            return len(seen), cut
        seen.add(at)
        at = following
    return len(seen), None
