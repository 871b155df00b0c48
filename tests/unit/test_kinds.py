"""Kinds of drafted fields, told by label and size."""

from __future__ import annotations

import shutil

import pytest

from schemas.form_template import DigitRange, FieldSpec
from worker.forms.drafting import draft_template
from worker.forms.kinds import tell_kinds
from worker.synthesis.forms import draw_blank
from worker.synthesis.samples import DPI, SLIP, load
from worker.values import Page


def drafted(label: str, *, size: tuple[float, float] = (40, 8), cells: int | None = None) -> FieldSpec:
    layout = {"layout": "cells", "cells": cells} if cells else {}
    digits = DigitRange(min=1, max=cells or 8)
    return FieldSpec.model_validate(
        {"name": "f", "box_mm": (10, 10, *size), "label": label, "digits": digits.model_dump(), **layout}
    )


@pytest.mark.parametrize(
    ("label", "kind", "order"),
    [
        ("Date", "date", None),
        ("Date (DD/MM/YYYY)", "date", "DMY"),
        ("Datum (TT.MM.JJJJ)", "date", "DMY"),
        ("Date of birth MMDDYYYY", "date", "MDY"),
        ("From (DD.MM.YYYY)", "date", "DMY"),
        ("Department", "text", None),
        ("train, Date", "date", None),
        ("Day", "date", None),
        ("Tag der Geburt", "date", None),
        ("Day tariff (kWh)", "code", None),
        ("Energy day", "code", None),
        ("Tag-Zählerstand", "code", None),
        ("Street number", "code", None),
        ("Company no.", "code", None),
        ("Country code", "code", None),
        ("Time", "time", None),
        ("Uhrzeit", "time", None),
        ("Name", "text", None),
        ("Remarks:", "text", None),
        ("Amount", "code", None),
        ("Dates of update", "code", None),
        ("Name, Amount", "code", None),
        ("", "code", None),
    ],
)
def test_a_label_tells_the_kind(label: str, kind: str, order: str | None) -> None:
    (told,) = tell_kinds([drafted(label)])
    assert (told.kind, told.order) == (kind, order)
    assert (told.digits is None) == (kind != "code"), "the calendar and the clock count the digits"


def test_a_row_of_cells_for_a_date_keeps_its_count() -> None:
    (told,) = tell_kinds([drafted("Date", cells=8)])
    assert (told.kind, told.digits) == ("date", DigitRange(min=1, max=8))
    (year,) = tell_kinds([drafted("Date (DD.MM.YYYY)", cells=4)])
    assert (year.kind, year.order) == ("code", None), "four cells hold no day"


def test_a_small_square_box_is_a_tick_box_and_a_row_of_cells_holds_no_words() -> None:
    small, large, row = tell_kinds(
        [drafted("paid", size=(6, 6)), drafted("paid", size=(8, 8)), drafted("Name", cells=8)]
    )
    assert (small.kind, large.kind, row.kind) == ("mark", "code", "code")


def test_what_a_person_said_stays() -> None:
    said = drafted("Date").model_copy(update={"kind": "number"})
    assert tell_kinds([said]) == (said,)


@pytest.mark.skipif(shutil.which("tesseract") is None, reason="needs Debian's tesseract-ocr")
def test_the_draft_of_a_form_tells_its_kinds() -> None:
    draft = draft_template(Page("p", 0, draw_blank(load(SLIP), DPI), float(DPI)), "slip", named=True)
    kinds = sorted(field.kind for field in draft.fields)
    assert kinds.count("mark") == 3
    assert "date" in kinds
