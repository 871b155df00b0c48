"""Files to pages: PNG, JPEG, TIFF and PDF, told apart by their first bytes, within limits.

>>> for page in open_pages(Path("scan.pdf"), scan_id="a1", limits=RasterLimits()):
...     print(page.number, page.grey.shape, page.dpi)
"""

from __future__ import annotations

import stat
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
from PIL import UnidentifiedImageError

from worker.errors import UnreadableScanError
from worker.rasterizer.limits import RasterLimits
from worker.rasterizer.pdf import count_pdf_pages, find_poppler, pdf_pages
from worker.rasterizer.pictures import jpeg_pages, png_pages
from worker.rasterizer.tiff import tiff_pages
from worker.values import Page

__all__ = ["RasterLimits", "find_poppler", "open_pages", "probe", "sniff_type"]

_MAGIC = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"II*\x00": "TIFF",
    b"MM\x00*": "TIFF",
    b"II+\x00": "TIFF",
    b"MM\x00+": "TIFF",
}
_DECODER_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    cv2.error,
    struct.error,
    zlib.error,
)
"""What decoders raise on hostile bytes. Not ``Exception``: a time limit of the task must pass through."""

_READERS = {"PNG": png_pages, "JPEG": jpeg_pages, "TIFF": tiff_pages}


def open_pages(path: Path, *, scan_id: str, limits: RasterLimits) -> Iterator[Page]:
    """Yield the pages of a scan one by one, each decoded when it is asked for.

    Raises
    ------
    UnreadableScanError
        With the cause in one line, while iterating; pages yielded before it are good.
    """
    with _translated_errors(path):
        size = _checked_size(path, limits)
        kind = sniff_type(_read(path, 1024))
        if kind == "PDF":
            yield from pdf_pages(path, scan_id, limits)
        else:
            yield from _READERS[kind](_read(path, size), scan_id, limits)


def probe(path: Path, limits: RasterLimits) -> int:
    """Return the number of pages of a file that is whole, so that a watcher knows that its writer is done.

    Pictures are decoded. A PDF is looked through and not drawn: that costs up to a second a page, and the
    worker does it anyway.

    Raises
    ------
    UnreadableScanError
        The file is damaged, breaks a limit, or has not been written to its end.
    """
    with _translated_errors(path):
        _checked_size(path, limits)
        if sniff_type(_read(path, 1024)) == "PDF":
            return count_pdf_pages(path, limits)
    return sum(1 for _ in open_pages(path, scan_id="", limits=limits))


def sniff_type(head: bytes) -> str:
    """Return PNG, JPEG, TIFF or PDF by a file's first bytes; its name is not trusted."""
    for magic, kind in _MAGIC.items():
        if head.startswith(magic):
            return kind
    # PDF readers accept junk before the header (ISO 32000-1, implementation note 13).
    if b"%PDF-" in head:
        return "PDF"
    raise UnreadableScanError(f"not a PNG, JPEG, TIFF or PDF: the file begins with {head[:8]!r}")


def _checked_size(path: Path, limits: RasterLimits) -> int:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise UnreadableScanError("not a regular file")
    if status.st_size == 0:
        raise UnreadableScanError("the file is empty")
    limits.check_file_size(status.st_size)
    return status.st_size


def _read(path: Path, size: int) -> bytes:
    with path.open("rb") as file:
        return file.read(size)


@contextmanager
def _translated_errors(path: Path) -> Iterator[None]:
    """Turn what the file system and the decoders raise into one line of ours."""
    try:
        yield
    except (FileNotFoundError, PermissionError) as error:
        raise UnreadableScanError(f"cannot open {path.name!r}: {error.strerror}") from None
    except UnidentifiedImageError:
        raise UnreadableScanError("damaged: its header is not understood") from None
    except MemoryError:
        raise UnreadableScanError("decoding it needs more memory than is allowed") from None
    except _DECODER_ERRORS as error:
        cause = " ".join(str(error).split())[:200] or type(error).__name__
        raise UnreadableScanError(f"damaged or not understood: {cause}") from error
