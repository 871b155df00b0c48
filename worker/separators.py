"""Separator sheets: printed pages whose code begins a new document among the pages of one scan.

The code is a QR code (ISO/IEC 18004) of ``icr-separator:1:TEMPLATE:REFERENCE``; either may be empty. It is read and
drawn by zxing-cpp (the extra ``barcodes``), on the pixels of a page that was decoded within its limits.
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

_CODE = re.compile(r"icr-separator:1:([a-z0-9][a-z0-9-]{0,62})?:(.{0,200})")
_A4_PX = round(8.27 * SHEET_DPI), round(11.69 * SHEET_DPI)
_LONG_SIDE_PX = 1800
"""A page is looked at at most this large: of the largest code, 110 mm wide, a module then has 7 pixels."""


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


def find_separator(grey: Grey) -> Separator | None:
    """Return what a page says if it is a separator sheet, however it lies; (H, W) uint8, 0 = ink."""
    import numpy as np
    import zxingcpp

    step = max(1, math.ceil(max(grey.shape) / _LONG_SIDE_PX))
    small = np.ascontiguousarray(grey[::step, ::step])
    codes = zxingcpp.read_barcodes(small, formats=zxingcpp.barcode_formats_from_str("QRCode"), try_invert=False)
    return next((said for code in codes if (said := parse_code(code.text)) is not None), None)


def split_documents(pages: Sequence[PageReading]) -> tuple[Document, ...]:
    """Return the documents of a scan, each behind its sheet; the first may have none. Without any sheet: none."""
    if not any(page.separator for page in pages):
        return ()
    found: list[Document] = []
    sheet, begins = Separator(), True
    for page in pages:
        if page.separator is not None:
            sheet, begins = page.separator, True
        elif begins:
            found.append(Document(page.page, page.page, sheet.template, sheet.reference))
            begins = False
        else:
            found[-1] = replace(found[-1], last_page=page.page)
    return tuple(found)


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
