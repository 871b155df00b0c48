"""Tell the kind of a file by its first bytes; a kind that cannot be read is named, with what to do."""

from __future__ import annotations

from worker.errors import UnreadableScanError

_MAGIC = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"II*\x00": "TIFF",
    b"MM\x00*": "TIFF",
    b"II+\x00": "TIFF",
    b"MM\x00+": "TIFF",
}

_BRANDS = {
    **dict.fromkeys((b"avif", b"avis"), "AVIF"),
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"), "HEIC"),
}
"""Brands of an ISO base media file that is a picture (ISO/IEC 23008-12, annex B; AV1 Image File Format, 6.2)."""
_ANY_PICTURE = (b"mif1", b"msf1", b"miaf")
"""Brands that do not tell how the picture is coded; another brand beside them does."""
_RAW_BRAND = b"crx "

_OTHERS = {
    b"8BPS": "a Photoshop picture",
    b"AT&TFORM": "a DjVu document",
    b"II\xbc\x01": "a JPEG XR picture",
    b"<svg": "an SVG drawing",
    b"<?xml": "an XML document or drawing",
    b"<!DOCTYPE": "a web page",
    b"<html": "a web page",
    b"\xc5\xd0\xd3\xc6": "a PostScript file",
    b"GIF8": "a GIF picture",
    b"BM": "a BMP picture",
    b"PK\x03\x04": "an archive or an office document",
    b"\xd0\xcf\x11\xe0": "an office document",
    b"{\\rtf": "a text document",
    b"%!PS": "a PostScript file",
    b"\xffO\xffQ": "a JPEG 2000 picture",
    b"\x00\x00\x00\x0cjP  ": "a JPEG 2000 picture",
    b"\x00\x00\x00\x0cJXL ": "a JPEG XL picture",
    b"\xff\x0a": "a JPEG XL picture",
}
_KNOWN = "PNG, JPEG, TIFF or PDF, nor a WebP, AVIF or HEIC photo"


def sniff_type(head: bytes) -> str:
    """Return PNG, JPEG, TIFF, PDF, WebP, AVIF or HEIC by a file's first bytes; its name is not trusted.

    Raises
    ------
    UnreadableScanError
        It is none of them, or nothing has been written yet.
    """
    for magic, kind in _MAGIC.items():
        if head.startswith(magic):
            return kind
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    if head[4:8] == b"ftyp":
        return _media_type(head)
    # PDF readers accept junk before the header (ISO 32000-1, implementation note 13).
    if b"%PDF-" in head:
        return "PDF"
    if not head.strip(b"\0"):
        raise UnreadableScanError("the file begins with zeros only", incomplete=True)
    for magic, kind in _OTHERS.items():
        if head.startswith(magic) or (magic.startswith(b"<") and head.lower().startswith(magic.lower())):
            raise UnreadableScanError(f"not a {_KNOWN}: it is {kind}; save it as PDF or PNG")
    raise UnreadableScanError(f"not a {_KNOWN}; save it as PDF or PNG", incomplete=len(head) < 16)


def _media_type(head: bytes) -> str:
    """Tell a photo from a film by the brands in the first box of an ISO base media file."""
    size = int.from_bytes(head[:4], "big")
    brands = [head[8:12], *(head[at : at + 4] for at in range(16, min(size, len(head)), 4))]
    for brand in brands:
        if brand in _BRANDS:
            return _BRANDS[brand]
    if any(brand in _ANY_PICTURE for brand in brands):
        return "HEIC"
    if _RAW_BRAND in brands:
        raise UnreadableScanError(f"not a {_KNOWN}: it is a raw photo of a camera; save it as JPEG")
    raise UnreadableScanError(f"not a {_KNOWN}: it is a film; take a photo instead")
