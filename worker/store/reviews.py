"""Review by hand: a person's word on a field, kept beside what the machine read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, insert, select, update

from schemas.form_template import FieldGrammar
from worker.errors import DoubtfulReviewError, InvalidReviewError
from worker.grammar.meaning import parse_typed, spell_value
from worker.grammar.misfit import Misfit
from worker.grammar.rules import broken_by
from worker.store.engine import database_now, writing
from worker.store.tables import FieldRow, PageRow, ReviewRow
from worker.values import Tick, Value

_ANSWER = re.compile(
    r"(?:[-+\u2212] ?)?(?:[^\W\d_]{3} ?|[€$£₹¥] ?)?(?:[-\u2212] ?)?[0-9][0-9.,:/' -]{0,62}=?(?: ?[€$£₹¥])?"
)
"""A number as people type it: digits with what may stand between them, a sign, a currency on either side."""


@dataclass(frozen=True, slots=True)
class Review:
    """One decision as it was written down."""

    field_id: int
    name: str
    action: str
    before: str
    after: str
    who: str
    overruled: str | None = None


def correct_field(engine: Engine, field_id: int, number: str | None, *, who: str, overrule: bool = False) -> Review:
    """Set the final value of a field, or confirm it where ``number`` is None, and take it off the queue.

    The answer is parsed by the field's grammar and held to its rules. What the machine read stays. A field may be
    reviewed again; each review keeps its own row.

    Raises
    ------
    DoubtfulReviewError
        ``number`` does not fit the field, and the person does not ``overrule`` that.
    InvalidReviewError
        There is no such field, ``number`` is none, or nobody is named.
    """
    if not who.strip():
        raise InvalidReviewError("say who decides: --by WHO")
    with writing(engine) as connection:
        query = select(FieldRow).where(FieldRow.id == field_id).with_for_update(key_share=True)
        field = connection.execute(query).one_or_none()
        if field is None:
            raise InvalidReviewError(f"there is no field {field_id}: 'icr results' shows the ids")
        before = field.text if field.final_text is None else field.final_text
        after = before if number is None else number
        value, wrong = (None, None) if number is None else parse_answer(_grammar_of(field), number)
        if wrong and not overrule:
            raise DoubtfulReviewError(f"{wrong}; --overrule takes it as it is")
        review = Review(
            field_id=field_id,
            name=field.name,
            action="confirm" if number is None else "correct",
            before=before,
            after=after,
            who=who,
            overruled=wrong,
        )
        written = {"field_id": field_id, "action": review.action, "before": before, "after": after, "overruled": wrong}
        connection.execute(insert(ReviewRow).values(**written, who=who, created_at=database_now(connection)))
        holds = {"final_text": after, "origin": "reviewer"}
        if number is not None:
            holds["reviewed_value"] = None if value is None else spell_value(value)
        connection.execute(update(FieldRow).where(FieldRow.id == field_id).values(holds))
        return review


def parse_answer(grammar: FieldGrammar, number: str) -> tuple[Value | None, str | None]:
    """Return what a person's answer means in a field, and what is wrong with it by grammar and rules, if anything.

    Raises
    ------
    InvalidReviewError
        It is no number at all.
    """
    if grammar.kind == "mark":
        return _parse_tick(number), None
    if not number:
        return None, None
    if not _ANSWER.fullmatch(number.removesuffix(grammar.unit).rstrip(" ") if grammar.unit else number):
        raise InvalidReviewError(f"{number!r} is no number: digits, with '.', ',', '/', '-' or spaces between them")
    value = parse_typed(grammar, number)
    if isinstance(value, Misfit):
        return None, value.explanation
    digits = "".join(c for c in number if c.isdigit())
    return value, next((broken for rule in grammar.rules if (broken := broken_by(rule, digits, value))), None)


def _parse_tick(answer: str) -> Tick:
    if answer.lower() not in ("", "x", *Tick):
        raise InvalidReviewError(f"{answer!r} is no answer for a tick box: x or ticked, '' or empty")
    return Tick.TICKED if answer.lower() in ("x", Tick.TICKED) else Tick.EMPTY


def _grammar_of(field: Any) -> FieldGrammar:
    return FieldGrammar.model_validate(field.grammar or {"kind": field.kind})


def settle_page(engine: Engine, page_id: int, *, who: str) -> str:
    """Take a page off the review queue and return why it stood there; what was read of it stays as it is.

    Raises
    ------
    InvalidReviewError
        There is no such page, it awaits no review, or nobody is named.
    """
    if not who.strip():
        raise InvalidReviewError("say who has looked at it: --by WHO")
    with writing(engine) as connection:
        query = select(PageRow).where(PageRow.id == page_id).with_for_update(key_share=True)
        page = connection.execute(query).one_or_none()
        reason = page and (page.problem or page.doubt)
        if page is None or reason is None or page.settled_at is not None:
            raise InvalidReviewError(f"page {page_id} awaits no review: 'icr results --review' shows the ids")
        settled = {"settled_by": who, "settled_at": database_now(connection)}
        connection.execute(update(PageRow).where(PageRow.id == page_id).values(settled))
        return str(reason)
