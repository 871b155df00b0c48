"""Separator sheets: drawn, found again however they were scanned, and what they make of the pages of a scan."""

from __future__ import annotations

import re

import cv2
import numpy as np
import pytest
import zxingcpp
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import SettingsError
from worker.separators import (
    Document,
    Documents,
    draw_sheet,
    find_separator,
    parse_barcodes,
    parse_code,
    require_barcodes,
    split_documents,
)
from worker.values import PageReading, Separator

MARKS = [Separator("petty-cash", "S"), *(Separator(reference=text, is_sheet=False) for text in (None, "A", "B"))]
SHEET = Separator("petty-cash", "Ward 7 / 2026-11-30 ä")


def scanned(separator: Separator, *, angle_deg: float = 0.0, dpi: int = 300, fax: bool = False) -> np.ndarray:
    """Draw a sheet as a scanner leaves it: turned, grey, with noise, or in black and white only."""
    sheet = np.asarray(draw_sheet(separator))
    factor = dpi / 150
    large = cv2.resize(sheet, None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR)
    h, w = large.shape
    turn = cv2.getRotationMatrix2D((w / 2, h / 2), angle_deg, 1.0)
    turned = cv2.warpAffine(large, turn, (w, h), borderValue=255)
    noise = np.random.default_rng(3).integers(0, 70, turned.shape)
    grey = np.clip(turned.astype(int) * 0.8 + 20 - noise + 35, 0, 255).astype(np.uint8)
    return ((grey > 140) * 255).astype(np.uint8) if fax else grey


@pytest.mark.parametrize(
    ("angle_deg", "dpi", "fax"), [(0, 300, False), (3, 200, True), (90, 150, False), (181, 300, True)]
)
def test_a_sheet_is_found_however_it_was_scanned(angle_deg: float, dpi: int, fax: bool) -> None:
    assert find_separator(scanned(SHEET, angle_deg=angle_deg, dpi=dpi, fax=fax)) == SHEET


@pytest.mark.parametrize("sheet", [Separator(), Separator("petty-cash"), Separator(None, "x" * 200)])
def test_a_sheet_may_say_little_or_much(sheet: Separator) -> None:
    assert find_separator(np.asarray(draw_sheet(sheet))) == sheet


@pytest.mark.parametrize(
    "text",
    [
        "",
        "https://example.org",
        "icr-separator:2::",
        "icr-separator:1:Bad Name:x",
        "icr-separator:1::a\x1b[31m",
        "icr-separator:1::" + "x" * 201,
    ],
)
def test_any_other_code_is_no_separator(text: str) -> None:
    assert parse_code(text) is None


def test_a_page_without_a_code_is_none() -> None:
    assert find_separator(np.full((3508, 2480), 255, np.uint8)) is None
    assert find_separator(np.zeros((1, 1), np.uint8)) is None
    assert find_separator(np.random.default_rng(5).integers(0, 255, (900, 700)).astype(np.uint8)) is None


def labelled(text: str, kind: str, *, angle_deg: int = 0) -> np.ndarray:
    """Return an A4 page of 200 dpi with a printed barcode near its top right corner."""
    code = zxingcpp.create_barcode(text, zxingcpp.barcode_format_from_str(kind))
    drawn = np.asarray(code.to_image(scale=3, add_quiet_zones=True))
    sheet = np.full((2338, 1654), 245, np.uint8)
    height, width = drawn.shape
    sheet[80 : 80 + height, -80 - width : -80] = drawn
    return np.ascontiguousarray(np.rot90(sheet, angle_deg // 90))


@pytest.mark.parametrize("kind", ["Code128", "Code39", "QRCode", "DataMatrix", "PDF417", "Aztec"])
@pytest.mark.parametrize("angle_deg", [0, 90, 180])
def test_a_page_with_a_barcode_that_matches_begins_a_document(kind: str, angle_deg: int) -> None:
    sheet = labelled("ASN00471", kind, angle_deg=angle_deg)
    assert find_separator(sheet) is None, "nobody asked for barcodes"
    assert find_separator(sheet, re.compile(r"ASN\d+")) == Separator(reference="ASN00471", is_sheet=False)
    assert find_separator(sheet, re.compile(r"ASN0*(\d+)")) == Separator(reference="471", is_sheet=False)
    assert find_separator(sheet, re.compile(r"SN\d+")) is None, "the whole text counts"


def test_a_sheet_goes_before_any_other_code() -> None:
    assert find_separator(np.asarray(draw_sheet(SHEET)), re.compile(".*")) == SHEET


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["A1", "A1", "4006381333931"], Separator(reference="A1", is_sheet=False)),
        (["A1", "A2"], Separator(is_sheet=False)),
        (["x"], None),
        ([], None),
        (["A1\x1b"], None),
    ],
)
def test_codes_that_differ_leave_the_reference_to_a_person(texts: list[str], said: Separator | None) -> None:
    assert parse_barcodes(texts, re.compile(r"A[\d\x1b]*")) == said


def page(number: int, separator: Separator | None = None) -> PageReading:
    return PageReading(page=number, width_px=10, height_px=10, separator=separator)


def test_documents_begin_behind_sheets_and_pages_keep_their_numbers() -> None:
    one, two = Separator("petty-cash", "A"), Separator(None, "B")
    assert split_documents([page(0), page(1)]) == ()
    assert split_documents([page(0, one), page(1), page(2), page(3, two), page(4)]) == (
        Document(1, 2, "petty-cash", "A"),
        Document(4, 4, None, "B"),
    )
    assert split_documents([page(0), page(1, one), page(2)]) == (Document(0, 0), Document(2, 2, "petty-cash", "A"))
    assert split_documents([page(0, one), page(1, two), page(2), page(3, one)]) == (Document(2, 2, None, "B"),)


def test_documents_begin_at_barcodes_and_equal_ones_go_on() -> None:
    a, b = (Separator(reference=text, is_sheet=False) for text in "AB")
    unsure, sheet = Separator(is_sheet=False), Separator("petty-cash", "S")
    told = [(each.first_page, each.last_page, each.reference) for each in split([a, a, None, b, b, a])]
    assert told == [(0, 2, "A"), (3, 4, "B"), (5, 5, "A")]
    told = [(each.first_page, each.last_page, each.reference) for each in split([None, unsure, unsure, b])]
    assert told == [(0, 0, None), (1, 1, None), (2, 2, None), (3, 3, "B")]
    assert split([Separator("petty-cash"), a, None, b]) == (
        Document(1, 2, "petty-cash", "A"),
        Document(3, 3, "petty-cash", "B"),
    )
    assert split([sheet, a, b]) == (Document(1, 1, "petty-cash", "S"), Document(2, 2, "petty-cash", "B"))


@given(marks=st.lists(st.sampled_from([None, *MARKS]), min_size=1, max_size=12))
def test_every_page_but_sheets_is_of_one_document(marks: list[Separator | None]) -> None:
    documents = split(marks)
    of = [n for each in documents for n in range(each.first_page, each.last_page + 1)]
    content = [n for n, mark in enumerate(marks) if mark is None or not mark.is_sheet]
    assert of == sorted(set(of)) and (of == content or not any(marks))
    begun = Documents()
    assert [begun.add(n, mark) is None for n, mark in enumerate(marks)] == [n not in content for n in range(len(marks))]


def split(marks: list[Separator | None]) -> tuple[Document, ...]:
    return split_documents([page(n, mark) for n, mark in enumerate(marks)])


def test_the_command_draws_a_sheet_for_each_reference(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    from worker.cli import icr
    from worker.rasterizer import RasterLimits, open_pages

    monkeypatch.setenv("ICR_HOME", str(tmp_path))
    output = tmp_path / "sheets.pdf"
    arguments = ["separator", "--template", "petty-cash", "--reference", "A", "--reference", "B", "-o", str(output)]
    assert CliRunner().invoke(icr, arguments, catch_exceptions=False).output.startswith("2 sheets in ")
    pages = list(open_pages(output, scan_id="", limits=RasterLimits()))
    assert [find_separator(each.grey) for each in pages] == [Separator("petty-cash", name) for name in "AB"]


def test_without_its_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(SettingsError, match=r"\.\[barcodes\]"):
        require_barcodes()
