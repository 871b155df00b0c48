"""What tests of the rasterizer share: their limits, pages made of bytes, refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.scan_files import (
    write,
)
from worker.errors import UnreadableScanError
from worker.rasterizer import RasterLimits, find_poppler, open_pages, probe
from worker.values import Page

LIMITS = RasterLimits(max_file_mb=1, max_pages=5, max_megapixels=1.0, pdf_dpi=150, page_timeout_s=10)


needs_poppler = pytest.mark.skipif(find_poppler() is not None, reason="poppler is not installed")


def pages_of(folder: Path, content: bytes, name: str = "scan.bin") -> list[Page]:
    path = write(folder, name, content)
    pages = list(open_pages(path, scan_id="s", limits=LIMITS))
    assert probe(path, LIMITS) == len(pages)
    assert all(isinstance(page, Page) for page in pages)
    return pages  # type: ignore[return-value]  # each was looked at


def film() -> bytes:
    """Return what a telephone puts behind a photo: bytes among which markers of JPEG occur by chance."""
    return b"\0\0\0\x18ftypmp42" + np.random.default_rng(5).bytes(200_000) + b"\xff\xda\xff\xd8" * 100


def assert_refused(path: Path, cause: str) -> None:
    for attempt in (lambda: list(open_pages(path, scan_id="s", limits=LIMITS)), lambda: probe(path, LIMITS)):
        with pytest.raises(UnreadableScanError, match=cause) as caught:
            attempt()
        assert "\n" not in str(caught.value)
        assert " at 0x" not in str(caught.value)
