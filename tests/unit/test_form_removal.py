import cv2
import numpy as np
import pytest

from worker.imaging.form_removal import PrintedCrop, remove_forms
from worker.values import Box

PX_PER_MM = 12.0
INNER = Box(14, 14, 360, 84)


def strokes(shift: float = 0.0) -> list[tuple[np.ndarray, np.ndarray]]:
    ring = np.array([[10, 10], [378, 10], [378, 102], [10, 102]], dtype=np.float64) + shift
    return [(ring[i], ring[(i + 1) % 4]) for i in range(4)]


def crop(*, frame: bool = True, tilt: int = 0) -> np.ndarray:
    grey = np.full((112, 390), 235, np.uint8)
    if frame:
        ring = np.array([[10, 10], [378, 10 + tilt], [378, 102 + tilt], [10, 102]])
        cv2.polylines(grey, [ring], True, 30, 6)
    return grey


def ink_of(grey: np.ndarray) -> int:
    return int((grey < 128).sum())


def remove_form(grey: np.ndarray, lines: list[tuple[np.ndarray, np.ndarray]], inner: Box, scale: float) -> np.ndarray:
    (cleaned,) = remove_forms([PrintedCrop(grey, lines, inner, scale)])
    return cleaned


def test_many_crops_at_once_are_cleaned_as_each_by_itself() -> None:
    small = cv2.resize(crop(tilt=2), None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    half = [(start / 2, end / 2) for start, end in strokes()]
    crops = [
        PrintedCrop(crop(tilt=3), strokes(3.0), INNER, PX_PER_MM),
        PrintedCrop(small, half, Box(*(v / 2 for v in INNER)), PX_PER_MM / 2),
        PrintedCrop(crop(frame=False), [], INNER, PX_PER_MM),
        PrintedCrop(crop(), strokes(-4.0), INNER, PX_PER_MM),
    ]
    for together, one in zip(remove_forms(crops), crops, strict=True):
        assert np.array_equal(together, remove_forms([one])[0])
        assert ink_of(together) == 0
    assert remove_forms([]) == []


@pytest.mark.parametrize("shift", [0.0, 3.0, -4.0])
@pytest.mark.parametrize("tilt", [0, 3])
def test_an_empty_frame_leaves_white_paper(shift: float, tilt: int) -> None:
    assert ink_of(remove_form(crop(tilt=tilt), strokes(shift), INNER, PX_PER_MM)) == 0


def test_digits_stay_whole_also_where_they_cross_the_line() -> None:
    plain, framed = crop(frame=False), crop()
    for grey in (plain, framed):
        cv2.line(grey, (100, 30), (90, 109), 40, 6)  # a 7's stem over the lower line
        cv2.circle(grey, (200, 55), 25, 40, 6)
    cleaned = remove_form(framed, strokes(), INNER, PX_PER_MM)
    written = ink_of(remove_form(plain, [], INNER, PX_PER_MM))
    assert written * 0.97 < ink_of(cleaned) < written * 1.06


def test_an_upright_stroke_beside_the_frame_is_a_1_and_stays() -> None:
    grey = crop()
    cv2.line(grey, (30, 16), (30, 96), 40, 6)
    assert ink_of(remove_form(grey, strokes(), INNER, PX_PER_MM)) > 0.9 * 80 * 6


def test_print_beyond_the_field_goes() -> None:
    grey = crop()
    cv2.line(grey, (60, 3), (120, 3), 40, 3)  # the foot of a label
    assert ink_of(remove_form(grey, strokes(), INNER, PX_PER_MM)) == 0


def test_lines_that_are_not_there_take_nothing() -> None:
    grey = crop(frame=False)
    cv2.circle(grey, (200, 55), 25, 40, 6)
    assert ink_of(remove_form(grey, strokes(), INNER, PX_PER_MM)) == pytest.approx(ink_of(grey), rel=0.05)


def table_crop(*, thickness: int = 6, tilt: int = 0) -> np.ndarray:
    """Draw a cell whose lines go on into its neighbours on all four sides."""
    grey = np.full((112, 390), 235, np.uint8)
    for x in (10, 378):
        cv2.line(grey, (x + tilt, 0), (x, 112), 30, thickness)
    for y in (10, 102):
        cv2.line(grey, (0, y), (390, y + tilt), 30, thickness)
    return grey


@pytest.mark.parametrize("thickness", [2, 4, 6, 8])
@pytest.mark.parametrize("tilt", [0, 3])
def test_a_cell_of_a_table_is_left_white_where_lines_cross(thickness: int, tilt: int) -> None:
    """A cross of print was left in each corner, and was read as a sign before the digits."""
    cleaned = remove_form(table_crop(thickness=thickness, tilt=tilt), strokes(), INNER, PX_PER_MM)
    assert ink_of(cleaned) == 0


def test_what_is_written_across_a_line_beside_a_crossing_stays() -> None:
    grey = table_crop()
    cv2.line(grey, (46, 30), (40, 109), 40, 6)  # 3 mm from the corner
    cv2.line(grey, (30, 60), (60, 60), 40, 6)
    cleaned = remove_form(grey, strokes(), INNER, PX_PER_MM)
    plain = np.full_like(grey, 235)
    cv2.line(plain, (46, 30), (40, 109), 40, 6)
    cv2.line(plain, (30, 60), (60, 60), 40, 6)
    assert ink_of(cleaned) >= 0.97 * ink_of(plain)
    assert cleaned[100:104, 38:44].min() < 128
