"""Review by hand: a person's word on a field, kept beside what the machine read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from sqlalchemy import Connection, Engine, delete, insert, select, update

from schemas.form_template import FieldGrammar, FormTemplate
from worker.errors import DoubtfulReviewError, InvalidReviewError, StaleReviewError
from worker.grammar.meaning import parse_typed, spell_value
from worker.grammar.misfit import Misfit
from worker.grammar.rules import broken_by
from worker.store.audits import answer_audit, is_audited
from worker.store.double_keying import Agreement, is_keyed_twice, judge_key
from worker.store.engine import database_now, writing
from worker.store.held_rules import UNREADABLE, grammar_of, hold_rules_again
from worker.store.outbox import announce_if_complete, announce_review
from worker.store.readings import upsert
from worker.store.review_tables import ReviewTaskRow
from worker.store.tables import Act, FieldRow, PageRow, ReviewRow
from worker.store.to_check import refresh_digits
from worker.values import FieldStatus, Tick, Value

_ANSWER = re.compile(
    r"(?:[-+\u2212] ?)?(?:[^\W\d_]{3} ?|[€$£₹¥] ?)?(?:[-\u2212] ?)?[0-9][0-9.,:/' -]{0,62}=?(?: ?[€$£₹¥])?"
)
"""A number as people type it: digits with what may stand between them, a sign, a currency on either side."""


@dataclass(frozen=True, slots=True)
class Review:
    """One decision as it was written down."""

    field_id: int
    name: str
    action: Act
    before: str
    after: str
    who: str
    overruled: str | None = None
    id: int = 0
    written_before: str = ""
    """What ``before`` is for people: with the marks that stand in the field."""
    unknown_template: str | None = None
    """The template whose rules across fields could not be held again, because it is not known here."""


@dataclass(frozen=True, slots=True)
class ReviewClaim:
    """The state of a field when it was shown: its last act (0: none) and, at the station, the token of its lease."""

    version: int
    token: int | None = None


Shown = Literal["confirm", "partial", "blind", "page", "group"]
"""What a person saw: all of a reading, all but its doubtful digits, or nothing (``worker.review.showing``); the whole
page, or a group of digits."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a person saw of the reading before a decision, and what the decision took."""

    shown: Shown
    text: str
    keys: int
    seconds: float


def correct_field(
    engine: Engine,
    field_id: int,
    number: str | None,
    *,
    who: str,
    overrule: bool = False,
    claim: ReviewClaim | None = None,
    seen: Seen | None = None,
    templates: Mapping[str, FormTemplate] | None = None,
) -> Review:
    """Set the final value of a field, or confirm it where ``number`` is None, and take it off the queue.

    The answer is parsed by the field's grammar and held to its rules; ``UNREADABLE`` says that nobody can read it. What
    the machine read stays. A field may be reviewed again; each review keeps its own row. A field that is keyed twice
    (``worker.store.double_keying``) stays on the queue until two keyers agree. One that was drawn for an audit
    (``worker.store.audits``) stays as it is if the answer is the machine's. With a ``claim`` the decision
    counts only while nobody else has decided the field, or has taken it in hand. By ``templates`` the rules across the
    page's fields are held again (``worker.store.held_rules``).

    Raises
    ------
    DoubtfulReviewError
        ``number`` does not fit the field, and the person does not ``overrule`` that.
    StaleReviewError
        The ``claim`` no longer holds; or, without one, the machine's word is confirmed after another was given.
    InvalidReviewError
        There is no such field, ``number`` is none, or nobody is named.
    """
    with writing(engine) as connection:
        field = lock_field(connection, field_id, who, claim)
        if number is None and claim is None and field.final_text not in (None, field.text):
            raise StaleReviewError(
                f"field {field_id} was read as {field.text!r} and is {field.final_text!r} by now: give the right number"
            )
        before = field.text if field.final_text is None else field.final_text
        after = before if number is None else number
        grammar = grammar_of(field)
        value, wrong = (None, None) if number in (None, UNREADABLE) else parse_answer(grammar, after)
        if wrong and not overrule:
            raise DoubtfulReviewError(f"{wrong}; --overrule takes it as it is")
        review = Review(
            field_id=field_id,
            name=field.name,
            action=Act.CONFIRM if number is None else Act.UNREADABLE if number == UNREADABLE else Act.CORRECT,
            before=before,
            after=after,
            who=who,
            overruled=wrong,
            written_before=(field.written or before) if field.final_text is None else before,
        )
        if is_keyed_twice(connection, field, grammar, value):
            agreement = judge_key(connection, field, grammar, number, who)
            if agreement is not Agreement.AGREED:
                return _keep_key(connection, replace(review, action=Act.KEY), field, agreement, seen)
        differs = _differs(field, number, value)
        if number is not None and is_audited(connection, field_id):
            is_blind = seen is not None and seen.shown == "blind"
            if is_blind and differs and not _is_escalated(connection, field_id):
                return _keep_key(connection, replace(review, action=Act.KEY), field, Agreement.DIFFER, seen)
            if is_blind or differs:  # who has seen the reading shows it wrong, and never right
                answer_audit(connection, field_id, wrong=differs)
            if is_blind and not differs:
                connection.execute(delete(ReviewTaskRow).where(ReviewTaskRow.field_id == field_id))
                return record_act(connection, replace(review, action=Act.KEY), field, seen)
        holds = {"final_text": after, "origin": "reviewer"}
        if number is not None:
            holds["reviewed_value"] = None if value is None else spell_value(value)
        connection.execute(update(FieldRow).where(FieldRow.id == field_id).values(holds))
        refresh_digits(connection, [field_id])
        connection.execute(delete(ReviewTaskRow).where(ReviewTaskRow.field_id == field_id))
        decided = record_act(connection, review, field, seen)
        unknown = hold_rules_again(connection, field, templates or {})
        announce_review(connection, field, decided, corrects_accepted=differs)
        return replace(decided, unknown_template=unknown)


def _is_escalated(connection: Connection, field_id: int) -> bool:
    task = select(ReviewTaskRow.level).where(ReviewTaskRow.field_id == field_id)
    return bool(connection.execute(task).scalar_one_or_none() == "supervisor")


def _differs(field: Any, answer: str | None, value: Value | None) -> bool:
    """Tell whether an answer to an accepted field is another than the machine's, by its meaning where it has one."""
    if field.status != FieldStatus.ACCEPTED or answer is None or answer == field.text:
        return False
    if value is not None and field.value is not None:
        return spell_value(value) != str(field.value)
    return "".join(filter(str.isdigit, answer)) != str(field.text)


def _keep_key(connection: Connection, review: Review, field: Any, agreement: Agreement, seen: Seen | None) -> Review:
    """Write a key down that decides nothing yet, and leave the field to another person, or to a supervisor."""
    level = "supervisor" if agreement is Agreement.DIFFER else "keyer"
    upsert(connection, ReviewTaskRow, {"field_id": review.field_id, "token": 1})
    task = update(ReviewTaskRow).where(ReviewTaskRow.field_id == review.field_id)
    connection.execute(task.values({**FREE, "level": level}))
    return record_act(connection, review, field, seen)


def lock_field(connection: Connection, field_id: int, who: str, claim: ReviewClaim | None) -> Any:
    """Return the row of a field that a person acts on, locked, and its page with it.

    Whoever decides another field of the page meanwhile waits, so that the rules across fields see both; so does a new
    reading of the page.

    Raises
    ------
    StaleReviewError
        The ``claim`` no longer holds.
    InvalidReviewError
        There is no such field, or nobody is named.
    """
    if not who.strip():
        raise InvalidReviewError("say who decides: --by WHO")
    page = select(PageRow.id).join(FieldRow, FieldRow.page_id == PageRow.id).where(FieldRow.id == field_id)
    connection.execute(page.with_for_update(of=PageRow, key_share=True))
    query = select(FieldRow).where(FieldRow.id == field_id).with_for_update(key_share=True)
    field = connection.execute(query).one_or_none()
    if field is None and claim is not None:
        raise StaleReviewError(f"field {field_id} is gone: its scan was read again or purged meanwhile")
    if field is None:
        raise InvalidReviewError(f"there is no field {field_id}: 'icr results' shows the ids")
    if field.status == FieldStatus.NOT_READ:
        raise InvalidReviewError(f"field {field_id} is text, which is shown and never read: there is nothing to decide")
    if claim is not None:
        _require_claim(connection, field_id, claim)
    return field


def _require_claim(connection: Connection, field_id: int, claim: ReviewClaim) -> None:
    latest = select(ReviewRow.id, ReviewRow.who).where(ReviewRow.field_id == field_id).order_by(ReviewRow.id.desc())
    act = connection.execute(latest.limit(1)).one_or_none()
    if (act.id if act else 0) != claim.version:
        by = f"by {act.who} " if act else ""
        raise StaleReviewError(
            f"field {field_id} was decided {by}meanwhile: this answer is not taken, look at it again"
        )
    if claim.token is None:
        return
    task = select(ReviewTaskRow.token, ReviewTaskRow.held_by).where(ReviewTaskRow.field_id == field_id)
    held = connection.execute(task).one_or_none()
    if held is None or held.token != claim.token:
        holder = (held and held.held_by) or "somebody else"
        raise StaleReviewError(f"field {field_id} is in the hands of {holder} by now: this answer is not taken")


def record_act(connection: Connection, review: Review, field: Any, seen: Seen | None) -> Review:
    """Add the row of an act on a field, with what held before it, and return the review with its id."""
    written = {name: getattr(review, name) for name in ("field_id", "action", "before", "after", "overruled", "who")}
    if seen is not None:
        written |= {"shown": seen.shown, "shown_text": seen.text, "keys": seen.keys, "seconds": seen.seconds}
    held = {name: getattr(field, name) for name in HELD}
    added = insert(ReviewRow).values(**written, held=held, created_at=database_now(connection)).returning(ReviewRow.id)
    return replace(review, id=connection.execute(added).scalar_one())


FREE: dict[str, Any] = {"held_by": None, "station": None, "leased_at": None, "lease_until": None}
"""The columns of a task that nobody has in hand."""

HELD = ("final_text", "origin", "reviewed_value")
"""The columns of a field that a decision changes, and that taking it back restores."""


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
        announce_if_complete(connection, page.job_id)
        return str(reason)
