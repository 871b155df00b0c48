"""Paths of pictures by the IIIF Image API 3.0, with the examples of its sections 4.1 to 4.3."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.api.iiif import MOST_PIXELS, UnfitPathError, describe, parse_path

BOX = (50, 70, 300, 200)
"""Where the picture of the standard's examples, 300 x 200, lies on a page."""


@pytest.mark.parametrize(
    ("region", "size", "box", "shown"),
    [
        ("full", "max", (50, 70, 300, 200), (300, 200)),
        ("square", "max", (100, 70, 200, 200), (200, 200)),
        ("125,15,120,140", "max", (175, 85, 120, 140), (120, 140)),
        ("pct:41.6,7.5,40,70", "max", (175, 85, 120, 140), (120, 140)),
        ("125,15,200,200", "max", (175, 85, 175, 185), (175, 185)),
        ("pct:41.6,7.5,66.6,100", "max", (175, 85, 175, 185), (175, 185)),
        ("full", "150,", BOX, (150, 100)),
        ("full", "^360,", BOX, (360, 240)),
        ("full", ",150", BOX, (225, 150)),
        ("full", "pct:50", BOX, (150, 100)),
        ("full", "^pct:120", BOX, (360, 240)),
        ("full", "225,100", BOX, (225, 100)),
        ("full", "^360,360", BOX, (360, 360)),
        ("full", "!225,100", BOX, (150, 100)),
        ("full", "^!360,360", BOX, (360, 240)),
        ("full", "!600,600", BOX, (300, 200)),
    ],
)
def test_the_examples_of_the_standard(
    region: str, size: str, box: tuple[int, int, int, int], shown: tuple[int, int]
) -> None:
    order = parse_path(region, size, "0", "default.jpg", BOX)
    assert (order.box, order.size) == (box, shown)


@pytest.mark.parametrize(
    "path",
    [
        ("300,0,10,10", "max", "0", "default.jpg"),
        ("0,0,0,10", "max", "0", "default.jpg"),
        ("-1,0,5,5", "max", "0", "default.jpg"),
        ("nan,0,5,5", "max", "0", "default.jpg"),
        ("full", "360,", "0", "default.jpg"),
        ("full", "0,", "0", "default.jpg"),
        ("full", ",", "0", "default.jpg"),
        ("full", "!100,", "0", "default.jpg"),
        ("full", "^99999,99999", "0", "default.jpg"),
        ("full", "max", "45", "default.jpg"),
        ("full", "max", "0", "color.jpg"),
        ("full", "max", "0", "default.tif"),
    ],
)
def test_what_there_is_not_is_refused(path: tuple[str, str, str, str]) -> None:
    with pytest.raises(UnfitPathError):
        parse_path(*path, BOX)


@given(
    region=st.from_regex(r"\A(pct:)?\d{1,4},\d{1,4},\d{1,4},\d{1,4}\Z"), size=st.from_regex(r"\A\^?!?\d{0,5},\d{0,5}\Z")
)
def test_no_path_leads_out_of_the_picture_or_beyond_the_limit(region: str, size: str) -> None:
    try:
        order = parse_path(region, size, "90", "gray.png", BOX)
    except UnfitPathError:
        return
    x, y, w, h = order.box
    assert 50 <= x < x + w <= 350 and 70 <= y < y + h <= 270
    assert min(order.size) >= 1 and order.size[0] * order.size[1] <= MOST_PIXELS


def test_the_description_has_what_the_standard_requires() -> None:
    told = describe("http://h/v1/pages/1/image", 300, 200)
    required = {"@context", "id", "type", "protocol", "profile", "width", "height"}
    assert required <= told.keys() and told["type"] == "ImageService3"
