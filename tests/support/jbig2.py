"""JBIG2 without an encoder: the picture as one region that is coded as a fax (ITU-T T.88, 6.2.6)."""

from __future__ import annotations

import io
import struct

from PIL import Image, ImageChops

from tests.support.scan_files import assembled_pdf, tiff

_PAGE, _REGION = 48, 38
_FAX = 1


def fax(image: Image.Image) -> bytes:
    """Return the one strip of a TIFF in G4."""
    content = tiff([image.convert("1")], compression="group4", tiffinfo={278: image.height})
    with Image.open(io.BytesIO(content)) as file:
        at, length = file.tag_v2[273][0], file.tag_v2[279][0]
    return content[at : at + length]


def jbig2(image: Image.Image) -> bytes:
    """Return a 1-bit picture as the segments of a page: its size, and one region."""
    size = struct.pack(">IIIIBH", *image.size, 0, 0, 0, 0)
    region = struct.pack(">IIIIBB", *image.size, 0, 0, 0, _FAX) + fax(ImageChops.invert(image.convert("L")))
    return b"".join(
        struct.pack(">IBBBI", number, kind, 0, 1, len(body)) + body
        for number, (kind, body) in enumerate(((_PAGE, size), (_REGION, region)))
    )


def as_jbig2_pdf(image: Image.Image, dpi: float) -> bytes:
    """Return a PDF of one page that shows a 1-bit picture."""
    points = tuple(side * 72 / dpi for side in image.size)
    content, coded = b"q %.2f 0 0 %.2f 0 0 cm /I Do Q" % points, jbig2(image)
    return assembled_pdf([
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 %.2f %.2f] /Contents 4 0 R " % points
        + b"/Resources << /XObject << /I 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n" % len(content) + content + b"\nendstream",
        b"<< /Type /XObject /Subtype /Image /Width %d /Height %d /ColorSpace /DeviceGray /BitsPerComponent 1 "
        % image.size
        + b"/Filter /JBIG2Decode /Length %d >>\nstream\n" % len(coded)
        + coded
        + b"\nendstream",
    ])  # fmt: skip
