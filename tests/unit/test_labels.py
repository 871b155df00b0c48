"""Fields named by the labels beside them; the last tests run Tesseract itself where it is installed."""

import shutil

import cv2
import numpy as np
import pytest

from schemas.form_template import FieldSpec
from tests.support.data import PROJECT
from tests.unit.test_drafting import DPI, box, px
from worker.forms import labels
from worker.forms.drafting import draft_template
from worker.forms.labels import Label, NoOcrError, name_fields, read_labels
from worker.forms.layout import PrintedBox, PrintedTable
from worker.values import Box, Page

needs_tesseract = pytest.mark.skipif(shutil.which("tesseract") is None, reason="needs Debian's tesseract-ocr")


def field(name: str, x: float, y: float, w: float = 30, h: float = 8) -> FieldSpec:
    return FieldSpec(name=name, box_mm=(x, y, w, h))


def test_a_label_above_or_to_the_left_names_its_field() -> None:
    fields = [field("f01", 20, 30), field("f02", 60, 30), field("f03", 60, 60), field("f04", 120, 90)]
    labels = [
        Label("Amount (€)", Box(20, 26, 20, 3)),
        Label("Tag der Prüfung", Box(60, 25.5, 25, 3)),
        Label("Total:", Box(40, 62, 12, 4)),
    ]
    named = name_fields(fields, [], labels)
    assert [f.name for f in named] == ["amount", "tag_der_prufung", "total", "f04"]
    assert [f.label for f in named] == ["Amount (€)", "Tag der Prüfung", "Total:", ""]


def test_the_label_behind_a_tick_box_is_its_own() -> None:
    fields = [field("f01", 20, 30, 5, 5), field("f02", 60, 30, 5, 5), field("f03", 20, 60)]
    labels = [
        Label("Paid in cash", Box(27, 31, 20, 3)),
        Label("Receipts", Box(67, 31, 15, 3)),
        Label("not this one", Box(52, 62, 20, 4)),
    ]
    assert [f.name for f in name_fields(fields, [], labels)] == ["paid_in_cash", "receipts", "f03"]


def test_the_label_of_a_tick_box_names_no_other_one() -> None:
    """The label of the second one could not be read."""
    fields = [field("f01", 20, 30, 5, 5), field("f02", 50, 30, 5, 5)]
    assert [f.name for f in name_fields(fields, [], [Label("Car", Box(27, 31, 8, 3))])] == ["car", "f02"]


@pytest.mark.parametrize(
    ("label", "name"),
    [("From (DD.MM.YYYY)", "from"), ("Datum (TT.MM.JJJJ)", "datum"), ("Weight (kg)", "weight_kg"), ("Date", "date")],
)
def test_the_order_of_a_date_is_no_part_of_a_name(label: str, name: str) -> None:
    (named,) = name_fields([field("f01", 20, 30)], [], [Label(label, Box(20, 26, 20, 3))])
    assert (named.name, named.label) == (name, label)


def test_a_label_belongs_to_the_nearest_field_only() -> None:
    labels = [Label("Total", Box(2, 32, 12, 4))]
    assert [f.name for f in name_fields([field("f01", 20, 30), field("f02", 60, 30)], [], labels)] == ["total", "f02"]


def test_names_that_stand_twice_are_numbered() -> None:
    labels = [Label("Sum", Box(20, 26, 10, 3)), Label("Sum", Box(60, 26, 10, 3))]
    assert [f.name for f in name_fields([field("a", 20, 30), field("b", 60, 30)], [], labels)] == ["sum", "sum_2"]


def make_table(rows: int, columns: int) -> tuple[PrintedTable, list[FieldSpec]]:
    outlines = {(r, c): Box(20 * c, 10 * r, 20, 10) for r in range(1, rows + 1) for c in range(1, columns + 1)}
    fields = [FieldSpec(name=f"r{r}c{c}", box_mm=tuple(b)) for (r, c), b in outlines.items()]
    return PrintedTable({at: PrintedBox(b, b) for at, b in outlines.items()}), fields


def test_a_table_is_named_by_its_head_and_its_first_column() -> None:
    table, fields = make_table(3, 3)
    labels = [
        Label("Days", Box(42, 13, 10, 4)),
        Label("Fare", Box(62, 13, 10, 4)),
        Label("Item", Box(22, 13, 10, 4)),
        Label("Train", Box(22, 23, 10, 4)),
        Label("Taxi", Box(22, 33, 10, 4)),
    ]
    assert [f.name for f in name_fields(fields, [table], labels)] == [
        "train.days",
        "train.fare",
        "taxi.days",
        "taxi.fare",
    ]


def test_numbers_written_in_a_table_are_no_heads() -> None:
    table, fields = make_table(3, 3)
    labels = [Label("42", Box(42, 13, 10, 4)), Label("7", Box(62, 23, 10, 4))]
    assert [f.name for f in name_fields(fields, [table], labels)] == [f.name for f in fields]


def draw_labelled_form() -> Page:
    page = np.full(px(148, 105), 255, np.uint8)
    for text, x, y in (("Meter number", 10, 30), ("Amount paid", 55, 30)):
        cv2.putText(page, text, px(x, y - 2), cv2.FONT_HERSHEY_SIMPLEX, 0.7, 0, 2, cv2.LINE_AA)  # type: ignore[call-overload]
        box(page, x, y, 38, 8)
    return Page("", 0, page, dpi=DPI)


@needs_tesseract
def test_tesseract_reads_the_labels_of_a_drawn_form() -> None:
    names = [f.name for f in draft_template(draw_labelled_form(), "form", named=True).fields]
    assert names == ["meter_number", "amount_paid"]


def test_a_machine_without_tesseract_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    pytesseract = pytest.importorskip("pytesseract", reason="needs the extra ocr")
    monkeypatch.setattr(pytesseract.pytesseract, "tesseract_cmd", "no-such-program")
    with pytest.raises(NoOcrError, match="apt install tesseract-ocr"):
        read_labels(draw_labelled_form().grey, DPI / 25.4)


@needs_tesseract
def test_writing_in_the_boxes_does_not_spoil_the_labels_above_them() -> None:
    grey = cv2.imread(str(PROJECT / "samples" / "meter-card" / "card-1.png"), cv2.IMREAD_GRAYSCALE)
    names = {
        f.name for f in draft_template(Page("", 0, np.asarray(grey, np.uint8), dpi=200), "card", named=True).fields
    }
    assert {"meter_number", "customer_number", "route", "persons", "previous_reading_kwh"} <= names


@needs_tesseract
def test_fields_for_words_are_left_out_on_request() -> None:
    grey = np.array(draw_labelled_form().grey)
    cv2.putText(grey, "Signature", px(10, 58), cv2.FONT_HERSHEY_SIMPLEX, 0.7, 0, 2, cv2.LINE_AA)  # type: ignore[call-overload]
    box(grey, 10, 60, 60, 9)
    for text, names in ((True, ["meter_number", "amount_paid", "signature"]), (False, ["meter_number", "amount_paid"])):
        drafted = draft_template(Page("", 0, grey, dpi=DPI), "form", named=True, text=text)
        assert [f.name for f in drafted.fields] == names


def test_a_word_that_only_one_look_finds_is_a_label(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was left of the lines of a hidden tick box spoiled its label; writing in a box spoils the one above it."""
    car, number, custom = Label("Car", Box(27, 31, 8, 3)), Label("Customer", Box(60, 24, 15, 3)), Box(60, 24, 9, 3)
    looks = iter([[car, Label("Custom", custom)], [number]])
    monkeypatch.setattr(labels, "_read_words", lambda page: next(looks))
    found = read_labels(np.full(px(60, 100), 255, np.uint8), DPI / 25.4, [Box(20, 30, 4, 4)])
    assert [label.text for label in found] == ["Customer", "Car"]
