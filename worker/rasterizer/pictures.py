"""Turn a PNG or JPEG into one page.

Pillow reads the headers and the rare kinds. OpenCV decodes the plain kinds: on a page of 8.4 megapixels, one
thread, it needs 167 ms for a colour PNG instead of 197, and 31 for line art instead of 34. It takes a truncated file
for a good one, so the structure of a file is checked first. simplejpeg decodes plain JPEGs to the same pixels as
OpenCV in the same time, and reports what libjpeg only warns about: pixels that it made up.
"""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Iterator

import cv2
import numpy as np
import simplejpeg
from PIL import Image, ImageChops

from worker.errors import UnreadableScanError
from worker.rasterizer.limits import RasterLimits
from worker.rasterizer.pixels import UInt8, make_page, pillow_pixels
from worker.values import Page

# Our own limit on pixels is checked before anything is decoded, and users can set it.
Image.MAX_IMAGE_PIXELS = None

_ORIENTATION_TAG = 0x0112

_MAX_JPEG_SCANS = 64
"""A progressive JPEG has about ten; each costs a pass over all pixels, so a small file could ask for hours."""
_MAX_PNG_CHUNKS = 1000
"""Chunks beside the pixels; scanners write about five. libpng says a line about each that it does not like."""
_MARKER = re.compile(rb"\xff[\xc4\xd9-\xdd\xe0-\xef\xfe]")
"""The markers between the passes of a JPEG (ITU-T T.81, table B.1); in coded pixels other bytes follow 0xFF."""
_END_OF_IMAGE, _START_OF_PASS = 0xD9, 0xDA
_HARMLESS_WARNINGS = ("Warning: unknown JFIF", "Unknown Adobe color transform")
"""Complaints of libjpeg about headers, which cost no pixel."""

_PLAIN_MODES = {"1": cv2.IMREAD_GRAYSCALE, "L": cv2.IMREAD_GRAYSCALE, "RGB": cv2.IMREAD_COLOR_RGB}
JPEG_SPACES = {"L": "GRAY", "RGB": "RGB"}


def png_pages(content: bytes, scan_id: str, limits: RasterLimits) -> Iterator[Page]:
    """Yield the one page of a PNG of any depth, palette or transparency."""
    check_png(content)
    yield _picture_page(content, "PNG", scan_id, limits)


def jpeg_pages(content: bytes, scan_id: str, limits: RasterLimits) -> Iterator[Page]:
    """Yield the one page of a JPEG, turned as its EXIF says; CMYK follows Adobe's marker."""
    check_jpeg(content)
    yield _picture_page(content, "JPEG", scan_id, limits)


def _name_of(chunk: bytes) -> str:
    """Return the four letters of a chunk; in damaged files they may be any bytes, line ends among them."""
    return chunk.decode("ascii") if chunk.isalpha() else f"0x{chunk.hex()}"


def check_png(content: bytes) -> None:
    """Walk the chunks of a PNG and compare every checksum; no decoder does so for the pixels."""
    at, kind, beside = 8, b"", 0
    while kind != b"IEND":
        if at + 12 > len(content):
            raise UnreadableScanError("truncated PNG: it ends before its IEND chunk", incomplete=True)
        length, kind = struct.unpack_from(">I4s", content, at)
        end = at + 8 + length
        if end + 4 > len(content):
            raise UnreadableScanError(f"truncated PNG: it ends inside a chunk {_name_of(kind)}", incomplete=True)
        if zlib.crc32(memoryview(content)[at + 4 : end]) != struct.unpack_from(">I", content, end)[0]:
            raise UnreadableScanError(f"damaged PNG: wrong checksum of a chunk {_name_of(kind)}")
        beside += kind != b"IDAT"
        if beside > _MAX_PNG_CHUNKS:
            raise UnreadableScanError(f"a PNG of more than {_MAX_PNG_CHUNKS} chunks beside its pixels")
        at = end + 4


def check_jpeg(content: bytes) -> None:
    """Check that a JPEG is whole: segments lead to the pixels, and an end follows (ITU-T T.81, annex B).

    What lies behind the end is ignored, because telephones put a film there.
    """
    at = 2
    while content[at + 1 : at + 2] != b"\xda":
        if content[at : at + 1] != b"\xff":
            raise UnreadableScanError(
                "truncated or damaged JPEG: its segments do not lead to a picture", incomplete=at >= len(content)
            )
        padded = content[at + 1 : at + 2] == b"\xff"
        at += 1 if padded else 2 + int.from_bytes(content[at + 2 : at + 4], "big")
    if (passes := _count_passes(content, at)) > _MAX_JPEG_SCANS:
        raise UnreadableScanError(f"a JPEG of {passes} passes; the limit is {_MAX_JPEG_SCANS}")


def _count_passes(content: bytes, at: int) -> int:
    """Count the passes from the first one, at ``at``, to the end-of-image marker.

    Raises
    ------
    UnreadableScanError
        There is no end.
    """
    passes = 0
    while found := _MARKER.search(content, at):
        marker, at = found.group()[1], found.end()
        if marker == _END_OF_IMAGE:
            return passes
        passes += marker == _START_OF_PASS
        behind = at + int.from_bytes(content[at : at + 2], "big")
        if marker == _START_OF_PASS or content[behind : behind + 1] == b"\xff":  # else damaged pixels, no segment
            at = behind
    raise UnreadableScanError("truncated JPEG: it ends before its end-of-image marker", incomplete=True)


def _picture_page(content: bytes, kind: str, scan_id: str, limits: RasterLimits) -> Page:
    with Image.open(io.BytesIO(content), formats=[kind]) as image:
        limits.check_page_size(*image.size)
        # Without the chunk, Pillow would decode a whole PNG to look for it behind the pixels.
        turned = kind == "JPEG" or b"eXIf" in content
        orientation = image.getexif().get(_ORIENTATION_TAG, 1) if turned else 1
        damage = None
        if kind == "JPEG" and image.mode in JPEG_SPACES:
            pixels, damage = decode_jpeg(content, image.mode)
        elif image.mode in _PLAIN_MODES and "transparency" not in image.info:
            pixels = _decode_plain(content, _PLAIN_MODES[image.mode])
        else:
            image.load()
            pixels = pillow_pixels(_adobe_polarity(image))
        dpi = image.info.get("dpi")
    return make_page(pixels, scan_id=scan_id, number=0, limits=limits, dpi=dpi, orientation=orientation, damage=damage)


def decode_jpeg(content: bytes, mode: str) -> tuple[UInt8, str | None]:
    """Return the pixels of a grey or RGB JPEG and what libjpeg complained of; most damage of 1 KB is noticed.

    OpenCV would give the same pixels of a damaged file, and write its complaint to stderr, which is our log.

    Raises
    ------
    UnreadableScanError
        It has no pixels that could be decoded.
    """
    try:
        return _squeezed(simplejpeg.decode_jpeg(content, JPEG_SPACES[mode], strict=True)), None
    except ValueError as error:
        complaint = " ".join(str(error).split())[:200]
    try:
        pixels = _squeezed(simplejpeg.decode_jpeg(content, JPEG_SPACES[mode], strict=False))
    except ValueError as error:
        raise UnreadableScanError("damaged: its pixels cannot be decoded") from error
    return pixels, None if complaint.startswith(_HARMLESS_WARNINGS) else complaint


def _squeezed(pixels: UInt8) -> UInt8:
    return pixels[:, :, 0] if pixels.shape[2] == 1 else pixels


def _decode_plain(content: bytes, flag: int) -> UInt8:
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), flag | cv2.IMREAD_IGNORE_ORIENTATION)
    if pixels is None:
        raise UnreadableScanError("damaged: its pixels cannot be decoded")
    return np.asarray(pixels, dtype=np.uint8)


def _adobe_polarity(image: Image.Image) -> Image.Image:
    """Undo Pillow's inversion of CMYK where no Adobe marker says that ink is stored inverted."""
    if image.mode == "CMYK" and "adobe" not in image.info:
        return ImageChops.invert(image)
    return image
