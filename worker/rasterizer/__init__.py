"""Files to pages: PNG, JPEG, TIFF, PDF, WebP, AVIF and HEIC, told apart by their first bytes, within limits.

>>> for page in open_pages(Path("scan.pdf"), scan_id="a1", limits=RasterLimits()):
...     print(page.number, page)
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from worker.errors import UnreadableScanError
from worker.file_kinds import sniff_type
from worker.rasterizer.limits import RasterLimits
from worker.rasterizer.pdf import count_pdf_pages, find_poppler, pdf_pages
from worker.rasterizer.photos import avif_pages, heic_pages, webp_pages
from worker.rasterizer.pictures import jpeg_pages, png_pages
from worker.rasterizer.tiff import tiff_pages
from worker.rasterizer.translation import translated_errors
from worker.values import Page, UnreadablePage

__all__ = ["RasterLimits", "find_poppler", "open_page", "open_pages", "probe", "sniff_type"]

_READERS = {
    "PNG": png_pages,
    "JPEG": jpeg_pages,
    "WebP": webp_pages,
    "AVIF": avif_pages,
    "HEIC": heic_pages,
}


def open_pages(path: Path, *, scan_id: str, limits: RasterLimits, first: int = 0) -> Iterator[Page | UnreadablePage]:
    """Yield the pages of a scan one by one, each decoded when it is asked for; from the ``first`` on.

    A page that cannot be decoded is an ``UnreadablePage`` where the scan has another that can; those before ``first``
    are taken to have one.

    Raises
    ------
    UnreadableScanError
        No page can be decoded; with the cause in one line, while iterating.
    """
    unreadable: list[UnreadablePage] = []
    has_page = first > 0
    with translated_errors(path.name):
        for page in _iter_pages(path, scan_id, limits, first):
            if isinstance(page, UnreadablePage) and not has_page:
                unreadable.append(page)
                continue
            if not has_page:
                has_page = True
                yield from unreadable
            yield page
    if unreadable and not has_page:
        raise UnreadableScanError(unreadable[0].problem, incomplete=unreadable[0].incomplete)


def open_page(path: Path, number: int, *, scan_id: str, limits: RasterLimits) -> Page:
    """Return one page of a scan; of a PDF only this one is drawn.

    Raises
    ------
    UnreadableScanError
        There is no such page, or it cannot be decoded.
    """
    with translated_errors(path.name):
        _checked_size(path, limits)
        if sniff_type(_read(path, 1024)) == "PDF":
            pages = pdf_pages(path, scan_id, limits, only=number)
        else:
            pages = islice(_iter_pages(path, scan_id, limits), number, None)
        page = next(pages, None)
    if page is None:
        raise UnreadableScanError(f"there is no page {number + 1}")
    if isinstance(page, UnreadablePage):
        raise UnreadableScanError(page.problem, incomplete=page.incomplete)
    return page


def probe(path: Path, limits: RasterLimits) -> int:
    """Return the number of pages of a file that is whole, so that a watcher knows that its writer is done.

    Pictures are decoded. A PDF is looked through and not drawn: that costs up to a second a page, and the
    worker does it anyway.

    Raises
    ------
    UnreadableScanError
        The file or one of its pages is damaged, breaks a limit, or has not been written to its end.
    """
    with translated_errors(path.name):
        _checked_size(path, limits)
        if sniff_type(_read(path, 1024)) == "PDF":
            return count_pdf_pages(path, limits)
    count = 0
    for page in open_pages(path, scan_id="", limits=limits):
        if isinstance(page, UnreadablePage):
            raise UnreadableScanError(f"page {page.number + 1}: {page.problem}", incomplete=page.incomplete)
        count += 1
    return count


def _iter_pages(path: Path, scan_id: str, limits: RasterLimits, first: int = 0) -> Iterator[Page | UnreadablePage]:
    size = _checked_size(path, limits)
    kind = sniff_type(_read(path, 1024))
    if kind == "PDF":
        yield from pdf_pages(path, scan_id, limits, first=first)
    elif kind == "TIFF":
        yield from tiff_pages(_read(path, size), scan_id, limits, first=first)
    elif first == 0:
        yield from _READERS[kind](_read(path, size), scan_id, limits)


def _checked_size(path: Path, limits: RasterLimits) -> int:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        is_folder = stat.S_ISDIR(status.st_mode)
        raise UnreadableScanError("a folder: name the files in it" if is_folder else "not a regular file")
    if status.st_size == 0:
        raise UnreadableScanError("the file is empty", incomplete=True)
    limits.check_file_size(status.st_size)
    return status.st_size


def _read(path: Path, size: int) -> bytes:
    with path.open("rb") as file:
        return file.read(size)
