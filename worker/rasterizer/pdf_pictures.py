"""Lift the picture out of a page of a PDF that shows nothing else, instead of drawing the page.

The picture comes as it was scanned, in its own resolution, and as fast as the same picture in a file of its own: a JPEG
is decoded by libjpeg, deflated pixels by zlib, G4 by libtiff, and another fax (G3, JBIG2) by poppler. Whatever is out
of the ordinary is drawn.
"""

from __future__ import annotations

import io
import logging
import math
import struct
import subprocess
import tempfile
import zlib
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pypdf import PdfReader
from pypdf.errors import PyPdfError
from pypdf.generic import ByteStringObject, StreamObject, TextStringObject

from worker.errors import UnreadableScanError
from worker.rasterizer.libtiff import Listener, silence
from worker.rasterizer.limits import RasterLimits
from worker.rasterizer.pdf import BOUNDED_POPPLER
from worker.rasterizer.pdf_scans import PagePicture, find_picture
from worker.rasterizer.pictures import JPEG_SPACES, check_jpeg, decode_jpeg
from worker.rasterizer.pixels import UInt8, make_page
from worker.rasterizer.translation import DECODER_ERRORS
from worker.values import Page

_ORIENTATIONS = (1, 6, 3, 8)
"""EXIF 2.32, Orientation: what stands for so many quarter turns clockwise."""
_CHANGES_PIXELS = ("/Mask", "/SMask", "/OC", "/Matte")
_GREY, _RGB = ("/DeviceGray", "/CalGray"), ("/DeviceRGB", "/CalRGB")
_G4 = 4
"""TIFF 6.0, Compression."""
_FAX_COLUMNS = 1728
"""Where nothing is said (ISO 32000-1, table 11)."""
_PNG_PREDICTOR = 10
_ROW = (("/Columns", 1), ("/Colors", 1), ("/BitsPerComponent", 8))
"""What tells the length of a row under a predictor, with the defaults (ISO 32000-1, table 8)."""
_ENDS_OF_RANGE = {1: ([0, 1],), 3: ([0, 1, 0, 1, 0, 1],)}

logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # what it complains of is drawn, and poppler says why


class PdfPictures:
    """The pictures of a PDF; of one that cannot be followed there are none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            reader = PdfReader(path, strict=True)
            self._reader = None if reader.is_encrypted else reader
        except (PyPdfError, *DECODER_ERRORS):
            self._reader = None

    def count_pages(self, most: int) -> int | None:
        """Return the number of pages if the file says what its tree of pages holds; otherwise None, and all are drawn.

        Of a tree of more than ``most`` pages, and as many nodes above them, nothing is lifted: it may have no end.
        """
        try:
            count = None if self._reader is None else _walk_tree(self._reader, most)
        except (PyPdfError, *DECODER_ERRORS):
            count = None
        if not count:
            self._reader = None
        return count or None

    def lift_page(self, number: int, scan_id: str, limits: RasterLimits) -> tuple[Page | None, str | None]:
        """Return a page by its one picture; None where the page must be drawn, with the damage of its picture."""
        if self._reader is None:
            return None, None
        picture = None
        try:
            picture = find_picture(self._reader.pages[number])
            return picture and self._make_page(picture, number, scan_id, limits), None
        except (PyPdfError, UnreadableScanError, subprocess.TimeoutExpired, *DECODER_ERRORS):
            return None, picture and _find_damage(picture.stream, limits)

    def _make_page(self, picture: PagePicture, number: int, scan_id: str, limits: RasterLimits) -> Page | None:
        stream = picture.stream
        width, height = (int(str(stream[name])) for name in ("/Width", "/Height"))
        limits.check_page_size(width, height)
        coding = _only(stream.get("/Filter"))
        if any(name in stream for name in _CHANGES_PIXELS) or stream.get("/ImageMask", False):
            return None
        damage = None
        if coding == "/DCTDecode":
            pixels, damage = _lift_jpeg(stream, (width, height))
        elif coding == "/FlateDecode":
            pixels = _lift_deflated(stream, (width, height))
        elif coding == "/CCITTFaxDecode" and _is_plain_bits(stream) and _is_g4(stream, (width, height)):
            pixels = _lift_g4(stream, (width, height))
        elif coding in ("/CCITTFaxDecode", "/JBIG2Decode") and _is_plain_bits(stream):
            pixels = self._lift_fax(number, (width, height), limits)
        else:
            return None
        dpi = width / picture.points[0] * 72, height / picture.points[1] * 72
        turned = _ORIENTATIONS[picture.turns]
        return make_page(
            pixels, scan_id=scan_id, number=number, limits=limits, dpi=dpi, orientation=turned, damage=damage
        )

    def _lift_fax(self, number: int, size: tuple[int, int], limits: RasterLimits) -> UInt8:
        """Return the 1-bit picture of a page as poppler decodes it; one of which it complains is drawn."""
        page = str(number + 1)
        with tempfile.TemporaryDirectory() as folder:
            command = [str(BOUNDED_POPPLER / "pdfimages"), "-f", page, "-l", page, str(self._path.absolute()), "p"]
            done = subprocess.run(  # noqa: S603
                command, cwd=folder, capture_output=True, timeout=math.ceil(limits.page_timeout_s), check=False
            )
            (found,) = Path(folder).iterdir()
            content = found.read_bytes()
        width, height = size
        head, row = f"P4\n{width} {height}\n".encode(), -(-width // 8)
        if done.stderr or done.returncode or not content.startswith(head):
            raise UnreadableScanError("not decoded as a fax")
        black = np.frombuffer(content, np.uint8, offset=len(head)).reshape(height, row)
        return np.unpackbits(~black, axis=1, count=width) * np.uint8(255)


def _find_damage(stream: StreamObject, limits: RasterLimits) -> str | None:
    """Return why a picture is known to be damaged: poppler draws what is there of it, and may not complain."""
    try:
        coding = _only(stream.get("/Filter"))
        if coding == "/DCTDecode":
            check_jpeg(_coded(stream))
        elif coding == "/FlateDecode":
            _check_deflated(_coded(stream), _count_bytes(stream), most=int(4e6 * limits.max_megapixels))
    except UnreadableScanError as error:
        return str(error) if error.incomplete else None
    except zlib.error as error:
        return f"its pixels do not add up: {error}"
    except (PyPdfError, *DECODER_ERRORS):
        pass
    return None


def _check_deflated(coded: bytes, least: int, *, most: int) -> None:
    """Inflate up to ``most`` bytes and forget them.

    Raises
    ------
    UnreadableScanError
        There are fewer than the picture has.
    zlib.error
        They are damaged, or do not agree with the checksum at their end.
    """
    unpacked, length = zlib.decompressobj(), 0
    while coded and not unpacked.eof and length < most:
        length += len(unpacked.decompress(coded, 2**20))
        coded = unpacked.unconsumed_tail
    if length < least:
        raise UnreadableScanError(f"truncated: {length} of {least} bytes of pixels are there", incomplete=True)


def _count_bytes(stream: StreamObject) -> int:
    """Return how many bytes the samples of a picture take at least."""
    space = stream.get("/ColorSpace")
    channels = 1 if space is None or _palette(space) is not None else _channels(space)
    width, height, bits = (int(str(stream[name])) for name in ("/Width", "/Height", "/BitsPerComponent"))
    return -(-width * channels * bits // 8) * height


def _walk_tree(reader: PdfReader, most: int) -> int | None:
    """Return how many leaves the tree of pages has; None if its root says another number, or it is too large."""
    root: Any = reader.root_object["/Pages"].get_object()
    count, seen, waiting = 0, 0, [root]
    while waiting and seen <= 2 * most:
        node, seen = waiting.pop().get_object(), seen + 1
        kids = node.get("/Kids")
        count += kids is None
        waiting += [] if kids is None else kids.get_object()[: 2 * most + 1]
    return count if not waiting and count == root["/Count"] else None


def _lift_jpeg(stream: StreamObject, size: tuple[int, int]) -> tuple[UInt8, str | None]:
    content = _coded(stream)
    check_jpeg(content)
    with Image.open(io.BytesIO(content), formats=["JPEG"]) as image:
        mode = image.mode
        if image.size != size or {"L": 1, "RGB": 3}.get(mode) != _channels(stream.get("/ColorSpace")):
            raise UnreadableScanError("a JPEG in other colours than its PDF says")
    _check_range(stream, len(mode))
    if "/ColorTransform" in (_only(stream.get("/DecodeParms")) or {}):
        raise UnreadableScanError("a JPEG whose colours its PDF changes")
    assert mode in JPEG_SPACES
    return decode_jpeg(content, mode)


def _is_g4(stream: StreamObject, size: tuple[int, int]) -> bool:
    """Tell a fax whose rows are coded as a TIFF keeps them: in two dimensions, none padded to a byte."""
    told = _only(stream.get("/DecodeParms")) or {}
    whole = int(told.get("/Columns", _FAX_COLUMNS)) == size[0] and int(told.get("/Rows", 0)) in (0, size[1])
    return whole and int(told.get("/K", 0)) < 0 and not told.get("/EncodedByteAlign", False)


def _lift_g4(stream: StreamObject, size: tuple[int, int]) -> UInt8:
    """Return a G4 fax as libtiff decodes it; one of which it complains is drawn."""
    black_is_one = bool((_only(stream.get("/DecodeParms")) or {}).get("/BlackIs1", False))
    content = _as_tiff(_coded(stream), size, photometric=int(black_is_one))
    silence()
    with closing(Listener(content)) as listener:
        complaint = listener.hear_complaints(0, _G4)
    if complaint:
        raise UnreadableScanError(complaint)
    with Image.open(io.BytesIO(content), formats=["TIFF"]) as image:
        return np.asarray(image.convert("L"))


def _as_tiff(coded: bytes, size: tuple[int, int], *, photometric: int) -> bytes:
    """Return a G4 fax as a TIFF of one strip (TIFF 6.0, sections 2 and 11)."""
    width, height = size
    tags = {
        256: width,
        257: height,
        258: 1,
        259: _G4,
        262: photometric,
        273: 8,
        277: 1,
        278: height,
        279: len(coded),
    }
    padded = coded + b"\0" * (len(coded) % 2)
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    directory = struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0)
    return struct.pack("<2sHI", b"II", 42, 8 + len(padded)) + padded + directory


def _lift_deflated(stream: StreamObject, size: tuple[int, int]) -> UInt8:
    """Return deflated samples of 1 or 8 bits as grey or RGB."""
    bits, space = int(str(stream["/BitsPerComponent"])), stream.get("/ColorSpace")
    palette = _palette(space)
    channels = 1 if palette is not None else _channels(space)
    if bits not in (1, 8) or (bits == 1 and channels != 1):
        raise UnreadableScanError("samples of another depth")
    samples = _unpack(stream, size, bits, channels)
    if palette is not None:
        return palette[samples]
    _check_range(stream, channels)
    return samples * np.uint8(255) if bits == 1 else samples


def _unpack(stream: StreamObject, size: tuple[int, int], bits: int, channels: int) -> UInt8:
    """Return the samples as they are stored: (h, w) or (h, w, 3) uint8."""
    width, height = size
    parameters = _only(stream.get("/DecodeParms")) or {}
    if int(parameters.get("/Predictor", 1)) >= _PNG_PREDICTOR:
        told = [int(parameters.get(name, default)) for name, default in _ROW]
        if told != [width, channels, bits]:
            raise UnreadableScanError("rows of another length")
        _check_deflated(_coded(stream), 0, most=2 * width * height * channels)  # Pillow does not look at the checksum
        with Image.open(io.BytesIO(_as_png(_coded(stream), size, bits, channels)), formats=["PNG"]) as image:
            return np.asarray(image, np.uint8)  # one bit is False or True
    if int(parameters.get("/Predictor", 1)) != 1:
        raise UnreadableScanError("rows with another predictor")
    row = -(-width * channels * bits // 8)
    unpacked = zlib.decompressobj()
    content = unpacked.decompress(_coded(stream), row * height)
    if not unpacked.eof:  # the checksum is behind the pixels
        unpacked.decompress(unpacked.unconsumed_tail, 1)
    stored = np.frombuffer(content, np.uint8).reshape(height, row)
    if bits == 1:
        return np.unpackbits(stored, axis=1, count=width)
    return stored if channels == 1 else stored.reshape(height, width, channels)


def _as_png(deflated: bytes, size: tuple[int, int], bits: int, channels: int) -> bytes:
    """Return deflated rows with PNG predictors as the PNG that they are in all but name (7.4.4.4)."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", *size, bits, 0 if channels == 1 else 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", deflated) + chunk(b"IEND", b"")


def _is_plain_bits(stream: StreamObject) -> bool:
    _check_range(stream, 1)
    return stream.get("/BitsPerComponent", 1) == 1 and _channels(stream.get("/ColorSpace")) == 1


def _check_range(stream: StreamObject, channels: int) -> None:
    """Refuse samples that are stretched or inverted."""
    told = stream.get("/Decode")
    if told is not None and [float(v) for v in told] not in _ENDS_OF_RANGE[channels]:
        raise UnreadableScanError("samples of another range")


def _channels(space: Any) -> int:
    """Return 1 for grey and 3 for RGB."""
    parts: Any = space.get_object() if space is not None else None
    name = parts[0] if isinstance(parts, list) else parts
    if name in _GREY or name in _RGB:
        return 1 if name in _GREY else 3
    if name == "/ICCBased" and (count := int(parts[1].get_object()["/N"])) in (1, 3):
        return count
    raise UnreadableScanError("colours that are neither grey nor RGB")


def _palette(space: Any) -> UInt8 | None:
    """Return the (n, 3) or (n,) colours of an indexed space, None for another."""
    parts = space.get_object() if space is not None else None
    if not isinstance(parts, list) or parts[0] != "/Indexed":
        return None
    channels, colours = _channels(parts[1]), parts[3].get_object()
    if isinstance(colours, StreamObject):
        content = bytes(colours.get_data())
    elif isinstance(colours, ByteStringObject | TextStringObject):
        content = colours.original_bytes
    else:
        raise UnreadableScanError("a palette without colours")
    table = np.frombuffer(content[: (int(parts[2]) + 1) * channels], np.uint8)
    return table if channels == 1 else table.reshape(-1, 3)


def _only(value: Any) -> Any:
    """Return what stands alone, or alone in a list; more than one is refused."""
    found = value.get_object() if value is not None else None
    if not isinstance(found, list):
        return found
    (one,) = found
    return one.get_object()


def _coded(stream: StreamObject) -> bytes:
    """Return the bytes of a stream as they are coded, which pypdf offers in no other way."""
    return bytes(stream._data)
