"""Who may ask: nobody without the token of this machine, and no page of another site; what every answer bears."""

from __future__ import annotations

import shutil
import socket
import ssl
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import trustme

from tests.support.http import served
from tests.support.system import Home, wait_until
from worker.api.serving import listen
from worker.bootstrap import Runtime, build_runtime
from worker.errors import SettingsError
from worker.settings import Settings
from worker.system.local_token import FILE, is_loopback, local_address, read_local_token


@pytest.fixture
def runtime(tmp_path: Path, sqlite_template: Path) -> Runtime:
    shutil.copy(sqlite_template, tmp_path / "icr.db")
    return build_runtime(Settings(home=tmp_path))


@pytest.fixture
def client(runtime: Runtime) -> Iterator[httpx.Client]:
    with served(runtime) as address, httpx.Client(base_url=address) as client:
        yield client


def test_the_token_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    token = read_local_token(tmp_path)
    assert len(token) == 32 and read_local_token(tmp_path) == token
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600
    assert token in local_address(tmp_path, "::1", 8017) and "[::1]:8017" in local_address(tmp_path, "::1", 8017)


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("127.8.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("a.b", False)],
)
def test_only_this_machine_is_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_a_wrong_token_opens_nothing(client: httpx.Client) -> None:
    answer = client.get("/enter", params={"token": "wrong"})
    assert answer.status_code == 401 and not client.cookies
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == 401


def test_the_printed_address_signs_in_and_loses_its_token(client: httpx.Client, runtime: Runtime) -> None:
    answer = client.get("/enter", params={"token": read_local_token(runtime.home)})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert "httponly" in cookie.lower() and "samesite=strict" in cookie.lower()
    assert read_local_token(runtime.home) not in cookie and client.get("/v1/fields").status_code == 200


def test_a_browser_is_shown_errors_as_pages_and_a_program_gets_problem_details(
    client: httpx.Client, runtime: Runtime
) -> None:
    client.headers["Authorization"] = f"Bearer {read_local_token(runtime.home)}"
    browser = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    for path, status, told in (
        ("/nowhere", 404, "There is nothing here"),
        ("/pages/7", 404, "There is no page 7: its scan was read again or purged."),
        ("/pages/seven", 422, "This cannot be asked so"),
        ("/enter?token=wrong", 401, "The address is not the one that was printed last."),
    ):
        page = client.get(path, headers=browser)
        assert (page.status_code, page.headers["content-type"]) == (status, "text/html; charset=utf-8"), path
        assert told in page.text and 'href="/"' in page.text
        assert "default-src 'none'" in page.headers["content-security-policy"]
        asked = client.get(path, headers={"Accept": "*/*"})
        assert (asked.status_code, asked.headers["content-type"]) == (status, "application/problem+json"), path
    assert client.get("/v1/scans/none", headers=browser).headers["content-type"] == "application/problem+json"


def test_every_answer_bears_the_policy(client: httpx.Client) -> None:
    for path in ("/enter", "/nowhere", "/v1/openapi.json"):
        headers = client.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"


def test_no_answer_waits_for_an_acknowledgement() -> None:
    with listen("127.0.0.1", 0) as server, socket.create_connection(server.getsockname()):
        accepted, _ = server.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        with pytest.raises(SettingsError, match="ICR_SERVE_PORT"):
            listen("127.0.0.1", server.getsockname()[1])


def test_with_a_certificate_it_is_served_by_https_and_cookies_are_sent_by_nothing_else(
    tmp_path: Path, sqlite_template: Path
) -> None:
    shutil.copy(sqlite_template, tmp_path / "icr.db")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    pem = str(tmp_path / "server.pem")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    home = Home(tmp_path, ICR_SERVE_CERTIFICATE=pem, ICR_SERVE_KEY=pem)
    home.start("serve", "--port", str(port))
    trusted = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    with httpx.Client(base_url=f"https://127.0.0.1:{port}", verify=trusted) as client:
        wait_until(lambda: _answers(client), 30, home.said)
        answer = client.get("/enter", params={"token": read_local_token(tmp_path)})
        assert answer.status_code == 303 and "secure" in answer.headers["set-cookie"].lower()
        assert client.get("/v1/fields").status_code == 200
    home.stop()
    refused = Home(tmp_path, ICR_SERVE_CERTIFICATE=str(tmp_path / "none.pem")).icr("serve", "--port", "0")
    assert refused.returncode == 1 and "ICR_SERVE_CERTIFICATE" in refused.stderr and "Traceback" not in refused.stderr


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/login").status_code == 200
    except httpx.TransportError:
        return False


def test_other_commands_never_load_the_server() -> None:
    code = (
        "import sys; from worker.cli import icr; import worker.commands.results, worker.commands.run, worker.bootstrap;"
        "icr.main(['--help'], standalone_mode=False);"
        "sys.exit(bool({'fastapi', 'uvicorn', 'jinja2'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0
