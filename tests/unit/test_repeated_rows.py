"""Fields that repeat down the page, and rules that name them by a pattern."""

from typing import Any

import pytest
from pydantic import ValidationError

from schemas.form_template import FormTemplate


def make_template(**more: Any) -> FormTemplate:
    amount = {"name": "amount", "box_mm": [50, 20, 20, 8], "kind": "amount", "decimals": 2}
    return FormTemplate.model_validate(
        {
            "name": "claim",
            "page_mm": [210, 297],
            "fields": [{"name": "total", "box_mm": [50, 200, 20, 8]}],
            "rows": [{"count": 5, "pitch_mm": 10, "fields": [amount]}],
            **more,
        }
    )


def test_each_row_has_its_fields_one_pitch_lower() -> None:
    fields = make_template().fields
    assert [f.name for f in fields] == ["total", *(f"row{i}.amount" for i in range(1, 6))]
    assert [f.box_mm[1] for f in fields[1:]] == [20, 30, 40, 50, 60]
    assert all(f.decimals == 2 for f in fields[1:])


def test_a_pattern_stands_for_the_fields_of_all_rows() -> None:
    template = make_template(rules=[{"rule": "sum", "fields": ["row*.amount"], "total": "total"}])
    assert template.rules[0].fields == tuple(f"row{i}.amount" for i in range(1, 6))  # type: ignore[union-attr]


def test_what_is_written_once_is_kept_once() -> None:
    template = make_template(rules=[{"rule": "sum", "fields": ["row*.amount"], "total": "total"}])
    kept = template.model_dump_json(by_alias=True, exclude_defaults=True)
    assert "row5" not in kept and FormTemplate.model_validate_json(kept) == template


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"rows": [{"count": 40, "pitch_mm": 10, "fields": [{"name": "a", "box_mm": [1, 1, 9, 9]}]}]}, "row30.a"),
        ({"rows": [{"count": 3, "pitch_mm": 5, "fields": [{"name": "a", "box_mm": [1, 1, 9, 9]}]}]}, "overlaps"),
        ({"rules": [{"rule": "sum", "fields": ["line*.amount"], "total": "total"}]}, "line"),
        ({"rules": [{"rule": "at_least_one", "fields": ["row1.amount"]}]}, "two fields"),
    ],
)
def test_rows_and_patterns_that_do_not_fit_are_refused(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        make_template(**wrong)
