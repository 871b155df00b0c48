"""The field station: one field on the screen, one input; what the browser asks while a person works the queue off."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, Field, StringConstraints

from worker.api.access import Reviewer, Role, User, scopes_of
from worker.review.crops import find_turns
from worker.review.desk import Desk
from worker.review.items import Item, make_item
from worker.store.held_rules import UNREADABLE
from worker.store.review_history import UNDOABLE, list_recent, undo_review
from worker.store.review_queue import (
    Leased,
    Level,
    Order,
    Wanted,
    count_waiting,
    digits_of_page,
    pass_field,
    release_leases,
    renew_leases,
    take_fields,
)
from worker.store.reviews import Review, ReviewClaim, Seen, Shown, correct_field
from worker.store.tables import Act

LEASE_S = 45.0
"""A browser that died gives its fields back after so long; a living one renews three times as often."""
MOST_AT_ONCE = 30

StationId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]{8,64}$")]


class _Query(BaseModel):
    level: Level = "keyer"
    template: str | None = None
    source: str | None = None
    order: Order = "oldest"

    def wanted(self, user: User) -> Wanted:
        if self.level == "supervisor":
            require_supervisor(user)
        return Wanted(self.level, self.template or None, self.source or None, self.order)


class TakeOrder(_Query):
    """A browser asks for fields to have in hand."""

    station: StationId
    count: Annotated[int, Field(ge=1, le=MOST_AT_ONCE)] = 8


class Taken(BaseModel):
    """Fields in hand, and how many wait in all."""

    items: list[Item]
    waiting: int


class Answer(BaseModel):
    """A person's decision on a field in hand, with what the person saw and what it took."""

    field_id: int
    version: int
    token: int | None = None
    action: Literal["confirm", "answer", "unreadable", "skip", "escalate"]
    number: Annotated[str, StringConstraints(max_length=80)] | None = None
    overrule: bool = False
    shown: Shown = "blind"
    shown_text: Annotated[str, StringConstraints(max_length=80)] = ""
    keys: Annotated[int, Field(ge=0, le=10_000)] = 0
    seconds: Annotated[float, Field(ge=0, le=86_400)] = 0


class Decided(BaseModel):
    """A decision as it was written down; ``review_id`` takes it back."""

    review_id: int
    after: str


class UndoOrder(BaseModel):
    """Take a decision back, and have its field in hand again."""

    station: StationId
    review_id: int


class Held(BaseModel):
    """The fields that a browser holds, or still holds."""

    station: StationId
    ids: Annotated[list[int], Field(max_length=200)] = []


class Recent(BaseModel):
    """One of a person's latest acts."""

    review_id: int
    field_id: int
    name: str
    action: str
    after: str


def require_supervisor(user: User) -> None:
    """Refuse a keyer what only a supervisor may do, and so a program with a token that may do less than its user."""
    if not user.may(Role.SUPERVISOR) or user.scopes != scopes_of(user.role):
        raise HTTPException(403, "this needs a supervisor who is signed in")


def make_station(desk: Desk) -> APIRouter:
    """Return the routes of the field station."""
    router = APIRouter(prefix="/review")

    @router.get("")
    def page(
        user: Reviewer, template: str = "", source: str = "", level: Level = "keyer", order: Order = "oldest"
    ) -> HTMLResponse:
        if level == "supervisor":
            require_supervisor(user)
        query = {"template": template, "source": source, "level": level, "order": order}
        return desk.show("station.html", user, here="review", query=query, undoable=UNDOABLE, lease_s=LEASE_S)

    @router.post("/take")
    def take(order: TakeOrder, user: Reviewer) -> Taken:
        wanted = order.wanted(user)
        leased = take_fields(
            desk.engine, wanted, who=user.name, station=order.station, count=order.count, lease_s=LEASE_S
        )
        return Taken(items=describe(desk, leased), waiting=count_waiting(desk.engine, wanted))

    @router.post("/decide")
    def decide(answer: Answer, user: Reviewer) -> Decided:
        review = write_down(desk, answer, user)
        return Decided(review_id=review.id, after=review.after)

    @router.post("/undo")
    def undo(order: UndoOrder, user: Reviewer) -> Taken:
        taken = undo_review(desk.engine, order.review_id, who=user.name, templates=desk.runtime.templates())
        again = take_fields(
            desk.engine,
            Wanted(),
            who=user.name,
            station=order.station,
            count=1,
            lease_s=LEASE_S,
            only=taken.field_id,
        )
        return Taken(items=describe(desk, again), waiting=0)

    @router.post("/renew")
    def renew(held: Held) -> list[int]:
        return renew_leases(desk.engine, held.station, held.ids, lease_s=LEASE_S)

    @router.post("/release", status_code=204)
    def release(held: Held) -> None:
        release_leases(desk.engine, held.station)

    @router.get("/recent")
    def recent(user: Reviewer) -> list[Recent]:
        return [
            Recent(review_id=row.id, field_id=row.field_id, name=row.name, action=row.action, after=row.after)
            for row in list_recent(desk.engine, user.name)
        ]

    return router


def describe(desk: Desk, fields: list[Leased]) -> list[Item]:
    """Describe fields for the browser; those of one page are turned alike."""
    templates = desk.runtime.templates()
    page_ids = {leased.field.page_id for leased in fields}
    turns = {page_id: find_turns(digits_of_page(desk.engine, page_id)) for page_id in page_ids}
    return [make_item(leased, templates, turns[leased.field.page_id]) for leased in fields]


def write_down(desk: Desk, answer: Answer, user: User) -> Review:
    """Write a person's decision down by the functions that the commands use."""
    claim = ReviewClaim(answer.version, answer.token)
    seen = Seen(answer.shown, answer.shown_text, answer.keys, round(answer.seconds, 3))
    if answer.action == "skip" or answer.action == "escalate":
        passing: Literal[Act.SKIP, Act.ESCALATE] = Act.SKIP if answer.action == "skip" else Act.ESCALATE
        return pass_field(desk.engine, answer.field_id, passing, who=user.name, claim=claim, seen=seen)
    number = {"confirm": None, "unreadable": UNREADABLE}.get(answer.action, answer.number or "")
    return correct_field(
        desk.engine,
        answer.field_id,
        number,
        who=user.name,
        overrule=answer.overrule,
        claim=claim,
        seen=seen,
        templates=desk.runtime.templates(),
    )
