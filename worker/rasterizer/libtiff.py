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
from typing import Any

_HEARD = {2, 3, 4, 7}
"""TIFF 6.0, Compression: the three fax codings and JPEG. With others libtiff makes nothing up, and Pillow raises."""

_HANDLER = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p)


def hear_complaints(content: bytes, directory: int, compression: int) -> str | None:
    """Return what libtiff complains of when it decodes one page of a TIFF; None if it does not complain.

    None, too, if Pillow carries its libtiff within itself, where it cannot be asked.
    """
    library = _library()
    if compression not in _HEARD or library is None:
        return None
    said: list[str] = []
    hear = _HANDLER(lambda module, _text, _values: said.append((module or b"").decode("ascii", "replace")))
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.seek(0)
        tiff = library.TIFFFdOpen(os.dup(file.fileno()), b"scan", b"r")
        if not tiff:
            return None
        try:
            if library.TIFFSetDirectory(tiff, directory):
                library.TIFFSetErrorHandler(hear)
                library.TIFFSetWarningHandler(hear)  # only now, because warnings about headers cost no pixel
                _decode(library, tiff, said)
        finally:
            library.TIFFSetErrorHandler(None)
            library.TIFFSetWarningHandler(None)
            library.TIFFClose(tiff)
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
