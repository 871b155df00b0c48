"""Group verification: one screen of digits that the machine read alike, least sure first, known wrong ones among them.

A person corrects those that are wrong and confirms the rest. A digit is known to be wrong where a person has decided
its field otherwise. Where a person misses one of those, the rest of the screen counts as unchecked.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Row,
    and_,
    delete,
    func,
    insert,
    select,
    text,
    union_all,
    update,
)

from worker.errors import InvalidReviewError
from worker.store.engine import database_now, reading, writing
from worker.store.readings import upsert
from worker.store.review_tables import DigitCheckRow, DigitGroupRow, ReviewTaskRow
from worker.store.tables import IS_TO_CHECK, DigitRow, FieldRow, PageRow, ReviewRow
from worker.store.to_check import refresh_digits

AnyRow = Row[*tuple[Any, ...]]

PLANTED_SHARE = 0.05
"""Share of known wrong digits on a screen: enough that misses show in a day, few enough to keep the pace."""
UNSURE = "?"
MOST_COUNTED = 500
"""Doubtful digits of one value are counted up to so many."""
LATEST_ACTS = 300
"""Known wrong digits are looked for in the fields of the latest acts."""


@dataclass(frozen=True, slots=True)
class Tile:
    """One digit on the screen: where it lies. Nothing tells a known wrong one from the others."""

    page_id: int
    page_size: tuple[int, int]
    box: tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class DigitGroup:
    """One screen of digits that were read as ``digit``."""

    id: int
    digit: int
    tiles: list[Tile]


@dataclass(frozen=True, slots=True)
class GroupResult:
    """What became of a screen: the fields whose digits were checked, by id, and the person's misses."""

    fields: list[int]
    shown: int
    planted: int
    missed: int
    corrected: int


def count_doubtful(engine: Engine) -> dict[int, int]:
    """Count the digits that are still to be checked, by what they were read as, of each up to ``MOST_COUNTED``.

    Digits of fields that somebody has in hand are among them.
    """
    some = select(DigitRow.digit).where(text(IS_TO_CHECK)).limit(MOST_COUNTED)
    every = union_all(*(select(some.where(DigitRow.digit == digit).subquery()) for digit in range(10))).subquery()
    with reading(engine) as connection:
        rows = connection.execute(select(every.c.digit, func.count()).group_by(every.c.digit))
        return {row[0]: row[1] for row in rows}


def take_group(engine: Engine, digit: int, *, who: str, size: int, seed: int | None = None) -> DigitGroup | None:
    """Make a screen of digits that were read as ``digit``, the least sure first; None where there is none to check.

    ``seed`` says where known wrong ones are put; by default nobody can tell.
    """
    chance = random.SystemRandom() if seed is None else random.Random(seed)  # noqa: S311 - for a test only
    with writing(engine) as connection:
        now = database_now(connection)
        connection.execute(delete(DigitGroupRow).where(DigitGroupRow.who == who, DigitGroupRow.done_at.is_(None)))
        query = _digits().where(_is_open(now), DigitRow.digit == digit)
        ordered = query.order_by(DigitRow.confidence, DigitRow.field_id, DigitRow.position)
        found = list(connection.execute(ordered.limit(size)).all())
        if not found:
            return None
        wrong = _known_wrong(connection, digit, max(1, round(PLANTED_SHARE * size)), chance)
        rows: list[tuple[AnyRow, bool]] = [(row, False) for row in found]
        for row in wrong:
            rows.insert(chance.randrange(len(rows) + 1), (row, True))
        tiles = [[row.field_id, row.position, planted] for row, planted in rows]
        written = {"who": who, "digit": digit, "tiles": tiles, "created_at": now}
        added = insert(DigitGroupRow).values(**written, shown=len(found), planted=len(wrong))
        group_id = connection.execute(added.returning(DigitGroupRow.id)).scalar_one()
    return DigitGroup(group_id, digit, [_tile(row) for row, _ in rows])


def answer_group(
    engine: Engine, group_id: int, corrections: Mapping[int, str], *, who: str, keys: int, seconds: float
) -> GroupResult:
    """Write down what a person made of a screen: ``corrections`` by tile, every other digit confirmed.

    Raises
    ------
    InvalidReviewError
        The screen is none of the person's, or was answered already.
    """
    with writing(engine) as connection:
        query = select(DigitGroupRow).where(DigitGroupRow.id == group_id).with_for_update()
        group = connection.execute(query).one_or_none()
        if group is None or group.who != who or group.done_at is not None:
            raise InvalidReviewError("this screen of digits is not open any more: take a new one")
        now = database_now(connection)
        answers = [(tile, corrections.get(i, str(group.digit))) for i, tile in enumerate(group.tiles)]
        missed = sum(tile[2] and answer == str(group.digit) for tile, answer in answers)
        kept = [(t, a) for t, a in answers if not t[2] and (not missed or a != str(group.digit))]
        for (field_id, position, _), answer in kept:
            check = {"field_id": field_id, "position": position, "answer": answer, "who": who, "created_at": now}
            upsert(connection, DigitCheckRow, check)
        refresh_digits(connection, {tile[0] for tile, _ in kept})
        corrected = sum(not tile[2] and answer != str(group.digit) for tile, answer in answers)
        done = {"tiles": [], "done_at": now, "missed": missed, "corrected": corrected, "keys": keys, "seconds": seconds}
        connection.execute(update(DigitGroupRow).where(DigitGroupRow.id == group_id).values(done))
    fields = sorted({tile[0] for tile, _ in kept})
    return GroupResult(fields, group.shown, group.planted, missed, corrected)


def checked_digits(engine: Engine, field_ids: Sequence[int]) -> dict[int, dict[int, str]]:
    """Return what people said of the digits of fields, by field and position."""
    with reading(engine) as connection:
        found: dict[int, dict[int, str]] = {}
        for row in connection.execute(select(DigitCheckRow).where(DigitCheckRow.field_id.in_(field_ids))):
            found.setdefault(row.field_id, {})[row.position] = row.answer
    return found


def count_misses(engine: Engine) -> dict[str, tuple[int, int]]:
    """Return how many known wrong digits each person was shown, and missed."""
    with reading(engine) as connection:
        query = select(DigitGroupRow.who, func.sum(DigitGroupRow.planted), func.sum(DigitGroupRow.missed))
        rows = connection.execute(query.where(DigitGroupRow.done_at.is_not(None)).group_by(DigitGroupRow.who))
        return {row[0]: (int(row[1] or 0), int(row[2] or 0)) for row in rows}


def _digits() -> Any:
    columns = (PageRow.id.label("page_id"), PageRow.width_px, PageRow.height_px, FieldRow.text, FieldRow.final_text)
    query = select(DigitRow, *columns).join(FieldRow, FieldRow.id == DigitRow.field_id)
    return query.join(PageRow, PageRow.id == FieldRow.page_id)


def _is_open(now: Any) -> ColumnElement[bool]:
    """Return the condition of a doubtful digit that is still to be checked, of a field that nobody has in hand."""
    in_hand = select(ReviewTaskRow.field_id).where(ReviewTaskRow.lease_until > now)
    return and_(text(IS_TO_CHECK), DigitRow.field_id.not_in(in_hand))


def _known_wrong(connection: Connection, digit: int, count: int, chance: random.Random) -> list[AnyRow]:
    """Return digits read as ``digit`` that people corrected; where these are few, digits that are surely others."""
    latest = select(ReviewRow.field_id).order_by(ReviewRow.id.desc()).limit(LATEST_ACTS).subquery()
    decided = _digits().where(
        DigitRow.field_id.in_(select(latest.c.field_id)),
        FieldRow.origin == "reviewer",
        func.length(FieldRow.final_text) == func.length(FieldRow.text),
    )
    misread = decided.where(DigitRow.digit == digit, FieldRow.final_text != FieldRow.text)
    other = decided.where(DigitRow.digit != digit)
    newest = DigitRow.field_id.desc()
    found: list[AnyRow] = []
    for query in (misread, other):
        rows = connection.execute(query.order_by(newest).limit(20 * count)).all()
        rows = [row for row in rows if _truth(row) not in (None, str(digit))]
        chance.shuffle(rows)
        found += rows[: count - len(found)]
    return found


def _truth(row: AnyRow) -> str | None:
    """Return the digit that a person's answer has at the place, None where the answer is not digit by digit."""
    digits = row.final_text
    return str(digits[row.position]) if digits.isdigit() and row.position < len(digits) else None


def _tile(row: AnyRow) -> Tile:
    return Tile(row.page_id, (row.width_px, row.height_px), (row.box_x, row.box_y, row.box_w, row.box_h))
