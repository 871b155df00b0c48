"""The wide table: one row a form, leading zeros kept, amounts in the reader's own notation."""

from __future__ import annotations

import csv
import datetime as dt
import io
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from schemas.form_template import FormTemplate
from schemas.reading import MoneyOut, StoredField, StoredPage
from worker.output.csv_lines import defuse
from worker.output.wide import Row, group_forms, list_columns, make_row, write_csv, write_xlsx
from worker.sources.file_uris import display_name

READ_AT = dt.datetime(2026, 11, 29, 12, 0, tzinfo=dt.UTC)


def field(name: str, final: str | None, **changes: Any) -> StoredField:
    about = {"text": final or "38", "confidence": 0.9, "box": (0, 0, 1, 1), "field_id": 1, "origin": "machine"}
    status = "review" if final is None else "accepted"
    return StoredField(name=name, final=final, **{**about, "status": status, **changes})


def page(*fields: StoredField, number: int = 0, **changes: Any) -> StoredPage:
    about = {"source": "file:///scans/a%20b.png", "page": number, "page_id": number + 1, "job": "j", "read_at": READ_AT}
    return StoredPage(fields=list(fields), **{**about, **changes})


def row_of(pages: list[StoredPage], templates: dict[str, FormTemplate]) -> Row:
    return make_row(pages, templates, display_name)


def template(name: str, form: str | None = None, number: int | None = None) -> FormTemplate:
    spec = {"name": "total", "box_mm": [5, 5, 30, 10], "kind": "amount", "currency": "EUR"}
    mark = {"kind": "box", "box_mm": [5, 5, 30, 10]}
    about = {"name": name, "page_mm": [50, 20], "fields": [spec], "landmarks": [mark], "form": form, "page": number}
    return FormTemplate.model_validate({key: value for key, value in about.items() if value is not None})


def spell(rows: Sequence[Row], delimiter: str = ",", decimal_mark: str = ".") -> list[list[str]]:
    target = io.StringIO()
    write_csv(rows, list_columns(rows), target, delimiter=delimiter, decimal_mark=decimal_mark, defuse=defuse)
    return list(csv.reader(io.StringIO(target.getvalue()), delimiter=delimiter))


FIELDS = (
    field("code", "0701"),
    field("total", "-1250", kind="amount", final_value=MoneyOut(minor_units=-1250, currency="EUR")),
    field("weight", "12.50", kind="number", final_value="12.50"),
    field("day", "29112026", kind="date", final_value="2026-11-29"),
    field("count", None),
    field("rest", "", status="blank"),
)


def test_what_has_no_value_stands_as_it_was_written() -> None:
    """A date whose order nobody says lost its points: 31126."""
    undated = field("day", "31126", written="3.11.26", kind="date")
    corrected = field("day", "4.11.26", text="31126", written="3.11.26", kind="date", origin="reviewer")
    assert [row_of([page(each)], {})["day"] for each in (undated, corrected)] == ["3.11.26", "4.11.26"]


def test_a_blank_back_is_no_row_unless_somebody_should_look_at_it() -> None:
    front, back = page(field("a", "1")), page(number=1, blank=True)
    doubted = page(number=2, blank=True, doubt="no handwritten digits were found on the page")
    assert [len(form) for form in group_forms([front, back, doubted], {})] == [1, 1]


def test_one_form_is_one_row_and_values_mean_what_was_written() -> None:
    head, row = spell([row_of([page(*FIELDS)], {})], ";", ",")
    assert dict(zip(head, row, strict=True)) == {
        "scan": "a b.png",
        "page": "1",
        "reference": "",
        "form": "",
        "read at": "2026-11-29 12:00:00+00:00",
        "code": "0701",
        "total": "-12,50",
        "weight": "12,50",
        "day": "2026-11-29",
        "count": "",
        "rest": "",
        "awaits review": "count",
        "problem": "",
    }


def test_forms_with_other_fields_share_one_table() -> None:
    rows = [row_of([page(field("a", "1"))], {}), row_of([page(field("b", "2"))], {})]
    assert list_columns(rows)[5:-2] == ["a", "b"]
    assert [row[5:7] for row in spell(rows)[1:]] == [["1", ""], ["", "2"]]


def test_pages_of_one_form_are_one_row_and_the_next_form_another() -> None:
    templates = {"claim-1": template("claim-1", "claim", 1), "claim-2": template("claim-2", "claim", 2)}
    names = ["claim-1", "claim-2", "claim-1", "claim-2", None]
    pages = [page(field("total", str(n)), number=n, template=name) for n, name in enumerate(names)]
    forms = list(group_forms(pages, templates))
    assert [[p.page for p in form] for form in forms] == [[0, 1], [2, 3], [4]]
    row = row_of(forms[0], templates)
    assert (row["form"], row["total"], row["total (page 2)"]) == ("claim", "0", "1")
    other = [pages[0], pages[1].model_copy(update={"job": "k"})]
    assert len(list(group_forms(other, templates))) == 2


def test_a_page_that_was_not_read_says_so_until_it_is_settled() -> None:
    assert row_of([page(error="does not register")], {})["problem"] == "does not register"
    assert row_of([page(error="does not register", settled_by="anna")], {})["problem"] is None


def test_what_a_spreadsheet_would_run_is_harmless_and_a_negative_number_is_one() -> None:
    row = row_of([page(field("n", "-5", kind="number", final_value=-5), reference="=1+1")], {})
    (_, cells) = spell([row])
    assert "'=1+1" in cells and "-5" in cells


def test_a_workbook_keeps_zeros_as_text_and_amounts_as_numbers(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl", reason="openpyxl reads the workbook back: see the extra 'test'")
    rows = [row_of([page(*FIELDS, reference="=1+1")], {})]
    write_xlsx(rows, list_columns(rows), tmp_path / "out.xlsx")
    head, cells = openpyxl.load_workbook(tmp_path / "out.xlsx").active.iter_rows()
    found = {name.value: cell for name, cell in zip(head, cells, strict=True)}
    assert (found["code"].value, found["code"].data_type) == ("0701", "s")
    assert (found["reference"].value, found["reference"].data_type) == ("=1+1", "s")
    assert Decimal(str(found["total"].value)) == Decimal("-12.5") and found["total"].number_format == "0.00"
    assert found["day"].value == dt.datetime(2026, 11, 29)
    assert found["count"].value is None and found["awaits review"].value == "count"
