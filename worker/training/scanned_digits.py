"""Scanned digits of two collections, each alone and white on black: Swiss ball-pens and exam papers from Taiwan."""

from __future__ import annotations

import csv
import zipfile
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

HELD_OUT_SCANS = 10
"""Every tenth Swiss digit never trains: the set names writers, but has 21 only."""
FAINTEST = 0.25
"""Of a picture's darkest ink: what is fainter is paper."""
LEAST_PIECE = 0.12
"""Of the largest piece of ink: a smaller one is a speck, or a dot that stood beside the digit."""


def read_exams(path: Path) -> tuple[list[NDArray[np.uint8]], NDArray[np.int64]]:
    """Return the digits of exam papers (28, 28) uint8 and their labels."""
    with np.load(path, allow_pickle=False) as exams:
        return [isolate(image) for image in exams["images"]], exams["labels"].astype(np.int64)


def read_swiss(folder: Path) -> tuple[list[NDArray[np.uint8]], NDArray[np.int64], NDArray[np.int64]]:
    """Return scanned ball-pen digits (h, w) uint8, their labels and writers, in the order of ``labels.csv``."""
    with (folder / "labels.csv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    images = []
    with zipfile.ZipFile(folder / "images.zip") as archive:
        for row in rows:
            colours = cv2.imdecode(np.frombuffer(archive.read(row["file"]), np.uint8), cv2.IMREAD_COLOR)
            images.append(isolate(255 - np.asarray(colours, np.uint8).min(axis=2)))
    return images, np.array([int(row["digit"]) for row in rows]), np.array([int(row["writer"]) for row in rows])


def isolate(ink: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a scanned digit, (h, w) uint8 white on black, at full contrast and without paper, specks and dots."""
    strong = np.where(ink > FAINTEST * int(ink.max()), ink, 0).astype(np.uint8)
    _, pieces, stats, _ = cv2.connectedComponentsWithStats((strong > 0).astype(np.uint8))
    areas = stats[:, cv2.CC_STAT_AREA].copy()
    areas[0] = 0
    kept = areas[pieces] > LEAST_PIECE * areas.max()
    return np.asarray(np.where(kept, strong, 0) * (255 / max(1, int(strong.max()))), np.uint8)
