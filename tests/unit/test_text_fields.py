"""Fields of text have a place among what was read, in the template's order, and no reading."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tests.support.data import PROJECT
from worker.decision.fields import AcceptPolicy
from worker.forms.templates import find_form, load_templates
from worker.models.runtime import load_recognizers
from worker.output.page_json import print_page, to_page_out
from worker.pipeline import read_page
from worker.values import FieldStatus, Page, PageReading


def read_slip(**keys: str) -> PageReading:
    grey = cv2.imread(str(PROJECT / "samples" / "petty-cash" / "slip-1.png"), cv2.IMREAD_GRAYSCALE)
    page = Page("slip", 0, np.asarray(grey, np.uint8), **keys)
    return read_page(page, find_form("petty-cash", load_templates()), load_recognizers(), AcceptPolicy())


def test_a_text_stands_among_the_fields_with_its_place_and_unread(capsys: pytest.CaptureFixture[str]) -> None:
    template = load_templates()["petty-cash"]
    reading = read_slip()
    assert [field.name for field in reading.fields] == [spec.name for spec in template.fields]
    purpose = reading.fields[-1]
    assert (purpose.status, purpose.text, purpose.digits, purpose.doubts) == (FieldStatus.NOT_READ, "", (), ())
    assert purpose.box_px.w > 10 * purpose.box_px.h
    print_page(to_page_out(reading, "slip-1.png"))
    assert capsys.readouterr().out.splitlines()[-1].split() == ["purpose", "not_read"]


def test_a_damaged_page_sends_no_text_to_a_person() -> None:
    statuses = {field.name: field.status for field in read_slip(damage="cut off").fields}
    assert statuses.pop("purpose") is FieldStatus.NOT_READ
    assert set(statuses.values()) == {FieldStatus.REVIEW}
