"""Where documents begin among the pages of one scan: behind a printed sheet, or at a page with a barcode.

The code of a sheet is a QR code (ISO/IEC 18004) of ``icr-separator:1:TEMPLATE:REFERENCE``; either may be empty. Codes
are read and drawn by zxing-cpp (the extra ``barcodes``), on the pixels of a page that was decoded within its limits.
"""

from __future__ import annotations

import importlib.util
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from worker.errors import SettingsError
from worker.values import Grey, PageReading, Separator

if TYPE_CHECKING:
    from PIL.Image import Image

EXTRA_IS_MISSING = "separator sheets need the extra 'barcodes', which is not installed: pip install '.[barcodes]'"
SHEET_DPI = 150
LONGEST_REFERENCE = 200
"""Characters, as in ``schemas.scan_job``."""

LONGEST_CODE = 1000
"""Characters of a barcode that are looked at."""

_SHEET_FORMAT = "QRCode"
_FORMATS = "QRCode,DataMatrix,PDF417,Aztec,Code128,Code39,EAN13"
"""Those of labels and forms. Others, such as ITF, have no check digit, and a part of one is read as a shorter one."""
_CODE = re.compile(r"icr-separator:1:([a-z0-9][a-z0-9-]{0,62})?:(.{0,200})")
_A4_PX = round(8.27 * SHEET_DPI), round(11.69 * SHEET_DPI)
_LONG_SIDE_PX = 1800
"""A page is looked at at most this large: of the largest code, 110 mm wide, a module then has 7 pixels."""

_LONG_SIDE_OF_LABELS_PX = 6000
"""The thin bars of a label are 0.25 mm: 3 pixels at 300 dpi, and lost where every second pixel is left out."""


@dataclass(frozen=True, slots=True)
class Document:
    """Pages of a scan that belong together, from the first to the last, by their numbers in the scan."""

    first_page: int
    last_page: int
    template: str | None = None
    reference: str | None = None


def require_barcodes() -> None:
    """Raise ``SettingsError`` where codes cannot be read, for the extra is not installed."""
    if importlib.util.find_spec("zxingcpp") is None:
        raise SettingsError(EXTRA_IS_MISSING)


def write_code(separator: Separator) -> str:
    """Return what the code of a sheet says."""
    return f"icr-separator:1:{separator.template or ''}:{separator.reference or ''}"


def parse_code(text: str) -> Separator | None:
    """Return what a code says; None for any other code, as on a letter or a parcel."""
    found = _CODE.fullmatch(text)
    if found is None or not text.isprintable():
        return None
    return Separator(found[1] or None, found[2].strip() or None)


def find_separator(grey: Grey, barcodes: re.Pattern[str] | None = None) -> Separator | None:
    """Return what a page says of the document that begins, however it lies; (H, W) uint8, 0 = ink.

    A sheet goes before any other code. Of codes whose whole text matches ``barcodes``, the text is the reference, or
    its first group; where two of them differ, a document begins without one.
    """
    import numpy as np
    import zxingcpp

    step = max(1, math.ceil(max(grey.shape) / (_LONG_SIDE_PX if barcodes is None else _LONG_SIDE_OF_LABELS_PX)))
    small = np.ascontiguousarray(grey[::step, ::step])
    formats = zxingcpp.barcode_formats_from_str(_SHEET_FORMAT if barcodes is None else _FORMATS)
    texts = [code.text[:LONGEST_CODE] for code in zxingcpp.read_barcodes(small, formats=formats, try_invert=False)]
    sheet = next((said for text in texts if (said := parse_code(text)) is not None), None)
    return sheet if sheet is not None or barcodes is None else parse_barcodes(texts, barcodes)


def parse_barcodes(texts: Sequence[str], barcodes: re.Pattern[str]) -> Separator | None:
    """Return the beginning of a document that the codes of a page tell of; None where none matches ``barcodes``."""
    matches = [found for text in texts if text.isprintable() and (found := barcodes.fullmatch(text)) is not None]
    said = {(found[1] if barcodes.groups else found[0] or "").strip()[:LONGEST_REFERENCE] for found in matches}
    if not said:
        return None
    return Separator(reference=(said.pop() or None) if len(said) == 1 else None, is_sheet=False)


class Documents:
    """The documents of a scan, page by page, in ``found``."""

    def __init__(self) -> None:
        self.found: list[Document] = []
        self._sheet, self._code, self._begins = Separator(), "", True

    def add(self, number: int, mark: Separator | None) -> Document | None:
        """Take the next page with what it says; return its document as far as it goes, None for a sheet.

        Pages that bear one code one after the other are one document.
        """
        if mark is not None and mark.is_sheet:
            self._sheet, self._code, self._begins = mark, "", True
            return None
        if mark is not None and (mark.reference is None or mark.reference != self._code):
            if not self._begins:
                self._sheet, self._begins = replace(self._sheet, reference=None), True
            self._code = mark.reference or ""
        if self._begins:
            reference = self._sheet.reference or self._code or None
            self.found.append(Document(number, number, self._sheet.template, reference))
        else:
            self.found[-1] = replace(self.found[-1], last_page=number)
        self._begins = False
        return self.found[-1]


def split_documents(pages: Sequence[PageReading]) -> tuple[Document, ...]:
    """Return the documents of a scan; the first may have no sheet and no code. Without any of these: none."""
    documents = Documents()
    for page in pages:
        documents.add(page.page, page.separator)
    return tuple(documents.found) if any(page.separator for page in pages) else ()


def draw_sheet(separator: Separator) -> Image:
    """Draw a sheet of A4 to be printed, in 8-bit grey.

    Raises
    ------
    SettingsError
        The extra ``barcodes`` is not installed.
    """
    require_barcodes()
    import numpy as np
    import zxingcpp
    from PIL import Image, ImageDraw, ImageFont

    width, height = _A4_PX
    code = zxingcpp.create_barcode(write_code(separator), zxingcpp.BarcodeFormat.QRCode, ec_level="Q")
    modules = Image.fromarray(np.array(code.to_image(scale=1, add_quiet_zones=True)))
    side = round(110 / 25.4 * SHEET_DPI) // modules.width * modules.width
    sheet = Image.new("L", (width, height), 255)
    sheet.paste(modules.resize((side, side), Image.Resampling.NEAREST), ((width - side) // 2, height // 5))
    draw = ImageDraw.Draw(sheet)
    template = f"template {separator.template}" if separator.template else ""
    at = height // 8
    for text, size in (
        ("A new document begins behind this sheet", 34),
        (template, 34),
        (separator.reference or "", 60),
    ):
        font = ImageFont.load_default(size)
        room = max(1, int(0.9 * width / max(1.0, font.getlength(text) / max(1, len(text)))))
        for line in (text[start : start + room] for start in range(0, len(text), room)):
            draw.text((width / 2, at), line, fill=0, font=font, anchor="mt")
            at += round(1.4 * size)
        at = max(at, height // 5 + side)
    return sheet
