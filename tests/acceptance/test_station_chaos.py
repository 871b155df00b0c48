"""Several people at the station: browsers are killed in the middle, and no field is decided twice, lost or stuck."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import func, select

from tests.support.station import (
    CHROMIUM,
    LABELS,
    KillableChromium,
    answer_field,
    card_truth,
    fill_with_cards,
    make_runtime,
    open_page,
    serve_station,
)
from worker.review import station as pages
from worker.store.engine import reading
from worker.store.tables import FieldRow, ReviewRow

pytest.importorskip("playwright", reason="no playwright: pip install -e '.[test]'")
from playwright.sync_api import sync_playwright

pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no {CHROMIUM}: apt install chromium"),
]

KILL_AFTER = 8
CARDS = 2


def test_killed_browsers_cost_no_field(tmp_path: Path, sqlite_template: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "LEASE_S", 2.0)
    runtime = make_runtime(tmp_path / "home", sqlite_template)
    for _ in range(CARDS):
        fill_with_cards(runtime)
    truths = {f"card-{number}.png": card_truth(number) for number in (1, 2)}
    kills = 0
    with serve_station(runtime) as station, sync_playwright() as playwright:
        steady = KillableChromium(playwright, tmp_path / "steady")
        doomed = KillableChromium(playwright, tmp_path / "doomed-0")
        ours, theirs = open_page(steady.browser, station), open_page(doomed.browser, station)
        decided, deadline = 0, time.monotonic() + 60
        while waiting(station.engine) and time.monotonic() < deadline:
            answer_field(ours, truths, LABELS)
            decided += answer_field(theirs, truths, LABELS)
            if decided == KILL_AFTER and not kills:
                doomed.kill()
                kills, decided = kills + 1, 0
                doomed = KillableChromium(playwright, tmp_path / f"doomed-{kills}")
                theirs = open_page(doomed.browser, station)
        steady.kill()
        doomed.kill()
        assert kills and waiting(station.engine) == 0, "what a dead browser held is decided by another"
        with reading(station.engine) as connection:
            acts = connection.execute(select(ReviewRow.field_id, ReviewRow.action)).all()
            wrong = select(FieldRow.name).where(FieldRow.origin == "reviewer", FieldRow.final_text != FieldRow.text)
            assert connection.execute(wrong).all() == [], "the machine had read right, and so did the people"
    assert Counter(Counter(act.field_id for act in acts).values()) == {1: 12 * CARDS}, "decided once, each of them"


def waiting(engine: object) -> int:
    with reading(engine) as connection:  # type: ignore[arg-type]
        query = select(func.count()).select_from(FieldRow).where(FieldRow.final_text.is_(None))
        return int(connection.execute(query).scalar_one())
