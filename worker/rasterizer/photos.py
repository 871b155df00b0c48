"""Photos of telephones: WebP and AVIF through Pillow, HEIC through pillow-heif (the extra ``heic``)."""

from __future__ import annotations

import importlib.util
import io
import struct
from collections.abc import Iterator

from PIL import Image

from worker.errors import UnreadableScanError
from worker.rasterizer.limits import RasterLimits
from worker.rasterizer.pixels import make_page, pillow_pixels
from worker.values import Page

_ORIENTATION_TAG = 0x0112

HEIC_EXTRA_IS_MISSING = "a HEIC photo (iPhone), which needs the extra 'heic': pip install '.[heic]', or save it as JPEG"


def webp_pages(content: bytes, scan_id: str, limits: RasterLimits) -> Iterator[Page]:
    """Yield the one page of a WebP photo, turned as its EXIF says."""
    if len(content) < 8 + struct.unpack_from("<I", content, 4)[0]:
        raise UnreadableScanError("truncated WebP: it ends before the size in its header", incomplete=True)
    limits.check_page_size(*_webp_size(content))  # Pillow makes room for the pixels when it opens the file
    yield _photo_page(content, "WEBP", scan_id, limits)


def avif_pages(content: bytes, scan_id: str, limits: RasterLimits) -> Iterator[Page]:
    """Yield the one page of an AVIF photo."""
    _check_boxes(content, "AVIF")
    yield _photo_page(content, "AVIF", scan_id, limits)


def heic_pages(content: bytes, scan_id: str, limits: RasterLimits) -> Iterator[Page]:
    """Yield the first picture of a HEIC photo; its film and depth map are no pages."""
    if importlib.util.find_spec("pillow_heif") is None:
        raise UnreadableScanError(HEIC_EXTRA_IS_MISSING)
    _check_boxes(content, "HEIC")
    import pillow_heif

    # It turns the picture upright by itself; nothing is decoded before the size has been checked.
    opened = pillow_heif.open_heif(io.BytesIO(content), convert_hdr_to_8bit=True)
    photo = opened[opened.primary_index]
    limits.check_page_size(*photo.size)
    image = photo.to_pillow()
    yield make_page(pillow_pixels(image), scan_id=scan_id, number=0, limits=limits, dpi=image.info.get("dpi"))


def _photo_page(content: bytes, kind: str, scan_id: str, limits: RasterLimits) -> Page:
    with Image.open(io.BytesIO(content), formats=[kind]) as image:
        pictures = getattr(image, "n_frames", 1)
        if pictures > 1:
            raise UnreadableScanError(f"a {kind} film of {pictures} pictures is no scan")
        limits.check_page_size(*image.size)
        image.load()
        orientation = image.getexif().get(_ORIENTATION_TAG, 1)
        return make_page(
            pillow_pixels(image),
            scan_id=scan_id,
            number=0,
            limits=limits,
            dpi=image.info.get("dpi"),
            orientation=orientation,
        )


def _webp_size(content: bytes) -> tuple[int, int]:
    """Return width and height of a WebP (RFC 9649, section 2), of any of its three kinds."""
    kind, at = content[12:16], 20
    if kind == b"VP8X":
        width, height = (int.from_bytes(content[at + i : at + i + 3], "little") for i in (4, 7))
        return 1 + width, 1 + height
    if kind == b"VP8L":
        bits = int.from_bytes(content[at + 1 : at + 5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = struct.unpack_from("<HH", content, at + 6)
    return width & 0x3FFF, height & 0x3FFF


def _check_boxes(content: bytes, kind: str) -> None:
    """Walk the boxes of an ISO base media file (ISO/IEC 14496-12, 4.2); one that holds no picture yet is refused."""
    at, seen = 0, set[bytes]()
    while at + 8 <= len(content) and not {b"meta", b"mdat"} <= seen:  # what is behind both is a film, or padding
        size, name = struct.unpack_from(">I4s", content, at)
        if size == 1:
            size = struct.unpack_from(">Q", content, at + 8)[0]
        at = at + size if size else len(content)  # 0 stands for all the rest
        if size in range(1, 8) or at > len(content) or not name.strip(b"\0"):
            break
        seen.add(name)
    if not {b"meta", b"mdat"} <= seen:
        reason = f"truncated {kind} photo: it ends before its pixels do; send it again, or save it as JPEG"
        raise UnreadableScanError(reason, incomplete=True)
