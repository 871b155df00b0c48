"""``python -m tests.support.station_pictures docs/images``: pictures of every page of the station, for the docs."""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from playwright.sync_api import Page

from tests.support.readings import claim, register
from tests.support.station import (
    LOW,
    card_field,
    card_page,
    card_truth,
    chromium,
    fill_with_cards,
    make_runtime,
    open_page,
    read_file,
    serve_station,
)
from worker.bootstrap import Runtime
from worker.forms.templates import load_templates
from worker.review.designs import draft_design
from worker.store.engine import make_engine, upgrade_database
from worker.store.jobs import fail_job
from worker.store.reviews import Seen, correct_field

PICTURES = {
    "station-digits": "/groups",
    "station-pages": "/pages",
    "station-page": "/pages/1",
    "station-overview": "/overview",
    "station-forms": "/templates/meter-reading",
}


def main() -> None:
    """Take the pictures into the folder that is named."""
    folder = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as home:
        runtime = make_runtime(Path(home) / "home", empty_database(Path(home)))
        fill_with_cards(runtime)
        add_work(runtime)
        draft_design(runtime, "meter-reading", (runtime.inbox / "card-1.png").read_bytes(), "filled")
        with serve_station(runtime) as station, chromium() as browser:
            for name, path in PICTURES.items():
                page = open_page(browser, station, path)
                take(page, folder / f"{name}.png")
                page.close()
            take_fields(open_page(browser, station), folder)


def empty_database(folder: Path) -> Path:
    """Return a database with all its tables."""
    engine = make_engine(f"sqlite:///{folder / 'empty.db'}")
    upgrade_database(engine)
    engine.dispose()
    return folder / "empty.db"


def add_work(runtime: Runtime) -> None:
    """Add doubtful digits of a third card, a page without a form, a failed scan, and what people decided."""
    specs = {spec.name: spec for spec in load_templates(None)["meter-card"].fields}
    cells = {name: text for name, text in card_truth(2).items() if specs[name].layout == "cells"}
    doubtful = [
        card_field(specs[name], text, doubts=(LOW,), weak={i: 0.9 - 0.02 * i for i in range(len(text))})
        for name, text in cells.items()
    ]
    read_file(runtime, "card-2.png", card_page(*doubtful))
    problem = "no form was found on the page: the best, meter-card, fits to 0.31 and needs 0.50"
    unread = card_page(template=None, template_version=None, registration=0.31)
    read_file(runtime, "card-3-skewed.png", replace(unread, problem=problem))
    failed = claim(runtime.engine(), register(runtime.engine(), uri="file:///scans/damaged.jpg"))
    assert failed is not None
    fail_job(runtime.engine(), failed, kind="UnreadableScan", reason="truncated JPEG: it ends before its end mark")
    for field_id, who, number, seconds in ((14, "anna", None, 1.6), (15, "ben", "59", 2.4), (13, "anna", None, 1.9)):
        seen = Seen("blind" if number else "confirm", "", 3 if number else 1, seconds)
        correct_field(runtime.engine(), field_id, number, who=who, seen=seen, overrule=True)


def take_fields(page: Page, folder: Path) -> None:
    """Take the field station with a doubtful digit left out, blind, and with the whole page."""
    wait_for_pictures(page)
    page.keyboard.type("4")
    take(page, folder / "station-field.png")
    page.keyboard.type("2")
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    wait_for_pictures(page)
    take(page, folder / "station-blind.png")


def take(page: Page, path: Path) -> None:
    """Take a picture once everything on the page is loaded."""
    wait_for_pictures(page)
    page.screenshot(path=path)
    print(path)


def wait_for_pictures(page: Page) -> None:
    page.wait_for_load_state("networkidle")
    ready = "() => [...document.images].every((image) => image.complete && image.naturalWidth)"
    deadline = time.monotonic() + 60
    while not page.evaluate(ready) and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(0.3)


if __name__ == "__main__":
    main()
