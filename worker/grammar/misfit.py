"""What is wrong with figures that a grammar does not take."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class MisfitKind(StrEnum):
    """How figures miss their grammar: a mark too many, a mark too few, or no value at all."""

    UNEXPECTED_MARK = "unexpected_mark"
    MISSING_MARK = "missing_mark"
    NO_VALUE = "no_value"


@dataclass(frozen=True, slots=True)
class Misfit:
    """What is wrong with written figures; ``mark`` is the one that is meant, ``explanation`` half a sentence."""

    kind: MisfitKind
    explanation: str
    mark: str = ""


def unexpected(mark: str, written: str) -> Misfit:
    """Return the misfit of a mark that has no place in a field."""
    return Misfit(MisfitKind.UNEXPECTED_MARK, f"{written} has a mark that the field does not expect", mark)


def missing(mark: str, written: str) -> Misfit:
    """Return the misfit of figures that show no decimals."""
    return Misfit(MisfitKind.MISSING_MARK, f"{written} shows no decimals: the point may be lost", mark)


def no_value(explanation: str) -> Misfit:
    """Return the misfit of figures that mean nothing in a field."""
    return Misfit(MisfitKind.NO_VALUE, explanation)
