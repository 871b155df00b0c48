"""Every page of the station by its route, on a station that has something to show on each of them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute
from PIL import Image
from sqlalchemy import select

from tests.support.data import PROJECT
from tests.support.readings import claim, make_field, make_page, register
from tests.support.station import (
    CARDS,
    LOW,
    Station,
    card_field,
    card_page,
    card_truth,
    fill_with_cards,
    make_runtime,
    read_file,
)
from tests.support.system import wait_until
from worker.api.app import make_app
from worker.bootstrap import Runtime
from worker.forms.templates import load_templates
from worker.review.designs import draft_design
from worker.separators import draw_sheet
from worker.store import webhooks
from worker.store.digit_groups import answer_group, take_group
from worker.store.engine import reading
from worker.store.jobs import fail_job, store_readings
from worker.store.review_tables import DigitGroupRow
from worker.store.reviews import Seen, correct_field
from worker.store.tables import FieldRow
from worker.values import FieldStatus, PageReading, Separator

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SLIPS = PROJECT / "samples" / "petty-cash"
WIDTH_PX = 1280
FORM = "meter-reading"
BATCH = "1f0c1a52-7f0e-4d0b-a1c4-5b1f0c6d8e21"
"""The job of the scan with separator sheets."""
IS_READY = """() => [...document.images].every((image) => {
  const { top, bottom } = image.getBoundingClientRect();
  return bottom < 0 || top > innerHeight || (image.complete && image.naturalWidth);
})"""


def leave_as_it_is(_page: Page) -> None:
    """Show a page as it opens."""


def type_a_digit(page: Page) -> None:
    """Type the first of two missing digits."""
    page.keyboard.type("4")


def send_photographs(page: Page) -> None:
    """Send two pages, as a telephone does."""
    page.set_input_files("#photo", [SLIPS / "slip-1.png", SLIPS / "slip-2.png"])
    page.wait_for_selector("#shots li:nth-child(2)")
    for number in (1, 2):
        page.locator(f"#shots li:nth-child({number}) .state", has_text="waits to be read").wait_for()


def go_to_a_blind_field(page: Page) -> None:
    """Decide two fields, so that one follows that is keyed blind."""
    page.wait_for_selector("#slot[data-mode]")  # keys typed before that are lost
    page.keyboard.type("42")
    page.keyboard.press("Enter")
    page.wait_for_selector("#slot[data-mode=confirm]")
    page.keyboard.press("Enter")
    page.wait_for_selector("#slot[data-mode=whole]")
    page.locator("#recent li:nth-child(2) button:enabled").wait_for()


@dataclass(frozen=True, slots=True)
class View:
    """One page: its route, and its path on the stocked station.

    ``shows`` is there once its script has done its part; ``prepare`` is what a person does there first.
    """

    route: str
    path: str
    shows: str = "main"
    prepare: Callable[[Page], None] = leave_as_it_is
    signed_in: bool = True
    height_px: int = 860


VIEWS = {
    "sign-in": View("/login", "/login", signed_in=False),
    "field": View("/review", "/review", "#crop-inner img", type_a_digit),
    "blind": View("/review", "/review", "#crop-inner img", go_to_a_blind_field),
    "digits": View("/groups", "/groups", ".tile img"),
    "pages": View("/pages", "/pages"),
    "page": View("/pages/{page_id}", "/pages/1"),
    "batches": View("/splits", "/splits"),
    "batch": View("/splits/{job_id}", f"/splits/{BATCH}"),
    "overview": View("/overview", "/overview", height_px=1320),
    "forms": View("/templates", "/templates"),
    "form": View("/templates/{name}", f"/templates/{FORM}", "#sheet .box", height_px=1180),
    "photographs": View("/capture", "/capture", prepare=send_photographs),
}
"""By the name of the picture, ``docs/images/station-NAME.png``. What decides fields for good stands last."""


def list_page_routes(runtime: Runtime) -> set[str]:
    """Return the routes of the application that answer with a page for people."""
    return {
        route.path
        for route in _walk(make_app(runtime).routes)
        if "GET" in route.methods
        and HTMLResponse in (route.response_class, get_type_hints(route.endpoint).get("return"))
    }


def _walk(routes: Iterable[Any]) -> Iterator[APIRoute]:
    """Yield the routes of an application, those of the routers in it included, which newer FastAPI wraps."""
    for route in routes:
        if isinstance(route, APIRoute):
            yield route
        elif inner := getattr(route, "original_router", None):
            yield from _walk(inner.routes)


def open_view(browser: Browser, station: Station, view: View, asked: list[str] | None = None) -> Page:
    """Open a page as a person would, and wait until all of it is on the screen; ``asked`` gets what it loads."""
    page = browser.new_context(viewport={"width": WIDTH_PX, "height": view.height_px}).new_page()
    page.on("request", lambda request: None if asked is None else asked.append(request.url))
    if view.signed_in:
        page.context.request.get(station.way_in)
    page.goto(station.address + view.path)
    wait_until_shown(page, view)
    view.prepare(page)
    wait_until_shown(page, view)
    return page


def wait_until_shown(page: Page, view: View) -> None:
    """Wait until the scripts have run and every picture in view is painted."""
    page.wait_for_selector("main:not([inert])")
    page.wait_for_selector(view.shows, state="attached")
    wait_until(lambda: page.evaluate(IS_READY), 30, f"pictures of {view.path}")
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def make_stocked_runtime(folder: Path, database: Path) -> Runtime:
    """Return a runtime in which every page of the station has something to show."""
    runtime = make_runtime(folder, database, separators="ask")
    fill_with_cards(runtime)
    add_doubtful_digits(runtime)
    add_troubles(runtime)
    add_batch(runtime)
    add_decisions(runtime)
    add_audits(runtime)
    draft_design(runtime, FORM, (CARDS / "card-1.png").read_bytes(), "filled")
    return runtime


def add_doubtful_digits(runtime: Runtime) -> None:
    """Add a card whose digits are all doubtful."""
    specs = {spec.name: spec for spec in load_templates(None)["meter-card"].fields}
    cells = {name: text for name, text in card_truth(2).items() if specs[name].layout == "cells"}
    doubtful = [
        card_field(specs[name], text, doubts=(LOW,), weak={i: 0.9 - 0.02 * i for i in range(len(text))})
        for name, text in cells.items()
    ]
    read_file(runtime, "card-2.png", card_page(*doubtful))


def add_troubles(runtime: Runtime) -> None:
    """Add a page without a form, a scan that failed, and a message that no webhook took."""
    engine = runtime.engine()
    unread = card_page(template=None, template_version=None, registration=0.31)
    problem = "no form was found on the page: the best, meter-card, fits to 0.31 and needs 0.50"
    read_file(runtime, "card-3-skewed.png", replace(unread, problem=problem))
    webhooks.add_endpoint(engine, "https://erp.example.org/icr", ["scan.failed"])
    failed = claim(engine, register(engine, uri="file:///scans/damaged.jpg", source="inbox"))
    assert failed is not None
    fail_job(engine, failed, kind="UnreadableScan", reason="truncated JPEG: it ends before its end mark")
    (delivery,) = webhooks.take_due(engine, limit=9)
    webhooks.record_failure(engine, delivery, status=503, reason="the receiver answered 503", next_in_s=None)


def add_batch(runtime: Runtime) -> None:
    """Add a scan of two documents behind their separator sheets."""
    said = {0: Separator("meter-card", "Ward 7"), 3: Separator("meter-card", "Ward 8")}
    cards = {1: CARDS / "card-1.png", 2: CARDS / "card-2.png", 4: CARDS / "card-1.png"}
    pages = [draw_sheet(said[i]) if i in said else Image.open(cards[i]).convert("L") for i in range(5)]
    path = runtime.inbox / "monday.tif"
    pages[0].save(path, save_all=True, append_images=pages[1:], compression="tiff_lzw", dpi=(200, 200))
    engine, sha256 = runtime.engine(), hashlib.sha256(path.read_bytes()).hexdigest()
    held = claim(engine, register(engine, job_id=BATCH, sha256=sha256, uri=path.as_uri(), source="inbox"))
    readings = [PageReading(i, page.width, page.height, separator=said.get(i)) for i, page in enumerate(pages)]
    assert held is not None and store_readings(engine, held, held.scan, readings)


def add_decisions(runtime: Runtime) -> None:
    """Let two people decide fields of the last card, and check digits, of whom one misses the known wrong ones."""
    engine = runtime.engine()
    with reading(engine) as connection:
        last_page = select(FieldRow.page_id).order_by(FieldRow.page_id.desc()).limit(1).scalar_subquery()
        ids = connection.execute(select(FieldRow.id).where(FieldRow.page_id == last_page)).scalars().all()
    for field_id, who, number, seconds in (
        (ids[1], "anna", None, 1.6),
        (ids[2], "ben", "59", 2.4),
        (ids[0], "anna", None, 1.9),
    ):
        seen = Seen("blind" if number else "confirm", "", 3 if number else 1, seconds)
        correct_field(engine, field_id, number, who=who, seen=seen, overrule=True)
    for who in ("anna", "ben"):
        for digit in (1, 2):
            group = take_group(engine, digit, who=who, size=40, seed=1)
            if group is None:
                continue
            with reading(engine) as connection:
                tiles = connection.execute(select(DigitGroupRow.tiles).where(DigitGroupRow.id == group.id)).scalar_one()
            found = {i: "?" for i, (*_, planted) in enumerate(tiles) if planted and who == "anna"}
            answer_group(engine, group.id, found, who=who, keys=1, seconds=4.0)


def add_audits(runtime: Runtime) -> None:
    """Add 60 accepted fields that were keyed blind, one of them wrong."""
    engine = runtime.engine()
    for number in range(60):
        field = make_field("total", f"4{number:02d}", FieldStatus.ACCEPTED)
        held = claim(engine, register(engine, source="http"))
        assert held is not None
        assert store_readings(engine, held, held.scan, [make_page(0, field)], audit_share=1.0)
    with reading(engine) as connection:
        rows = connection.execute(select(FieldRow.id, FieldRow.text).where(FieldRow.name == "total")).all()
    for row in rows:
        answer = "999" if row.text == "417" else row.text
        correct_field(engine, row.id, answer, who="mira", seen=Seen("blind", "", 4, 2.0))


def picture_name(name: str) -> str:
    """Return the file of a view's picture."""
    return f"station-{name}.png"


def find_pictures(markdown: str) -> set[str]:
    """Return the files of the station's pictures that a page of the docs shows."""
    return set(re.findall(r"images/(station-[a-z-]+\.png)", markdown))
