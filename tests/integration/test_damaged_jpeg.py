"""A JPEG whose middle is gone: libjpeg makes the pixels up and only warns; a person must look."""

from __future__ import annotations

import random
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.support.scan_files import encoded, write
from worker.bootstrap import build_runtime
from worker.decision.fields import AcceptPolicy
from worker.doubts import DoubtKind
from worker.errors import UnreadableScanError
from worker.page_kinds import LoneField
from worker.pipeline import read_page
from worker.rasterizer import RasterLimits, open_pages
from worker.values import FieldStatus, Page

SECTOR = 512
"""Bytes that a bad disk takes at least."""


def picture(mode: str = "L") -> Image.Image:
    grey = np.full((600, 900), 255, np.uint8)
    cv2.putText(grey, "1234567", (40, 340), cv2.FONT_HERSHEY_SIMPLEX, 6, 0, 12)
    noise = np.random.default_rng(1).normal(0, 6, grey.shape)
    return Image.fromarray(np.clip(grey + noise, 0, 255).astype(np.uint8)).convert(mode)


def damaged(content: bytes, seed: int) -> bytes:
    """Return the file with one sector of its middle overwritten."""
    dice, broken = random.Random(seed), bytearray(content)
    at = dice.randrange(len(content) // 4, 3 * len(content) // 4 - SECTOR)
    broken[at : at + SECTOR] = dice.randbytes(SECTOR)
    return bytes(broken)


def open_one(folder: Path, content: bytes) -> Page:
    (page,) = open_pages(write(folder, "a.jpg", content), scan_id="s", limits=RasterLimits())
    return page


def is_noticed(folder: Path, content: bytes) -> bool:
    """Tell whether a page says that it is damaged, or gives no pixels at all and says why."""
    try:
        return open_one(folder, content).damage is not None
    except UnreadableScanError as error:
        return "damaged" in str(error)


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}])
def test_a_lost_sector_is_noticed_and_a_whole_file_is_not_blamed(
    tmp_path: Path, mode: str, options: dict[str, object]
) -> None:
    content = encoded(picture(mode), "JPEG", quality=85, **options)
    assert open_one(tmp_path, content).damage is None
    found = [is_noticed(tmp_path, damaged(content, seed)) for seed in range(12)]
    assert sum(found) >= 9, found


def test_a_damaged_file_writes_nothing_into_the_log(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    content = encoded(picture(), "JPEG", quality=85)
    found = [is_noticed(tmp_path, damaged(content, seed)) for seed in range(12)]
    assert any(found)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_whole_files_give_the_pixels_that_opencv_gives(tmp_path: Path, mode: str) -> None:
    content = encoded(picture(mode), "JPEG", quality=85)
    flag = cv2.IMREAD_GRAYSCALE if mode == "L" else cv2.IMREAD_COLOR_RGB
    expected = cv2.imdecode(np.frombuffer(content, np.uint8), flag)
    grey = expected if mode == "L" else cv2.cvtColor(expected, cv2.COLOR_RGB2GRAY)
    assert np.array_equal(open_one(tmp_path, content).grey, grey)


def test_every_field_of_a_damaged_page_awaits_review(tmp_path: Path) -> None:
    page = open_one(tmp_path, damaged(encoded(picture(), "JPEG", quality=85), 1))
    reading = read_page(page, LoneField(), build_runtime().recognizers(), AcceptPolicy(accept_threshold=0.0))
    assert reading.problem is None and [d.kind for d in reading.doubts] == [DoubtKind.DAMAGED_FILE]
    assert [f.status for f in reading.fields] == [FieldStatus.REVIEW]
    assert reading.doubts[0] in reading.fields[0].doubts
