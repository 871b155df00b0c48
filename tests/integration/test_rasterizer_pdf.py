"""Pages of PDFs: turned, padded, cut, damaged; poppler is kept in bounds."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.rasters import LIMITS, assert_refused, needs_poppler, pages_of
from tests.support.scan_files import (
    assembled_pdf,
    encoded,
    encrypted_pdf,
    packed_pdf,
    pdf,
    turned_pdf,
    write,
)
from worker.errors import MissingProgramError, UnreadableScanError
from worker.rasterizer import open_pages, probe
from worker.rasterizer.pdf import BOUNDED_POPPLER
from worker.values import Page, UnreadablePage


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
