"""Absolute paths and file URIs as scans are named by, decoded in one way, whatever bytes a file's name holds."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit

from worker.system.harmless import make_harmless


def path_of_uri(uri: str) -> Path | None:
    """Return the path that an absolute path or a ``file://`` URI names, None where it is neither.

    Only a URI is decoded: the percent sign of a path is its own. Bytes that are no UTF-8 are kept (``os.fsdecode``), as
    ``Path.as_uri`` encodes them, so that the file is found again. Text that is no bytes at all names no file.
    """
    try:
        os.fsencode(uri)
    except UnicodeEncodeError:
        return None
    if uri.startswith("/"):
        return Path(uri)
    try:
        parts = urlsplit(uri)
    except ValueError:
        return None
    if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
        return None
    return Path(os.fsdecode(unquote_to_bytes(parts.path)))


def display_name(uri: str | None) -> str:
    """Return the name of a scan for people, of a path, a ``file://`` or an ``s3://`` URI; ``?`` for None.

    What is no UTF-8, and what a terminal would obey (escape codes, marks that turn the line round), is replaced by
    U+FFFD, so that no name forges a line.
    """
    if uri is None:
        return "?"
    path = path_of_uri(uri)
    name = os.fsencode(path.name).decode("utf-8", "replace") if path else uri.rpartition("/")[2]
    return make_harmless(name)
