"""The queue of waiting fields: leased to one station, never decided twice, never stuck, taken back by who decided."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select, update

from schemas.form_template import FieldGrammar
from tests.support.readings import make_field, make_page, read
from worker.errors import InvalidReviewError, StaleReviewError
from worker.store.engine import database_now, make_engine, reading, writing
from worker.store.held_rules import UNREADABLE
from worker.store.overview import list_waiting, list_work
from worker.store.review_history import UNDOABLE, list_recent, undo_review
from worker.store.review_queue import (
    Leased,
    Wanted,
    count_waiting,
    pass_field,
    release_leases,
    renew_leases,
    take_fields,
)
from worker.store.review_tables import ReviewTaskRow
from worker.store.reviews import ReviewClaim, Seen, correct_field
from worker.store.tables import Act, FieldRow, ReviewRow
from worker.values import FieldStatus, Money

AMOUNT = FieldGrammar(kind="amount", currency="EUR")
SEEN = Seen("partial", "3_", 2, 1.25)


@pytest.fixture
def waiting(sqlite_template: Path, tmp_path: Path) -> Iterator[Engine]:
    """Yield a database with six waiting fields and an accepted one."""
    engine = make_engine(f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'icr.db')}")
    yield fill(engine)
    engine.dispose()


@pytest.fixture
def everywhere(engine: Engine) -> Engine:
    """Return the same, on SQLite and on PostgreSQL."""
    return fill(engine)


def fill(engine: Engine) -> Engine:
    names = [make_field(f"f{i}", f"3{i}", FieldStatus.REVIEW, 0.7) for i in range(6)]
    read(engine, make_page(0, make_field("sure", "701", FieldStatus.ACCEPTED), *names))
    return engine


def take(engine: Engine, station: str = "one", count: int = 2, **changes: object) -> list[Leased]:
    given = {"who": f"person {station}", "station": station, "count": count, "lease_s": 60.0, **changes}
    wanted = given.pop("wanted", Wanted())
    return take_fields(engine, wanted, **given)  # type: ignore[arg-type]


def names(leased: list[Leased]) -> list[str]:
    return [each.field.name for each in leased]


def expire(engine: Engine) -> None:
    with writing(engine) as connection:
        connection.execute(update(ReviewTaskRow).values(lease_until=database_now(connection)))


def final(engine: Engine, field_id: int) -> tuple[str | None, str | None, str | None]:
    with reading(engine) as connection:
        query = select(FieldRow.final_text, FieldRow.origin, FieldRow.reviewed_value).where(FieldRow.id == field_id)
        return tuple(connection.execute(query).one())  # type: ignore[return-value]


def test_two_stations_get_different_fields_the_longest_waiting_first(waiting: Engine) -> None:
    assert names(take(waiting)) == ["f0", "f1"]
    assert names(take(waiting, "two")) == ["f2", "f3"]
    assert names(take(waiting, count=9)) == ["f4", "f5"], "what a station holds is not given again"
    assert take(waiting, "two") == []
    assert count_waiting(waiting, Wanted()) == 6, "fields in hand still wait"


def test_many_stations_at_once_never_share_a_field(everywhere: Engine) -> None:
    got: list[int] = []

    def work(station: str) -> None:
        while mine := take(everywhere, station, count=1):
            field = mine[0]
            correct_field(everywhere, field.field.id, "12", who=station, claim=field.claim)
            got.append(field.field.id)

    threads = [threading.Thread(target=work, args=(f"station-{i}",)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == sorted(set(got)) and len(got) == 6
    assert count_waiting(everywhere, Wanted()) == 0
    with reading(everywhere) as connection:
        assert connection.execute(select(func.count()).select_from(ReviewRow)).scalar_one() == 6


def test_what_a_dead_station_held_is_free_when_its_lease_is_over_and_its_late_answer_is_refused(
    everywhere: Engine,
) -> None:
    (dead, _) = take(everywhere)
    expire(everywhere)
    (again, _) = take(everywhere, "two")
    assert again.field.id == dead.field.id
    with pytest.raises(StaleReviewError, match="in the hands of person two"):
        correct_field(everywhere, dead.field.id, "99", who="one", claim=dead.claim)
    correct_field(everywhere, dead.field.id, "30", who="two", claim=again.claim)
    with pytest.raises(StaleReviewError, match="decided by two meanwhile"):
        correct_field(everywhere, dead.field.id, "99", who="one", claim=dead.claim)
    assert final(everywhere, dead.field.id)[0] == "30"


def test_a_living_station_keeps_its_fields_and_learns_which_it_lost(waiting: Engine) -> None:
    held = [each.field.id for each in take(waiting)]
    expire(waiting)
    assert renew_leases(waiting, "one", held, lease_s=60) == held, "nobody has taken them meanwhile"
    assert names(take(waiting, "two")) == ["f2", "f3"]
    assert renew_leases(waiting, "two", held, lease_s=60) == []


def test_a_closed_page_gives_its_fields_back_at_once(waiting: Engine) -> None:
    take(waiting)
    assert release_leases(waiting, "one") == 2
    assert names(take(waiting, "two")) == ["f0", "f1"]


def test_a_command_decides_over_a_station_whose_answer_is_then_refused(waiting: Engine) -> None:
    (held, _) = take(waiting)
    correct_field(waiting, held.field.id, None, who="anna")
    with pytest.raises(StaleReviewError, match="by anna"):
        correct_field(waiting, held.field.id, "99", who="one", claim=held.claim)


def test_what_was_seen_and_what_it_took_are_written_down(waiting: Engine) -> None:
    (held, _) = take(waiting)
    correct_field(waiting, held.field.id, "31", who="one", claim=held.claim, seen=SEEN)
    with reading(waiting) as connection:
        row = connection.execute(select(ReviewRow)).one()
    assert (row.shown, row.shown_text, row.keys, row.seconds) == ("partial", "3_", 2, 1.25)


def test_skipped_fields_come_last_and_escalated_ones_only_to_a_supervisor(everywhere: Engine) -> None:
    first, second = take(everywhere)
    pass_field(everywhere, first.field.id, Act.SKIP, who="one", claim=first.claim, seen=SEEN)
    pass_field(everywhere, second.field.id, Act.ESCALATE, who="one", claim=second.claim)
    assert names(take(everywhere, "two", count=9)) == ["f2", "f3", "f4", "f5", "f0"]
    supervisor = Wanted(level="supervisor")
    assert count_waiting(everywhere, supervisor) == 1
    assert names(take(everywhere, "three", wanted=supervisor)) == ["f1"]
    with pytest.raises(StaleReviewError):
        pass_field(everywhere, first.field.id, Act.SKIP, who="one", claim=first.claim)


def test_a_queue_of_one_template_or_source(waiting: Engine) -> None:
    read(waiting, make_page(0, make_field("other", "5", FieldStatus.REVIEW, 0.7)), source="mail")
    assert names(take(waiting, wanted=Wanted(source="mail"))) == ["other"]
    assert take(waiting, wanted=Wanted(template="none of ours")) == []
    assert len(take(waiting, count=9, wanted=Wanted(template="sample-form"))) == 6


def test_the_newest_or_the_largest_amount_may_come_first(everywhere: Engine) -> None:
    amounts = [
        replace(make_field(f"m{n}", str(n), FieldStatus.REVIEW), value=Money(n, "EUR"), grammar=AMOUNT)
        for n in (900, 12345, 70)
    ]
    read(everywhere, make_page(0, *amounts))
    by_amount = take(everywhere, count=4, wanted=Wanted(order="amount"))
    assert names(by_amount) == ["m12345", "m900", "m70", "f0"]
    assert names(take(everywhere, "two", wanted=Wanted(order="newest"))) == ["f5", "f4"]


def test_a_decision_is_taken_back_by_a_row_of_its_own(everywhere: Engine) -> None:
    (held, _) = take(everywhere)
    review = correct_field(everywhere, held.field.id, "39", who="one", claim=held.claim)
    undo_review(everywhere, review.id, who="one")
    assert final(everywhere, held.field.id) == (None, None, None)
    assert names(take(everywhere, "two"))[0] == "f0"
    with reading(everywhere) as connection:
        acts = connection.execute(select(ReviewRow.action, ReviewRow.undoes).order_by(ReviewRow.id)).all()
    assert [tuple(act) for act in acts] == [("correct", None), ("undo", review.id)]
    with pytest.raises(InvalidReviewError, match="none of the last"):
        undo_review(everywhere, review.id, who="one")


def test_a_decision_over_another_is_taken_back_to_that_one(waiting: Engine) -> None:
    (held, _) = take(waiting)
    correct_field(waiting, held.field.id, "39", who="one", claim=held.claim)
    second = correct_field(waiting, held.field.id, UNREADABLE, who="one")
    assert final(waiting, held.field.id) == ("?", "reviewer", None)
    undo_review(waiting, second.id, who="one")
    assert final(waiting, held.field.id) == ("39", "reviewer", "39")


def test_nobody_takes_back_what_another_decided_or_what_was_decided_over(waiting: Engine) -> None:
    (held, _) = take(waiting)
    mine = correct_field(waiting, held.field.id, "39", who="one", claim=held.claim)
    with pytest.raises(InvalidReviewError):
        undo_review(waiting, mine.id, who="two")
    correct_field(waiting, held.field.id, "38", who="two")
    with pytest.raises(StaleReviewError, match="somebody else since"):
        undo_review(waiting, mine.id, who="one")


def test_only_the_last_twenty_may_be_taken_back(waiting: Engine) -> None:
    (held, _) = take(waiting)
    reviews = [correct_field(waiting, held.field.id, str(n), who="one") for n in range(UNDOABLE + 1)]
    assert [row.id for row in list_recent(waiting, "one")] == [r.id for r in reversed(reviews[1:])]
    with pytest.raises(InvalidReviewError):
        undo_review(waiting, reviews[0].id, who="one")


def test_an_answer_to_a_field_that_is_gone_says_so(waiting: Engine) -> None:
    with pytest.raises(StaleReviewError, match="read again or purged"):
        correct_field(waiting, 10_000, "1", who="one", claim=ReviewClaim(0))


def test_the_overview_says_what_waits_and_what_people_did(everywhere: Engine) -> None:
    first, second = take(everywhere)
    third, _ = take(everywhere, "two")
    review = correct_field(everywhere, first.field.id, "39", who="one", claim=first.claim, seen=SEEN)
    correct_field(everywhere, third.field.id, None, who="two", claim=third.claim, seen=SEEN)
    undo_review(everywhere, review.id, who="one")
    pass_field(everywhere, second.field.id, Act.ESCALATE, who="one", claim=second.claim)
    (group,) = list_waiting(everywhere)
    assert (group.template, group.fields, group.in_hand, group.escalated) == ("sample-form", 5, 1, 1)
    work = {each.who: each for each in list_work(everywhere, 1)}
    assert (work["one"].decisions, work["one"].undone, work["two"].confirmed) == (1, 1, 1)
    assert work["two"].per_hour == pytest.approx(3600 / 1.25)
