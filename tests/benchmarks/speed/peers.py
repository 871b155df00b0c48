"""Other readers on the same page, each on one thread, where they are installed (the extra ``peers``; Tesseract)."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path


def find_peers(scan: Path) -> dict[str, Callable[[], object]]:
    """Return the peers that are installed, by name; calling one reads the scan."""
    peers: dict[str, Callable[[], object]] = {}
    if importlib.util.find_spec("rapidocr"):
        peers["RapidOCR"] = _rapidocr(scan)
    if tesseract := shutil.which("tesseract"):
        command = [tesseract, str(scan), "-", "--psm", "11", "-c", "tessedit_char_whitelist=0123456789"]
        one_thread = os.environ | {"OMP_THREAD_LIMIT": "1"}
        peers["Tesseract"] = lambda: subprocess.run(command, env=one_thread, capture_output=True, check=True)
    return peers


def _rapidocr(scan: Path) -> Callable[[], object]:
    from rapidocr import RapidOCR

    threads = {f"EngineConfig.onnxruntime.{kind}_op_num_threads": 1 for kind in ("intra", "inter")}
    engine = RapidOCR(params={**threads, "Global.log_level": "error"})
    return lambda: engine(str(scan))
