"""A page of a PDF that shows one picture is that picture; any other page is drawn."""

from __future__ import annotations

import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.jbig2 import fax, jbig2
from tests.support.scan_files import SIZE, assembled_pdf, differs, drawing, encoded, write
from worker.errors import UnreadableScanError
from worker.rasterizer import RasterLimits, find_poppler, open_pages
from worker.values import Page

LIMITS = RasterLimits(max_megapixels=1.0, pdf_dpi=150)
needs_poppler = pytest.mark.skipif(find_poppler() is not None, reason="poppler is not installed")
WIDTH, HEIGHT = SIZE
POINTS = (WIDTH * 72 / 200, HEIGHT * 72 / 200)
"""The drawing at 200 dots an inch: a page that is drawn has 150."""
GREY = np.asarray(drawing())
BITS = np.packbits(GREY > 0, axis=1)
FILLS_PAGE = b"q %g 0 0 %g 0 0 cm /I Do Q" % POINTS

Parts = tuple[bytes, bytes]
"""What a picture's dictionary says beyond its size, and its bytes."""


def scan_pdf(
    picture: Parts,
    content: bytes = FILLS_PAGE,
    *,
    page: bytes = b"",
    names: bytes = b"",
    more: tuple[bytes, ...] = (),
    media: tuple[float, float] = POINTS,
    kids: bytes = b"3 0 R",
) -> bytes:
    """Return a PDF of one page whose picture is called /I; objects from 6 on are ``more``."""
    said, coded = picture
    head = b"<< /Type /XObject /Subtype /Image /Width %d /Height %d /Length %d " % (*SIZE, len(coded))
    return assembled_pdf([
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [" + kids + b"] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 %g %g] /Contents 4 0 R " % media
        + b"/Resources << /XObject << /I 5 0 R /Other 6 0 R >> %s >> %s >>" % (names, page),
        b"<< /Length %d >>\nstream\n" % len(content) + content + b"\nendstream",
        head + said + b" >>\nstream\n" + coded + b"\nendstream",
        *more,
    ])  # fmt: skip


def flate(samples: bytes, said: bytes = b"/ColorSpace /DeviceGray /BitsPerComponent 8") -> Parts:
    return said + b" /Filter /FlateDecode", zlib.compress(samples)


def with_predictor() -> Parts:
    rows = b"".join(b"\1" + bytes(np.diff(row, prepend=np.uint8(0)).astype(np.uint8)) for row in GREY)
    return flate(
        rows,
        b"/ColorSpace /DeviceGray /BitsPerComponent 8 /DecodeParms << /Predictor 15 /Colors 1 /Columns %d >>" % WIDTH,
    )


def indexed() -> Parts:
    return flate(
        (GREY > 0).astype(np.uint8).tobytes(), b"/ColorSpace [/Indexed /DeviceRGB 1 <000000FFFFFF>] /BitsPerComponent 8"
    )


G4 = (
    b"/ColorSpace /DeviceGray /BitsPerComponent 1 /Filter /CCITTFaxDecode /DecodeParms << /K -1 /Columns %d /Rows %d >>"
)
KINDS = {
    "grey JPEG": lambda: (
        b"/ColorSpace /DeviceGray /BitsPerComponent 8 /Filter /DCTDecode",
        encoded(drawing(), "JPEG", quality=100),
    ),
    "colour JPEG": lambda: (
        b"/ColorSpace /DeviceRGB /BitsPerComponent 8 /Filter [/DCTDecode]",
        encoded(drawing().convert("RGB"), "JPEG", quality=100),
    ),
    "G4": lambda: (G4 % SIZE, fax(drawing())),
    "JBIG2": lambda: (b"/ColorSpace /DeviceGray /BitsPerComponent 1 /Filter /JBIG2Decode", jbig2(drawing())),
    "Flate, grey": lambda: flate(GREY.tobytes()),
    "Flate, colour": lambda: flate(np.repeat(GREY, 3).tobytes(), b"/ColorSpace /DeviceRGB /BitsPerComponent 8"),
    "Flate, 1-bit": lambda: flate(BITS.tobytes(), b"/ColorSpace /DeviceGray /BitsPerComponent 1"),
    "Flate, predicted": with_predictor,
    "Flate, indexed": indexed,
}


NO_MARK = b" 0 0 1 1 re f"
"""What makes a page be drawn, and hardly shows."""


def assert_alike(lifted: Page, drawn: Page) -> None:
    small = np.asarray(Image.fromarray(lifted.grey).resize(drawn.grey.shape[::-1], Image.Resampling.BOX))
    assert np.mean(np.abs(small.astype(int) - drawn.grey)) < 3


def read(folder: Path, content: bytes) -> Page:
    (page,) = open_pages(write(folder, "scan.pdf", content), scan_id="s", limits=LIMITS)
    assert isinstance(page, Page)
    return page


@needs_poppler
@pytest.mark.parametrize("kind", KINDS)
def test_the_picture_of_a_scan_is_lifted_out_as_it_is(kind: str, tmp_path: Path) -> None:
    picture = KINDS[kind]()
    page = read(tmp_path, scan_pdf(picture))
    drawn = read(tmp_path, scan_pdf(picture, FILLS_PAGE + NO_MARK))
    assert page.grey.shape == (HEIGHT, WIDTH)
    assert page.dpi == pytest.approx(200)
    assert page.damage is None
    white_on_black = kind == "G4"  # bits of 1 are white in a TIFF of Pillow, and black in a fax
    assert differs(255 - page.grey if white_on_black else page.grey) < (1 if "JPEG" in kind else 1e-9)
    assert_alike(page, drawn)


ACROSS, DOWN = POINTS
TURNED = {
    0: (ACROSS, 0, 0, DOWN, 0, 0),
    90: (0, -ACROSS, DOWN, 0, 0, ACROSS),
    180: (-ACROSS, 0, 0, -DOWN, ACROSS, DOWN),
    270: (0, ACROSS, -DOWN, 0, DOWN, 0),
}


@needs_poppler
@pytest.mark.parametrize("rotate", [0, 90, 180, 270])
@pytest.mark.parametrize("turn", TURNED)
def test_a_turned_picture_stands_as_a_viewer_shows_it(turn: int, rotate: int, tmp_path: Path) -> None:
    content = b"q %g %g %g %g %g %g cm /I Do Q" % TURNED[turn]
    media = POINTS if turn % 180 == 0 else POINTS[::-1]
    picture, page = KINDS["Flate, grey"](), b"/Rotate %d" % rotate
    lifted = read(tmp_path, scan_pdf(picture, content, page=page, media=media))
    drawn = read(tmp_path, scan_pdf(picture, content + NO_MARK, page=page, media=media))
    assert (lifted.dpi, drawn.dpi) == (pytest.approx(200), 150)
    assert_alike(lifted, drawn)


FORM = b"<< /Type /XObject /Subtype /Form /BBox [0 0 %g %g] /Resources << /XObject << /I 5 0 R >> >> /Length 32 >>"
LIFTED = {
    "recognized text behind it": (FILLS_PAGE + b" BT 3 Tr /F 9 Tf 5 5 Td (12) Tj ET", {}),
    "a clip as large as the page": (b"q 0 0 %g %g re W n " % POINTS + FILLS_PAGE + b" Q", {}),
    "a plain state": (b"/G gs " + FILLS_PAGE, {"names": b"/ExtGState << /G << /ca 1 /BM /Normal >> >>"}),
    "a link": (FILLS_PAGE, {"page": b"/Annots [<< /Type /Annot /Subtype /Link /Rect [0 0 9 9] >>]"}),
    "inside a form": (
        b"/Other Do",
        {"more": (FORM % POINTS + b"\nstream\nq %5.0f 0 0 %5.0f 0 0 cm /I Do Q\nendstream" % POINTS,)},
    ),
}
DRAWN = {
    "a mark upon it": (FILLS_PAGE + b" 5 5 9 9 re f", {}),
    "text upon it": (FILLS_PAGE + b" BT /F 9 Tf 5 5 Td (12) Tj ET", {}),
    "two pictures": (FILLS_PAGE + b" q 20 0 0 20 0 0 cm /I Do Q", {}),
    "a margin": (b"q 80 0 0 60 10 6 cm /I Do Q", {}),
    "larger than the page": (b"q %g 0 0 %g -9 -9 cm /I Do Q" % (POINTS[0] + 18, POINTS[1] + 18), {}),
    "askew": (b"q %g 3 -3 %g 0 0 cm /I Do Q" % POINTS, {}),
    "mirrored": (b"q -%g 0 0 %g %g 0 cm /I Do Q" % (*POINTS, POINTS[0]), {}),
    "clipped": (b"q 0 0 50 50 re W n " + FILLS_PAGE + b" Q", {}),
    "see-through": (b"/G gs " + FILLS_PAGE, {"names": b"/ExtGState << /G << /ca 0.5 >> >>"}),
    "an annotation": (
        FILLS_PAGE,
        {"page": b"/Annots [<< /Type /Annot /Subtype /Square /Rect [5 5 20 20] /C [0 0 0] >>]"},
    ),
    "a crop": (FILLS_PAGE, {"page": b"/CropBox [0 0 60 60]"}),
    "a unit of its own": (FILLS_PAGE, {"page": b"/UserUnit 2"}),
}  # fmt: skip
ODD = {
    "inverted": lambda: flate(GREY.tobytes(), b"/ColorSpace /DeviceGray /BitsPerComponent 8 /Decode [1 0]"),
    "a mask": lambda: flate(BITS.tobytes(), b"/ImageMask true /BitsPerComponent 1"),
    "a key for white": lambda: flate(GREY.tobytes(), b"/ColorSpace /DeviceGray /BitsPerComponent 8 /Mask [255 255]"),
    "four colours": lambda: flate(np.repeat(255 - GREY, 4).tobytes(), b"/ColorSpace /DeviceCMYK /BitsPerComponent 8"),
    "two filters": lambda: (
        b"/ColorSpace /DeviceGray /BitsPerComponent 8 /Filter [/ASCIIHexDecode /FlateDecode]",
        zlib.compress(GREY.tobytes()).hex().encode() + b">",
    ),
    "another size": lambda: (
        b"/ColorSpace /DeviceGray /BitsPerComponent 8 /Filter /DCTDecode",
        encoded(drawing().resize((150, 100)), "JPEG"),
    ),
    "cut short": lambda: flate(GREY.tobytes()[: WIDTH * 150]),
}


@needs_poppler
@pytest.mark.parametrize("case", LIFTED)
def test_what_leaves_the_picture_as_it_is_does_not_keep_it_from_being_lifted(case: str, tmp_path: Path) -> None:
    content, options = LIFTED[case]
    page = read(tmp_path, scan_pdf(KINDS["Flate, grey"](), content, **options))
    assert page.grey.shape == (HEIGHT, WIDTH)
    assert differs(page.grey) == 0


@needs_poppler
@pytest.mark.parametrize("case", DRAWN)
def test_a_page_that_shows_more_or_less_than_its_picture_is_drawn(case: str, tmp_path: Path) -> None:
    content, options = DRAWN[case]
    assert read(tmp_path, scan_pdf(KINDS["Flate, grey"](), content, **options)).dpi == 150


@needs_poppler
@pytest.mark.parametrize("case", ODD)
def test_a_picture_out_of_the_ordinary_is_drawn(case: str, tmp_path: Path) -> None:
    assert read(tmp_path, scan_pdf(ODD[case]())).dpi == 150


def _altered(parts: Parts, at: float) -> Parts:
    """Return the picture with a byte of its pixels altered so that they inflate to others."""
    said, coded = parts
    pixels = bytearray(zlib.decompress(coded))
    pixels[int(len(pixels) * at)] ^= 64
    return said, zlib.compress(bytes(pixels))[:-4] + coded[-4:]


def _cut(parts: Parts, share: float) -> Parts:
    return parts[0], parts[1][: int(len(parts[1]) * share)]


WOUNDED = {
    "a JPEG that ends early": lambda: _cut(KINDS["grey JPEG"](), 0.8),
    "a JPEG without its end mark": lambda: (KINDS["grey JPEG"]()[0], KINDS["grey JPEG"]()[1][:-2]),
    "another checksum": lambda: _altered(KINDS["Flate, grey"](), 0.5),
    "another checksum, predicted": lambda: _altered(with_predictor(), 0.5),
    "fewer rows than it says": ODD["cut short"],
    "deflated pixels that end early": lambda: _cut(KINDS["Flate, grey"](), 0.6),
}


@needs_poppler
@pytest.mark.parametrize("case", WOUNDED)
def test_a_page_whose_picture_is_known_to_be_damaged_says_so_though_poppler_draws_it(case: str, tmp_path: Path) -> None:
    assert read(tmp_path, scan_pdf(WOUNDED[case]())).damage is not None


@needs_poppler
@pytest.mark.parametrize("case", ["inverted", "a mask", "four colours", "another size"])
def test_a_sound_picture_that_must_be_drawn_is_not_called_damaged(case: str, tmp_path: Path) -> None:
    assert read(tmp_path, scan_pdf(ODD[case]())).damage is None


@needs_poppler
@pytest.mark.parametrize("kids", [b"3 0 R " * 2, b"3 0 R " * 300_000, b"2 0 R"], ids=["two", "300,000", "a loop"])
def test_a_tree_of_pages_that_holds_other_than_it_says_is_popplers(kids: bytes, tmp_path: Path) -> None:
    content = scan_pdf(KINDS["Flate, grey"](), kids=kids)
    began = time.process_time()
    try:
        pages = list(open_pages(write(tmp_path, "scan.pdf", content), scan_id="s", limits=RasterLimits(pdf_dpi=150)))
    except UnreadableScanError:
        pages = []
    assert time.process_time() - began < 10
    assert all(not isinstance(page, Page) or page.dpi == 150 for page in pages)
