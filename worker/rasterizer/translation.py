"""What decoders and the file system raise, turned into one line of ours, for a whole file or for one page of it."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import cv2
from PIL import UnidentifiedImageError

from worker.errors import UnreadableScanError
from worker.values import Page, UnreadablePage

DECODER_ERRORS = (
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


@contextmanager
def translated_errors(name: str = "the scan") -> Iterator[None]:
    """Turn what the file system and the decoders raise into ``UnreadableScanError``."""
    try:
        yield
    except (FileNotFoundError, PermissionError) as error:
        raise UnreadableScanError(f"cannot open {name!r}: {error.strerror}") from error
    except UnidentifiedImageError:
        raise UnreadableScanError("damaged: its header is not understood") from None
    except MemoryError:
        raise UnreadableScanError("decoding it needs more memory than is allowed") from None
    except DECODER_ERRORS as error:
        cause = " ".join(str(error).split())[:200] or type(error).__name__
        raise UnreadableScanError(f"damaged or not understood: {cause}") from error


def page_or_problem(make: Callable[[], Page], scan_id: str, number: int) -> Page | UnreadablePage:
    """Return the page that ``make`` decodes, or why it cannot: the other pages of the scan are read all the same."""
    try:
        with translated_errors():
            return make()
    except UnreadableScanError as error:
        return UnreadablePage(scan_id, number, str(error), error.incomplete)
