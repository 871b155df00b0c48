"""Scanned digits come out alone: without paper, specks and the dots that stood beside them."""

from __future__ import annotations

import csv
import zipfile
from pathlib import Path

import cv2
import numpy as np

from worker.training.scanned_digits import isolate, read_swiss


def test_a_digit_is_isolated_at_full_contrast() -> None:
    ink = np.full((40, 40), 8, np.uint8)  # the paper's grey
    cv2.rectangle(ink, (15, 5), (19, 34), 120, -1)  # a thin 1, faint
    cv2.rectangle(ink, (30, 33), (31, 34), 110, -1)  # a dot beside it
    alone = isolate(ink)
    assert alone[5:35, 15:20].min() == 255
    alone[5:35, 15:20] = 0
    assert not alone.any()


def test_blue_ink_on_white_is_ink(tmp_path: Path) -> None:
    paper = np.full((60, 50, 3), 252, np.uint8)
    cv2.line(paper, (25, 8), (25, 50), (230, 110, 60), 3)  # BGR: a ball-pen's blue
    coded = cv2.imencode(".webp", paper, [cv2.IMWRITE_WEBP_QUALITY, 95])[1]
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        archive.writestr("0003_CH/1/number-1.webp", coded.tobytes())
    with (tmp_path / "labels.csv").open("w", newline="") as lines:
        table = csv.writer(lines)
        table.writerows([["file", "digit", "writer"], ["0003_CH/1/number-1.webp", "1", "0003"]])
    (image,), labels, writers = read_swiss(tmp_path)
    assert (labels.tolist(), writers.tolist()) == ([1], [3])
    assert cv2.boundingRect(image)[2] <= 6 and cv2.boundingRect(image)[3] >= 40
    assert image[30, 25] > 200 and not image[:, :15].any()
