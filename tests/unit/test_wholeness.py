"""What may be a part of a number, or two numbers, on a page without a form."""

from __future__ import annotations

import numpy as np

from worker.fields.cutting.segmentation import InkPart
from worker.fields.free_pages.wholeness import (
    Surroundings,
    crosses_a_column,
    find_pieces_of_digits,
    may_be_part,
    may_be_two,
    usual_gaps,
)
from worker.fields.locating.number_lines import Glyph, Number

H, W = 400, 900


def number(*lefts: int, y: int = 100, height: int = 50, width: int = 30) -> Number:
    return [Glyph((InkPart(x, y, np.ones((height, width), np.uint8)),)) for x in lefts]


def line(left: int, right: int, y: int) -> InkPart:
    return InkPart(left, y, np.ones((4, right - left), np.uint8))


def around(*others: Number, **more: object) -> Surroundings:
    told = {
        "over_a_rule": (),
        "loose": (),
        "marks": (),
        "on_rules": (),
        "underlines": (),
        "covered": np.zeros((H, W), np.uint8),
        "dark": np.zeros((H, W), np.uint8),
        "usual_gap": 0.2,
        "wide_gap": 0.3,
        "shape": (H, W),
    }
    return Surroundings(others=others, **{**told, **more})  # type: ignore[arg-type]


def test_a_number_that_stands_alone_is_whole() -> None:
    assert not may_be_part(number(200, 240, 280), around(number(600, 640), number(200, 240, y=250)))


def test_another_number_on_the_line_counts_where_it_is_near() -> None:
    near, far = number(360, 400), number(380, 420)
    assert may_be_part(number(200, 240, 280), around(near))
    assert not may_be_part(number(200, 240, 280), around(far))
    assert not may_be_part(number(200, 240, 280), around(over_a_rule=(near,)))


def test_the_rim_counts_where_one_more_digit_would_lie_off_the_page() -> None:
    spaced = number(W - 120, W - 50)
    assert may_be_part(spaced, around())
    assert not may_be_part(number(W - 140, W - 90), around())


def test_a_dash_before_a_number_or_to_the_next_makes_it_a_part() -> None:
    """`-595` was accepted as 595, and 273-7576 as 273 and 7576."""
    three = number(200, 240, 280)  # from 200 to 310, 50 high
    for left in (150, 170, 315, 350):
        assert may_be_part(three, around(marks=(line(left, left + 20, 124),))), left
    assert not may_be_part(three, around(marks=(line(315, 335, 148),))), "a line at its feet"
    assert not may_be_part(three, around(marks=(line(60, 80, 124),))), "too far"
    assert not may_be_part(three, around(marks=(line(315, 318, 124),))), "a speck"


def test_a_point_that_went_with_a_rule_makes_a_number_a_part() -> None:
    def point(left: int) -> InkPart:
        return InkPart(left, 146, np.ones((6, 6), np.uint8))

    assert may_be_part(number(200, 260, 320), around(on_rules=(point(242),)))
    assert not may_be_part(number(200, 260, 320), around(on_rules=(point(500),)))


def test_an_underline_that_runs_on_tells_of_more() -> None:
    three = number(200, 240, 280)
    assert not may_be_part(three, around(underlines=(line(190, 325, 155),)))
    assert may_be_part(three, around(underlines=(line(190, 380, 155),)))
    assert may_be_part(three, around(underlines=(line(312, 345, 140),)))


def test_a_stroke_that_went_with_a_rule_counts_and_a_crossing_does_not() -> None:
    covered = np.zeros((H, W), np.uint8)
    covered[120:126, 255:258] = 1
    assert not may_be_part(number(200, 240, 280), around(covered=covered))
    covered[105:145, 255:258] = 1
    assert may_be_part(number(200, 240, 280), around(covered=covered))


def test_one_wide_gap_may_part_two_numbers() -> None:
    assert not may_be_two(number(200, 240, 280), usual=0.2)
    assert may_be_two(number(200, 240, 310), usual=0.2)
    assert not may_be_two(number(200, 260, 320, 380), usual=0.6)
    assert may_be_two(number(200, 290), usual=1.2)


def test_gaps_of_a_page_are_known_from_three_on() -> None:
    usual, wide = usual_gaps([number(200, 240, 280, 320)])
    assert (usual, wide) == (0.2, 0.2)
    few, zone = usual_gaps([number(200)])
    assert few > 0.2
    assert zone > 1


def test_glyphs_right_above_each_other_may_be_one_digit_in_pieces() -> None:
    upper, lower = number(200, height=26), number(190, y=128, height=26)
    others = [number(600, 640, 680, y=y) for y in (100, 240)]
    assert find_pieces_of_digits([upper, lower, *others]) == [upper, lower]
    one_number = [*lower, *upper]
    assert find_pieces_of_digits([one_number, *others]) == [one_number]
    next_line = number(200, y=160)
    assert find_pieces_of_digits([number(200), next_line, *others]) == []


def test_a_number_beside_what_is_too_dark_to_be_paper_may_go_on_there() -> None:
    """A row of ten cells was read as its first six: the others lay in deep shadow."""
    dark = np.zeros((H, W), np.uint8)
    dark[:, 330:] = 1
    assert may_be_part(number(200, 240, 280), around(dark=dark))
    assert not may_be_part(number(100, 140, 180), around(dark=dark))


def test_a_number_over_the_end_of_a_column_may_be_two() -> None:
    """3944 and 10553 of two columns were one accepted number: the rules between the columns were too pale to show."""
    column = [number(*range(320 - 40 * digits, 320, 40), y=70 * digits) for digits in (1, 2, 3, 4, 3)]
    both = number(200, 240, 280, 335, 375, y=700)
    assert crosses_a_column(both, column)
    assert not crosses_a_column(number(200, 240, 280, y=700), column)
    assert not crosses_a_column(both, column[:3])
    same_start = [number(200, 240, 280, y=y) for y in range(0, 350, 70)]
    assert not crosses_a_column(both, same_start)
