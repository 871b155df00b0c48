"""``make bench-station``: the station in a real Chromium, on a database of 100,000 fields of which 10,000 wait.

The server has one core and the browser the other. The pages are sample cards on A4 at 300 dpi, grey JPEGs, with one
waiting field each, so that nearly every field costs the decoding of a page. Nobody thinks at the keys: what is measured
is what the software allows. ``--real-time`` puts both before other work on the machine.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
from playwright.sync_api import Page, Playwright, sync_playwright
from sqlalchemy import Engine, func, insert, select

from tests.support.station import CARDS, DIFFER, LOW, KillableChromium, card_field, card_page, card_truth
from tests.support.system import wait_until
from worker.forms.templates import load_templates
from worker.store.engine import database_now, make_engine, reading, upgrade_database, writing
from worker.store.readings import insert_readings, insert_scan
from worker.store.review_tables import ReviewTaskRow
from worker.store.tables import JobRow, JobState, ReviewRow
from worker.system.local_token import FILE, read_local_token
from worker.values import Box, FieldReading, PageReading

FILES = 100
"""Different scans on disk; more pages than the helper keeps decoded."""
BLOCK = 500
SCALE = 1.5  # of the cards' 200 dpi
A4_PX = (2480, 3508)
FIELDS_A_PAGE = 10
WARM_UP = 20
LISTS = 200
LONGEST_HELD_S = 60.0

WATCH = """() => {
  window.shownIn = [];
  let pressed = 0;
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter") pressed = event.timeStamp;
  }, true);
  new MutationObserver(async (changes) => {
    const picture = changes.flatMap((change) => [...change.addedNodes]).find((node) => node.tagName === "IMG");
    if (!picture || !pressed) return;
    await picture.decode();
    requestAnimationFrame(() => setTimeout(() => window.shownIn.push(performance.now() - pressed)));
  }).observe(document.getElementById("crop-inner"), { childList: true });
}"""
"""Notes the milliseconds from each Enter until the next picture is decoded and painted."""

STATE = """() => ({
  shown: window.shownIn.length,
  mode: document.getElementById("slot").dataset.mode,
  ghost: document.getElementById("ghost").textContent.replaceAll("\\u00a0", "_"),
})"""


def main() -> None:
    """Measure everything and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fields", type=int, default=100_000, help="fields in the database, one in ten waits")
    parser.add_argument("--decisions", type=int, default=300, help="decisions that are timed")
    parser.add_argument("--chaos", type=int, default=500, help="fields that two people decide, one being killed")
    parser.add_argument("--real-time", action="store_true", help="chrt -r 1 for server and browser")
    options = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="icr-bench-"))
    try:
        measure(home, options)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def measure(home: Path, options: argparse.Namespace) -> None:
    """Fill a home, serve it, and print one line a figure."""
    engine = make_engine(f"sqlite:///{home / 'icr.db'}")
    upgrade_database(engine)
    fill(engine, draw_scans(home / "inbox"), options.fields // FIELDS_A_PAGE)
    with served(home, options.real_time) as (address, pid), sync_playwright() as playwright:
        way_in = f"{address}/enter?token={read_local_token(home)}"
        with chromium(playwright, home / "browser", options.real_time) as browser:
            page = browser.browser.contexts[0].new_page()
            page.goto(way_in)
            work(page, engine, options.decisions)
        show("GET /v1/fields?status=review, p95, ms", f"{list_p95(address, read_local_token(home)):.1f}")
        show_memory(pid)
        if options.chaos:
            two_people(playwright, home, way_in, engine, options)
            show_memory(pid)
    print(f"(load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores)")


def show(what: str, figure: str) -> None:
    print(f"{what:<62} {figure:>10}", flush=True)


# --- the database ------------------------------------------------------------------------------------------------


def draw_scans(inbox: Path) -> list[Path]:
    """Write A4 pages with a sample card at the top; no two have the same bytes."""
    inbox.mkdir(parents=True)
    card = cv2.imread(str(CARDS / "card-1.png"), cv2.IMREAD_GRAYSCALE)
    large = cv2.resize(np.asarray(card), None, fx=SCALE, fy=SCALE, interpolation=cv2.INTER_CUBIC)
    sheet = np.full((A4_PX[1], A4_PX[0]), 250, np.uint8)
    h, w = min(large.shape[0], A4_PX[1]), min(large.shape[1], A4_PX[0])
    sheet[:h, :w] = large[:h, :w]
    noise = np.random.default_rng(1).normal(0, 3, sheet.shape)
    sheet = np.clip(sheet + noise, 0, 255).astype(np.uint8)
    paths = []
    for i in range(FILES):
        cv2.putText(sheet, f"{i:04d}", (1800, 3300), cv2.FONT_HERSHEY_SIMPLEX, 2, int(i % 80), 3)
        paths.append(inbox / f"scan-{i:04d}.jpg")
        cv2.imwrite(str(paths[-1]), sheet, [cv2.IMWRITE_JPEG_QUALITY, 80])
    return paths


def readings() -> list[PageReading]:
    """Return pages that differ in how their waiting field is shown: to confirm, in part, blind."""
    specs = {spec.name: spec for spec in load_templates(None)["meter-card"].fields}
    truth = card_truth(1)

    def page(**how: Any) -> PageReading:
        fields = [scaled(card_field(specs["current_reading"], truth["current_reading"], **how))]
        others = [name for name in truth if name != "current_reading"][: FIELDS_A_PAGE - 1]
        fields += [replace(scaled(card_field(specs[name], truth[name])), digits=()) for name in others]
        return card_page(*fields, width_px=A4_PX[0], height_px=A4_PX[1])

    return [page(doubts=(LOW,)), page(doubts=(LOW,), weak={2: 0.7}), page(doubts=(DIFFER,))]


def scaled(field: FieldReading) -> FieldReading:
    """Return a field of a card at 300 dpi."""

    def larger(box: Box) -> Box:
        return Box(*(SCALE * side for side in box))

    digits = tuple(replace(digit, box_px=larger(digit.box_px)) for digit in field.digits)
    return replace(field, box_px=larger(field.box_px), digits=digits)


def fill(engine: Engine, paths: list[Path], pages: int) -> None:
    """Write the readings of ``pages`` scans in bulk; the three ways of showing a field take turns."""
    hashes = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
    kinds = readings()
    for first in range(0, pages, BLOCK):
        with writing(engine) as connection:
            now = database_now(connection)
            ids = [insert_scan(connection, sha256=each, size=1, now=now) for each in hashes]
            for i in range(first, min(first + BLOCK, pages)):
                job = {"id": str(uuid.uuid4()), "scan_id": ids[i % FILES], "uri": paths[i % FILES].as_uri()}
                times = dict.fromkeys(("created_at", "queued_at", "finished_at"), now)
                counts = {"priority": 5, "attempts": 1, "deliveries": 1, "linked": False}
                state = {"source": "inbox", "state": JobState.DONE}
                connection.execute(insert(JobRow).values(**job, **times, **counts, **state))
                insert_readings(connection, job["id"], [kinds[i % len(kinds)]], now=now)


# --- the server and the browser ----------------------------------------------------------------------------------


@contextmanager
def served(home: Path, real_time: bool) -> Iterator[tuple[str, int]]:
    """Serve the home on the first core, in a process of its own; yield its address and process id."""
    environment = {**os.environ, "ICR_HOME": str(home), "ICR_LOG_LEVEL": "error"}
    command = [*pinned(0, real_time), sys.executable, "-m", "worker", "serve", "--port", "0"]
    with (home / "serve.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stderr=log, stdout=log)
    try:
        said = home / "serve.log"
        wait_until(lambda: "http://" in said.read_text(), 60, said.read_text)
        wait_until(lambda: (home / FILE).exists(), 10, "the token is there")
        address = next(word for word in said.read_text().split() if word.startswith("http://"))
        yield address.partition("/enter")[0].rstrip("/"), process.pid
    finally:
        process.terminate()
        process.wait(20)


def pinned(core: int, real_time: bool) -> list[str]:
    """Return the words before a command that give it a core."""
    last = max(0, (os.cpu_count() or 1) - 1)
    return ["taskset", "-c", str(min(core, last)), *(["chrt", "-r", "1"] if real_time else [])]


@contextmanager
def chromium(playwright: Playwright, folder: Path, real_time: bool) -> Iterator[KillableChromium]:
    """Start a browser on the second core."""
    browser = KillableChromium(playwright, folder, *pinned(1, real_time))
    try:
        yield browser
    finally:
        browser.kill()


# --- the figures -------------------------------------------------------------------------------------------------


def work(page: Page, engine: Engine, decisions: int) -> None:
    """Decide so many fields as fast as the page allows, and print what each took."""
    page.wait_for_selector("#answer:enabled")
    page.evaluate(WATCH)
    for _ in range(WARM_UP):
        decide(page)
    page.evaluate("() => { window.shownIn.length = 0; }")
    started = time.perf_counter()
    for _ in range(decisions):
        decide(page)
    took_s = time.perf_counter() - started
    page.wait_for_selector("#recent li:first-child button:enabled")
    shown = sorted(page.evaluate("() => window.shownIn"))
    show("Enter to the next crop on the screen, p50, ms", f"{statistics.median(shown):.0f}")
    show("Enter to the next crop on the screen, p95, ms", f"{shown[int(0.95 * len(shown))]:.0f}")
    show("decisions a minute that the software allows", f"{60 * decisions / took_s:.0f}")
    with reading(engine) as connection:
        keys = select(ReviewRow.shown, func.avg(ReviewRow.keys)).group_by(ReviewRow.shown)
        for shown_as, count in connection.execute(keys):
            show(f"keys of a six-digit field shown as: {shown_as}", f"{count:.2f}")


def decide(page: Page, truth: str = "036270") -> bool:
    """Decide the field on the screen and wait until the next is painted; False where nothing waits."""
    state = page.evaluate(STATE)
    if state["mode"] == "idle":
        return False
    if state["mode"] == "whole":
        page.keyboard.type(truth)
    elif state["mode"] == "partial":
        page.keyboard.type("".join(t for t, s in zip(truth, state["ghost"], strict=True) if s == "_"))
    page.keyboard.press("Enter")
    deadline = time.monotonic() + 30
    while True:
        now = page.evaluate(STATE)
        if now["shown"] > state["shown"] or now["mode"] == "idle":
            return True
        if time.monotonic() > deadline:
            raise TimeoutError("the next field is not shown")


def list_p95(address: str, token: str) -> float:
    """Return the 95th percentile of asking for a list of waiting fields, in milliseconds."""
    took = []
    with httpx.Client(base_url=address, headers={"Authorization": f"Bearer {token}"}) as client:
        for _ in range(LISTS):
            started = time.perf_counter()
            client.get("/v1/fields", params={"status": "review"}).raise_for_status()
            took.append(1000 * (time.perf_counter() - started))
    return sorted(took)[int(0.95 * LISTS)]


def show_memory(pid: int) -> None:
    """Print the memory of the server, and of the helper that draws pictures."""
    children = [each for path in Path(f"/proc/{pid}/task").glob("*/children") for each in path.read_text().split()]
    show("memory of the server, MB", f"{resident_mb(pid):.0f}")
    show("memory of its helper that decodes pages, MB", f"{max([resident_mb(int(c)) for c in children] or [0.0]):.0f}")


def resident_mb(pid: int) -> float:
    """Return what a process keeps in memory by itself and shared, in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024


def two_people(playwright: Playwright, home: Path, way_in: str, engine: Engine, options: argparse.Namespace) -> None:
    """Let two people decide ``chaos`` fields, the browser of one killed every fifty; print what went wrong."""
    browsers: list[KillableChromium] = []

    def person() -> Page:
        folder = home / f"person-{uuid.uuid4().hex[:8]}"
        browsers.append(KillableChromium(playwright, folder, *pinned(1, options.real_time)))
        page = browsers[-1].browser.contexts[0].new_page()
        page.set_default_timeout(120_000)
        page.goto(way_in)
        page.wait_for_selector("#answer:enabled")
        page.evaluate(WATCH)
        return page

    try:
        decide_together(person, browsers, engine, options.chaos)
    finally:
        for browser in browsers:
            browser.kill()


def decide_together(
    person: Callable[[], Page], browsers: list[KillableChromium], engine: Engine, decisions: int
) -> None:
    """Decide in turns in two browsers, and kill the second one every fifty decisions of its person."""
    before = count_decided(engine)
    steady = person()
    steady_station = {station for _, station in held_fields(engine)}
    other, kills, orphans = person(), 0, set[int]()
    for i in range(1, decisions // 2 + 1):
        decide(steady)
        decide(other)
        if i % 50 == 0:
            browsers.pop().kill()
            kills += 1
            orphans |= {field for field, station in held_fields(engine) if station not in steady_station}
            other = person()
    last_kill = time.monotonic()
    while orphans - set(count_decided(engine)) and time.monotonic() < last_kill + LONGEST_HELD_S:
        decide(steady)
    fresh = count_decided(engine) - before
    show(f"two people, {kills} browsers killed: decisions", f"{fresh.total()}")
    show("decided twice", f"{sum(count > 1 for count in fresh.values())}")
    show("in hand of a killed browser, and not decided a minute later", f"{len(orphans - set(count_decided(engine)))}")


def count_decided(engine: Engine) -> Counter[int]:
    """Count the decisions on each field."""
    with reading(engine) as connection:
        decided = select(ReviewRow.field_id).where(ReviewRow.action.in_(["correct", "confirm"]))
        return Counter(connection.execute(decided).scalars())


def held_fields(engine: Engine) -> list[tuple[int, str]]:
    """Return the fields in hand, each with its station."""
    with reading(engine) as connection:
        held = select(ReviewTaskRow.field_id, ReviewTaskRow.station).where(ReviewTaskRow.station.is_not(None))
        return [(row.field_id, row.station) for row in connection.execute(held)]


if __name__ == "__main__":
    main()
