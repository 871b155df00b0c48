"""Files of every bad kind become one line that names the cause."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from tests.support.rasters import LIMITS, assert_refused, pages_of
from tests.support.scan_files import (
    SIZE,
    differs,
    drawing,
    encoded,
    huge_png,
    looped_tiff,
    tiff,
    write,
)
from worker.errors import UnreadableScanError
from worker.rasterizer import probe

pillow_heif = pytest.importorskip("pillow_heif", reason="the extra heic is not installed")
pillow_heif.register_heif_opener()  # here the writer; worker.rasterizer.photos asks pillow_heif itself


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
    "truncated png, a line end in its chunk's name": (
        lambda: b"\x89PNG\r\n\x1a\n" + b"\0\0\0\x0d\xb2\nab" + bytes(8),
        "inside a chunk 0xb20a6162",
    ),
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


def test_what_is_no_regular_file_is_not_opened(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.png"
    os.mkfifo(pipe)
    for path, cause in ((pipe, "not a regular"), (tmp_path, "a folder"), (tmp_path / "no", "No such")):
        with pytest.raises(UnreadableScanError, match=cause):
            probe(path, LIMITS)


def test_the_type_is_told_by_the_bytes_and_not_by_the_name(tmp_path: Path) -> None:
    (page,) = pages_of(tmp_path, encoded(drawing(), "JPEG", quality=95), name="scan.pdf")
    assert differs(page.grey) < 2


def test_a_header_cannot_stretch_a_page_beyond_what_a_fax_needs(tmp_path: Path) -> None:
    (page,) = pages_of(tmp_path, encoded(drawing(), "PNG", dpi=(50, 2400)))
    assert page.grey.shape == SIZE[::-1]
    assert page.dpi is None
