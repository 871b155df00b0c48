"""The pages of one scan read in order, where sheets and barcodes among them say where documents begin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from worker.bootstrap import Runtime
from worker.errors import UnknownTemplateError
from worker.separators import find_separator, require_barcodes
from worker.values import Page, PageReading, Separator, UnreadablePage

if TYPE_CHECKING:
    from worker.page_kinds import PageKind

log = structlog.get_logger(__name__)


class Batch:
    """Reads the pages of one scan: what a separator sheet says counts for the pages behind it.

    Parameters
    ----------
    kind
        What pages without a sheet before them may be.
    before
        Pages of the scan that were read before, from the first one on.

    Raises
    ------
    SettingsError
        Sheets are wanted, and no code can be read.
    """

    def __init__(self, runtime: Runtime, kind: PageKind, before: Sequence[PageReading] = ()) -> None:
        self._runtime, self._otherwise = runtime, kind
        self._looks = runtime.settings.separators != "off"
        self._barcodes = runtime.settings.barcodes
        if self._looks:
            require_barcodes()
        sheets = (reading.separator for reading in reversed(before))
        self._kind = self._kind_behind(next((sheet for sheet in sheets if sheet and sheet.is_sheet), None))

    def read(self, page: Page | UnreadablePage, placed: PageKind | None = None) -> PageReading:
        """Read the next page, as ``placed`` if a person has said what it is; a sheet itself is not read."""
        from worker.pipeline import read_page

        mark = None
        if self._looks and isinstance(page, Page):
            mark = find_separator(page.grey, self._barcodes)
            if mark is not None and mark.is_sheet:
                self._kind = self._kind_behind(mark)
                height, width = page.grey.shape
                return PageReading(page=page.number, width_px=width, height_px=height, separator=mark)
        kind = self._kind if placed is None else placed
        reading = read_page(page, kind, self._runtime.recognizers(), self._runtime.accept_policy)
        return reading if mark is None else replace(reading, separator=mark)

    def _kind_behind(self, sheet: Separator | None) -> PageKind:
        """Return what pages behind a sheet may be: what it names, if that is known."""
        from worker.forms.templates import find_page_kind

        if sheet and sheet.template:
            try:
                return find_page_kind(sheet.template, self._runtime.templates(), self._runtime.check_policy)
            except UnknownTemplateError as error:
                log.warning("a separator sheet names a template that is not known here", reason=str(error))
        return self._otherwise
