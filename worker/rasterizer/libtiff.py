"""Hear what libtiff complains of while it decodes: pixels that it made up.

In a damaged fax, libtiff makes up the rows that it cannot decode and only warns. Pillow silences the warnings, writes
the errors to stderr without end, and reports neither. So the compressed rows of a page are decoded once more, through
the library that Pillow itself has loaded, with a handler that listens.
"""

from __future__ import annotations

import ctypes
import functools
import os
import tempfile
from pathlib import Path
from typing import Any, BinaryIO

from worker.errors import UnreadableScanError

_RAW = 1
_HEARD = {2, 3, 4, 7}
"""TIFF 6.0, Compression: the three fax codings and JPEG. With others libtiff makes nothing up, and Pillow raises."""

_HANDLER = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p)


class Listener:
    """One TIFF as libtiff sees it; the copy that libtiff opens is made when it is first asked for a page."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._copy: BinaryIO | None = None

    def close(self) -> None:
        """Remove the copy."""
        if self._copy is not None:
            self._copy.close()

    def hear_complaints(self, directory: int, compression: int) -> str | None:
        """Return what libtiff complains of when it decodes one page; None if it does not complain.

        None, too, if Pillow carries its libtiff within itself, where it cannot be asked.

        Raises
        ------
        UnreadableScanError
            libtiff refuses the directory of the page. Pillow would show the first page in its place.
        """
        library = _library()
        is_heard = compression in _HEARD
        if library is None or not (is_heard or (directory and compression != _RAW)):
            return None
        if self._copy is None:
            self._copy = tempfile.TemporaryFile()  # noqa: SIM115  # open for as long as the pages are read
            self._copy.write(self._content)
            self._copy.flush()
        self._copy.seek(0)
        tiff = library.TIFFFdOpen(os.dup(self._copy.fileno()), b"scan", b"r")
        if not tiff:
            return None
        try:
            if not library.TIFFSetDirectory(tiff, directory):
                raise UnreadableScanError("damaged TIFF: what it says of this page is not understood")
            return _listen(library, tiff) if is_heard else None
        finally:
            library.TIFFClose(tiff)


def _listen(library: Any, tiff: Any) -> str | None:
    said: list[str] = []
    hear = _HANDLER(lambda module, _text, _values: said.append((module or b"").decode("ascii", "replace")))
    library.TIFFSetErrorHandler(hear)
    library.TIFFSetWarningHandler(hear)  # only now, because warnings about headers cost no pixel
    try:
        _decode(library, tiff, said)
    finally:
        library.TIFFSetErrorHandler(None)
        library.TIFFSetWarningHandler(None)
    return f"the decoder complains of rows that do not add up ({said[0]})" if said else None


def silence() -> None:
    """Keep libtiff from writing to stderr, because a file of 200 kB could fill the log with 149 MB."""
    if library := _library():
        library.TIFFSetErrorHandler(None)


def _decode(library: Any, tiff: int, said: list[str]) -> None:
    """Decode strip by strip, or tile by tile, as far as the first complaint."""
    tiled = library.TIFFIsTiled(tiff)
    count = library.TIFFNumberOfTiles(tiff) if tiled else library.TIFFNumberOfStrips(tiff)
    size = library.TIFFTileSize(tiff) if tiled else library.TIFFStripSize(tiff)
    read = library.TIFFReadEncodedTile if tiled else library.TIFFReadEncodedStrip
    if size <= 0:
        return
    room = ctypes.create_string_buffer(size)
    for number in range(count):
        if said or read(tiff, number, room, size) < 0:
            return


@functools.lru_cache(maxsize=1)
def _library() -> Any:
    """Return the libtiff that Pillow has loaded; None if none is found."""
    from PIL import _imaging  # noqa: F401  # loading it loads libtiff

    maps = Path("/proc/self/maps")
    lines = maps.read_text("utf-8", "replace").splitlines() if maps.exists() else []
    path = next((line.split(maxsplit=5)[5] for line in lines if "libtiff" in line.rpartition("/")[2]), None)
    if path is None:
        return None
    library = ctypes.CDLL(path)
    handle, number, size = ctypes.c_void_p, ctypes.c_uint32, ctypes.c_ssize_t
    library.TIFFFdOpen.argtypes, library.TIFFFdOpen.restype = [ctypes.c_int, ctypes.c_char_p, ctypes.c_char_p], handle
    library.TIFFSetDirectory.argtypes = [handle, number]
    for name in ("TIFFIsTiled", "TIFFNumberOfTiles", "TIFFNumberOfStrips", "TIFFClose"):
        getattr(library, name).argtypes = [handle]
    for name in ("TIFFTileSize", "TIFFStripSize"):
        getattr(library, name).argtypes, getattr(library, name).restype = [handle], size
    for name in ("TIFFReadEncodedTile", "TIFFReadEncodedStrip"):
        function = getattr(library, name)
        function.argtypes, function.restype = [handle, number, handle, size], size
    for name in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
        getattr(library, name).argtypes, getattr(library, name).restype = [handle], handle
    return library
