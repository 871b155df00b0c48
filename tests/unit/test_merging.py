"""Fields that repeat down the page become repeated rows, or are told why not."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.form_template import FormTemplate
from worker.errors import DifferentRowsError
from worker.review.merging import merge_into_rows, split_rows

Field = dict[str, Any]


def place(name: str, x: float, y: float, w: float = 30, h: float = 8, **more: Any) -> Field:
    return {"name": name, "box_mm": [x, y, w, h], **more}


def template(*fields: Field, **more: Any) -> dict[str, Any]:
    return {"name": "own", "page_mm": [210, 297], "fields": list(fields), **more}


def table() -> dict[str, Any]:
    """Return a table of 3 rows of 2 columns, drawn by hand in any order, and a field beside it."""
    amounts = [place(f"amount{i}", 120 + 0.4 * (i == 2), 80 + 10 * (i - 1), kind="amount") for i in (2, 1, 3)]
    days = [place(f"days_{i}", 60, 80.3 + 10 * (i - 1) - 0.5 * (i == 2), 20, label=f"Day {i}") for i in (1, 3, 2)]
    rule = {"rule": "sum", "fields": ["amount1", "amount2", "amount3"], "total": "total"}
    return template(place("total", 120, 150, kind="amount"), *amounts, *days, rules=[rule])


def test_rows_are_found_whatever_the_order_and_keep_the_names_of_the_first() -> None:
    merged = merge_into_rows(table(), range(1, 7))
    (rows,) = merged["rows"]
    assert (rows["count"], rows["pitch_mm"]) == (3, 10)
    assert rows["fields"] == [place("days", 60, 80.3, 20), place("amount", 120, 80, kind="amount")]
    assert [field["name"] for field in merged["fields"]] == ["total"]
    assert merged["rules"][0]["fields"] == ["row1.amount", "row2.amount", "row3.amount"]
    assert len(FormTemplate.model_validate(merged).fields) == 7
    assert len(table()["fields"]) == 7, "the template that was given stays as it was"


def test_rows_are_split_and_merged_again() -> None:
    merged = merge_into_rows(table(), range(1, 7))
    split = split_rows(merged, 0)
    assert split["rows"] == []
    assert [field["name"] for field in split["fields"]][:3] == ["total", "row1.days", "row1.amount"]
    assert FormTemplate.model_validate(split).fields == FormTemplate.model_validate(merged).fields
    assert merge_into_rows(split, range(1, 7)) == merged


def test_several_tables_have_names_of_their_own() -> None:
    fields = [place(name, x, y) for name, x, y in (("a", 10, 10), ("b", 10, 20), ("c", 90, 10), ("d", 90, 20))]
    merged = merge_into_rows(merge_into_rows(template(*fields), [0, 1]), [0, 1])
    assert [rows.get("name", "row") for rows in merged["rows"]] == ["row", "row2_"]
    assert FormTemplate.model_validate(merged).rows[1].fields[0].name == "c"


def test_numbers_stay_in_names_that_would_be_alike_without_them() -> None:
    fields = [place(f"f{i}", 10 + 50 * (i % 2), 10 + 10 * (i // 2)) for i in range(4)]
    (rows,) = merge_into_rows(template(*fields), range(4))["rows"]
    assert [field["name"] for field in rows["fields"]] == ["f0", "f1"]


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ([place("a", 10, 10), place("b", 10, 20), place("c", 10, 34)], "evenly spaced at b: 10, 14 mm"),
        ([place("a", 10, 10), place("b", 10, 40), place("c", 10, 74)], "evenly spaced at b: 30, 34 mm"),
        ([place("a", 10, 10), place("b", 10, 20), place("c", 60, 20)], "row 1 has no field in the column of c"),
        ([place("a", 10, 10), place("b", 10, 12)], "a and b overlap"),
        ([place("a", 10, 10), place("b", 10, 15)], "higher than their distance of 5 mm"),
        ([place("a", 10, 10), place("b", 50, 10)], "two rows or more"),
        ([], "two rows or more"),
        ([place("a", 10, 10), place("b", 16, 20)], "b is not in line with a, or not of its size"),
        ([place("a", 10, 10), place("b", 10, 20, 36)], "b is not in line with a, or not of its size"),
        ([place("a", 10, 10), place("b", 10, 20, kind="date")], "b and a differ in kind"),
        ([place("a", 10, 10), place("b", 10, 20, verify="double")], "b and a differ in verify"),
        ([place("a", 10, 10), place("a", 10, 20)], "the same name"),
        ([place("a", 10, 10), place("", 10, 20)], "holds a mistake: name"),
    ],
)
def test_what_are_no_rows_is_told_why(fields: list[Field], why: str) -> None:
    with pytest.raises(DifferentRowsError, match=why):
        merge_into_rows(template(*fields), range(len(fields)))


def test_what_is_gone_or_wrong_is_refused() -> None:
    with pytest.raises(DifferentRowsError, match="no longer there"):
        merge_into_rows(template(place("a", 10, 10)), [0, 1])
    with pytest.raises(DifferentRowsError, match="must be a list"):
        merge_into_rows({"fields": "none"}, [])
    with pytest.raises(DifferentRowsError, match="no longer there"):
        split_rows(template(), 0)
    with pytest.raises(DifferentRowsError, match="hold a mistake: count"):
        split_rows(template(rows=[{"count": 1, "pitch_mm": 10, "fields": [place("a", 10, 10)]}]), 0)
