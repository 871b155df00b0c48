"""Pictures of every kind become pages."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.rasters import LIMITS, film, pages_of
from tests.support.scan_files import (
    SIZE,
    differs,
    drawing,
    encoded,
    tiff,
    write,
)
from worker.errors import UnreadableScanError
from worker.rasterizer import open_pages, probe
from worker.values import Page, UnreadablePage

pillow_heif = pytest.importorskip("pillow_heif", reason="the extra heic is not installed")
pillow_heif.register_heif_opener()  # here the writer; worker.rasterizer.photos asks pillow_heif itself


def sixteen_bits(image: Image.Image) -> Image.Image:
    return Image.fromarray(np.asarray(image).astype(np.uint16) * 257)


def over_transparent(image: Image.Image) -> Image.Image:
    """Ink on transparent black: a reader that drops alpha sees ink everywhere."""
    layer = Image.new("RGBA", image.size, (0, 0, 0, 0))
    layer.putalpha(image.point(lambda v: 255 - v))
    return layer


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
