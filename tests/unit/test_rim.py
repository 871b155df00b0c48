"""A lone digit that the rim of a crop cuts may be a part of what stands outside."""

from __future__ import annotations

import numpy as np
import pytest

from schemas.form_template import FieldSpec
from worker.decision.fields import AcceptPolicy, decide_field
from worker.doubts import DoubtKind
from worker.fields.reading import read_fields
from worker.models.runtime import load_recognizers
from worker.synthesis.fields import draw_field
from worker.values import Box, FieldCrop, FieldReading, Grey, Recognizers


@pytest.fixture(scope="module")
def recognizers() -> Recognizers:
    return load_recognizers()


def _six() -> Grey:
    grey = draw_field(np.random.default_rng(8), "6", clean=True, in_cells=False, real_share=0).grey
    rows, columns = (np.flatnonzero((grey < 160).any(axis=axis)) for axis in (1, 0))
    return grey[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _place(x: int, size: tuple[int, int]) -> Grey:
    """Put a 6 on paper (h, w) at a column; what hangs over the rim is cut."""
    six = _six()
    grey = np.full(size, 235, np.uint8)
    top = (size[0] - six.shape[0]) // 2
    columns = slice(max(0, x), min(size[1], x + six.shape[1]))
    grey[top : top + six.shape[0], columns] = six[:, columns.start - x : columns.stop - x]
    return grey


def _read(grey: Grey, recognizers: Recognizers) -> FieldReading:
    spec = FieldSpec.model_validate({"name": "f", "box_mm": (0, 0, 60, 15)})
    (read,) = read_fields([FieldCrop(spec, grey, Box(0, 0, grey.shape[1], grey.shape[0]), np.eye(3))], recognizers)
    return decide_field(spec, read, AcceptPolicy())


def test_a_digit_at_the_rim_of_a_roomy_crop_may_be_a_part(recognizers: Recognizers) -> None:
    height, width = _six().shape
    size = (2 * height, 8 * width)
    for x in (0, -3, size[1] - width, size[1] - width + 3):
        assert DoubtKind.MAY_BE_PART in {doubt.kind for doubt in _read(_place(x, size), recognizers).doubts}
    inside = _read(_place(3 * width, size), recognizers)
    assert inside.text == "6" and DoubtKind.MAY_BE_PART not in {doubt.kind for doubt in inside.doubts}


def test_a_close_crop_cuts_nothing(recognizers: Recognizers) -> None:
    height, width = _six().shape
    close = _read(_place(0, (height + 2, int(1.5 * width) + 8)), recognizers)
    assert DoubtKind.MAY_BE_PART not in {doubt.kind for doubt in close.doubts}


@pytest.mark.parametrize("at_left", [True, False], ids=["left", "right"])
@pytest.mark.parametrize("share", [0.08, 0.15, 0.25])
def test_a_sliver_of_another_digit_at_the_rim_is_a_doubt(share: float, at_left: bool, recognizers: Recognizers) -> None:
    """Of 64 numbers of which a side had cut off nine tenths of a digit 37 were accepted without it."""
    six = _six()
    width = six.shape[1]
    sliver = max(2, round(share * width))
    grey = np.full((2 * six.shape[0], 2 * width + 90), 235, np.uint8)
    rows = slice(six.shape[0] // 2, six.shape[0] // 2 + six.shape[0])
    for x in (40, 60 + width):
        grey[rows, x : x + width] = six
    assert DoubtKind.MAY_BE_PART not in {d.kind for d in _read(grey, recognizers).doubts}
    near = grey[:, 24:] if at_left else grey[:, : grey.shape[1] - 14]
    near = near.copy()
    columns = slice(0, sliver) if at_left else slice(near.shape[1] - sliver, None)
    near[rows, columns] = six[:, width - sliver :] if at_left else six[:, :sliver]
    field = _read(near, recognizers)
    assert field.text == "66" and DoubtKind.MAY_BE_PART in {d.kind for d in field.doubts}


@pytest.mark.parametrize("rows", [(0.0, 2.0), (0.3, 1.7), (1.35, 1.55)], ids=["whole", "a frame's side", "a point"])
def test_a_frame_and_a_point_at_the_rim_are_no_digits(rows: tuple[float, float], recognizers: Recognizers) -> None:
    six = _six()
    high, width = six.shape
    grey = np.full((2 * high, 2 * width + 76), 235, np.uint8)
    for x in (40, 60 + width):
        grey[high // 2 : high // 2 + high, x : x + width] = six
    grey[round(rows[0] * high) : round(rows[1] * high), -3:] = 40
    assert DoubtKind.MAY_BE_PART not in {d.kind for d in _read(grey, recognizers).doubts}
