"""Who may use the station, and how: by keys and readers of screens, enlarged, on a telephone, without another host."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select

from tests.support.data import PROJECT
from tests.support.station import Station, open_page, serve_station
from tests.support.station_views import VIEWS, View, make_stocked_runtime, open_view
from tests.support.system import PATIENCE
from worker.store.engine import reading
from worker.store.tables import JobRow
from worker.store.users import add_token, add_user

pytest.importorskip("playwright", reason="no playwright: pip install -e '.[test]'")
from playwright.sync_api import Browser, expect

pytestmark = pytest.mark.timeout(300)
expect.set_options(timeout=20_000 * PATIENCE)

PHOTO = PROJECT / "samples" / "free" / "photo.jpg"
TELEPHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True, "device_scale_factor": 2}
PLACES = {**VIEWS, "nothing": View("", "/nothing-here")}
AA = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
"""Axe leaves the size of targets (WCAG 2.2) out unless it is asked for."""


@pytest.fixture(scope="module")
def stocked(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Station]:
    with serve_station(make_stocked_runtime(tmp_path_factory.mktemp("stocked") / "home", sqlite_template)) as station:
        yield station


@pytest.mark.parametrize("name", PLACES)
def test_no_page_has_a_violation_of_accessibility_or_asks_another_host(
    name: str, browser: Browser, stocked: Station
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    asked: list[str] = []
    page = open_view(browser, stocked, PLACES[name], asked)
    results = axe.run(page, options={"runOnly": AA})
    assert results.violations_count == 0, results.generate_report()
    assert asked and {url.startswith((stocked.address, "blob:")) for url in asked} == {True}, asked
    for width, height in ((640, 430), (320, 640)):  # 200 % and, as WCAG 1.4.10 has it, 400 % of 1280 px
        page.set_viewport_size({"width": width, "height": height})
        wide = page.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 1, f"one has to scroll sideways at {width} px"
    page.context.close()


def test_a_token_that_may_only_send_scans_decides_nothing(station: Station) -> None:
    engine = station.engine
    add_user(engine, "robot", "admin", None)
    token = add_token(engine, "robot", "for sending", ["scans:write"], life=None)
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=station.address, headers=headers) as client:
        for path in ("/review", "/overview", "/templates"):
            assert client.get(path).status_code == 403
        assert client.post("/review/take", json={"station": "of-a-robot"}).status_code == 403


def test_a_telephone_photographs_page_after_page_into_a_batch(browser: Browser, station: Station) -> None:
    """A page that did not arrive is sent again, and is one scan."""
    page = open_page(browser, station, "/capture", **TELEPHONE)
    photo = page.locator("#photo")
    assert (photo.get_attribute("accept") or "").startswith("image/*")
    assert photo.get_attribute("capture") == "environment", "the camera at the back"
    page.fill("#reference", "ward 7")
    state = page.locator("#shots li:first-child .state")
    photo.set_input_files(PHOTO)
    expect(state).to_have_text("waits to be read")  # this test has no Redis
    page.context.set_offline(True)
    photo.set_input_files(PROJECT / "samples" / "check-slip.jpg")
    expect(state).to_have_text("the server does not answer")
    page.context.set_offline(False)
    page.get_by_role("button", name="Send again").tap()
    expect(state).to_have_text("waits to be read")
    photo.set_input_files(PROJECT / "samples" / "truth.csv")
    expect(state).to_contain_text("not a PNG")
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
    page.close()
    with reading(station.engine) as connection:
        rows = connection.execute(select(JobRow.reference, JobRow.state).where(JobRow.source == "http")).all()
    assert [tuple(row) for row in rows] == [("ward 7", "queued")] * 2
