"""Group verification: digits that the machine read alike, on one screen; what it means for their fields."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, Field, StringConstraints

from worker.api.access import Reviewer
from worker.errors import InvalidReviewError
from worker.review.crops import crop_url, find_turns, place_crop
from worker.review.desk import Desk
from worker.review.items import show_field
from worker.store.digit_groups import (
    MOST_COUNTED,
    UNSURE,
    Tile,
    answer_group,
    checked_digits,
    count_doubtful,
    take_group,
)
from worker.store.review_queue import Leased, digits_of_page, load_fields
from worker.store.reviews import ReviewClaim, Seen, correct_field
from worker.store.tables import LOW_CONFIDENCE

ON_A_SCREEN = 40


class GroupOrder(BaseModel):
    """Which digit is to be checked; None takes the one with the most doubtful ones."""

    digit: Annotated[int, Field(ge=0, le=9)] | None = None


class GroupOut(BaseModel):
    """One screen: the addresses of its pictures, in order; an empty one where nothing is to be checked.

    ``left`` counts each digit up to ``most``.
    """

    group_id: int | None
    digit: int | None
    pictures: list[str]
    left: dict[int, int]
    most: int = MOST_COUNTED


class GroupAnswer(BaseModel):
    """What is wrong on a screen, by the place of the tile: another digit, or ``?``. All others are right."""

    corrections: Annotated[dict[int, Annotated[str, StringConstraints(pattern=r"^[0-9?]$")]], Field(max_length=100)]
    keys: Annotated[int, Field(ge=0, le=100_000)] = 0
    seconds: Annotated[float, Field(ge=0, le=86_400)] = 0


class GroupDone(BaseModel):
    """What became of a screen, for the person who checked it."""

    shown: int
    planted: int
    missed: int
    corrected: int
    decided: int


def make_groups(desk: Desk) -> APIRouter:
    """Return the routes of group verification."""
    router = APIRouter()

    @router.get("/groups")
    def page(user: Reviewer) -> HTMLResponse:
        return desk.show("groups.html", user, here="groups", left=count_doubtful(desk.engine), most=MOST_COUNTED)

    @router.post("/groups/take")
    def take(order: GroupOrder, user: Reviewer) -> GroupOut:
        left = count_doubtful(desk.engine)
        digit = order.digit if order.digit is not None else max(left, key=lambda d: left[d], default=None)
        group = None if digit is None else take_group(desk.engine, digit, who=user.name, size=ON_A_SCREEN)
        if group is None:
            return GroupOut(group_id=None, digit=digit, pictures=[], left=left)
        turns = {t.page_id: find_turns(digits_of_page(desk.engine, t.page_id)) for t in group.tiles}
        pictures = [_picture(tile, turns[tile.page_id]) for tile in group.tiles]
        return GroupOut(group_id=group.id, digit=group.digit, pictures=pictures, left=left)

    @router.post("/groups/{group_id}")
    def answer(group_id: int, given: GroupAnswer, user: Reviewer) -> GroupDone:
        result = answer_group(
            desk.engine, group_id, given.corrections, who=user.name, keys=given.keys, seconds=given.seconds
        )
        decided = judge_again(desk, result.fields, user.name)
        return GroupDone(
            shown=result.shown,
            planted=result.planted,
            missed=result.missed,
            corrected=result.corrected,
            decided=decided,
        )

    return router


def judge_again(desk: Desk, field_ids: list[int], who: str) -> int:
    """Decide the fields of which every doubtful digit is checked now; return how many.

    A field that was accepted is decided only where a digit of it was corrected. What breaks a rule, and what somebody
    else has decided meanwhile, is left as it is: it waits, or holds already.
    """
    checks, templates = checked_digits(desk.engine, field_ids), desk.runtime.templates()
    decided = 0
    for leased in load_fields(desk.engine, dict.fromkeys(field_ids)):
        number = _checked_number(leased, checks.get(leased.field.id, {}))
        if number is None:
            continue
        is_same = number == (leased.field.written or leased.field.text)
        if is_same and leased.field.final_text is not None:
            continue
        claim = ReviewClaim(leased.claim.version)
        seen = Seen("group", "", 0, 0.0)
        try:
            correct_field(
                desk.engine,
                leased.field.id,
                None if is_same else number,
                who=who,
                claim=claim,
                seen=seen,
                templates=templates,
            )
            decided += 1
        except InvalidReviewError:
            continue
    return decided


def _checked_number(leased: Leased, checks: dict[int, str]) -> str | None:
    """Return a field's number with its checked digits; None where it cannot be told from its digits yet."""
    doubtful = {digit.position for digit in leased.digits if digit.confidence < LOW_CONFIDENCE}
    corrected = {position for position, answer in checks.items() if answer != str(_read_as(leased, position))}
    accepted = leased.field.final_text is not None
    if not checks or UNSURE in checks.values() or (accepted and not corrected):
        return None
    if not accepted and (doubtful - checks.keys() or show_field(leased, digits_checked=True).mode == "blind"):
        return None
    places = iter(range(len(leased.digits)))
    written = leased.field.written or leased.field.text
    return "".join(checks.get(next(places), c) if c.isdigit() else c for c in written)


def _read_as(leased: Leased, position: int) -> int | None:
    return next((digit.digit for digit in leased.digits if digit.position == position), None)


def _picture(tile: Tile, turns: int) -> str:
    return crop_url(tile.page_id, place_crop(tile.box, tile.page_size, turns, around=0.2), 128)
