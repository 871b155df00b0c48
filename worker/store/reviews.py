"""Review by hand: a person's word on a field, kept beside what the machine read."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sqlalchemy import Engine, insert, select, update

from worker.errors import InvalidReviewError
from worker.store.engine import database_now, writing
from worker.store.tables import FieldRow, PageRow, ReviewRow

_NUMBER = re.compile(r"[0-9][0-9.,/ -]{0,62}|")
"""Digits and what may stand between them in amounts and dates; empty where the field is blank."""


@dataclass(frozen=True, slots=True)
class Review:
    """One decision as it was written down."""

    field_id: int
    name: str
    action: str
    before: str
    after: str
    who: str


def correct_field(engine: Engine, field_id: int, number: str | None, *, who: str) -> Review:
    """Set the final value of a field, or confirm it where ``number`` is None, and take it off the queue.

    What the machine read stays. A field may be reviewed again; each review keeps its own row.

    Raises
    ------
    InvalidReviewError
        There is no such field, ``number`` is none, or nobody is named.
    """
    if not who.strip():
        raise InvalidReviewError("say who decides: --by WHO")
    if number is not None and not _NUMBER.fullmatch(number):
        raise InvalidReviewError(f"{number!r} is no number: digits, with '.', ',', '/', '-' or spaces between them")
    with writing(engine) as connection:
        query = select(FieldRow).where(FieldRow.id == field_id).with_for_update(key_share=True)
        field = connection.execute(query).one_or_none()
        if field is None:
            raise InvalidReviewError(f"there is no field {field_id}: 'icr results' shows the ids")
        before = field.text if field.final_text is None else field.final_text
        review = Review(
            field_id=field_id,
            name=field.name,
            action="confirm" if number is None else "correct",
            before=before,
            after=before if number is None else number,
            who=who,
        )
        written = {"field_id": field_id, "action": review.action, "before": before, "after": review.after}
        connection.execute(insert(ReviewRow).values(**written, who=who, created_at=database_now(connection)))
        holds = {"final_text": review.after, "origin": "reviewer"}
        connection.execute(update(FieldRow).where(FieldRow.id == field_id).values(holds))
        return review


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
