"""The station as a person uses it: a real Chromium against the real server."""

from __future__ import annotations

import cv2
import pytest
from sqlalchemy import func, select

from tests.support.readings import claim, register
from tests.support.station import (
    CARDS,
    Station,
    card_page,
    card_truth,
    open_page,
    read_file,
)
from tests.support.system import PATIENCE, wait_until
from worker.queue.reading_job import read_scan_pages
from worker.store.engine import reading
from worker.store.jobs import fail_job, get_job, store_readings
from worker.store.review_tables import ReviewTaskRow
from worker.store.reviews import correct_field
from worker.store.scan_tables import PlacedCornersRow
from worker.store.tables import FieldRow, PageRow, ReviewRow
from worker.system.local_token import login_name
from worker.telemetry.stages import Stopwatch
from worker.values import FieldStatus

pytest.importorskip("playwright", reason="no playwright: pip install -e '.[test]'")
from playwright.sync_api import Browser, Page, Route, expect

pytestmark = pytest.mark.timeout(120)
expect.set_options(timeout=20_000 * PATIENCE)


def acts(station: Station) -> list[tuple[str, str, str, str | None]]:
    with reading(station.engine) as connection:
        query = select(FieldRow.name, ReviewRow.action, ReviewRow.after, ReviewRow.shown)
        query = query.join(FieldRow, FieldRow.id == ReviewRow.field_id).order_by(ReviewRow.id)
        return [tuple(row) for row in connection.execute(query)]  # type: ignore[misc]


def count_held(station: Station) -> int:
    with reading(station.engine) as connection:
        held = select(func.count()).select_from(ReviewTaskRow).where(ReviewTaskRow.station.is_not(None))
        return int(connection.execute(held).scalar_one())


def wait_for(page: Page, label: str) -> None:
    expect(page.locator("#label")).to_have_text(label)


def wait_for_decisions(page: Page, count: int) -> None:
    """Wait until so many decisions of this page are on disk: their undo is offered."""
    expect(page.locator("#recent button:enabled")).to_have_count(count)


def test_a_person_works_the_queue_off_by_keys_alone(browser: Browser, station: Station) -> None:
    truth = card_truth(1)
    page = open_page(browser, station)
    hosts: list[str] = []
    page.on("request", lambda request: hosts.append(request.url))
    wait_for(page, "Meter number")
    assert page.evaluate("document.getElementById('ghost').textContent").replace("\xa0", "_") == "36_8559_0"
    page.keyboard.press("Enter")
    assert "missing" in page.locator("#message").inner_text()
    page.keyboard.type("42")
    page.keyboard.press("Enter")
    wait_for(page, "Customer number")
    page.keyboard.press("Enter")  # untouched: confirmed
    wait_for(page, "Route")
    assert page.locator("#ghost").inner_text() == ""
    page.keyboard.press("Enter")
    assert "Type the number" in page.locator("#message").inner_text(), "nothing typed is no blank field"
    page.keyboard.type("59")
    page.keyboard.press("Enter")
    wait_for(page, "Telephone")
    page.keyboard.press("u")
    wait_for(page, "Reading now (kWh)")
    page.keyboard.press("s")
    wait_for(page, "Used (kWh)")
    page.keyboard.press("e")
    wait_for(page, "Meter number")
    page.keyboard.press("b")
    wait_for_decisions(page, 7)
    assert acts(station) == [
        ("meter_number", "correct", truth["meter_number"], "partial"),
        ("customer", "confirm", truth["customer"], "confirm"),
        ("route", "correct", "59", "blind"),
        ("phone", "unreadable", "?", "blind"),
        ("current_reading", "skip", truth["current_reading"], "partial"),
        ("consumption", "escalate", truth["consumption"], "blind"),
        ("meter_number", "correct", "", "partial"),
    ]
    page.keyboard.press("Backspace")
    wait_for(page, "Meter number")
    wait_for_decisions(page, 6)
    assert acts(station)[-1][:2] == ("meter_number", "undo")
    page.keyboard.press("p")
    page.wait_for_selector("dialog[open] img")
    page.keyboard.press("Escape")
    page.keyboard.press("z")
    assert page.evaluate("document.activeElement.id") == "answer"
    assert {url.split("/")[2] for url in hosts} == {station.address.split("/")[2]}
    page.close()


def test_an_answer_that_does_not_fit_comes_back_and_one_decided_elsewhere_is_refused(
    browser: Browser, station: Station
) -> None:
    page = open_page(browser, station)
    wait_for(page, "Meter number")
    with reading(station.engine) as connection:
        held = list(connection.execute(select(ReviewTaskRow.field_id).order_by(ReviewTaskRow.field_id)).scalars())
    assert len(held) == 12, "what is next is in hand"
    correct_field(station.engine, held[0], None, who="anna")
    page.keyboard.type("42")
    page.keyboard.press("Enter")
    expect(page.locator("#message")).to_contain_text("decided by anna meanwhile")
    wait_for(page, "Customer number")
    page.keyboard.type("3/5")
    page.keyboard.press("Enter")
    page.wait_for_selector("#overrule:not([hidden])")
    wait_for(page, "Customer number")
    assert page.locator("#answer").input_value() == "3/5", "what was typed is not lost"
    page.keyboard.press("Control+Enter")
    wait_for(page, "Route")
    wait_for_decisions(page, 1)
    assert acts(station)[-1][:3] == ("customer", "correct", "3/5")
    page.goto("about:blank")
    wait_until(lambda: not count_held(station), 10, "a page that is left gives its fields back")
    page.close()


def test_what_is_typed_outlives_a_session_and_never_ends_up_in_another_field(
    browser: Browser, station: Station
) -> None:
    page = open_page(browser, station)
    wait_for(page, "Meter number")
    held: list[Route] = []
    page.route("**/review/decide", lambda route: held.append(route))
    page.keyboard.type("42")
    page.keyboard.press("Enter")
    wait_for(page, "Customer number")
    page.keyboard.type("7")
    wait_until(lambda: bool(held) or page.wait_for_timeout(10), 20, "the decision is on its way")
    page.context.clear_cookies()
    held[0].continue_()
    expect(page.locator("#interruption")).to_be_visible()
    page.keyboard.type("38")  # goes on for the customer number: the dialog takes it
    page.keyboard.press("Enter")
    wait_for(page, "Meter number")
    assert page.locator("#answer").input_value() == "42", "the answer that was not taken is back in its field"
    expect(page.locator("#signed-out")).to_be_visible()
    assert acts(station) == []
    page.context.request.get(station.way_in)
    page.unroute("**/review/decide")
    page.keyboard.press("Enter")
    wait_for_decisions(page, 1)
    wait_for(page, "Customer number")
    assert page.locator("#answer").input_value() == "7", "what was begun is kept"
    expect(page.locator("#signed-out")).to_be_hidden()
    assert [act[:2] for act in acts(station)] == [("meter_number", "correct")]

    with reading(station.engine) as connection:
        customer = connection.execute(select(FieldRow.id).where(FieldRow.name == "customer").limit(1)).scalar_one()
    correct_field(station.engine, customer, None, who="anna")
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")  # a browser that wakes up asks what it holds
    expect(page.locator("#interruption")).to_contain_text("What you typed, 7, is not taken")
    page.keyboard.type("11")
    page.keyboard.press("Enter")
    wait_for(page, "Route")
    assert page.locator("#answer").input_value() == ""
    page.close()


def test_a_page_in_a_second_window_takes_no_answer_to_what_is_decided(browser: Browser, station: Station) -> None:
    page = open_page(browser, station, "/pages/1")
    first = page.locator("tr[data-field] input").nth(0)
    expect(first).to_be_focused()
    with reading(station.engine) as connection:
        meter = connection.execute(select(FieldRow.id).where(FieldRow.name == "meter_number").limit(1)).scalar_one()
    correct_field(station.engine, meter, "36485592", who="anna", overrule=True)
    page.keyboard.type("42")
    page.keyboard.press("Enter")
    expect(page.locator("#message")).to_contain_text("decided by anna meanwhile")
    expect(page.locator("#message")).to_contain_text("Load the page anew")
    assert first.input_value() == "42"
    assert [act[2] for act in acts(station)] == ["36485592"]
    page.close()


def test_a_page_is_worked_off_by_tab_and_broken_rules_name_their_suspect(browser: Browser, station: Station) -> None:
    page = open_page(browser, station, "/pages/1")
    inputs = page.locator("tr[data-field] input")
    expect(inputs).to_have_count(6)
    expect(inputs.nth(0)).to_be_focused()
    page.keyboard.type("42")
    page.keyboard.press("Enter")
    expect(inputs).to_have_count(5)
    expect(inputs.nth(0)).to_be_focused()
    page.keyboard.press("Enter")  # untouched: confirmed
    expect(inputs).to_have_count(4)
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(page.locator("tr[data-name=current_reading] input")).to_be_focused()
    page.keyboard.type("9")
    page.keyboard.press("Enter")
    expect(page.locator(".rule")).to_contain_text("The difference does not hold")
    expect(page.locator("tr[data-name=consumption]")).to_have_class("waits suspect")
    assert "2578" not in page.locator(".table-side").inner_text(), "what is keyed blind is not given away"
    assert [act[:3] for act in acts(station)][-1] == ("current_reading", "correct", "936270")
    page.close()


def test_digits_are_checked_in_groups_and_decide_their_fields(browser: Browser, station: Station) -> None:
    page = open_page(browser, station, "/groups")
    tiles = page.locator(".tile")
    expect(page.locator("#title")).to_have_text("Read as 0")
    expect(tiles).to_have_count(2)
    expect(tiles.nth(0)).to_be_focused(timeout=40_000)  # once all pictures are there
    page.keyboard.type("9")
    expect(tiles.nth(0)).to_have_attribute("aria-label", "Digit 1 of 2, corrected to 9")
    page.keyboard.press("Backspace")
    page.keyboard.press("Enter")
    expect(page.locator("#message")).to_contain_text("2 confirmed, 0 corrected; 2 fields are decided")
    assert [act[:2] for act in acts(station)] == [("current_reading", "confirm")] * 2
    page.close()


def test_unread_pages_get_a_form_and_failed_scans_another_try(browser: Browser, station: Station) -> None:
    unread = card_page(template=None, template_version=None, problem="no form was found on the page")
    job_id = read_file(station.runtime, "card-3-skewed.png", unread)
    failed = register(station.engine, uri="file:///gone/damaged.jpg")
    held = claim(station.engine, failed)
    assert held and fail_job(station.engine, held, kind="unreadable_scan", reason="truncated JPEG")
    page = open_page(browser, station, "/pages")
    page.get_by_role("button", name="Try damaged.jpg again").click()
    expect(page.locator("#message")).to_contain_text("the job is kept")  # this test has no Redis
    page.get_by_role("link", name="card-3-skewed.png").click()
    page.get_by_role("button", name="Read again").click()
    expect(page.locator("#message")).to_contain_text("the job is kept")
    page.get_by_role("button", name="Read again").click()
    expect(page.locator("#message")).to_contain_text("being read again already")
    jobs = [get_job(station.engine, each) for each in (job_id, failed)]
    assert [(job.state, job.template) for job in jobs if job] == [("queued", "meter-card"), ("queued", None)]
    page.close()


def test_a_page_is_read_by_the_corners_that_a_person_placed(browser: Browser, station: Station) -> None:
    """By dragging, by arrow keys, and by pressing where a corner belongs; the worker then reads by them."""
    card = cv2.imread(str(CARDS / "card-1.png"), cv2.IMREAD_GRAYSCALE)
    card[:180], card[540:] = 250, 250  # covered but for two rows: what is left of the print does not show the form
    cv2.imwrite(str(station.runtime.inbox / "covered.png"), card)
    unread = card_page(template=None, template_version=None, problem="unregistered: no known form")
    job_id = read_file(station.runtime, "covered.png", unread)
    with reading(station.engine) as connection:
        page_id = connection.execute(select(PageRow.id).where(PageRow.job_id == job_id)).scalar_one()
    page = open_page(browser, station, f"/pages/{page_id}")
    page.get_by_label("Read the scan again as").select_option("meter-card")
    page.get_by_role("button", name="Place the corners by hand").click()
    expect(page.get_by_role("button", name="Top left corner")).to_be_focused()
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    results = axe.run(page)
    assert results.violations_count == 0, results.generate_report()
    place_corner(page, "Top left", 47, 47, by="drag")
    place_corner(page, "Top right", 1606, 47, by="press")
    place_corner(page, "Bottom right", 1606, 1118, by="keys")
    place_corner(page, "Bottom left", 47, 1118, by="drag")
    page.get_by_role("button", name="Read the page by these corners").click()
    expect(page.locator("#message")).to_contain_text("the job is kept")  # this test has no Redis
    page.close()
    with reading(station.engine) as connection:
        row = connection.execute(select(PlacedCornersRow)).one()
    assert (row.who, row.template, row.page) == (login_name(), "meter-card", 0)
    held = claim(station.engine, job_id)
    assert held is not None
    scan, pages = read_scan_pages(station.runtime, held, Stopwatch())
    assert store_readings(station.engine, held, scan, pages)
    truth, (found,) = card_truth(1), pages
    assert found.template == "meter-card" and found.problem is None
    read = {field.name: field for field in found.fields}
    shown = ("meter_number", "customer", "route", "phone")
    assert all(read[name].text == truth[name] for name in shown)
    assert all(read[name].text == truth[name] for name in truth if read[name].status is FieldStatus.ACCEPTED)


def place_corner(page: Page, name: str, x: int, y: int, *, by: str) -> None:
    """Put a corner where a point of the scan is seen, give or take a step of the arrow keys."""
    handle = page.get_by_role("button", name=f"{name} corner")
    if by == "keys":
        handle.focus()
        for keys, k, target in ((("ArrowLeft", "ArrowRight"), 0, x), (("ArrowUp", "ArrowDown"), 1, y)):
            at = [int(part.split()[0]) for part in str(handle.get_attribute("aria-label")).split(", ")[1:]][k]
            for _ in range(round(abs(target - at) / 16.54)):
                page.keyboard.press(keys[target > at])
        return
    seen = "([x, y]) => { const p = new DOMPoint(x, y).matrixTransform(scan.getScreenCTM()); return [p.x, p.y]; }"
    if by == "drag":
        box = handle.bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.mouse.down()
        page.mouse.move(*page.evaluate(seen, [x, y]), steps=3)
        page.mouse.up()
    else:
        handle.click()
        page.mouse.click(*page.evaluate(seen, [x, y]))
    expect(handle).to_have_attribute("aria-pressed", "true")


def test_a_click_before_the_script_listens_is_not_lost(browser: Browser, station: Station) -> None:
    read_file(station.runtime, "card-3-skewed.png", card_page(template=None, problem="no form was found on the page"))
    page = open_page(browser, station, "/pages")
    page.route("**/page.js", lambda route: (page.wait_for_timeout(800), route.continue_()))  # a slow network
    page.get_by_role("link", name="card-3-skewed.png").click()
    page.get_by_role("button", name="Read again").click()
    expect(page.locator("#message")).to_contain_text("the job is kept")
    assert "?" not in page.url, "the browser did not send the form by itself"
    page.close()
