"""PDF to pages, through pdf2image and poppler: one page at a time, its size known before it is drawn."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from pdf2image import convert_from_path, pdfinfo_from_path
from pdf2image.exceptions import PDFPageCountError, PDFPopplerTimeoutError, PDFSyntaxError

from worker.errors import MissingProgramError, UnreadableScanError
from worker.rasterizer.limits import RasterLimits
from worker.rasterizer.pixels import UInt8, make_page
from worker.values import Page

_POINTS_PER_INCH = 72
_MIN_DPI = 100
"""Handwriting drawn coarser than this is not worth reading: a 3 mm digit would be 12 pixels high."""

_TAIL_BYTES = 4096

BOUNDED_POPPLER = Path(__file__).parent / "poppler"
"""Scripts in front of poppler's programs; memory is bounded by what they inherit from the worker's child."""


def find_poppler() -> str | None:
    """Return what to do where poppler's programs are missing, else None."""
    missing = [name for name in ("pdfinfo", "pdftoppm") if shutil.which(name) is None]
    if not missing:
        return None
    return f"no {' and no '.join(missing)}: PDFs wait until poppler is there (apt install poppler-utils)"


def pdf_pages(path: Path, scan_id: str, limits: RasterLimits) -> Iterator[Page]:
    """Yield the pages of a PDF, drawn at ``limits.pdf_dpi`` or as fine as the size bound allows."""
    count = count_pdf_pages(path, limits)
    for number in range(count):
        dpi, size = _drawing_size(_page_points(path, number, limits), limits)
        pixels = _draw_page(path, number, dpi=dpi, size=size, timeout_s=limits.page_timeout_s)
        yield make_page(pixels, scan_id=scan_id, number=number, dpi=(dpi, dpi))


def count_pdf_pages(path: Path, limits: RasterLimits) -> int:
    """Return the number of pages of a PDF that is whole, not encrypted and within the page limit."""
    _check_tail(path)
    count = int(_pdfinfo(path, limits)["Pages"])
    limits.check_page_count(count)
    return count


def _check_tail(path: Path) -> None:
    """Refuse a PDF that stops early: poppler would repair it and lose pages without a word."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
        if b"%%EOF" not in file.read():
            raise UnreadableScanError("truncated PDF: it ends before its %%EOF mark")


def _pdfinfo(path: Path, limits: RasterLimits, page: int | None = None) -> dict[str, Any]:
    if problem := find_poppler():
        raise MissingProgramError(problem)
    only: dict[str, Any] = {} if page is None else {"first_page": page, "last_page": page}
    try:
        return pdfinfo_from_path(
            str(path.absolute()),
            timeout=math.ceil(limits.page_timeout_s),
            poppler_path=str(BOUNDED_POPPLER),
            **only,
        )
    except PDFPopplerTimeoutError:
        raise UnreadableScanError(f"reading the PDF took longer than {limits.page_timeout_s:g} s") from None
    except PDFPageCountError as error:
        said = str(error)
        if "Incorrect password" in said or "ncrypt" in said:
            raise UnreadableScanError("encrypted PDF: it needs a password") from None
        if "page range" in said:
            raise UnreadableScanError("the PDF has no pages") from None
        raise UnreadableScanError(f"damaged PDF: {_last_line(said)}") from None


def _page_points(path: Path, number: int, limits: RasterLimits) -> tuple[float, float]:
    """Return the width and height of a page as it is shown, in points."""
    info = _pdfinfo(path, limits, page=number + 1)
    size = next((v for k, v in info.items() if k.startswith("Page ") and k.endswith("size")), "")
    width, _, height = size.split()[:3] if len(size.split()) > 2 else ("0", "x", "0")
    turned = any(k.endswith("rot") and v in ("90", "270") for k, v in info.items())
    points = (float(height), float(width)) if turned else (float(width), float(height))
    if not all(math.isfinite(p) and p > 0 for p in points):
        raise UnreadableScanError(f"page {number + 1} of the PDF has no size")
    return points


def _drawing_size(points: tuple[float, float], limits: RasterLimits) -> tuple[float, tuple[int, int]]:
    """Return the resolution at which a page stays within the megapixel limit, and its size in pixels."""
    square_inches = points[0] * points[1] / _POINTS_PER_INCH**2
    dpi = min(float(limits.pdf_dpi), math.sqrt(limits.max_megapixels * 1e6 / square_inches))
    width, height = (max(1, math.floor(p * dpi / _POINTS_PER_INCH)) for p in points)
    if dpi < min(_MIN_DPI, limits.pdf_dpi):
        limits.check_page_size(*(math.ceil(p * limits.pdf_dpi / _POINTS_PER_INCH) for p in points))
    return dpi, (width, height)


def _draw_page(
    path: Path, number: int, *, dpi: float, size: tuple[int, int], timeout_s: float, strict: bool = False
) -> UInt8:
    """Draw one page as (H, W, 3) RGB; an empty one is drawn again to hear poppler's complaints."""
    try:
        images = convert_from_path(
            str(path.absolute()),
            dpi=round(dpi),
            size=size,
            first_page=number + 1,
            last_page=number + 1,
            use_cropbox=True,  # the box that pdfinfo measures and viewers show
            timeout=math.ceil(timeout_s),
            poppler_path=BOUNDED_POPPLER,
            strict=strict,
        )
    except PDFPopplerTimeoutError:
        raise UnreadableScanError(f"drawing page {number + 1} took longer than {timeout_s:g} s") from None
    except PDFSyntaxError as error:
        raise UnreadableScanError(f"damaged PDF: page {number + 1}: {_last_line(str(error))}") from None
    # poppler answers a page that it cannot draw with one blank pixel and no error (pdf2image issue 34)
    if len(images) != 1 or images[0].size != size:
        raise UnreadableScanError(f"damaged PDF: page {number + 1} cannot be drawn")
    pixels = np.asarray(images[0].convert("RGB"))
    if not strict and int(pixels.min()) == 255:
        return _draw_page(path, number, dpi=dpi, size=size, timeout_s=timeout_s, strict=True)
    return pixels


def _last_line(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[-1][:160] if lines else "poppler gives no reason"
