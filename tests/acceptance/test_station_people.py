"""Several people at the station, each in a browser of their own: fields keyed twice, roles, and queues."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from sqlalchemy import select

from tests.support.station import Station, card_field, card_page, read_file
from tests.support.system import PATIENCE
from worker.api.access import cookie_name
from worker.doubts import Doubt, DoubtKind
from worker.forms.templates import load_templates
from worker.store.engine import reading
from worker.store.overview import count_key_errors
from worker.store.tables import FieldRow
from worker.store.users import add_user, find_user, open_session
from worker.values import Money

pytest.importorskip("playwright", reason="no playwright: pip install -e '.[test]'")
from playwright.sync_api import Browser, Page, expect

pytestmark = pytest.mark.timeout(120)
expect.set_options(timeout=20_000 * PATIENCE)


def sign_in(browser: Browser, station: Station, name: str, role: str = "keyer", path: str = "/review") -> Page:
    """Add a person, and open a page in a browser of theirs."""
    add_user(station.engine, name, role, None)
    user = find_user(station.engine, name)
    assert user is not None
    context = browser.new_context()
    session = open_session(station.engine, user.id, life_s=600)
    host = urlsplit(station.address).hostname
    context.add_cookies([{"name": cookie_name(station.runtime), "value": session, "domain": host, "path": "/"}])
    page = context.new_page()
    page.set_default_timeout(30_000 * PATIENCE)
    page.goto(station.address + path)
    return page


def add_field_to_be_keyed_twice(station: Station) -> None:
    spec = next(spec for spec in load_templates(None)["meter-card"].fields if spec.name == "amount_paid")
    doubts = (Doubt(DoubtKind.KEYED_TWICE), Doubt(DoubtKind.LOW_CONFIDENCE, found=0.7, needed=0.98))
    field = card_field(spec, "60137", doubts=doubts, confidence=0.7)
    grammar = field.grammar.model_copy(update={"verify": "double"})
    twice = replace(field, grammar=grammar, written="601.37", value=Money(60137, "EUR"))
    read_file(station.runtime, "card-1.png", card_page(twice))


def test_a_field_is_keyed_twice_unseen_and_a_third_person_decides_a_mismatch(
    browser: Browser, station: Station
) -> None:
    add_field_to_be_keyed_twice(station)
    for name, key in (("anna", "601.37"), ("ben", "601.31"), ("cora", "601.37")):
        page = sign_in(browser, station, name, path="/review?order=newest")
        expect(page.locator("#label")).to_have_text("Amount paid")
        expect(page.locator("#hint")).to_contain_text("This field is keyed twice, unseen")
        assert page.locator("#ghost").inner_text() == "" and "601" not in page.locator("main").inner_text()
        page.keyboard.type(key)
        page.keyboard.press("Enter")
        expect(page.locator("#recent button:enabled")).to_have_count(1)
        expect(page.locator("#label")).not_to_have_text("Amount paid")
        page.reload()
        expect(page.locator("#label")).not_to_have_text("Amount paid")  # nobody keys it twice
        page.context.close()
    with reading(station.engine) as connection:
        query = select(FieldRow.final_text, FieldRow.origin).where(FieldRow.name == "amount_paid")
        decided = connection.execute(query.order_by(FieldRow.id.desc()).limit(1)).one()
    assert (decided.final_text.replace(".", ""), decided.origin) == ("60137", "reviewer")
    assert count_key_errors(station.engine) == {"anna": (1, 0), "ben": (1, 1)}


def test_a_keyer_keys_and_what_is_escalated_comes_to_a_supervisor(browser: Browser, station: Station) -> None:
    keyer = sign_in(browser, station, "anna")
    expect(keyer.locator("#label")).to_have_text("Meter number")
    keyer.keyboard.press("e")
    expect(keyer.locator("#recent button:enabled")).to_have_count(1)
    expect(keyer.get_by_role("link", name="Overview")).to_be_visible()
    assert keyer.get_by_role("link", name="Forms").count() == keyer.get_by_role("link", name="Escalated").count() == 0
    for path in ("/templates", "/capture", "/review?level=supervisor"):
        keyer.goto(station.address + path)
        expect(keyer.locator("main")).to_contain_text("needs a supervisor")
    keyer.context.close()
    supervisor = sign_in(browser, station, "mira", "supervisor")
    supervisor.get_by_role("link", name="Escalated").click()
    expect(supervisor.locator("#label")).to_have_text("Meter number")
    expect(supervisor.locator("#waiting")).to_have_text("1")
    supervisor.keyboard.type("42")
    supervisor.keyboard.press("Enter")
    expect(supervisor.locator("#label")).to_have_text("Nothing is escalated")
    supervisor.context.close()


def test_queues_go_by_form_source_age_and_amount(browser: Browser, station: Station) -> None:
    add_field_to_be_keyed_twice(station)
    page = sign_in(browser, station, "anna", path="/overview")
    row = page.locator("tbody tr", has_text="meter-card")
    expect(row).to_contain_text("13")
    row.get_by_role("link", name="meter-card").click()
    expect(page.locator("#waiting")).to_have_text("13")
    expect(page.locator("#label")).to_have_text("Meter number")
    for order, first in (("newest", "Amount paid"), ("oldest", "Meter number"), ("amount", "Amount paid")):
        page.locator("#order").select_option(order)
        expect(page.locator("#label")).to_have_text(first)
        assert f"order={order}" in page.url and "template=meter-card" in page.url
    page.goto(f"{station.address}/review?source=nowhere")
    expect(page.locator("#label")).to_have_text("Nothing waits")
    page.goto(f"{station.address}/review?source=inbox")
    expect(page.locator("#label")).to_have_text("Meter number")
    page.context.close()
