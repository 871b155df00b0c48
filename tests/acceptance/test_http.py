"""The whole way by HTTP, on a real system: the lines and the program of the documentation, and a webhook at the end."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from standardwebhooks import Webhook

from tests.support.data import PROJECT
from tests.support.receiver import Receiver
from tests.support.station import chromium
from tests.support.system import PATIENCE, Home, draw_scan, processes_of, wait_until
from worker.system.local_token import FILE

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.timeout(240), pytest.mark.xdist_group("http")]

PAGE = (PROJECT / "docs" / "how-to" / "http.md").read_text("utf-8")
CURLS = [block for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) if "curl" in block]
(CLIENT,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    home = Home(
        tmp_path_factory.mktemp("http") / "home",
        ICR_SERVE_PORT=str(port),
        ICR_WEBHOOK_PRIVATE="true",
        ICR_AUDIT_SHARE="0",
        ICR_CONCURRENCY="1",
    )
    home.start("up")
    home.wait_for_worker()
    yield home
    home.stop()
    wait_until(lambda: not processes_of(home.folder), 20, "no process is left behind")


@pytest.fixture(scope="module")
def address(home: Home) -> str:
    address = f"http://127.0.0.1:{home.env['ICR_SERVE_PORT']}"
    wait_until(lambda: f"station at {address}/enter?token=" in home.said(), 30, home.said)
    wait_until(lambda: _answers(f"{address}/login"), 30, home.said)
    return address


def _answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture(scope="module")
def token(home: Home) -> str:
    line = re.search(r"TOKEN=\$\(icr (.*)\)", PAGE)
    assert line is not None
    made = home.icr(*line[1].split())
    assert made.returncode == 0, made.stderr
    return made.stdout.strip()


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl")
def test_the_lines_of_the_page_work_in_their_order(home: Home, address: str, token: str, tmp_path: Path) -> None:
    draw_scan(tmp_path / "scan.png", 471108)
    draw_scan(tmp_path / "other.png", 471109)
    env = {**os.environ, "ICR": address, "TOKEN": token}
    said: list[str] = []
    for block in CURLS:
        done = subprocess.run(
            ["bash", "-euc", block],
            env=env,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60 * PATIENCE,
            check=False,
        )
        assert done.returncode == 0, (block, done.stdout, done.stderr, home.said())
        said.append(done.stdout)
        if "ID" not in env:
            env["ID"] = json.loads(done.stdout.partition("}{")[0] + "}" * ("}{" in done.stdout))["id"]
        elif "FIELD" not in env:
            result = json.loads(done.stdout)
            assert result["scan"]["state"] == "done" and result["scan"]["reference"] == "invoice-7"
            env["FIELD"] = str(result["pages"][0]["fields"][0]["field_id"])
            env["PAGE"] = str(result["pages"][0]["page_id"])
    assert (tmp_path / "field.jpg").read_bytes()[:3] == (tmp_path / "page.jpg").read_bytes()[:3] == b"\xff\xd8\xff"
    ((final, origin),) = home.rows("SELECT final_text, origin FROM fields WHERE id = ?", int(env["FIELD"]))
    assert (final, origin) == ("4711", "reviewer")
    assert '"4711"' in said[-1] and '"confidence":0.95' in said[-1]


def test_the_program_of_the_page_works(home: Home, address: str, token: str, tmp_path: Path) -> None:
    (tmp_path / "client.py").write_text(CLIENT)
    assert len([line for line in CLIENT.splitlines() if line.strip()]) <= 50
    scan = draw_scan(tmp_path / "order-8.png", 815042)
    done = subprocess.run(
        [sys.executable, "client.py", str(scan)],
        env={**os.environ, "ICR": address, "TOKEN": token},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60 * PATIENCE,
        check=False,
    )
    assert done.returncode == 0, (done.stderr, home.said())
    assert re.search(r"fields await a person in all\n\Z", done.stdout) and len(done.stdout.splitlines()) >= 2
    (row,) = home.rows("SELECT source, reference FROM jobs WHERE reference = 'order-8'")
    assert row == ("http", "order-8")


def test_from_a_posted_scan_to_a_signed_webhook_and_a_value_in_sql(home: Home, address: str, tmp_path: Path) -> None:
    """The token of the printed address is the program's here, and signs the person's browser in, who keys."""
    receiver = Receiver()
    secret = home.icr("webhooks", "add", receiver.url, "--event", "scan.complete").stdout.strip()
    bearer = {"Authorization": f"Bearer {(home.folder / FILE).read_text()}"}
    scan = draw_scan(tmp_path / "late.png", 305779)
    with httpx.Client(base_url=address, headers=bearer, timeout=60) as client:
        sent = client.post("/v1/scans", content=scan.read_bytes(), params={"template": "free", "reference": "late"})
        result = client.get(f"/v1/scans/{sent.json()['id']}/result", params={"wait": 30}).json()
        assert not result["scan"]["complete"] and result["scan"]["awaiting"] >= 1, home.said()
        waiting = {field["field_id"] for field in result["pages"][0]["fields"] if field["final"] is None}
        assert waiting, "a number of free writing awaits a person, unless this one is read for sure"
        with chromium() as browser:
            screen = browser.new_page()
            screen.goto(f"{address}/enter?token={(home.folder / FILE).read_text()}")
            key_what_waits(screen, client, "305779")
        for page in client.get("/v1/pages").json()["items"]:
            home.icr("settle", str(page["page_id"]), "--by", "anna")
        scan_id = sent.json()["id"]
        wait_until(lambda: told_of(receiver, scan_id), 30, home.said)
        assert client.get(f"/v1/scans/{sent.json()['id']}").json()["complete"]
    headers, body = told_of(receiver, scan_id)[0]
    event = Webhook(secret).verify(body, headers)
    assert (event["type"], event["data"]["scan"]) == ("scan.complete", sent.json()["id"])
    rows = home.rows("SELECT final_value FROM final_fields WHERE reference = 'late' AND origin = 'reviewer'")
    assert rows and set(rows) == {("305779",)}
    receiver.close()


def told_of(receiver: Receiver, scan_id: str) -> list[tuple[dict[str, str], str]]:
    """Return the messages that tell of a scan; the person has completed those of the other tests, too."""
    return [message for message in receiver.got if scan_id in message[1]]


def key_what_waits(page: Page, client: httpx.Client, number: str) -> None:
    """Key a number into every field that waits, as a person who takes it as it is."""
    decided = 0
    while client.get("/v1/fields").json()["items"]:
        page.wait_for_selector("#answer:enabled")
        page.keyboard.type(number)
        page.keyboard.press("Control+Enter")
        decided += 1
        page.locator(f"#recent li:nth-child({decided}) button:enabled").wait_for()


def test_no_digit_of_a_reading_and_no_token_is_in_a_log(home: Home, address: str, token: str) -> None:
    """The last of the module: what was sent and keyed above stands in no log, and neither does what lets one in."""
    logs = "".join(path.read_text("utf-8", "replace") for path in home.folder.glob("logs/*.log"))
    assert logs and token not in logs and (home.folder / FILE).read_text() not in logs
    assert "station at" in logs
    assert not re.search(r"(?<![\d.])(471108|815042|305779)(?!\d)", logs)
