"""Where the real handwriting lies, and the marks of tests that need it or the ``train`` extra."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
DATA_DIR = Path(os.environ.get("ICR_DATA_DIR") or "ICR_DATA_DIR-is-not-set")
"""Named by the environment alone: a folder that happens to lie beside the project would hide what is not set up."""

NEEDS_TRAIN = "needs the train extra (PyTorch): make test-train"


def needs_data(relative: str) -> pytest.MarkDecorator:
    """Return the mark of a test that reads ``DATA_DIR / relative`` and is skipped where that is missing."""
    return pytest.mark.data(relative)


def find_obstacle(item: pytest.Item) -> str | None:
    """Return why a test cannot run here: its handwriting or the ``train`` extra is missing."""
    for mark in item.iter_markers("data"):
        (relative,) = mark.args
        if not (DATA_DIR / relative).exists():
            return f"no {relative} there: set ICR_DATA_DIR to the folder of handwriting sets"
    if item.get_closest_marker("train") and importlib.util.find_spec("torch") is None:
        return NEEDS_TRAIN
    return None
