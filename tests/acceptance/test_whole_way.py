"""The whole way on one machine: a scan is posted, a person keys what is doubted, another system is told, SQL has it."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.data import PROJECT
from tests.support.receiver import Receiver
from tests.support.station import CARDS, card_truth, chromium
from tests.support.system import Home, processes_of, wait_until
from worker.system.local_token import read_local_token

pytest.importorskip("playwright", reason="no playwright: pip install -e '.[test]'")
from playwright.sync_api import expect

pytestmark = pytest.mark.timeout(180)
TEMPLATE = "keyed-card"
SHIPPED = PROJECT / "schemas" / "templates" / "meter-card.json"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@pytest.fixture
def home(tmp_path: Path, port: int) -> Iterator[Home]:
    home = Home(tmp_path / "home", ICR_SERVE_PORT=str(port), ICR_WEBHOOK_PRIVATE="true", ICR_CONCURRENCY="1")
    write_template(home.folder / "templates")
    yield home
    home.stop()
    wait_until(lambda: not processes_of(home.folder), 20, "no process is left behind")


def write_template(folder: Path) -> None:
    """Write a form of one field that is keyed twice: the machine is the first keyer, or one of them."""
    card = json.loads(SHIPPED.read_text())
    (postcode,) = (field for field in card["fields"] if field["name"] == "postcode")
    card |= {"name": TEMPLATE, "fields": [{**postcode, "verify": "double"}], "rules": []}
    folder.mkdir(parents=True)
    (folder / f"{TEMPLATE}.json").write_text(json.dumps(card))


def test_a_posted_scan_is_keyed_told_and_found_in_sql(home: Home, receiver: Receiver, port: int) -> None:
    truth = card_truth(1)["postcode"]
    home.start("up")
    address = f"http://127.0.0.1:{port}"
    wait_until(lambda: answers(address), 60, home.said)
    assert home.icr("webhooks", "add", receiver.url).returncode == 0
    token = read_local_token(home.folder)
    with httpx.Client(base_url=address, headers={"Authorization": f"Bearer {token}"}, timeout=60) as client:
        sent = client.post(
            "/v1/scans",
            params={"template": TEMPLATE, "reference": "order 7"},
            content=(CARDS / "card-1.png").read_bytes(),
        )
        assert sent.status_code == 202, sent.text
        scan = sent.json()["id"]
        assert client.get(f"/v1/scans/{scan}/result", params={"wait": 30}).status_code == 200, home.said()
    with chromium() as browser:
        page = browser.new_context().new_page()
        page.goto(f"{address}/enter?token={token}")
        expect(page.locator("#label")).to_have_text("Postcode", timeout=30_000)
        expect(page.locator("#hint")).to_contain_text("keyed twice")
        page.keyboard.type(truth)
        page.keyboard.press("Enter")
        expect(page.locator("#label")).to_have_text("Nothing waits", timeout=30_000)
        wait_until(lambda: len(home.rows("SELECT 1 FROM reviews")) == 1, 20, home.said)
    wait_until(lambda: sorted(receiver.events()) == ["field.reviewed", "scan.complete", "scan.read"], 30, home.said)
    rows = home.rows("SELECT final_value, origin, reference, template FROM final_fields")
    assert rows == [(truth, "reviewer", "order 7", TEMPLATE)]


def answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}/login").status_code < 500
    except httpx.HTTPError:
        return False
