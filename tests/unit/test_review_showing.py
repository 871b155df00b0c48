"""What a person is shown of a reading follows from its risk: never a digit that may mislead."""

from __future__ import annotations

import pytest

from worker.doubts import DoubtKind
from worker.review.crops import crop_url, find_turns, place_crop
from worker.review.showing import HARMLESS, Showing, choose_showing

SURE, WEAK = 0.9995, 0.7


def showing(digits: list[float], text: str = "1234", written: str = "", **changes: object) -> Showing:
    given = {"confidence": 0.96, "doubts": frozenset({"low_confidence"}), "kind": "code", **changes}
    return choose_showing(text=text, written=written or text, digits=digits, **given)  # type: ignore[arg-type]


def test_doubtful_digits_are_left_out_and_the_rest_is_shown() -> None:
    assert showing([SURE, WEAK, SURE, SURE]) == Showing("partial", "1_34")
    assert showing([SURE, SURE, SURE, WEAK], written="-12.34") == Showing("partial", "-12.3_")


def test_a_reading_without_a_doubtful_digit_is_to_be_confirmed() -> None:
    assert showing([SURE] * 4, written="12.34") == Showing("confirm", "12.34")


def test_a_field_of_little_confidence_is_not_shown_whole_however_sure_its_digits() -> None:
    assert showing([SURE] * 4, confidence=0.8).mode == "blind"


def test_mostly_doubtful_digits_are_keyed_blind() -> None:
    assert showing([WEAK, WEAK, WEAK, SURE]) == Showing("blind", "")


@pytest.mark.parametrize("kind", sorted(set(DoubtKind) - HARMLESS))
def test_doubts_that_mislead_show_nothing(kind: DoubtKind) -> None:
    assert showing([SURE] * 4, doubts=frozenset({kind.value, "low_confidence"})) == Showing("blind")


def test_a_kind_of_doubt_that_is_new_shows_nothing() -> None:
    assert showing([SURE] * 4, doubts=frozenset({"not_known_yet"})) == Showing("blind")


@pytest.mark.parametrize("written", ["12#34", "¤1234", "124"])
def test_marks_that_nobody_can_type_and_figures_that_differ_show_nothing(written: str) -> None:
    assert showing([SURE] * 4, written=written) == Showing("blind")


def test_a_tick_box_and_a_reading_without_its_digits_show_nothing() -> None:
    assert showing([], text="1", written="1", kind="mark") == Showing("blind")
    assert showing([SURE] * 3) == Showing("blind")


class Digit:
    box_w = box_h = 10

    def __init__(self, field_id: int, x: int, y: int) -> None:
        self.field_id, self.box_x, self.box_y = field_id, x, y


@pytest.mark.parametrize(("step", "turns"), [((20, 1), 0), ((-20, 1), 2), ((1, 20), 1), ((1, -20), 3)])
def test_a_page_is_turned_as_its_digits_run(step: tuple[int, int], turns: int) -> None:
    assert find_turns([Digit(f, 200 + i * step[0], 200 + i * step[1]) for f in (1, 2) for i in range(3)]) == turns
    assert find_turns([Digit(1, 5, 5), Digit(2, 900, 5)]) == 0


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_the_box_stays_on_its_ink_when_a_crop_is_turned(turns: int) -> None:
    import numpy as np

    page = np.full((400, 600), 255, np.uint8)
    page[100:130, 500:580] = 0
    place = place_crop((500, 100, 80, 30), (600, 400), turns)
    x, y, w, h = place.window
    crop = np.rot90(page[y : y + h, x : x + w], turns)
    assert crop.shape == (place.size[1], place.size[0])
    left, top, width, height = place.box
    assert crop[top : top + height, left : left + width].max() == 0
    assert (crop == 0).sum() == width * height


def test_a_crop_is_asked_of_the_api_turned_clockwise() -> None:
    place = place_crop((500, 100, 80, 30), (600, 400), 1)
    assert crop_url(7, place) == "/v1/pages/7/image/473,73,127,84/!1600,1600/270/gray.jpg"
