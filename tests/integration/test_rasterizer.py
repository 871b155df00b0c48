"""Files of every kind become pages; files of every bad kind become one line that names the cause."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from tests.support.scan_files import (
    SIZE,
    assembled_pdf,
    differs,
    drawing,
    encoded,
    encrypted_pdf,
    huge_png,
    looped_tiff,
    packed_pdf,
    pdf,
    tiff,
    turned_pdf,
    write,
)
from worker.errors import MissingProgramError, UnreadableScanError
from worker.rasterizer import RasterLimits, find_poppler, open_pages, probe
from worker.rasterizer.pdf import BOUNDED_POPPLER
from worker.values import Page, UnreadablePage

LIMITS = RasterLimits(max_file_mb=1, max_pages=5, max_megapixels=1.0, pdf_dpi=150, page_timeout_s=10)
pillow_heif = pytest.importorskip("pillow_heif", reason="the extra heic is not installed")
pillow_heif.register_heif_opener()  # here the writer; worker.rasterizer.photos asks pillow_heif itself
needs_poppler = pytest.mark.skipif(find_poppler() is not None, reason="poppler is not installed")


def pages_of(folder: Path, content: bytes, name: str = "scan.bin") -> list[Page]:
    path = write(folder, name, content)
    pages = list(open_pages(path, scan_id="s", limits=LIMITS))
    assert probe(path, LIMITS) == len(pages)
    assert all(isinstance(page, Page) for page in pages)
    return pages  # type: ignore[return-value]  # each was looked at


def sixteen_bits(image: Image.Image) -> Image.Image:
    return Image.fromarray(np.asarray(image).astype(np.uint16) * 257)


def over_transparent(image: Image.Image) -> Image.Image:
    """Ink on transparent black: a reader that drops alpha sees ink everywhere."""
    layer = Image.new("RGBA", image.size, (0, 0, 0, 0))
    layer.putalpha(image.point(lambda v: 255 - v))
    return layer


def film() -> bytes:
    """Return what a telephone puts behind a photo: bytes among which markers of JPEG occur by chance."""
    return b"\0\0\0\x18ftypmp42" + np.random.default_rng(5).bytes(200_000) + b"\xff\xda\xff\xd8" * 100


def narrow(image: Image.Image, bits: int) -> Image.Image:
    """Return a picture of 16 bits of which a camera filled the lowest."""
    return Image.fromarray(np.asarray(image).astype(np.uint16) << (bits - 8))


def light_on_clear(image: Image.Image) -> Image.Image:
    """Return the ink in white on clear ground, as tablets save strokes."""
    return Image.merge("RGBA", [*[Image.new("L", image.size, 255)] * 3, image.point(lambda v: 255 - v)])


def any_brand(content: bytes) -> bytes:
    """Return a photo whose major brand does not tell how it is coded (ISO/IEC 23008-12, 10.2)."""
    return content[:8] + b"mif1" + content[12:]


GOOD = {
    "png 1 bit": lambda: encoded(drawing().convert("1"), "PNG"),
    "png grey": lambda: encoded(drawing(), "PNG"),
    "png 16 bit": lambda: encoded(sixteen_bits(drawing()), "PNG"),
    "png 16 bit with 8 bits in use": lambda: encoded(narrow(drawing(), 8), "PNG"),
    "png 16 bit with 10 bits in use": lambda: encoded(narrow(drawing(), 10), "PNG"),
    "png 16 bit with 12 bits in use": lambda: encoded(narrow(drawing(), 12), "PNG"),
    "tiff 16 bit with 14 bits in use": lambda: encoded(narrow(drawing(), 14), "TIFF"),
    "png, light ink on clear ground": lambda: encoded(light_on_clear(drawing()), "PNG"),
    "webp, light ink on clear ground": lambda: encoded(light_on_clear(drawing()), "WEBP", lossless=True),
    "png palette": lambda: encoded(drawing().convert("P"), "PNG"),
    "png rgb": lambda: encoded(drawing().convert("RGB"), "PNG"),
    "png alpha": lambda: encoded(over_transparent(drawing()), "PNG"),
    "png palette alpha": lambda: encoded(over_transparent(drawing()).quantize(8), "PNG"),
    "png grey, white transparent": lambda: encoded(drawing(), "PNG", transparency=255),
    "jpeg grey": lambda: encoded(drawing(), "JPEG", quality=95),
    "jpeg rgb": lambda: encoded(drawing().convert("RGB"), "JPEG", quality=95),
    "jpeg progressive": lambda: encoded(drawing(), "JPEG", quality=95, progressive=True),
    "jpeg cmyk": lambda: encoded(drawing().convert("RGB").convert("CMYK"), "JPEG", quality=95),
    "jpeg with a trailer": lambda: encoded(drawing(), "JPEG", quality=95) + b"phone's own data" * 50,
    "jpeg with a film behind it": lambda: encoded(drawing(), "JPEG", quality=95) + film(),
    "jpeg progressive with a film behind it": lambda: encoded(drawing(), "JPEG", quality=95, progressive=True) + film(),
    "two pictures of one shot (MPO)": lambda: encoded(
        drawing(), "MPO", quality=95, save_all=True, append_images=[drawing(1)]
    ),
    "png with bytes behind its end": lambda: encoded(drawing(), "PNG") + film(),
    "webp": lambda: encoded(drawing().convert("RGB"), "WEBP", quality=95),
    "webp lossless": lambda: encoded(drawing().convert("RGB"), "WEBP", lossless=True),
    "webp alpha": lambda: encoded(over_transparent(drawing()), "WEBP", lossless=True),
    "webp with bytes behind its end": lambda: encoded(drawing().convert("RGB"), "WEBP", quality=95) + b"\0" * 99,
    "avif": lambda: encoded(drawing().convert("RGB"), "AVIF", quality=95),
    "avif of the brand of any picture": lambda: any_brand(encoded(drawing().convert("RGB"), "AVIF", quality=95)),
    "heic of the brand of any picture": lambda: any_brand(encoded(drawing().convert("RGB"), "HEIF", quality=95)),
    "heic": lambda: encoded(drawing().convert("RGB"), "HEIF", quality=95),
    "heic with a film behind it": lambda: encoded(drawing().convert("RGB"), "HEIF", quality=95) + film(),
    "tiff with bytes behind its end": lambda: encoded(drawing(), "TIFF") + film(),
    "tiff grey": lambda: encoded(drawing(), "TIFF"),
    "tiff g4": lambda: encoded(drawing().convert("1"), "TIFF", compression="group4"),
    "tiff g3": lambda: encoded(drawing().convert("1"), "TIFF", compression="group3"),
    "tiff lzw": lambda: encoded(drawing().convert("RGB"), "TIFF", compression="tiff_lzw"),
    "tiff jpeg": lambda: encoded(drawing().convert("RGB"), "TIFF", compression="jpeg", quality=95),
    "tiff 16 bit": lambda: encoded(sixteen_bits(drawing()), "TIFF"),
    "tiff 16 bit, white is zero": lambda: encoded(
        sixteen_bits(drawing().point(lambda v: 255 - v)), "TIFF", tiffinfo={262: 0}
    ),
    "tiff cmyk": lambda: encoded(drawing().convert("RGB").convert("CMYK"), "TIFF"),
}


@pytest.mark.parametrize("kind", GOOD)
def test_every_kind_of_picture_shows_the_same_drawing(kind: str, tmp_path: Path) -> None:
    (page,) = pages_of(tmp_path, GOOD[kind]())
    assert page.grey.shape == SIZE[::-1]
    assert page.grey.dtype == np.uint8
    assert not page.grey.flags.writeable
    assert differs(page.grey) < 2
    assert (page.scan_id, page.number) == ("s", 0)


def test_tiff_white_is_zero_of_one_bit_is_turned(tmp_path: Path) -> None:
    content = bytearray(encoded(drawing().convert("1"), "TIFF", compression="raw"))
    place = content.find(struct.pack("<HHI", 262, 3, 1))
    struct.pack_into("<H", content, place + 8, 0)
    (page,) = pages_of(tmp_path, bytes(content))
    assert differs(np.invert(page.grey)) < 2


@pytest.mark.parametrize("marker", [True, False])
def test_cmyk_polarity_follows_adobes_marker(marker: bool, tmp_path: Path) -> None:
    content = encoded(drawing().convert("RGB").convert("CMYK"), "JPEG", quality=95)
    assert b"Adobe" in content  # libjpeg writes it, and Pillow inverts the ink for it
    if not marker:
        content = content.replace(b"Adobe", b"Bdobe")
    (page,) = pages_of(tmp_path, content)
    assert differs(page.grey if marker else np.invert(page.grey)) < 40


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_exif_orientation_is_undone(kind: str, orientation: int, tmp_path: Path) -> None:
    stored = {
        2: [Image.Transpose.FLIP_LEFT_RIGHT],
        3: [Image.Transpose.ROTATE_180],
        4: [Image.Transpose.FLIP_TOP_BOTTOM],
        5: [Image.Transpose.TRANSPOSE],
        6: [Image.Transpose.ROTATE_90],
        7: [Image.Transpose.TRANSVERSE],
        8: [Image.Transpose.ROTATE_270],
    }
    image = drawing()
    for turn in stored.get(orientation, []):
        image = image.transpose(turn)
    exif = Image.Exif()
    exif[0x0112] = orientation
    (page,) = pages_of(tmp_path, encoded(image, kind, exif=exif, dpi=(200, 200)))
    assert page.grey.shape == SIZE[::-1]
    assert differs(page.grey) < 2
    assert page.dpi == pytest.approx(200, abs=0.1)


def test_a_colour_becomes_the_grey_that_the_eye_sees(tmp_path: Path) -> None:
    image = drawing().convert("RGB")
    image.paste((220, 40, 40), (0, 60, SIZE[0], 64))
    (page,) = pages_of(tmp_path, encoded(image, "PNG"))
    assert 80 < page.grey[62, 150] < 110


@pytest.mark.parametrize(("stated", "kept"), [(300, 300.0), (72, None), (1, None)])
def test_dpi_is_the_files_where_it_can_be_true(stated: int, kept: float | None, tmp_path: Path) -> None:
    (page,) = pages_of(tmp_path, encoded(drawing(), "JPEG", dpi=(stated, stated)))
    assert page.dpi == kept


def test_a_fax_gets_square_pixels(tmp_path: Path) -> None:
    flat = drawing().resize((SIZE[0], SIZE[1] // 2))
    content = encoded(flat.convert("1"), "TIFF", compression="group4", dpi=(204, 102))
    (page,) = pages_of(tmp_path, content)
    assert page.grey.shape == SIZE[::-1]
    assert page.dpi == pytest.approx(204)


def test_tiff_pages_come_in_order_without_their_thumbnails(tmp_path: Path) -> None:
    content = bytearray(tiff([drawing(0), drawing(1), drawing(2)], tiffinfo={254: 0}))
    second = [i for i in range(len(content)) if content.startswith(struct.pack("<HHI", 254, 4, 1), i)][1]
    struct.pack_into("<I", content, second + 8, 1)
    pages = pages_of(tmp_path, bytes(content))
    assert [p.number for p in pages] == [0, 1]
    assert differs(pages[0].grey, 0) == 0
    assert differs(pages[1].grey, 2) == 0


def test_pages_are_decoded_one_by_one(tmp_path: Path) -> None:
    content = tiff([drawing(), Image.new("L", (2000, 2000))], compression="tiff_lzw")
    pages = open_pages(write(tmp_path, "a.tif", content), scan_id="s", limits=LIMITS)
    first = next(pages)
    assert isinstance(first, Page) and differs(first.grey) == 0
    second = next(pages)
    assert isinstance(second, UnreadablePage) and "2000 x 2000" in second.problem


@needs_poppler
def test_pdf_pages_are_drawn_at_the_set_resolution(tmp_path: Path) -> None:
    pages = pages_of(tmp_path, pdf(3))
    assert [p.number for p in pages] == [0, 1, 2]
    assert pages[0].grey.shape == (200, 300)  # 144 x 96 points at 150 dpi
    assert pages[0].dpi == 150
    assert pages[0].grey[150, 60] == 0
    assert pages[0].grey[10, 10] == 255


@needs_poppler
def test_a_large_pdf_page_is_drawn_coarser(tmp_path: Path) -> None:
    (page,) = pages_of(tmp_path, pdf(media=(600, 600)))  # 1250 x 1250 pixels at 150 dpi
    height, width = page.grey.shape
    assert height * width <= LIMITS.max_megapixels * 1e6
    assert page.dpi == pytest.approx(120, abs=1)


@needs_poppler
@pytest.mark.parametrize("media", [(144, 96), (96, 144), (120, 120)])
@pytest.mark.parametrize("turn", [0, 90, 180, 270, -90, 450])
@pytest.mark.parametrize("inherited", [False, True])
def test_a_turned_pdf_page_is_shown_as_a_viewer_shows_it(
    inherited: bool, turn: int, media: tuple[float, float], tmp_path: Path
) -> None:
    content = turned_pdf([None], inherited=turn, media=media) if inherited else turned_pdf([turn], media=media)
    (upright,) = pages_of(tmp_path, turned_pdf([0], media=media))
    (page,) = pages_of(tmp_path, content)
    shown = np.rot90(upright.grey, -turn // 90 % 4)
    assert page.grey.shape == shown.shape
    assert np.mean(page.grey != shown) < 0.01


@needs_poppler
def test_pages_turned_in_many_ways_are_read_in_order(tmp_path: Path) -> None:
    pages = pages_of(tmp_path, turned_pdf([90, None, 0, 270], inherited=180))
    assert [p.number for p in pages] == [0, 1, 2, 3]
    assert [p.grey.shape for p in pages] == [(300, 200), (200, 300), (200, 300), (300, 200)]
    corner_is_black = [bool(p.grey[-60:, :60].min() == 0) for p in pages]
    assert corner_is_black == [False, False, True, False]


PADDING = {
    "zeros": b"\0",
    "blanks": b" \r\n",
    "marks": b"<html>not found</html> ",
    "bytes": bytes(range(256)),
}


@needs_poppler
@pytest.mark.parametrize("make", [pdf, packed_pdf])
@pytest.mark.parametrize("length", [900, 5_000, 18_000, 80_508])
@pytest.mark.parametrize("kind", PADDING)
def test_padding_behind_the_end_of_a_pdf_is_passed_over(kind: str, length: int, make, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    padding = (PADDING[kind] * length)[:length]
    (bare,) = pages_of(tmp_path, make())
    (page,) = pages_of(tmp_path, make() + padding)
    assert np.array_equal(page.grey, bare.grey)
    assert page.damage is None


@needs_poppler
@pytest.mark.parametrize("make", [pdf, packed_pdf])
@pytest.mark.parametrize("end", [b"", b"\n", b"\n%", b"\r\n%%E", b"\n%%EO\n"])
def test_a_pdf_that_lacks_its_last_mark_only_is_whole(end: bytes, make, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (bare,) = pages_of(tmp_path, make())
    (page,) = pages_of(tmp_path, make().rstrip().removesuffix(b"%%EOF").rstrip() + end)
    assert np.array_equal(page.grey, bare.grey)
    assert page.damage is None


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_pdf_that_ends_in_the_place_of_its_table_is_truncated(cut: int, tmp_path: Path) -> None:
    """Its writer may be at work: a place with a digit too few leads to no table."""
    content = pdf(3).rstrip().removesuffix(b"%%EOF").rstrip()[:-cut]
    with pytest.raises(UnreadableScanError, match="truncated PDF") as caught:
        probe(write(tmp_path, "scan.pdf", content), LIMITS)
    assert caught.value.incomplete


def test_the_pages_before_the_cut_of_a_tiff_are_read(tmp_path: Path) -> None:
    """Programs that write a page's directory behind its pixels leave whole pages before the cut."""
    content = tiff([drawing(0), drawing(1), drawing(2)], compression="raw")
    places = [struct.unpack_from("<I", content, 4)[0]]
    for _ in range(2):
        entries = struct.unpack_from("<H", content, places[-1])[0]
        places.append(struct.unpack_from("<I", content, places[-1] + 2 + 12 * entries)[0])
    path = write(tmp_path, "scan.tif", content[: places[2] + 20])
    first, second, third = open_pages(path, scan_id="s", limits=LIMITS)
    assert isinstance(first, Page) and differs(first.grey, 0) < 2
    assert isinstance(second, Page) and differs(second.grey, 1) < 2
    assert isinstance(third, UnreadablePage) and third.incomplete and "truncated TIFF" in third.problem
    with pytest.raises(UnreadableScanError, match="page 3: truncated TIFF") as caught:
        probe(path, LIMITS)
    assert caught.value.incomplete


@needs_poppler
@pytest.mark.parametrize("cut", [1, 3, 8, 20, 60, 150, 300])
def test_a_pdf_whose_last_revision_is_cut_is_truncated_though_an_older_end_is_there(cut: int, tmp_path: Path) -> None:
    first = pdf(2)
    revision = b"4 0 obj\n<< /Type /Page /Parent 2 0 R /MediaBox [0 0 50 50] >>\nendobj\n" * 6
    path = write(tmp_path, "scan.pdf", first + revision[:cut])
    with pytest.raises(UnreadableScanError, match="truncated PDF") as caught:
        probe(path, LIMITS)
    assert caught.value.incomplete


def test_a_linearized_pdf_that_is_shorter_than_it_says_is_truncated(tmp_path: Path) -> None:
    head = b"%PDF-1.5\n1 0 obj\n<< /Linearized 1 /L 90000 /H [ 5 6 ] >>\nendobj\nstartxref\n0\n%%EOF\n"
    with pytest.raises(UnreadableScanError, match="truncated PDF"):
        probe(write(tmp_path, "scan.pdf", head), LIMITS)


@needs_poppler
def test_a_blank_pdf_page_about_which_poppler_complains_of_nothing_that_matters_is_a_page(tmp_path: Path) -> None:
    content = pdf().replace(b"0 g 10 10 40 20 re f", b"Q 10 10 40 20 re n  ")
    (page,) = pages_of(tmp_path, content)
    assert (page.grey.min(), page.damage) == (255, None)


@needs_poppler
def test_a_pdf_page_that_cannot_be_drawn_leaves_the_others(tmp_path: Path) -> None:
    good = b"0 g 10 10 40 20 re f"
    page = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 144 96] /Contents %d 0 R >>"
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [5 0 R 6 0 R 7 0 R] /Count 3 >>",
        b"<< /Length %d >>\nstream\n" % len(good) + good + b"\nendstream",
        b"<< /Length 9 /Filter /FlateDecode >>\nstream\nnot flate\nendstream",
        *(page % content for content in (4, 3, 4)),
    ]
    pages = list(open_pages(write(tmp_path, "scan.pdf", assembled_pdf(objects)), scan_id="s", limits=LIMITS))
    assert [type(p) for p in pages] == [UnreadablePage, Page, UnreadablePage]
    assert [p.number for p in pages] == [0, 1, 2]


@needs_poppler
@pytest.mark.parametrize("mode", ["1", "L"])
def test_a_pdf_whose_picture_is_damaged_says_so(mode: str, tmp_path: Path) -> None:
    """Poppler draws what it can of a picture, and complains; some of it in words of libjpeg."""
    noise = Image.fromarray((np.random.default_rng(3).random((300, 400)) > 0.8).astype(np.uint8) * 255)
    noticed = 0
    for place in (0.3, 0.4, 0.5, 0.6):
        content = bytearray(encoded(noise.convert(mode), "PDF", resolution=100))
        at = int(place * len(content))
        content[at : at + 40] = b"\xff\x17" * 20
        for page in open_pages(write(tmp_path, "scan.pdf", bytes(content)), scan_id="s", limits=LIMITS):
            noticed += isinstance(page, UnreadablePage) or page.damage is not None
    assert noticed == 4


@pytest.mark.parametrize("bad", [0, 1, 2])
def test_a_tiff_page_that_cannot_be_decoded_leaves_the_others(bad: int, tmp_path: Path) -> None:
    content = bytearray(tiff([drawing(0), drawing(1), drawing(2)], compression="tiff_adobe_deflate"))
    places = [i for i in range(len(content)) if content.startswith(b"\x78\x9c", i)]
    content[places[bad] + 2 : places[bad] + 12] = b"\xff" * 10
    path = write(tmp_path, "scan.tif", bytes(content))
    pages = list(open_pages(path, scan_id="s", limits=LIMITS))
    assert [p.number for p in pages] == [0, 1, 2]
    for page in pages:
        assert isinstance(page, UnreadablePage) if page.number == bad else differs(page.grey, page.number) < 2
    with pytest.raises(UnreadableScanError, match=f"page {bad + 1}"):
        probe(path, LIMITS)


BAD = {
    "empty": (lambda: b"", "empty"),
    "text": (lambda: b"hello, this is no picture", "not a PNG, JPEG, TIFF or PDF"),
    "gif": (lambda: encoded(drawing(), "GIF"), "not a PNG"),
    "too large": (lambda: b"\xff\xd8\xff" + b"\0" * 2**20, "ICR_MAX_FILE_MB"),
    "zeros": (lambda: b"\0" * 5000, "zeros only"),
    "office": (lambda: b"PK\x03\x04" + b"x" * 99, "archive or an office document; save it as PDF"),
    "raw photo": (lambda: b"\0\0\0\x18ftypcrx \0\0\0\0crx isom" + b"x" * 99, "raw photo of a camera; save it as JPEG"),
    "dng": (
        lambda: encoded(drawing(), "TIFF", tiffinfo=digital_negative()),
        "no page but thumbnails; if it is a raw photo of a camera, save it as JPEG",
    ),
    "web page": (lambda: b"<!doctype html><p>no scan</p>" * 9, "it is a web page"),
    "film": (lambda: b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + b"x" * 99, "it is a film"),
    "truncated webp": (lambda: encoded(drawing().convert("RGB"), "WEBP")[:-50], "truncated WebP"),
    "truncated heic": (lambda: encoded(drawing().convert("RGB"), "HEIF")[:-50], "truncated HEIC"),
    "truncated avif": (lambda: encoded(drawing().convert("RGB"), "AVIF")[:-50], "truncated AVIF"),
    "webp film": (lambda: encoded(drawing(), "WEBP", save_all=True, append_images=[drawing(1)]), "film of 2 pictures"),
    "truncated png": (lambda: encoded(drawing(), "PNG")[:-20], "truncated PNG"),
    "png with a flipped bit": (lambda: flipped(encoded(drawing(), "PNG"), 60), "wrong checksum"),
    "png of magic only": (lambda: b"\x89PNG\r\n\x1a\n", "truncated PNG"),
    "truncated jpeg": (lambda: encoded(drawing(), "JPEG")[:-200], "truncated JPEG"),
    "jpeg of magic only": (lambda: b"\xff\xd8\xff\xe0", "JPEG"),
    "jpeg cut in its header": (lambda: encoded(drawing(), "JPEG")[:100], "JPEG"),
    "truncated tiff": (lambda: encoded(drawing(), "TIFF")[:-3000], "TIFF|truncated"),
    "truncated g4": (lambda: g4()[: len(g4()) - 150], "TIFF|truncated|decoder"),
    "tiff loop": (looped_tiff, "loop"),
    "tiff pages": (lambda: tiff([drawing()] * 6), "6 pages; the limit is 5"),
    "float tiff": (lambda: encoded(Image.new("F", (9, 9)), "TIFF"), "floating-point"),
    "huge png": (lambda: huge_png(60000, 60000), "60000 x 60000 pixels"),
    "huge tiff": (lambda: huge_tiff(), "60000 x 60000 pixels"),
    "huge jpeg": (lambda: huge_jpeg(), "60000 x 60000 pixels"),
    "png shorter than its header": (lambda: huge_png(900, 900), "decoded|damaged"),
}


def digital_negative() -> TiffImagePlugin.ImageFileDirectory_v2:
    """Return the tags of a raw photo's thumbnail."""
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[254], tags[50706] = 1, b"\1\4\0\0"
    tags.tagtype[50706] = 1
    return tags


def flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def g4() -> bytes:
    noise = np.random.default_rng(0).random((200, 300)) > 0.5
    return encoded(Image.fromarray(noise), "TIFF", compression="group4")


def huge_tiff() -> bytes:
    content = bytearray(encoded(drawing(), "TIFF"))
    for tag in (256, 257):
        place = next(i for i in range(len(content)) if content.startswith(struct.pack("<H", tag), i))
        struct.pack_into("<HHII", content, place, tag, 4, 1, 60000)
    return bytes(content)


def huge_jpeg() -> bytes:
    content = bytearray(encoded(drawing(), "JPEG"))
    struct.pack_into(">HH", content, content.find(b"\xff\xc0") + 5, 60000, 60000)
    return bytes(content)


@pytest.mark.parametrize("kind", BAD)
def test_every_bad_picture_is_refused_with_its_cause(kind: str, tmp_path: Path) -> None:
    make, cause = BAD[kind]
    assert_refused(write(tmp_path, "scan.png", make()), cause)


def assert_refused(path: Path, cause: str) -> None:
    for attempt in (lambda: list(open_pages(path, scan_id="s", limits=LIMITS)), lambda: probe(path, LIMITS)):
        with pytest.raises(UnreadableScanError, match=cause) as caught:
            attempt()
        assert "\n" not in str(caught.value)
        assert " at 0x" not in str(caught.value)


def test_a_heic_photo_without_the_extra_is_one_sentence_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, "IMG_0042.HEIC", encoded(drawing().convert("RGB"), "HEIF"))
    monkeypatch.setattr("worker.rasterizer.photos.importlib.util.find_spec", lambda name: None)
    with pytest.raises(UnreadableScanError, match=r"pip install '\.\[heic\]', or save it as JPEG"):
        probe(path, LIMITS)


@pytest.mark.parametrize(
    "kind", ["truncated png", "truncated jpeg", "truncated tiff", "empty", "zeros", "truncated webp"]
)
def test_a_file_that_ends_early_may_still_be_written(kind: str, tmp_path: Path) -> None:
    with pytest.raises(UnreadableScanError) as caught:
        probe(write(tmp_path, "scan", BAD[kind][0]()), LIMITS)
    assert caught.value.incomplete


@pytest.mark.parametrize("kind", ["gif", "png with a flipped bit", "tiff loop", "huge png", "film"])
def test_a_file_that_is_whole_and_no_scan_is_not_waited_for(kind: str, tmp_path: Path) -> None:
    with pytest.raises(UnreadableScanError) as caught:
        probe(write(tmp_path, "scan", BAD[kind][0]()), LIMITS)
    assert not caught.value.incomplete


BAD_PDF = {
    "encrypted": (encrypted_pdf, "encrypted PDF"),
    "truncated": (lambda: pdf(3)[:-200], "truncated PDF"),
    "only a header": (lambda: b"%PDF-1.7\n%%EOF\n", "damaged PDF"),
    "2,000 pages": (lambda: pdf(2000), "2000 pages; the limit is 5"),
    "no pages": (lambda: pdf(0), "no pages"),
}


@needs_poppler
@pytest.mark.parametrize("kind", BAD_PDF)
def test_every_bad_pdf_is_refused_with_its_cause(kind: str, tmp_path: Path) -> None:
    make, cause = BAD_PDF[kind]
    assert_refused(write(tmp_path, "scan.pdf", make()), cause)


@needs_poppler
def test_a_pdf_page_too_large_even_at_a_coarse_resolution_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "scan.pdf", pdf(media=(14400, 14400)))
    with pytest.raises(UnreadableScanError, match="30000 x 30000 pixels"):
        list(open_pages(path, scan_id="s", limits=LIMITS))


@needs_poppler
def test_a_pdf_page_that_cannot_be_drawn_is_not_taken_for_a_blank_one(tmp_path: Path) -> None:
    """Poppler draws a page whose picture is damaged as white paper, and ends with 0."""
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [4 0 R] /Count 1 >>",
        b"<< /Length 9 /Filter /FlateDecode >>\nstream\nnot flate\nendstream",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 144 96] /Contents 3 0 R >>",
    ]
    path = write(tmp_path, "scan.pdf", assembled_pdf(objects))
    with pytest.raises(UnreadableScanError, match="damaged PDF: page 1"):
        list(open_pages(path, scan_id="s", limits=LIMITS))


@needs_poppler
def test_a_truly_blank_pdf_page_is_a_page(tmp_path: Path) -> None:
    (page,) = pages_of(tmp_path, pdf().replace(b"10 10 40 20 re f", b"10 10 40 20 re n"))
    assert page.grey.min() == 255


def test_a_missing_poppler_is_said_and_not_held_against_the_scan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingProgramError, match="poppler-utils"):
        probe(write(tmp_path, "scan.pdf", pdf()), LIMITS)


def test_what_is_no_regular_file_is_not_opened(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.png"
    os.mkfifo(pipe)
    for path, cause in ((pipe, "not a regular"), (tmp_path, "not a regular"), (tmp_path / "no", "No such")):
        with pytest.raises(UnreadableScanError, match=cause):
            probe(path, LIMITS)


def test_the_type_is_told_by_the_bytes_and_not_by_the_name(tmp_path: Path) -> None:
    (page,) = pages_of(tmp_path, encoded(drawing(), "JPEG", quality=95), name="scan.pdf")
    assert differs(page.grey) < 2


@pytest.mark.parametrize("program", ["pdfinfo", "pdftoppm"])
def test_poppler_is_bound_in_processor_time(program: str, tmp_path: Path) -> None:
    fake = write(tmp_path, program, b'#!/bin/sh\necho "$(ulimit -t) $*"\n')
    fake.chmod(0o755)
    answer = subprocess.run(
        [BOUNDED_POPPLER / program, "-r", "300", "a b.pdf"],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout == "600 -r 300 a b.pdf\n"


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="no setpriv (util-linux)")
def test_poppler_dies_with_the_worker_that_started_it(tmp_path: Path) -> None:
    """A drawing that does not end keeps its memory no longer than its worker lives."""
    fake = write(tmp_path, "pdftoppm", b'#!/bin/sh\necho "$$"\nexec sleep 60\n')
    fake.chmod(0o755)
    program = "import subprocess, sys; subprocess.run([sys.argv[1], 'a.pdf'])"
    command = [sys.executable, "-c", program, str(BOUNDED_POPPLER / "pdftoppm")]
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        drawer = int(worker.stdout.readline())
        worker.kill()
        worker.wait()
        deadline = time.monotonic() + 20
        while Path(f"/proc/{drawer}/cmdline").exists() and b"sleep" in Path(f"/proc/{drawer}/cmdline").read_bytes():
            assert time.monotonic() < deadline, "poppler outlives its worker"
            time.sleep(0.05)


def test_a_header_cannot_stretch_a_page_beyond_what_a_fax_needs(tmp_path: Path) -> None:
    (page,) = pages_of(tmp_path, encoded(drawing(), "PNG", dpi=(50, 2400)))
    assert page.grey.shape == SIZE[::-1]
    assert page.dpi is None
