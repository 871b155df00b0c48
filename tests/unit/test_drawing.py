"""Readings painted on their page: no label hides the handwriting that it is about, nor its neighbour's."""

from __future__ import annotations

import numpy as np
import pytest

from worker.output.drawing import COLOURS, draw_reading
from worker.values import Box, FieldReading, FieldStatus, Page, PageReading

STATUS = FieldStatus.ACCEPTED


def hidden_share(boxes: list[Box], size: tuple[int, int] = (900, 1200)) -> list[float]:
    """Return the share of each field's inside that a label of the picture covers."""
    page = Page("s", 0, np.full(size, 255, np.uint8))
    fields = tuple(FieldReading(f"f{k}", "4711", 0.99, STATUS, box) for k, box in enumerate(boxes))
    picture = draw_reading(page, PageReading(0, size[1], size[0], fields))
    painted = (picture == COLOURS[STATUS]).all(axis=2)
    return [
        float(painted[round(b.y) + 4 : round(b.y + b.h) - 4, round(b.x) + 4 : round(b.x + b.w) - 4].mean())
        for b in boxes
    ]


def test_there_is_a_label_outside_the_field() -> None:
    page = Page("s", 0, np.full((900, 1200), 255, np.uint8))
    bare = draw_reading(page, PageReading(0, 1200, 900, (FieldReading("f", "", 1.0, STATUS, Box(0, 0, 1, 1)),)))
    named = FieldReading("f", "4711", 0.99, STATUS, Box(400, 400, 200, 60))
    picture = draw_reading(page, PageReading(0, 1200, 900, (named,)))
    above = picture[360:398, 400:500] != bare[360:398, 400:500]
    assert above.any()


@pytest.mark.parametrize("gap", [2, 6, 40])
def test_labels_of_rows_that_stand_close_lie_beside_them(gap: int) -> None:
    rows = [Box(200, 100 + k * (60 + gap), 300, 60) for k in range(8)]
    assert max(hidden_share(rows)) == 0


def test_labels_at_the_edges_of_the_page_stay_on_it_and_off_the_field() -> None:
    corners = [Box(0, 0, 300, 60), Box(900, 0, 300, 60), Box(0, 840, 300, 60), Box(900, 840, 300, 60)]
    assert max(hidden_share(corners)) == 0


def test_in_a_table_without_room_a_label_hides_as_little_as_it_can() -> None:
    table = [Box(100 + 100 * c, 100 + 60 * r, 100, 60) for r in range(10) for c in range(10)]
    assert max(hidden_share(table)) < 0.5
    assert np.mean(hidden_share(table)) < 0.35


def test_in_a_table_with_empty_cells_no_label_lies_over_handwriting() -> None:
    """The word of an empty cell lay on the number above it."""
    grey = np.full((900, 1200), 240, np.uint8)
    cells = [(r, c, Box(150 + 150 * c, 100 + 60 * r, 148, 58)) for r in range(9) for c in range(5)]
    fields = []
    for r, c, box in cells:
        filled = (r * 5 + c) % 3 == 0
        if filled:
            grey[round(box.y) + 12 : round(box.y) + 46, round(box.x) + 10 : round(box.x) + 50 : 4] = 60
        status = STATUS if filled else FieldStatus.BLANK
        fields.append(FieldReading(f"r{r}c{c}", "17" if filled else "", 0.99, status, box))
    page = Page("s", 0, grey)
    picture = draw_reading(page, PageReading(0, 1200, 900, tuple(fields)))
    bare = draw_reading(page, PageReading(0, 1200, 900, ()))
    is_ink = grey < 100
    assert is_ink.sum() > 5_000
    assert (picture[is_ink] == bare[is_ink]).all()
