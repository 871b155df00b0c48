"""Light ink on dark paper is told, also if there is little of it; dark ink and bright sheets are left as they are."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from worker.imaging.polarity import has_light_ink
from worker.values import Grey


def page(paper: int, ink: int, text: str) -> Grey:
    grey = np.full((1600, 1200), paper, np.uint8)
    grey += np.random.default_rng(3).integers(0, 9, grey.shape, np.uint8)
    cv2.putText(grey, text, (160, 180), cv2.FONT_HERSHEY_SIMPLEX, 1.8, ink, 3, cv2.LINE_AA)
    return grey


@pytest.mark.parametrize("text", ["61", "4072", "4072 915 2026 38 1650"])
@pytest.mark.parametrize("paper", [10, 40, 80])
def test_few_light_strokes_on_a_dark_page_are_ink(text: str, paper: int) -> None:
    """A slate with six digits lost four of its five numbers."""
    assert has_light_ink(page(paper, 235, text))


@pytest.mark.parametrize("text", ["61", "4072 915 2026 38 1650"])
def test_dark_strokes_and_a_bright_sheet_on_a_dark_table_are_not_turned(text: str) -> None:
    assert not has_light_ink(page(100, 10, text))
    table = page(30, 30, "")
    table[600:900, 300:800] = 230
    cv2.putText(table, text, (320, 780), cv2.FONT_HERSHEY_SIMPLEX, 1.2, 40, 3, cv2.LINE_AA)
    assert not has_light_ink(table)
    assert not has_light_ink(page(30, 30, ""))
