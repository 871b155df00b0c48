"""Hostile bytes end in a recorded reason: no crash, no hang, no memory past the limit."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.support.scan_files import assembled_pdf, drawing, encoded, huge_png, pdf, png_chunk, tiff, write
from tests.support.system import wait_until
from worker.bootstrap import build_runtime
from worker.errors import UnreadableScanError
from worker.forms.templates import find_page_kind
from worker.imaging.polarity import darken_ink
from worker.pipeline import read_page
from worker.rasterizer import RasterLimits, find_poppler, open_pages, sniff_type
from worker.rasterizer.pictures import check_jpeg, check_png
from worker.rasterizer.tiff import follow_directories
from worker.values import FieldStatus, Page, freeze

SEED = int(os.environ.get("FUZZ_SEED", "1"))
SECONDS = float(os.environ.get("FUZZ_SECONDS", "3"))
CHILD_MEMORY_MB = 1024
RUNTIME = build_runtime()
PDF = pytest.mark.skipif(find_poppler() is not None, reason="poppler is not installed")


def run_bounded(*arguments: str) -> dict[str, object]:
    """Run the fuzzer in a process of its own; a crash there is a failure here."""
    command = [sys.executable, "-m", "tests.support.fuzz_rasterizer", *arguments]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert answer.returncode == 0, f"{arguments}: ended with {answer.returncode}: {answer.stderr[-2000:]}"
    told: dict[str, object] = json.loads(answer.stdout.splitlines()[-1])
    assert int(str(told["peak_mb"])) < CHILD_MEMORY_MB
    return told


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "PHOTO", pytest.param("PDF", marks=PDF)])
def test_damaged_files_of_every_kind_are_read_or_refused(kind: str, tmp_path: Path) -> None:
    log = tmp_path / "case"
    told = run_bounded("--kind", kind, "--seed", str(SEED), "--seconds", str(SECONDS), "--log", str(log))
    assert int(str(told["cases"])) > (5 if kind == "PDF" else 50), told
    assert float(str(told["slowest_s"])) < 20, told


def stream(content: bytes, entries: bytes = b"") -> bytes:
    return b"<< /Length %d %s >>\nstream\n" % (len(content), entries) + content + b"\nendstream"


def one_page_pdf(content: bytes, *more: bytes, resources: bytes = b"") -> bytes:
    page = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 144 96] /Contents 4 0 R /Resources << %s >> >>"
    return assembled_pdf(
        [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
            page % resources,
            content,
            *more,
        ]
    )


def nested_forms(depth: int, calls: int) -> bytes:
    """Let each form draw the next one many times: calls ** depth drawings from a few hundred bytes."""
    forms = []
    for level in range(depth):
        below = b"/XObject << /F %d 0 R >>" % (6 + level)
        box = b"/Type /XObject /Subtype /Form /BBox [0 0 144 96] /Resources << %s >>" % below
        forms.append(stream(b"/F Do " * calls, box))
    forms.append(stream(b"0 0 9 9 re f", b"/Type /XObject /Subtype /Form /BBox [0 0 144 96]"))
    return one_page_pdf(stream(b"/F Do"), *forms, resources=b"/XObject << /F 5 0 R >>")


def inflating_stream() -> bytes:
    """Return two rounds of deflate: 130 MB of drawing from a kilobyte."""
    once = zlib.compress(b"0 0 1 1 re f\n" * 10_000_000, 9)
    return one_page_pdf(stream(zlib.compress(once, 9), b"/Filter [/FlateDecode /FlateDecode]"))


def huge_picture_pdf() -> bytes:
    shape = b"/Width 60000 /Height 60000 /BitsPerComponent 8 /ColorSpace /DeviceRGB"
    entries = b"/Type /XObject /Subtype /Image /Filter /FlateDecode " + shape
    picture = stream(zlib.compress(b"\0" * 10**6), entries)
    return one_page_pdf(stream(b"144 0 0 96 0 0 cm /I Do"), picture, resources=b"/XObject << /I 5 0 R >>")


def memory_bomb_pdf() -> bytes:
    """Return a JBIG2 picture of 30 bytes whose page header asks poppler for 1.8 GB at once."""
    side = 120_000
    page_header = struct.pack(">IIIIBH", side, side, 0, 0, 0, 0)
    segment = struct.pack(">IBBBI", 0, 48, 0, 1, len(page_header)) + page_header
    shape = b"/Width 120000 /Height 120000 /BitsPerComponent 1 /ColorSpace /DeviceGray"
    picture = stream(segment, b"/Type /XObject /Subtype /Image /Filter /JBIG2Decode " + shape)
    return one_page_pdf(stream(b"144 0 0 96 0 0 cm /I Do"), picture, resources=b"/XObject << /I 5 0 R >>")


def looped_page_tree() -> bytes:
    return pdf().replace(b"/Kids [4 0 R] /Count 1", b"/Kids [2 0 R] /Count 9")


def many_passes() -> bytes:
    """Return a progressive JPEG whose last pass is repeated a thousand times."""
    content = encoded(drawing().resize((1500, 1000)), "JPEG", progressive=True)
    last = content.rfind(b"\xff\xda")
    return content[:-2] + content[last:-2] * 1000 + content[-2:]


def text_bomb() -> bytes:
    """Return a PNG with a compressed comment of 100 MB."""
    packed = png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b" " * 100_000_000, 9))
    return encoded(drawing(), "PNG").replace(png_chunk(b"IEND", b""), packed + png_chunk(b"IEND", b""))


def pixel_bomb() -> bytes:
    return huge_png(2**31 - 1, 2**31 - 1)


def endless_tiff() -> bytes:
    """Return a chain of 50,000 page directories of no entries."""
    chain = b"".join(struct.pack("<HI", 0, 14 + 6 * i) for i in range(50_000))
    return b"II*\0" + struct.pack("<I", 8) + chain


BOMBS = {
    "nested forms": (lambda: nested_forms(9, 10), "took longer", PDF),
    "inflating stream": (inflating_stream, "took longer|read|damaged", PDF),
    "huge picture in a PDF": (huge_picture_pdf, "damaged|took longer", PDF),
    "memory bomb in a PDF": (memory_bomb_pdf, "damaged|took longer", PDF),
    "looped page tree": (looped_page_tree, "damaged|no pages|no size", PDF),
    "many passes": (many_passes, "passes", ()),
    "comment of 100 MB": (text_bomb, "read|damaged|memory", ()),
    "pixels": (pixel_bomb, "2147483647 x|damaged", ()),
    "endless TIFF": (endless_tiff, "pages; the limit|damaged", ()),
    "TIFF of many pages": (lambda: tiff([drawing().convert("1")] * 21, compression="group4"), "21 pages", ()),
}


@pytest.mark.parametrize("name", [pytest.param(name, marks=marks) for name, (_, _, marks) in BOMBS.items()])
def test_bombs_end_within_their_bounds(name: str, tmp_path: Path) -> None:
    make, cause, _ = BOMBS[name]
    path = write(tmp_path, "bomb", make())
    assert path.stat().st_size < 2**20
    told = run_bounded("--file", str(path))
    assert re.search(cause, str(told["outcome"])), told
    assert float(str(told["seconds"])) < 20, told


NAMES = ["a" * 250 + ".png", "..png", "line\nbreak.png", "\u202egnp.exe", "-rf.pdf", "a b%20c.pdf"]


@pytest.mark.parametrize("name", NAMES)
def test_no_name_of_a_file_does_harm(name: str, tmp_path: Path) -> None:
    content = pdf() if name.endswith(".pdf") and find_poppler() is None else encoded(drawing(), "PNG")
    assert run_bounded("--file", str(write(tmp_path, name, content)))["outcome"] == "read"


MAGIC = [b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"II+\0\x08\0\0\0", b"%PDF-"]
CHECKS = {
    "PNG": check_png,
    "JPEG": check_jpeg,
    "TIFF": lambda content: follow_directories(content, RasterLimits()),
    "PDF": len,
}


@settings(max_examples=500, deadline=2000)
@given(st.sampled_from(MAGIC), st.binary(max_size=200))
def test_the_structure_of_any_bytes_is_judged(head: bytes, rest: bytes) -> None:
    content = head + rest
    with contextlib.suppress(UnreadableScanError, struct.error, OverflowError):
        CHECKS[sniff_type(content)](content)


@pytest.mark.parametrize("sides", [(1, 1), (1, 30), (30, 1), (2, 60), (3, 90), (100, 3000), (3000, 100)])
@pytest.mark.parametrize("layout", ["field", "free", "check", None])
def test_a_strip_of_a_few_pixels_is_a_page_like_any_other(sides: tuple[int, int], layout: str | None) -> None:
    """These ended as a mistake in the program, and with them the other pages of their scan."""
    for tone in (0, 255):
        page = Page(scan_id="s", number=0, grey=freeze(np.full(sides, tone, np.uint8)), dpi=None)
        kind = find_page_kind(layout, RUNTIME.templates(), RUNTIME.check_policy)
        reading = read_page(page, kind, RUNTIME.recognizers(), RUNTIME.accept_policy)
        assert not any(field.status == FieldStatus.ACCEPTED for field in reading.fields)


@pytest.mark.parametrize("sides", [(40, 20_000), (20_000, 40), (40, 200_000), (2000, 40), (1, 3000), (9000, 2)])
@pytest.mark.parametrize("layout", ["field", "free", "check", None])
@pytest.mark.parametrize("content", ["digits", "noise", "white"])
def test_a_long_strip_is_no_page_and_its_ink_is_never_called_blank(
    sides: tuple[int, int], layout: str | None, content: str
) -> None:
    """A column of 20,000 x 40 full of digits was called blank, for sure; a row of 200,000 ended as a mistake."""
    grey = np.full(sides, 255, np.uint8)
    if content == "noise":
        grey = np.random.default_rng(1).integers(0, 256, sides, np.uint8)
    for at in range(0, max(sides), 60) if content == "digits" else ():
        place = (at, min(sides) - 8) if sides[1] > sides[0] else (8, at + 30)
        cv2.putText(grey, str(at // 60 % 10), place, cv2.FONT_HERSHEY_SIMPLEX, 1.0, 0, 2)
    page = Page(scan_id="s", number=0, grey=freeze(grey), dpi=None)
    kind = find_page_kind(layout, RUNTIME.templates(), RUNTIME.check_policy)
    reading = read_page(page, kind, RUNTIME.recognizers(), RUNTIME.accept_policy)
    assert reading.fields == () and f"a strip of {sides[1]} x {sides[0]} pixels" in str(reading.problem)
    assert content == "white" or not reading.blank


@pytest.mark.parametrize("sides", [(8, 12_000), (12_000, 8), (9, 90_000), (1, 1), (8, 8)])
def test_a_long_crop_has_a_polarity(sides: tuple[int, int]) -> None:
    """A field of a template may be a line of ink across a large page."""
    for grey in (np.full(sides, 40, np.uint8), np.random.default_rng(1).integers(0, 256, sides, np.uint8)):
        darken_ink(grey)


def test_a_header_cannot_stretch_a_picture_past_the_limit(tmp_path: Path) -> None:
    limits = RasterLimits(max_megapixels=1.0)
    image = Image.new("L", (900, 900), "white")
    path = write(tmp_path, "a.png", encoded(image, "PNG", dpi=(300, 100)))
    with pytest.raises(UnreadableScanError, match=r"900 x 2700 pixels.*ICR_MAX_MEGAPIXELS"):
        list(open_pages(path, scan_id="s", limits=limits))
    path = write(tmp_path, "b.png", encoded(image, "PNG", dpi=(2400, 50)))
    (page,) = open_pages(path, scan_id="s", limits=limits)
    assert isinstance(page, Page) and page.grey.shape == (900, 900)


@PDF
@pytest.mark.parametrize("program", ["pdfinfo", "pdftoppm"])
def test_poppler_does_not_outlive_the_time_limit_of_a_job(
    program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class TimeIsUpError(Exception):
        pass

    def interrupt(*_: object) -> None:
        raise TimeIsUpError

    told = tmp_path / "pid"
    (tmp_path / program).write_text(f"#!/bin/sh\necho $$ > {told}\nexec sleep 60\n")
    (tmp_path / program).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    path = write(tmp_path, "a.pdf", pdf(1))
    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 2.0)
    try:
        with pytest.raises(TimeIsUpError):
            list(open_pages(path, scan_id="s", limits=RasterLimits()))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    wait_until(lambda: "sleep" not in _command_of(int(told.read_text())), 5)


def _command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode()
    except OSError:
        return ""


def _chunky_png() -> bytes:
    content = encoded(drawing(), "PNG")
    return content[:33] + png_chunk(b"gAMA", b"\0\1\2\3") * 100_000 + content[33:]


def test_no_decoder_fills_the_log(tmp_path: Path) -> None:
    path = write(tmp_path, "scan", _chunky_png())
    program = (
        "import sys; from pathlib import Path; from worker.system.child import prepare_child\n"
        "from worker.telemetry.logs import configure_logging; from worker.rasterizer import *\n"
        "configure_logging('info'); prepare_child(2048)\n"
        "try: print(len(list(open_pages(Path(sys.argv[1]), scan_id='s', limits=RasterLimits()))))\n"
        "except Exception as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip(), done.stderr
    assert len(done.stderr) < 2000, (len(done.stderr), done.stderr[:300])
