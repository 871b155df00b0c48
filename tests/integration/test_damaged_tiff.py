"""Damaged TIFFs: what libtiff makes up is noticed, so that no field of such a page is accepted or called blank."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.scan_files import drawing, encoded, tiff, write
from worker.bootstrap import build_runtime
from worker.decision.fields import AcceptPolicy
from worker.errors import UnreadableScanError
from worker.page_kinds import LoneField
from worker.pipeline import read_page
from worker.rasterizer import RasterLimits, open_pages
from worker.synthesis.pages import draw_free_page
from worker.synthesis.samples import draw_writer
from worker.values import FieldStatus, Page, UnreadablePage

LIMITS = RasterLimits()
FIRST_STRIP = 400
"""Bytes behind which the headers of these files end."""


def fax(seed: int, compression: str) -> tuple[Image.Image, bytes]:
    rng = np.random.default_rng(seed)
    lines = [["".join(map(str, rng.integers(0, 10, 6)))] for _ in range(8)]
    page = draw_free_page(rng, lines, draw_writer(rng), size=(850, 1100))
    image = Image.fromarray(page).point(lambda v: 255 * (v > 150)).convert("1" if compression != "jpeg" else "L")
    return image, encoded(image, "TIFF", compression=compression)


def wounded(content: bytes, rng: np.random.Generator, length: int) -> bytes:
    """Return the file with one bit turned, or with ``length`` bytes written over."""
    at = int(rng.integers(FIRST_STRIP, len(content) - FIRST_STRIP))
    wound = rng.bytes(length) if length > 1 else bytes([content[at] ^ 1 << int(rng.integers(8))])
    return content[:at] + wound + content[at + len(wound) :]


@pytest.mark.parametrize(
    ("compression", "length", "least"),
    [("group4", 1, 0.7), ("group4", 16, 0.95), ("group3", 1, 0.9), ("group3", 16, 0.95), ("jpeg", 16, 0.3)],
)
def test_a_wound_of_a_fax_is_mostly_noticed(compression: str, length: int, least: float, tmp_path: Path) -> None:
    changed, noticed = 0, 0
    for seed in range(40):
        image, content = fax(seed % 4, compression)
        path = write(tmp_path, "fax.tif", wounded(content, np.random.default_rng(seed), length))
        try:
            (page,) = open_pages(path, scan_id="s", limits=LIMITS)
        except UnreadableScanError:
            continue
        assert isinstance(page, Page)
        if compression != "jpeg" and not np.any((page.grey > 127) != (np.asarray(image) > 0)):
            continue
        changed += 1
        noticed += page.damage is not None
    assert changed >= 30
    assert noticed >= least * changed


@pytest.mark.parametrize("compression", ["group4", "group3", "jpeg", "tiff_lzw", "packbits", "raw"])
def test_a_sound_file_is_not_doubted(compression: str, tmp_path: Path) -> None:
    image = drawing() if compression == "jpeg" else drawing().convert("1")
    path = write(tmp_path, "a.tif", tiff([image] * 3, compression=compression))
    pages = list(open_pages(path, scan_id="s", limits=LIMITS))
    assert [page.damage for page in pages if isinstance(page, Page)] == [None] * 3


def test_the_page_that_is_damaged_is_the_one_that_says_so(tmp_path: Path) -> None:
    image, _ = fax(1, "group4")
    sound = [len(encoded(image, "TIFF", compression="group4"))]
    both = bytearray(tiff([image, image], compression="group4"))
    both[sound[0] + 900 : sound[0] + 910] = b"\x55" * 10
    pages = list(open_pages(write(tmp_path, "a.tif", bytes(both)), scan_id="s", limits=LIMITS))
    assert [isinstance(p, UnreadablePage) or p.damage is not None for p in pages] == [False, True]


def directory_entry(content: bytes, page: int, tag: int) -> int:
    """Return where the entry of a tag lies in the directory of a page (TIFF 6.0, section 2)."""
    at = 4
    for _ in range(page + 1):
        first = struct.unpack_from("<I", content, at)[0]
        count = struct.unpack_from("<H", content, first)[0]
        at = first + 2 + 12 * count
    places = range(first + 2, at, 12)
    return next(place for place in places if struct.unpack_from("<H", content, place)[0] == tag)


def with_tag(content: bytes, page: int, tag: int, value: int) -> bytes:
    """Return a file with another value of a tag of one page."""
    changed, at = bytearray(content), directory_entry(content, page, tag)
    struct.pack_into("<I", changed, at + 8, value)
    return bytes(changed)


WIDTH, BITS, COMPRESSION, PHOTOMETRIC, SAMPLES, PLANES = 256, 258, 259, 262, 277, 284


@pytest.mark.parametrize("mode", ["1", "L", "RGB"])
@pytest.mark.parametrize("compression", ["raw", "tiff_lzw"])
def test_no_page_shows_the_pixels_of_another(mode: str, compression: str, tmp_path: Path) -> None:
    """Pillow loaded the page before where it could not read a directory, and the first where libtiff could not."""
    content = tiff([drawing(number).convert(mode) for number in range(3)], compression=compression)
    sound = [page.grey for page in open_pages(write(tmp_path, "a.tif", content), scan_id="s", limits=LIMITS)]  # type: ignore[union-attr]
    wounds = [(tag, value) for tag in (WIDTH, COMPRESSION, PHOTOMETRIC, PLANES) for value in (0, 3, 77, 0xFFFF)]
    wounds += [({"1": PLANES, "L": BITS, "RGB": SAMPLES}[mode], value) for value in (2, 7, 77, 0xFFFF)]
    for tag, value in wounds:
        path = write(tmp_path, "b.tif", with_tag(content, 1, tag, value))
        first, second, third = open_pages(path, scan_id="s", limits=LIMITS)
        assert isinstance(first, Page) and np.array_equal(first.grey, sound[0])
        assert isinstance(third, Page) and np.array_equal(third.grey, sound[2])
        if isinstance(second, Page):
            assert second.grey.dtype == np.uint8 and not np.array_equal(second.grey, sound[0]), (tag, value)


def test_a_page_that_names_the_places_of_some_rows_only_is_unreadable(tmp_path: Path) -> None:
    """Its other rows were those of the page before: a number that nobody wrote there."""
    content = tiff([drawing(number) for number in range(3)], compression="raw")
    damaged = with_tag(content, 1, 278, drawing().height // 2)  # rows of the one strip whose place is named
    read = list(open_pages(write(tmp_path, "a.tif", damaged), scan_id="s", limits=LIMITS))
    assert [isinstance(page, Page) for page in read] == [True, False, True]
    assert "where all of its rows lie" in str(read[1])


def test_of_a_damaged_fax_no_field_is_final(tmp_path: Path) -> None:
    _, content = fax(2, "group4")
    half = len(content) // 2
    path = write(tmp_path, "a.tif", content[:half] + b"\x13\x57" * 20 + content[half + 40 :])
    (page,) = open_pages(path, scan_id="s", limits=LIMITS)
    reading = read_page(page, LoneField(), build_runtime().recognizers(), AcceptPolicy())
    assert [f.status for f in reading.fields] == [FieldStatus.REVIEW]
    assert reading.doubts and not reading.blank


def test_a_decoder_does_not_fill_the_log(tmp_path: Path) -> None:
    _, content = fax(3, "group3")
    damaged = content[:2000] + b"\x99" * (len(content) - 3000) + content[-1000:]
    path = write(tmp_path, "a.tif", damaged)
    program = (
        "import sys; from pathlib import Path; from worker.rasterizer import *\n"
        "print(len(list(open_pages(Path(sys.argv[1]), scan_id='s', limits=RasterLimits()))))"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=False)
    assert len(done.stderr) < 2000, done.stderr[:500]
