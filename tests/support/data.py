"""Where the real handwriting lies, and a mark that skips a test where it is absent."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
DATA_DIR = Path(os.environ.get("ICR_DATA_DIR", PROJECT.parent / "shared" / "data"))


def needs_data(relative: str) -> pytest.MarkDecorator:
    """Return a mark that skips a test where ``DATA_DIR / relative`` is missing, and says what to set."""
    there = (DATA_DIR / relative).exists()
    reason = f"no {relative} there: set ICR_DATA_DIR to the folder of handwriting sets"
    return pytest.mark.skipif(not there, reason=reason)
