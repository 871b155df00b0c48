"""Blind double keying: a field that its template wants keyed twice is decided when two keyers agree.

The machine is the first keyer where it would have accepted the field. Where three keyers differ, a supervisor decides.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, exists, select
from sqlalchemy.orm import aliased

from schemas.form_template import FieldGrammar
from worker.doubts import Doubt, DoubtKind
from worker.errors import InvalidReviewError
from worker.grammar.meaning import parse_typed, spell_value
from worker.grammar.misfit import Misfit
from worker.grammar.rules import wants_two_keyers
from worker.store.readings import add_doubt
from worker.store.review_tables import ReviewTaskRow
from worker.store.tables import Act, DoubtRow, ReviewRow
from worker.values import Value

MOST_KEYERS = 3


class Agreement(StrEnum):
    """What a key makes of a field: two agree, another keyer is needed, or too many differ."""

    AGREED = "agreed"
    NEEDS_ANOTHER = "needs_another"
    DIFFER = "differ"


def is_keyed_twice(connection: Connection, field: Any, grammar: FieldGrammar, value: Value | None) -> bool:
    """Tell whether a field waits for keyers who agree; what a supervisor was left with is decided by one.

    ``value`` is what a person has keyed now. Where it is of a kind that only two may decide, the field is from then on
    one that is keyed twice, unseen; a field that was decided before is not.
    """
    if grammar.verify != "double":
        return False
    task = select(ReviewTaskRow.level).where(ReviewTaskRow.field_id == field.id)
    if connection.execute(task).scalar_one_or_none() == "supervisor":
        return False
    if grammar.verify_from is None or DoubtKind.KEYED_TWICE in _doubts_of(connection, field.id):
        return True
    if field.final_text is not None or not wants_two_keyers(grammar, value):
        return False
    add_doubt(connection, field, Doubt(DoubtKind.KEYED_TWICE))
    return True


def judge_key(connection: Connection, field: Any, grammar: FieldGrammar, number: str | None, who: str) -> Agreement:
    """Compare what a person keyed with the keys so far.

    Raises
    ------
    InvalidReviewError
        The person has keyed the field before, or keys nothing.
    """
    if number is None:
        raise InvalidReviewError(f"field {field.id} is keyed twice, unseen: type the number instead of confirming it")
    rows = connection.execute(select(ReviewRow.who, ReviewRow.after).where(_is_key_of(field.id))).all()
    if any(row.who == who for row in rows):
        raise InvalidReviewError(f"{who} has keyed field {field.id} already: another person keys it")
    keyed = [_meaning_of(grammar, row.after) for row in rows]
    if _machine_is_sure(connection, field.id):
        keyed.append(_meaning_of(grammar, field.written or field.text))
    if _meaning_of(grammar, number) in keyed:
        return Agreement.AGREED
    return Agreement.DIFFER if len(keyed) + 1 >= MOST_KEYERS else Agreement.NEEDS_ANOTHER


def was_keyed_by(who: str, field_id: Any) -> ColumnElement[bool]:
    """Return the condition that a person has keyed a field, which another person must key then."""
    return exists().where(_is_key_of(field_id), ReviewRow.who == who)


def _is_key_of(field_id: Any) -> ColumnElement[bool]:
    undoing = aliased(ReviewRow)
    stands = ~exists().where(undoing.undoes == ReviewRow.id, undoing.field_id == ReviewRow.field_id)
    return and_(ReviewRow.field_id == field_id, ReviewRow.action == Act.KEY, stands)


def _machine_is_sure(connection: Connection, field_id: int) -> bool:
    return _doubts_of(connection, field_id) == {DoubtKind.KEYED_TWICE}


def _doubts_of(connection: Connection, field_id: int) -> set[str]:
    return set(connection.execute(select(DoubtRow.kind).where(DoubtRow.field_id == field_id)).scalars())


def _meaning_of(grammar: FieldGrammar, written: str) -> str:
    """Return what keys are compared by: their value where they have one, so that 12,50 and 12.50 agree."""
    value = parse_typed(grammar, written) if written else None
    return written if value is None or isinstance(value, Misfit) else spell_value(value)
