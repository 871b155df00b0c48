"""What is wrong with data from outside, in plain words: pydantic's own speak of inputs, tags and strings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, get_args

from pydantic import ValidationError
from pydantic_core.core_schema import ErrorType

JsonPath = tuple[int | str, ...]
"""Keys and 0-based positions in lists that lead to a value: ``("fields", 3, "box_mm", 2)``."""

PATTERN_WORDS = {
    r"^[a-z0-9][a-z0-9-]{0,62}$": "made of small letters, digits and '-', at most 63, the first no '-'",
    r"^[A-Za-z][A-Za-z0-9_.-]{0,62}$": "made of letters, digits and '_', '.' or '-', at most 63, the first a letter",
    r"^[A-Za-z*][A-Za-z0-9_.*-]{0,62}$": "the name of a field, or a pattern such as 'row*.amount'",
    r"^[A-Za-z][A-Za-z0-9_-]{0,30}$": "made of letters, digits and '_' or '-', at most 31, the first a letter",
    r"^[A-Z]{3}$": "three capital letters, such as EUR",
    r"^[A-Za-z0-9+/]+=*$": "a picture as base64, as 'icr template draft' writes it",
    r"^[a-z0-9_]+(\.[a-z0-9_]+)?$": "the name of a check of python-stdnum, such as luhn",
}
"""What the patterns of the schemas ask for."""

_WORDS = {
    "missing": "is missing",
    "extra_forbidden": "is not known",
    "model_type": "must be an object",
    "dict_type": "must be an object",
    "model_attributes_type": "must be an object",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "string_type": "must be text",
    "string_too_long": "must have at most {max_length} characters",
    "too_short": "must have at least {min_length} entries",
    "too_long": "must have at most {max_length} entries",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "is too large a number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "decimal_type": "must be a number",
    "decimal_parsing": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be {ge} or more",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be {le} or less",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "union_tag_invalid": "{discriminator} must be one of {expected_tags}, not {tag!r}",
    "union_tag_not_found": "{discriminator} is missing",
    "uuid_type": "must be a UUID, such as 9f0c9a52-3b1e-4c67-8c5f-1f6f1e7a2b10",
    "uuid_parsing": "must be a UUID, such as 9f0c9a52-3b1e-4c67-8c5f-1f6f1e7a2b10",
    "date_type": "must be a date, such as 2026-11-30",
    "date_parsing": "must be a date, such as 2026-11-30",
    "date_from_datetime_parsing": "must be a date, such as 2026-11-30",
    "date_from_datetime_inexact": "must be a date, such as 2026-11-30",
    "json_invalid": "is no JSON",
    "json_type": "is no JSON",
}
_OF_PYDANTIC = frozenset(get_args(ErrorType))
"""Kinds of mistakes whose words are pydantic's; those of other kinds are ours."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake: where it is, its kind in pydantic's terms, and words that follow the name of the place.

    ``inside`` leads from there to what a check of our own means; it is empty for others.
    """

    path: JsonPath
    kind: str
    words: str
    inside: JsonPath = ()

    def __str__(self) -> str:
        """Return one sentence without a full stop: ``priority must be 9 or less``."""
        return f"{'.'.join(map(str, self.path))} {self.words}".strip()


def list_mistakes(problems: ValidationError | Iterable[Mapping[str, Any]], given: object = None) -> list[Mistake]:
    """Return what pydantic found, one mistake a place, in plain words that never quote a value of free text.

    Parameters
    ----------
    problems
        The error, or what its ``errors()`` returned.
    given
        What was validated. With it, paths lead through it: pydantic also writes the names of rules and of the
        alternatives of a union into them.
    """
    found = problems.errors(include_url=False) if isinstance(problems, ValidationError) else problems
    mistakes = [_read(problem, given) for problem in found]
    deepest = [m for m in mistakes if not any(m.path == o.path[: len(m.path)] != o.path for o in mistakes)]
    return [_join(list(same)) for _, same in groupby(deepest, lambda mistake: mistake.path)]


def say_mistakes(problems: ValidationError | Iterable[Mapping[str, Any]], given: object = None, most: int = 5) -> str:
    """Return the first few mistakes as one line, a sentence each."""
    return "; ".join(str(mistake) for mistake in list_mistakes(problems, given)[:most])


def describe(problem: Mapping[str, Any]) -> str:
    """Return what is wrong at the place of one problem of pydantic's, as words that follow the name of the place."""
    kind, context = problem["type"], problem.get("ctx", {})
    if kind not in _OF_PYDANTIC:
        return str(problem["msg"])  # a check of our own
    if kind in ("value_error", "assertion_error"):
        return str(context["error"])  # its text in "msg" has words of pydantic's before it
    if kind == "string_pattern_mismatch":
        return f"must be {PATTERN_WORDS.get(context['pattern'], 'of another form')}"
    if kind in ("string_too_short", "too_short") and context["min_length"] == 1:
        return "must not be empty"
    plain = {key: f"{value:g}" if isinstance(value, float) else value for key, value in context.items()}
    return _WORDS.get(kind, "is not what belongs there").format(**plain)


def _read(problem: Mapping[str, Any], given: object) -> Mistake:
    path, words = _path_of(problem, given), describe(problem)
    if problem["type"] == "missing" and path and isinstance(path[-1], int):
        path, words = path[:-1], "has too few entries"
    return Mistake(path, problem["type"], words, tuple(problem.get("ctx", {}).get("path", ())))


def _path_of(problem: Mapping[str, Any], given: Any) -> JsonPath:
    """Return the place of a problem, without steps that lead nowhere in what was given."""
    path: JsonPath = tuple(problem["loc"])
    if given is None:
        return path
    kept: list[int | str] = []
    for at, step in enumerate(path):
        leads = step in given if isinstance(given, dict) else isinstance(given, list) and step in range(len(given))
        if leads:
            given = given[step]
        if leads or (problem["type"] == "missing" and at == len(path) - 1):
            kept.append(step)
    return tuple(kept)


def _join(same: Sequence[Mistake]) -> Mistake:
    """Join the mistakes of one place, which are what the alternatives of a union ask for."""
    words = list(dict.fromkeys(mistake.words for mistake in same))
    if "must be a number" in words:
        words = [each for each in words if each != "must be a whole number"]
    joined = " or ".join([words[0], *(each.removeprefix("must be ") for each in words[1:])])
    return Mistake(same[0].path, same[0].kind, joined, same[0].inside)
