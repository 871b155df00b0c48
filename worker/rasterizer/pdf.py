"""Turn a PDF into pages through poppler, one page at a time; the size of each is known before it is drawn."""

from __future__ import annotations

import io
import math
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from pdf2image import pdfinfo_from_path
from pdf2image.exceptions import PDFPageCountError, PDFPopplerTimeoutError
from PIL import Image

from worker.errors import MissingProgramError, SlowScanError, UnreadableScanError
from worker.rasterizer.children import end_children
from worker.rasterizer.limits import RasterLimits
from worker.rasterizer.pixels import UInt8, make_page
from worker.rasterizer.translation import page_or_problem
from worker.values import Page, UnreadablePage

_POINTS_PER_INCH = 72
_WHITE = 255
_MIN_DPI = 100
"""Least resolution at which a page is drawn; below it a 3 mm digit would be under 12 pixels high."""

_OBJECT = re.compile(rb"(?<!\d)\d+\s+\d+\s+obj\b|\A\s*\d[\d\s]*o?b?\Z")
"""The head of an object (ISO 32000-1, 7.3.10), or all that was written of one."""
_LINEARIZED = re.compile(rb"/Linearized\b[^>]*?/L\s+(\d+)")
"""ISO 32000-1, F.2: a linearized PDF says its own length in its first object, and has an %%EOF near its beginning."""

_LAST_PLACE = re.compile(rb"startxref\s+(\d{1,12})\s*%{0,2}E?O?\s*\Z")
_TABLE = re.compile(rb"xref\b|\d+\s+\d+\s+obj\b")
"""ISO 32000-1, 7.5.5: the last lines of a PDF say where its table of objects begins; it may be an object itself."""

_END_MARK = b"%%EOF"
_MOST_PADDING = 1024
"""Where readers look for the end of a PDF (Acrobat, after ISO 32000-1, implementation note 18)."""

_HARMLESS = re.compile(r"no valid states to pop|\bfont|\bCMap\b|\bannot|\bGlyph", re.IGNORECASE)
"""Complaints of poppler that cost no handwriting: about states, printed letters, annotations."""


BOUNDED_POPPLER = Path(__file__).parent / "poppler"
"""Scripts in front of poppler's programs; they inherit the memory limit of the worker's child."""


def find_poppler() -> str | None:
    """Return what to do if poppler's programs are missing, else None."""
    missing = [name for name in ("pdfinfo", "pdftoppm") if shutil.which(name) is None]
    if not missing:
        return None
    return f"no {' and no '.join(missing)}: PDFs wait until poppler is there (apt install poppler-utils)"


def pdf_pages(
    path: Path, scan_id: str, limits: RasterLimits, *, first: int = 0, only: int | None = None
) -> Iterator[Page | UnreadablePage]:
    """Yield the pages of a PDF from the ``first`` on, or ``only`` one.

    Of a page that shows one picture and nothing else it is that picture, as it is. Any other page is drawn at
    ``limits.pdf_dpi`` or as fine as the size bound allows.
    """
    from worker.rasterizer.pdf_pictures import PdfPictures  # a tenth of a second for pypdf, which PDFs alone need

    with _without_padding(path) as whole:
        pictures = PdfPictures(whole)
        count = pictures.count_pages(limits.max_pages)
        numbers = range(_count_pages(whole, limits) if count is None else count)
        for number in numbers[first:] if only is None else [only] if only in numbers else []:
            lifted, damage = pictures.lift_page(number, scan_id, limits)
            yield lifted or page_or_problem(
                partial(_make_page, whole, number, scan_id, limits, damage), scan_id, number
            )


def _make_page(path: Path, number: int, scan_id: str, limits: RasterLimits, damage: str | None) -> Page:
    """Draw a page; ``damage`` is what is known of its picture, of which poppler may say nothing."""
    points, turned = _page_points(path, number, limits)
    dpi, size = _drawing_size(points, limits)
    pixels, complaint = _draw_page(path, number, dpi=dpi, size=size, turned=turned, timeout_s=limits.page_timeout_s)
    return make_page(pixels, scan_id=scan_id, number=number, limits=limits, dpi=(dpi, dpi), damage=complaint or damage)


def count_pdf_pages(path: Path, limits: RasterLimits) -> int:
    """Return the number of pages of a PDF that is whole, not encrypted and within the page limit."""
    with _without_padding(path) as whole:
        return _count_pages(whole, limits)


def _count_pages(path: Path, limits: RasterLimits) -> int:
    count = int(_pdfinfo(path, limits)["Pages"])
    limits.check_page_count(count)
    return count


@contextmanager
def _without_padding(path: Path) -> Iterator[Path]:
    """Yield the PDF, or a copy without the padding behind its end if poppler would not find the end.

    Raises
    ------
    UnreadableScanError
        It stops early; poppler would repair it and lose pages silently. Behind its last ``%%EOF`` there may be padding
        of any kind and length, but no object, which would be a part that was not written to its end.
    """
    content = path.read_bytes()
    end = content.rfind(_END_MARK)
    stated = _LINEARIZED.search(content, 0, 1024 + max(0, content.find(b"%PDF-")))
    is_cut = end < 0 or _OBJECT.search(content[end + len(_END_MARK) :])
    lacks_mark = bool(is_cut) and _ends_with_table(content)
    if (is_cut and not lacks_mark) or (stated and int(stated[1]) > len(content)):
        raise UnreadableScanError("truncated PDF: it ends before its %%EOF mark", incomplete=True)
    if not lacks_mark and len(content) - end <= _MOST_PADDING:
        yield path
        return
    with tempfile.NamedTemporaryFile(suffix=".pdf") as copy:
        copy.write(content + b"\n%%EOF\n" if lacks_mark else content[: end + len(_END_MARK)] + b"\n")
        copy.flush()
        yield Path(copy.name)


def _ends_with_table(content: bytes) -> bool:
    """Tell a PDF that lacks its last mark, or a part of it, and nothing else: it ends with where its table lies."""
    told = _LAST_PLACE.search(content, max(0, len(content) - _MOST_PADDING))
    return bool(told) and bool(_TABLE.match(content, int(told[1])))  # type: ignore[index]


def _pdfinfo(path: Path, limits: RasterLimits, page: int | None = None) -> dict[str, Any]:
    if problem := find_poppler():
        raise MissingProgramError(problem)
    only: dict[str, Any] = {} if page is None else {"first_page": page, "last_page": page}
    try:
        with end_children():
            return pdfinfo_from_path(
                str(path.absolute()),
                timeout=math.ceil(limits.page_timeout_s),
                poppler_path=str(BOUNDED_POPPLER),
                **only,
            )
    except PDFPopplerTimeoutError:
        raise SlowScanError(f"reading the PDF took longer than {limits.page_timeout_s:g} s") from None
    except PDFPageCountError as error:
        said = str(error)
        if "Incorrect password" in said or "ncrypt" in said:
            raise UnreadableScanError("encrypted PDF: it needs a password") from None
        if "page range" in said:
            raise UnreadableScanError("the PDF has no pages") from None
        raise UnreadableScanError(f"damaged PDF: {_last_line(said)}") from None


def _page_points(path: Path, number: int, limits: RasterLimits) -> tuple[tuple[float, float], bool]:
    """Return the width and height of a page in points before it is turned, and whether it is shown on its side."""
    info = _pdfinfo(path, limits, page=number + 1)
    size = next((v for k, v in info.items() if k.startswith("Page ") and k.endswith("size")), "")
    width, _, height = size.split()[:3] if len(size.split()) > 2 else ("0", "x", "0")
    turned = any(k.endswith("rot") and v in ("90", "270") for k, v in info.items())
    points = float(width), float(height)
    if not all(math.isfinite(p) and p > 0 for p in points):
        raise UnreadableScanError(f"page {number + 1} of the PDF has no size")
    return points, turned


def _drawing_size(points: tuple[float, float], limits: RasterLimits) -> tuple[float, tuple[int, int]]:
    """Return the resolution at which a page stays within the megapixel limit, and its size in pixels."""
    square_inches = points[0] * points[1] / _POINTS_PER_INCH**2
    dpi = min(float(limits.pdf_dpi), math.sqrt(limits.max_megapixels * 1e6 / square_inches))
    width, height = (max(1, math.floor(p * dpi / _POINTS_PER_INCH)) for p in points)
    if dpi < min(_MIN_DPI, limits.pdf_dpi):
        limits.check_page_size(*(math.ceil(p * limits.pdf_dpi / _POINTS_PER_INCH) for p in points))
    return dpi, (width, height)


def _draw_page(
    path: Path, number: int, *, dpi: float, size: tuple[int, int], turned: bool, timeout_s: float
) -> tuple[UInt8, str | None]:
    """Draw one page as (H, W, 3) RGB, and return with it poppler's complaints about pixels that it could not decode.

    ``size`` is in pixels before the page is turned, as poppler needs it. pdf2image would return a picture or the
    complaints, never both, and ignores some complaints.

    Raises
    ------
    UnreadableScanError
        Nothing of the page could be drawn: poppler gave no picture, or complained and left the paper white.
    """
    page, (width, height) = str(number + 1), size
    # The crop box is the one that pdfinfo measures and viewers show.
    command = [
        str(BOUNDED_POPPLER / "pdftoppm"), "-r", str(round(dpi)), "-cropbox", "-f", page, "-l", page,
        "-scale-to-x", str(width), "-scale-to-y", str(height), str(path.absolute()),
    ]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, timeout=math.ceil(timeout_s), check=False)  # noqa: S603
    except subprocess.TimeoutExpired:
        raise UnreadableScanError(f"drawing page {page} took longer than {timeout_s:g} s") from None
    complaint = _complaint(done.stderr.decode("utf-8", "replace"))
    # poppler answers a page that it cannot draw with one blank pixel and no error (pdf2image issue 34)
    shown = size[::-1] if turned else size
    pixels = _ppm_pixels(done.stdout)
    if pixels is None or pixels.shape[1::-1] != shown:
        raise UnreadableScanError(f"damaged PDF: page {page} cannot be drawn")
    if complaint and int(pixels.min()) == _WHITE:
        raise UnreadableScanError(f"damaged PDF: page {page}: {complaint}")
    return pixels, complaint


def _ppm_pixels(content: bytes) -> UInt8 | None:
    """Return the picture that poppler wrote; None if it wrote none."""
    if not content:
        return None
    with Image.open(io.BytesIO(content), formats=["PPM"]) as image:
        return np.asarray(image.convert("RGB"))


def _complaint(said: str) -> str | None:
    """Return the last of poppler's complaints that may have cost a stroke; None if there is none."""
    harmless = ("Syntax Warning", "Internal Warning")
    lines = [line for line in said.splitlines() if line.strip() and not line.startswith(harmless)]
    costly = [line for line in lines if not _HARMLESS.search(line)]
    return _last_line("\n".join(costly)) if costly else None


def _last_line(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[-1][:160] if lines else "poppler gives no reason"
