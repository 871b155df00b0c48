"""Which way up a page without a form lies, by what is read on it in each direction."""

from __future__ import annotations

import numpy as np
import pytest

from schemas.form_template import FieldSpec
from worker.fields.free_pages import turning
from worker.fields.free_pages.turning import Turn, choose_turn
from worker.values import Box, FieldCrop, RawReading, Recognizers

Read = tuple[str, float]
ALIKE = np.array([0.6, 0.35, 0.6, 0.4])


def fields_that_read(reads: list[Read]) -> list[FieldCrop]:
    return [
        FieldCrop(
            FieldSpec(name=f"r{text}_{sure}", box_mm=(0, 0, 9, 9)),
            np.zeros((9, 9), np.uint8),
            Box(0, 0, 9, 9),
            np.eye(3),
        )
        for text, sure in reads
    ]


@pytest.fixture
def no_models(monkeypatch: pytest.MonkeyPatch) -> Recognizers:
    """Readers that read in each field what its name says."""

    def read(fields: list[FieldCrop], _: Recognizers) -> list[RawReading]:
        told = [field.spec.name[1:].split("_") for field in fields]
        return [RawReading(text, float(sure), Box(0, 0, 9, 9)) for text, sure in told]

    monkeypatch.setattr(turning, "read_fields", read)
    return Recognizers(lambda inks: np.zeros((len(inks), 11), np.float32), lambda _: [])


def turn_of(recognizers: Recognizers, *directions: list[Read]) -> Turn:
    return choose_turn(ALIKE, lambda turns: fields_that_read(directions[turns]), recognizers)


def test_zeros_do_not_say_which_way_up_a_page_lies(no_models: Recognizers) -> None:
    """Letters were read as zeros upside down, more surely than the numbers upright: 692 was accepted as 269."""
    upright = [("5110", 0.99), ("692", 1.0), ("93", 1.0), *[("", 0.0)] * 5]
    upside_down = [("0115", 0.75), ("269", 1.0), *[("0", 0.95)] * 6]
    sideways = [("4", 0.3)] * 8
    assert turn_of(no_models, upright, sideways, upside_down, sideways) == Turn(0, is_sure=False)
    assert turn_of(no_models, upside_down, sideways, upright, sideways) == Turn(2, is_sure=False)


def test_numbers_that_read_in_one_direction_alone_say_it(no_models: Recognizers) -> None:
    upright, other = [("2345", 0.99)] * 4, [("0", 0.2)] * 4
    assert turn_of(no_models, other, upright, other, other) == Turn(1)
    same = [("1081", 0.99)] * 4
    assert not turn_of(no_models, same, other, same, other).is_sure


def test_many_pieces_that_are_hardly_read_do_not_outweigh_one_number(no_models: Recognizers) -> None:
    """On its side a line of one number falls into pieces, each of which is read as something."""
    upright, pieces = [("05221859", 1.0)], [("4", 0.4)] * 4 + [("0", 0.9)] * 3
    assert turn_of(no_models, upright, pieces, [("65812250", 0.91)], pieces).quarters == 0


def test_numbers_of_several_digits_that_read_alike_count_where_nothing_is_sure(no_models: Recognizers) -> None:
    """A sheet whose numbers read alike upside down came out upside down: what was misread there told more."""
    upright, upside_down = [("1100", 0.98), ("9618", 0.97), ("25", 0.99)], [("0011", 0.7), ("524", 0.75), ("42", 0.3)]
    assert turn_of(no_models, upright, [], upside_down, []) == Turn(0, is_sure=False)
    assert turn_of(no_models, upside_down, [], upright, []) == Turn(2, is_sure=False)
