"""A station for tests: sample cards with readings made by hand, and a real Chromium that looks at them."""

from __future__ import annotations

import csv
import hashlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Engine

from schemas.form_template import FieldSpec
from tests.support.data import PROJECT
from tests.support.http import served
from tests.support.readings import make_digit, read
from tests.support.system import PATIENCE, wait_until
from worker.bootstrap import Runtime, build_runtime
from worker.doubts import Doubt, DoubtKind
from worker.forms.templates import load_templates
from worker.settings import Settings
from worker.system.local_token import read_local_token
from worker.values import Box, DigitReading, FieldReading, FieldStatus, PageReading

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Playwright

CHROMIUM = Path("/usr/bin/chromium")
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
CARDS = PROJECT / "samples" / "meter-card"
PX_PER_MM = 200 / 25.4
"""The sample cards are drawn at 200 dpi, their page upright from corner to corner."""

LABELS = {spec.label: spec.name for spec in load_templates(None)["meter-card"].fields}
"""The names of the card's fields by what the station calls them."""

LOW = Doubt(DoubtKind.LOW_CONFIDENCE, found=0.95, needed=0.98)
DIFFER = Doubt(DoubtKind.READERS_DIFFER, position=1, readings=("1", "7"))


def card_truth(number: int) -> dict[str, str]:
    """Return the digits of the fields of a sample card, by name."""
    with (PROJECT / "samples" / "truth.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["file"] == f"meter-card/card-{number}.png"]
    return {row["field"]: row["digits"] for row in rows}


def card_field(
    spec: FieldSpec,
    text: str,
    *,
    doubts: tuple[Doubt, ...] = (),
    weak: dict[int, float] | None = None,
    confidence: float = 0.96,
) -> FieldReading:
    """Return a field of a card as if it had been read as ``text``; ``weak`` are confidences of digits, by position."""
    x, y, w, h = (v * PX_PER_MM for v in spec.box_mm)
    step = w / max(len(text), 1)
    digits = tuple(
        DigitReading(
            i, make_digit(i, int(d), (weak or {}).get(i, 0.9995)).probabilities, 0.01, Box(x + i * step, y, step, h)
        )
        for i, d in enumerate(text)
    )
    return FieldReading(
        spec.name,
        text,
        confidence,
        FieldStatus.REVIEW if doubts else FieldStatus.ACCEPTED if text else FieldStatus.BLANK,
        Box(x, y, w, h),
        digits,
        doubts=doubts,
        accept_threshold=0.98,
        written=text,
        grammar=spec.grammar,
    )


def card_page(*fields: FieldReading, number: int = 0, **changes: object) -> PageReading:
    """Return the reading of a whole card."""
    page = PageReading(
        page=number,
        width_px=1654,
        height_px=1165,
        fields=fields,
        template="meter-card",
        template_version="1",
        registration=0.97,
        model_versions={"digits": "1.0"},
    )
    return replace(page, **changes)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Station:
    """A served station with its database."""

    runtime: Runtime
    address: str

    @property
    def engine(self) -> Engine:
        return self.runtime.engine()

    @property
    def way_in(self) -> str:
        return f"{self.address}/enter?token={read_local_token(self.runtime.home)}"


def make_runtime(folder: Path, database: Path, **settings: Any) -> Runtime:
    """Return a runtime with a database of its own and the sample cards in its inbox."""
    (folder / "inbox").mkdir(parents=True)
    shutil.copy(database, folder / "icr.db")
    for path in CARDS.glob("*.png"):
        shutil.copy(path, folder / "inbox")
    return build_runtime(Settings(home=folder, **settings))


def fill_with_cards(runtime: Runtime) -> list[str]:
    """Write three cards as read: doubts of each kind that the station shows in its own way; return their job ids."""
    specs = {spec.name: spec for spec in load_templates(None)["meter-card"].fields}
    jobs = []
    for number in (1, 2):
        truth = card_truth(number)
        how: dict[str, dict[str, object]] = {
            "meter_number": {"doubts": (LOW,), "weak": {2: 0.7, 7: 0.6}},
            "customer": {"doubts": (LOW,)},
            "route": {"doubts": (DIFFER,)},
            "phone": {"doubts": (Doubt(DoubtKind.STRUCK_DIGIT, position=3),)},
            "current_reading": {"doubts": (LOW,), "weak": {0: 0.8}},
            "consumption": {
                "doubts": (Doubt(DoubtKind.RULE_BROKEN, subject="difference", explanation="makes 1"),),
                "confidence": 0.9,
            },
        }
        fields = [card_field(specs[name], text, **how.get(name, {})) for name, text in truth.items()]  # type: ignore[arg-type]
        jobs.append(read_file(runtime, f"card-{number}.png", card_page(*fields)))
    return jobs


def read_file(runtime: Runtime, name: str, page: PageReading) -> str:
    """Write the reading of a file in the inbox and return its job."""
    path = runtime.inbox / name
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    given = {"sha256": sha256, "uri": path.as_uri(), "template": None, "source": "inbox", "duplicates": "reprocess"}
    return read(runtime.engine(), page, **given)


@contextmanager
def serve_station(runtime: Runtime) -> Iterator[Station]:
    """Serve the pages of a runtime."""
    with served(runtime) as address:
        yield Station(runtime, address)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start a real Chromium, or skip the test with the reason."""
    sync = pytest.importorskip("playwright.sync_api", reason="no playwright: pip install -e '.[test]'")
    if not CHROMIUM.exists():
        pytest.skip(f"no {CHROMIUM}: apt install chromium")
    with sync.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=CHROMIUM_FLAGS)
        try:
            yield browser
        finally:
            browser.close()


def open_page(browser: Browser, station: Station, path: str = "/review", **device: Any) -> Page:
    """Sign in with a browser profile of its own and open a page of the station; ``device`` says on what."""
    page = browser.new_context(**{"viewport": {"width": 1280, "height": 860}, **device}).new_page()
    page.set_default_timeout(30_000 * PATIENCE)
    page.context.request.get(station.way_in)  # signs in without a page, which would take fields in hand
    page.goto(station.address + path)
    return page


class KillableChromium:
    """A Chromium of its own that a test may kill as a power cut would: no page of it says goodbye.

    ``before`` are words that go before the command, as ``taskset -c 1``.
    """

    def __init__(self, playwright: Playwright, folder: Path, *before: str) -> None:
        folder.mkdir()
        flags = [*CHROMIUM_FLAGS, "--headless=new", "--remote-debugging-port=0", f"--user-data-dir={folder}"]
        with (folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [*before, str(CHROMIUM), *flags, "about:blank"], stdout=log, stderr=log, start_new_session=True
            )
        port = folder / "DevToolsActivePort"
        wait_until(lambda: port.exists() and "\n" in port.read_text(), 30, "Chromium starts")
        self.browser = playwright.chromium.connect_over_cdp(f"http://127.0.0.1:{port.read_text().splitlines()[0]}")

    def kill(self) -> None:
        """End it with all of its processes, which are a group of their own."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


SEEN = """() => ({
  label: document.getElementById("label").textContent,
  place: document.getElementById("place").textContent,
  mode: document.getElementById("slot").dataset.mode,
  ghost: document.getElementById("ghost").textContent.replaceAll("\\u00a0", "_"),
})"""


def answer_field(page: Page, truths: dict[str, dict[str, str]], names: dict[str, str]) -> bool:
    """Decide the field on the screen as a person who reads well would; False where none is there, or none yet."""
    seen = page.evaluate(SEEN)
    if seen["mode"] == "idle" or not seen["place"]:
        return False
    scan = next(name for name in truths if name in seen["place"])
    truth = truths[scan][names[seen["label"]]]
    if seen["mode"] == "whole":
        page.keyboard.type(truth)
    elif seen["mode"] == "partial":
        page.keyboard.type("".join(t for t, s in zip(truth, seen["ghost"], strict=True) if s == "_"))
    page.keyboard.press("Enter")
    return True
