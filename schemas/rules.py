"""The rules that a template may lay on a field or across fields; an unknown one is refused when it is loaded."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

FieldName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_.-]{0,62}$")]
FieldPattern = Annotated[str, Field(pattern=r"^[A-Za-z*][A-Za-z0-9_.*-]{0,62}$")]
"""A field's name, or a pattern for those of repeated rows: ``row*.amount``."""


class _Rule(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class RangeRule(_Rule):
    """The number lies between ``min`` and ``max``, both allowed; amounts in minor units."""

    rule: Literal["range"]
    min: int | Decimal | None = None
    max: int | Decimal | None = None

    @model_validator(mode="after")
    def _some_and_ordered(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("a range needs 'min' or 'max'")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min} is more than max {self.max}")
        return self


class PatternRule(_Rule):
    """The whole text matches a regular expression."""

    rule: Literal["pattern"]
    regex: Annotated[str, Field(max_length=200)]

    @field_validator("regex")
    @classmethod
    def _compiles(cls, regex: str) -> str:
        try:
            re.compile(regex)
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from error
        return regex


class ListRule(_Rule):
    """The text is one of ``values``."""

    rule: Literal["list"]
    values: Annotated[tuple[str, ...], Field(min_length=1)]


class DateRule(_Rule):
    """The digits are a calendar date in ``format``, within the window if one is given."""

    rule: Literal["date"]
    format: Literal["DDMMYYYY", "MMDDYYYY", "YYYYMMDD", "DDMMYY", "MMDDYY", "YYMMDD"] = "DDMMYYYY"
    not_before: dt.date | None = None
    not_after: dt.date | None = None


class CheckDigitRule(_Rule):
    """The number passes a check of python-stdnum: ``luhn``, ``verhoeff``, ``iso7064.mod_97_10``, ``us.rtn``, ..."""

    rule: Literal["check_digit"]
    scheme: Annotated[str, Field(pattern=r"^[a-z0-9_]+(\.[a-z0-9_]+)?$")]


FieldRule = Annotated[RangeRule | PatternRule | ListRule | DateRule | CheckDigitRule, Field(discriminator="rule")]


class SumRule(_Rule):
    """The numbers of ``fields`` add up to that of ``total``; an empty field counts as nothing."""

    rule: Literal["sum"]
    fields: Annotated[tuple[FieldPattern, ...], Field(min_length=1)]
    total: FieldName


class DifferenceRule(_Rule):
    """``minuend`` less ``subtrahend`` is ``result``."""

    rule: Literal["difference"]
    minuend: FieldName
    subtrahend: FieldName
    result: FieldName


class EqualRule(_Rule):
    """All ``fields`` hold the same text."""

    rule: Literal["equal"]
    fields: Annotated[tuple[FieldPattern, ...], Field(min_length=1)]


class AnyOfRule(_Rule):
    """At least one of ``fields`` is filled."""

    rule: Literal["at_least_one"]
    fields: Annotated[tuple[FieldPattern, ...], Field(min_length=1)]


FormRule = Annotated[SumRule | DifferenceRule | EqualRule | AnyOfRule, Field(discriminator="rule")]


def expand_patterns(rule: FormRule, names: Sequence[str]) -> FormRule:
    """Return a rule whose patterns are replaced by the names that match them, in the order of ``names``.

    Raises
    ------
    ValueError
        A pattern matches nothing, or fewer than two fields are left.
    """
    if isinstance(rule, DifferenceRule):
        return rule
    total = rule.total if isinstance(rule, SumRule) else None
    expanded: list[str] = []
    for wanted in rule.fields:
        matching = [n for n in names if n != total and fnmatchcase(n, wanted)] if "*" in wanted else [wanted]
        if not matching:
            raise ValueError(f"no field is named like {wanted}")
        expanded += [n for n in matching if n not in expanded]
    if len(expanded) < 2:
        raise ValueError("a rule across fields needs two fields at least")
    return rule.model_copy(update={"fields": tuple(expanded)})


def fields_named(rule: FormRule) -> tuple[str, ...]:
    """Return every field that a rule across fields speaks of."""
    if isinstance(rule, SumRule):
        return (*rule.fields, rule.total)
    if isinstance(rule, DifferenceRule):
        return rule.minuend, rule.subtrahend, rule.result
    return rule.fields
