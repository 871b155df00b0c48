"""What is wrong with data from outside, in words that people read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from schemas.form_template import FieldSpec, FormTemplate
from schemas.mistakes import PATTERN_WORDS, list_mistakes, say_mistakes
from schemas.scan_job import ScanJob

WORDS_OF_PYDANTIC = re.compile(
    r"\b(?:Input|String|Tuple|Field required|Value error|valid|should|tag|integer|dictionary|constrained|DigitRange)\b"
)
FIELD: dict[str, Any] = {"name": "f", "box_mm": [1, 2, 30, 8]}
TEMPLATE: dict[str, Any] = {"name": "a", "page_mm": [100, 100], "fields": [FIELD]}


def mistakes_of_job(job: object) -> str:
    with pytest.raises(ValidationError) as caught:
        ScanJob.model_validate_json(json.dumps(job))
    return say_mistakes(caught.value)


@pytest.mark.parametrize(
    ("job", "said"),
    [
        ({}, "uri is missing"),
        ({"uri": ""}, "uri must not be empty"),
        ({"uri": 3}, "uri must be text"),
        ({"uri": "/a", "priority": 10}, "priority must be 9 or less"),
        ({"uri": "/a", "priority": "high"}, "priority must be a whole number"),
        ({"uri": "/a", "id": "order 7"}, "id must be a UUID, such as 9f0c9a52-3b1e-4c67-8c5f-1f6f1e7a2b10"),
        ({"uri": "/a", "reference": "x" * 300}, "reference must have at most 200 characters"),
        ({"uri": "/a", "colour": "red"}, "colour is not known"),
        (
            {"uri": "/a", "template": "Meter-Card", "priority": -1},
            "template must be made of small letters, digits and '-', at most 63, the first no '-'; "
            "priority must be 0 or more",
        ),
        (["/a"], "must be an object"),
    ],
)
def test_each_mistake_of_a_job_is_a_plain_sentence(job: object, said: str) -> None:
    assert mistakes_of_job(job) == said


def mistakes_of_template(template: object) -> list[str]:
    with pytest.raises(ValidationError) as caught:
        FormTemplate.model_validate(template)
    return [str(mistake) for mistake in list_mistakes(caught.value, template)]


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"digits": "many"}, "digits must be a whole number or an object"),
        ({"digits": {"min": 3}}, "digits.max is missing"),
        ({"rules": [{"rule": "range", "min": "x"}]}, "rules.0.min must be a number"),
        (
            {"rules": [{"rule": "date", "not_before": "30.11.26"}]},
            "rules.0.not_before must be a date, such as 2026-11-30",
        ),
        ({"box_mm": [1, 2, 3]}, "box_mm has too few entries"),
        ({"box_mm": [1, 2, 3, 4, 5]}, "box_mm must have at most 4 entries"),
        ({"box_mm": [-1, 2, 3, 4]}, "box_mm.0 must be 0 or more"),
        ({"kind": "money"}, "kind must be 'code', 'number', 'amount', 'date', 'time', 'mark' or 'text'"),
        ({"currency": "eur", "kind": "amount"}, "currency must be three capital letters, such as EUR"),
        ({"layout": "cells"}, " a field laid out in cells must say how many: add 'cells'"),
    ],
)
def test_a_mistake_of_a_template_is_named_once_and_plainly(keys: dict[str, Any], said: str) -> None:
    found = mistakes_of_template({**TEMPLATE, "fields": [{**FIELD, **keys}]})
    assert found == [f"fields.0{'' if said.startswith(' ') else '.'}{said}"]


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-9, 999)
    | st.floats(allow_nan=False)
    | st.sampled_from(["", "x", "7", "30.11.26"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["min", "rule", "name"]), inner),
    max_leaves=4,
)
RULES = st.builds(
    lambda rule, keys: {"rule": rule, **keys},
    st.sampled_from(["range", "pattern", "list", "date", "check_digit", "prime"]),
    st.dictionaries(st.sampled_from(["min", "regex", "values", "format", "not_after", "scheme"]), JSON_VALUES),
)
KEYS_OF_A_FIELD = sorted(FieldSpec.model_fields)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(KEYS_OF_A_FIELD), JSON_VALUES), st.lists(RULES, max_size=2))
def test_no_words_of_pydantic_reach_people(keys: dict[str, Any], rules: list[dict[str, Any]]) -> None:
    template = {**TEMPLATE, "fields": [{**FIELD, "rules": rules, **keys}]}
    try:
        FormTemplate.model_validate(template)
    except ValidationError as error:
        for mistake in list_mistakes(error, template):
            assert mistake.kind == "value_error" or not WORDS_OF_PYDANTIC.search(mistake.words), mistake
            assert "is not what belongs there" not in mistake.words, (mistake, error)


def test_every_pattern_of_the_schemas_has_words() -> None:
    schemas = [ScanJob.model_json_schema(), FormTemplate.model_json_schema()]
    patterns = {pattern for schema in schemas for pattern in _patterns(schema)}
    assert patterns == set(PATTERN_WORDS)


def _patterns(schema: object) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(schema.get("pattern"), str) and "type" in schema:
            yield schema["pattern"]
        schema = list(schema.values())
    if isinstance(schema, list):
        for part in schema:
            yield from _patterns(part)
