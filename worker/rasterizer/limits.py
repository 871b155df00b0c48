"""Limits on what a scan may ask for; every refusal names the limit and its setting."""

from __future__ import annotations

from dataclasses import dataclass

from worker.errors import UnreadableScanError


@dataclass(frozen=True, slots=True)
class RasterLimits:
    """Limits on one scan: its file, its pages, and the time for drawing one page of a PDF."""

    max_file_mb: float = 100.0
    max_pages: int = 200
    max_megapixels: float = 80.0
    pdf_dpi: int = 300
    page_timeout_s: float = 30.0

    def check_file_size(self, size: int) -> None:
        """Refuse a file of more bytes than allowed."""
        if size > self.max_file_mb * 2**20:
            raise UnreadableScanError(
                f"a file of {size / 2**20:.1f} MB; the limit is {self.max_file_mb:g} (ICR_MAX_FILE_MB)"
            )

    def check_page_count(self, count: int) -> None:
        """Refuse a scan of more pages than allowed."""
        if count > self.max_pages:
            raise UnreadableScanError(f"{count} pages; the limit is {self.max_pages} (ICR_MAX_PAGES)")

    def check_page_size(self, width: int, height: int) -> None:
        """Refuse a page of more pixels than allowed, before any of them is decoded."""
        megapixels = width * height / 1e6
        if megapixels > self.max_megapixels:
            raise UnreadableScanError(
                f"a page of {width} x {height} pixels ({megapixels:.0f} megapixels);"
                f" the limit is {self.max_megapixels:g} (ICR_MAX_MEGAPIXELS)"
            )
