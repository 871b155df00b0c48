"""Scans of every kind, made on the fly: one drawing that has no symmetry, in many containers."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

SIZE = (300, 200)


def drawing(mark: int = 0) -> Image.Image:
    """Draw an L of ink at the top left and ``mark + 1`` bars at the bottom right."""
    image = Image.new("L", SIZE, 255)
    draw = ImageDraw.Draw(image)
    draw.rectangle((20, 20, 40, 120), fill=0)
    draw.rectangle((20, 100, 120, 120), fill=0)
    for i in range(mark + 1):
        draw.rectangle((200 + 20 * i, 150, 208 + 20 * i, 180), fill=0)
    return image


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    """Return the image as the bytes of a file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def differs(grey: np.ndarray, mark: int = 0) -> float:
    """Return the mean difference, 0 to 255, from the drawing."""
    return float(np.mean(np.abs(grey.astype(int) - np.asarray(drawing(mark), dtype=int))))


def pdf(pages: int = 1, *, media: tuple[float, float] = (144, 96)) -> bytes:
    """Return a PDF whose pages hold a black bar each."""
    content = b"0 g 10 10 40 20 re f"
    kids = b" ".join(b"%d 0 R" % (4 + i) for i in range(pages))
    box = b"[0 0 %g %g]" % media
    page = b"<< /Type /Page /Parent 2 0 R /MediaBox " + box + b" /Contents 3 0 R >>"
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [" + kids + b"] /Count %d >>" % pages,
        b"<< /Length %d >>\nstream\n" % len(content) + content + b"\nendstream",
        *[page] * pages,
    ]
    return assembled_pdf(objects)


def turned_pdf(
    turns: list[int | None], *, inherited: int | None = None, media: tuple[float, float] = (144, 96)
) -> bytes:
    """Return a PDF with a bar at the lower left of each page, which says how it is turned, or inherits it."""
    content = b"0 g 10 10 40 20 re f"
    kids = b" ".join(b"%d 0 R" % (4 + i) for i in range(len(turns)))
    box = b"/MediaBox [0 0 %g %g] " % media
    pages = [
        b"<< /Type /Page /Parent 2 0 R /Contents 3 0 R %s>>" % (b"" if turn is None else b"/Rotate %d " % turn)
        for turn in turns
    ]
    tree = b"<< /Type /Pages %s/Kids [%s] /Count %d " % (box, kids, len(turns))
    return assembled_pdf([
        b"<< /Type /Catalog /Pages 2 0 R >>",
        tree + (b"" if inherited is None else b"/Rotate %d " % inherited) + b">>",
        b"<< /Length %d >>\nstream\n" % len(content) + content + b"\nendstream",
        *pages,
    ])  # fmt: skip


def packed_pdf() -> bytes:
    """Return a PDF 1.5 of one page with a bar, its objects in an object stream, as most programs write today."""
    content = b"0 g 10 10 40 20 re f"
    packed = {
        1: b"<< /Type /Catalog /Pages 2 0 R >>",
        2: b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        3: b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 144 96] /Contents 4 0 R /Resources << >> >>",
    }
    head, body = b"", b""
    for number, text in packed.items():
        head, body = head + b"%d %d " % (number, len(body)), body + text + b" "
    objects = zlib.compress(head + body)
    out, places = b"%PDF-1.5\n", []
    entries = b"/Type /ObjStm /N 3 /First %d /Filter /FlateDecode " % len(head)
    for number, extra, stream in ((4, b"", content), (5, entries, objects)):
        places.append(len(out))
        out += b"%d 0 obj\n<< %s/Length %d >>\nstream\n" % (number, extra, len(stream))
        out += stream + b"\nendstream\nendobj\n"
    rows = [(0, 0, 65535), (2, 5, 0), (2, 5, 1), (2, 5, 2), (1, places[0], 0), (1, places[1], 0), (1, len(out), 0)]
    table = zlib.compress(b"".join(struct.pack(">BHH", *row) for row in rows))
    start = len(out)
    out += b"6 0 obj\n<< /Type /XRef /Size 7 /W [1 2 2] /Root 1 0 R /Filter /FlateDecode /Length %d >>" % len(table)
    return out + b"\nstream\n" + table + b"\nendstream\nendobj\nstartxref\n%d\n%%%%EOF\n" % start


def assembled_pdf(objects: list[bytes], trailer: bytes = b"") -> bytes:
    """Put numbered objects into a PDF with its cross-reference table; object 1 is the catalogue."""
    out, places = b"%PDF-1.4\n", []
    for number, text in enumerate(objects, start=1):
        places.append(len(out))
        out += b"%d 0 obj\n" % number + text + b"\nendobj\n"
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    start, count = len(out), len(objects) + 1
    out += b"xref\n0 %d\n0000000000 65535 f \n" % count + table
    return out + b"trailer\n<< /Size %d /Root 1 0 R %s >>\nstartxref\n%d\n%%%%EOF\n" % (count, trailer, start)


def encrypted_pdf() -> bytes:
    """Return a PDF that asks for a password nobody knows."""
    lock = b"<" + b"5a" * 32 + b">"
    keys = b"/Filter /Standard /V 1 /R 2 /P -4 /O " + lock + b" /U " + lock
    trailer = b" /ID [<00> <00>] /Encrypt << " + keys + b" >>"
    return pdf().replace(b" >>\nstartxref", trailer + b" >>\nstartxref")


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """Return one chunk of a PNG with its checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def huge_png(width: int, height: int) -> bytes:
    """Return a PNG of a few bytes whose header asks for any number of pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = png_chunk(b"IDAT", zlib.compress(b"\0" * 1000))
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + data + png_chunk(b"IEND", b"")


def tiff(images: list[Image.Image], **options: object) -> bytes:
    """Return a TIFF of several pages."""
    return encoded(images[0], "TIFF", save_all=True, append_images=images[1:], **options)


def looped_tiff() -> bytes:
    """Return a TIFF whose second page directory is followed by the first."""
    content = bytearray(tiff([drawing(), drawing(1)]))
    first = struct.unpack_from("<I", content, 4)[0]
    entries = struct.unpack_from("<H", content, first)[0]
    second = struct.unpack_from("<I", content, first + 2 + 12 * entries)[0]
    entries = struct.unpack_from("<H", content, second)[0]
    struct.pack_into("<I", content, second + 2 + 12 * entries, first)
    return bytes(content)


def write(folder: Path, name: str, content: bytes) -> Path:
    """Write a file and return where it lies."""
    path = folder / name
    path.write_bytes(content)
    return path
