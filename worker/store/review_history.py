"""Acts of people on fields taken back: the last twenty of each, by a row of its own that restores what held."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Engine, Row, Select, delete, exists, func, select, update
from sqlalchemy.orm import aliased

from schemas.form_template import FormTemplate
from worker.errors import InvalidReviewError, StaleReviewError
from worker.store.audits import reopen_audit
from worker.store.engine import reading, writing
from worker.store.held_rules import hold_rules_again
from worker.store.outbox import announce_review
from worker.store.review_tables import ReviewTaskRow
from worker.store.reviews import HELD, Review, lock_field, record_act
from worker.store.tables import Act, FieldRow, ReviewRow
from worker.store.to_check import refresh_digits
from worker.values import FieldStatus

UNDOABLE = 20
"""So many of a person's latest acts may be taken back."""

DECISIONS = frozenset((Act.CONFIRM, Act.CORRECT, Act.UNREADABLE))
"""Acts that decide a field, and that other systems are told of."""


def list_recent(engine: Engine, who: str) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return a person's latest acts that may be taken back, the latest first."""
    with reading(engine) as connection:
        return connection.execute(_undoable(who)).all()


def undo_review(
    engine: Engine, review_id: int, *, who: str, templates: Mapping[str, FormTemplate] | None = None
) -> Review:
    """Take back one of a person's own latest acts: the field holds what it held before, and may wait again.

    By ``templates`` the rules across the page's fields are held again.

    Raises
    ------
    StaleReviewError
        Somebody has decided the field since.
    InvalidReviewError
        It is none of the person's latest ``UNDOABLE`` acts.
    """
    with writing(engine) as connection:
        act = next((row for row in connection.execute(_undoable(who)) if row.id == review_id), None)
        if act is None:
            raise InvalidReviewError(f"act {review_id} is none of the last {UNDOABLE} of {who}: it stays")
        field = lock_field(connection, act.field_id, who, None)
        newest = select(func.max(ReviewRow.id)).where(ReviewRow.field_id == act.field_id)
        if connection.execute(newest).scalar_one() != review_id:
            raise StaleReviewError(f"field {act.field_id} was decided by somebody else since: it stays")
        holds = {name: (act.held or {}).get(name) for name in HELD}
        connection.execute(update(FieldRow).where(FieldRow.id == act.field_id).values(holds))
        refresh_digits(connection, [act.field_id])
        connection.execute(delete(ReviewTaskRow).where(ReviewTaskRow.field_id == act.field_id))
        reopen_audit(connection, act.field_id)
        before = field.text if field.final_text is None else field.final_text
        after = field.text if holds["final_text"] is None else holds["final_text"]
        review = Review(act.field_id, act.name, Act.UNDO, before, after, who)
        taken = record_act(connection, review, field, None)
        connection.execute(update(ReviewRow).where(ReviewRow.id == taken.id).values(undoes=review_id))
        hold_rules_again(connection, field, templates or {})
        if act.action in DECISIONS:  # it was told when it was taken
            changes_accepted = field.status == FieldStatus.ACCEPTED and before != after
            announce_review(connection, field, taken, corrects_accepted=changes_accepted)
        return taken


def _undoable(who: str) -> Select[*tuple[Any, ...]]:
    undoing = aliased(ReviewRow)
    stands = ~exists().where(undoing.undoes == ReviewRow.id, undoing.who == who)
    columns = (ReviewRow.id, ReviewRow.field_id, ReviewRow.action, ReviewRow.after, ReviewRow.held, FieldRow.name)
    query = select(*columns).join(FieldRow, FieldRow.id == ReviewRow.field_id)
    return (
        query.where(ReviewRow.who == who, ReviewRow.action != Act.UNDO, stands)
        .order_by(ReviewRow.id.desc())
        .limit(UNDOABLE)
    )
