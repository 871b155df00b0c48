"""Digits checked in groups: least sure first, known wrong ones among them, and what a correction does to its field."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from tests.support.readings import make_field, make_page, read
from worker.bootstrap import build_runtime
from worker.errors import InvalidReviewError
from worker.review.desk import Desk, make_desk
from worker.review.groups import judge_again
from worker.settings import Settings
from worker.store import digit_groups
from worker.store.digit_groups import answer_group, checked_digits, count_doubtful, count_misses, take_group
from worker.store.engine import make_engine, reading
from worker.store.review_history import undo_review
from worker.store.reviews import correct_field
from worker.store.tables import FieldRow
from worker.values import FieldStatus

REVIEW = FieldStatus.REVIEW


@pytest.fixture
def desk(sqlite_template: Path, tmp_path: Path) -> Iterator[Desk]:
    """Yield the pages' desk on a database with fields whose first digit is doubtful."""
    engine = make_engine(f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'icr.db')}")
    fields = [make_field(f"f{i}", f"3{i}", REVIEW, confidence) for i, confidence in enumerate((0.8, 0.5, 0.95))]
    known = make_field("known", "38", REVIEW, 0.6)
    read(engine, make_page(0, *fields, known, make_field("taken", "31", FieldStatus.ACCEPTED, 0.98)))
    correct_field(engine, 4, "78", who="anna")
    yield make_desk(replace(build_runtime(Settings(home=tmp_path)), engine=lambda: engine))
    engine.dispose()


def answer(desk: Desk, corrections: dict[str, str], *, miss: bool = False) -> list[int]:
    """Answer one screen of threes: ``corrections`` by field name; the known wrong one is found unless ``miss``."""
    group = take_group(desk.engine, 3, who="ben", size=10, seed=1)
    assert group is not None
    given = {i: corrections[name] for i, name in enumerate(names_of(desk.engine)) if name in corrections}
    if not miss:
        given[names_of(desk.engine).index("known")] = "7"
    return answer_group(desk.engine, group.id, given, who="ben", keys=2, seconds=3.0).fields


def names_of(engine: Engine) -> list[str]:
    """Return the names of the fields on the open screen, in its order."""
    from worker.store.review_tables import DigitGroupRow

    with reading(engine) as connection:
        tiles = connection.execute(select(DigitGroupRow.tiles).where(DigitGroupRow.done_at.is_(None))).scalar_one()
        names = {row.id: row.name for row in connection.execute(select(FieldRow.id, FieldRow.name))}
    return [names[field_id] for field_id, _, _ in tiles]


def final(desk: Desk) -> dict[str, str | None]:
    with reading(desk.engine) as connection:
        return {row.name: row.final_text for row in connection.execute(select(FieldRow.name, FieldRow.final_text))}


def test_the_least_sure_come_first_with_a_known_wrong_one_among_them(desk: Desk) -> None:
    assert count_doubtful(desk.engine) == {3: 4}
    assert take_group(desk.engine, 9, who="ben", size=10) is None
    take_group(desk.engine, 3, who="ben", size=10, seed=1)
    names = names_of(desk.engine)
    assert "known" in names
    assert [name for name in names if name != "known"] == ["f1", "f0", "f2", "taken"]


def test_confirmed_digits_decide_their_fields_and_a_corrected_one_corrects_its_own(desk: Desk) -> None:
    fields = answer(desk, {"f1": "8", "taken": "2"})
    assert judge_again(desk, fields, "ben") == 4
    assert final(desk) == {"f0": "30", "f1": "81", "f2": "32", "known": "78", "taken": "21"}
    assert count_doubtful(desk.engine) == {}
    assert count_misses(desk.engine) == {"ben": (1, 0)}


def test_who_misses_a_known_wrong_digit_confirms_nothing(desk: Desk) -> None:
    fields = answer(desk, {"f1": "8"}, miss=True)
    assert judge_again(desk, fields, "ben") == 1
    assert final(desk) == {"f0": None, "f1": "81", "f2": None, "known": "78", "taken": "31"}
    assert count_misses(desk.engine) == {"ben": (1, 1)}
    assert count_doubtful(desk.engine) == {3: 3}


def test_an_unsure_digit_leaves_its_field_to_the_station(desk: Desk) -> None:
    fields = answer(desk, {"f0": "?"})
    judge_again(desk, fields, "ben")
    assert final(desk)["f0"] is None
    assert checked_digits(desk.engine, [1]) == {1: {0: "?"}}


def test_digits_are_open_again_after_a_decision_is_taken_back(desk: Desk) -> None:
    review = correct_field(desk.engine, 1, "30", who="anna")
    assert count_doubtful(desk.engine) == {3: 3}
    undo_review(desk.engine, review.id, who="anna")
    assert count_doubtful(desk.engine) == {3: 4}


def test_many_digits_are_not_counted_to_the_last(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digit_groups, "MOST_COUNTED", 2)
    assert count_doubtful(desk.engine) == {3: 2}


def test_a_screen_is_answered_once_and_by_who_took_it(desk: Desk) -> None:
    group = take_group(desk.engine, 3, who="ben", size=10)
    assert group is not None
    with pytest.raises(InvalidReviewError, match="not open"):
        answer_group(desk.engine, group.id, {}, who="anna", keys=1, seconds=1.0)
    answer_group(desk.engine, group.id, {}, who="ben", keys=1, seconds=1.0)
    with pytest.raises(InvalidReviewError, match="not open"):
        answer_group(desk.engine, group.id, {}, who="ben", keys=1, seconds=1.0)
