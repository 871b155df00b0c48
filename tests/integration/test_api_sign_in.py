"""Signing in on both databases: by password, by the printed address, by token; and who is kept out."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest
from click.testing import CliRunner
from sqlalchemy import Engine

from tests.support.http import Stage, served
from tests.support.readings import PAGE, read
from worker.api.passwords import FailureLimits, hash_password, is_password
from worker.bootstrap import Runtime
from worker.cli import icr
from worker.errors import InvalidUserError
from worker.settings import Settings
from worker.store import users
from worker.system.local_token import read_local_token

PASSWORD = "correct horse battery"
HASH = hash_password(PASSWORD)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """Return a server that other machines reach, by its settings; it is served on the loopback all the same."""
    return Stage(Settings(home=tmp_path_factory.mktemp("stage"), serve_host="0.0.0.0"))


@pytest.fixture(scope="module")
def address(stage: Stage) -> Iterator[str]:
    with served(stage.runtime) as address:
        yield address


@pytest.fixture
def runtime(stage: Stage, engine: Engine) -> Runtime:
    stage.enter(engine)
    users.add_user(engine, "anna", "supervisor", HASH)
    return stage.runtime


@pytest.fixture
def client(address: str, runtime: Runtime) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=address) as client:
        yield client


def sign_in(client: httpx.Client, password: str = PASSWORD, name: str = "anna", **more: str) -> httpx.Response:
    return client.post("/login", data={"name": name, "password": password, **more})


def test_a_password_opens_a_session_and_signing_out_ends_it(client: httpx.Client) -> None:
    assert client.get("/v1/fields").status_code == 401
    page = client.get("/v1/fields", headers={"Accept": "text/html"})
    assert (page.status_code, page.headers["location"]) == (303, "/login?next=/v1/fields")
    assert "<h1>Sign in" in client.get(page.headers["location"]).text
    answer = sign_in(client, next="/v1/fields")
    assert (answer.status_code, answer.headers["location"]) == (303, "/v1/fields")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=strict" in cookie and "max-age" in cookie
    assert client.get("/v1/fields").status_code == 200
    stolen = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
    assert client.post("/logout").status_code == 303
    assert client.get("/v1/fields", headers={"Cookie": stolen}).status_code == 401


@pytest.mark.parametrize(
    ("name", "password"), [("anna", "wrong"), ("berta", PASSWORD), ("", ""), ("anna", PASSWORD + " ")]
)
def test_a_wrong_name_or_password_is_told_alike(client: httpx.Client, name: str, password: str) -> None:
    answer = sign_in(client, password, name)
    assert answer.status_code in (401, 422) and not client.cookies
    if answer.status_code == 401:
        assert "The name or the password is wrong." in answer.text


def test_a_name_is_never_markup(client: httpx.Client) -> None:
    answer = sign_in(client, "x", '"><script>alert(1)</script>')
    assert "<script>alert" not in answer.text


@pytest.mark.parametrize(
    "leads_to", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:1", "/a\r\nSet-Cookie: x=1"]
)
def test_nobody_is_led_elsewhere_by_signing_in(client: httpx.Client, leads_to: str) -> None:
    assert sign_in(client, next=leads_to).headers["location"] == "/"


def test_tries_are_limited_by_name_and_by_address() -> None:
    limits = FailureLimits(per_name_and_address=2, per_address=4, per_name=6)
    for _ in range(2):
        assert limits.wait_s("anna", "a") == 0
        limits.note("anna", "a")
    assert limits.wait_s("anna", "a") > 0 and limits.wait_s("anna", "b") == 0
    for name in ("b", "c"):
        limits.note(name, "a")
    assert limits.wait_s("new", "a") > 0, "one address tries many names"
    for address in "cdef":
        limits.note("anna", address)
    assert limits.wait_s("anna", "new") > 0, "many addresses try one name"


def test_after_five_failures_even_the_right_password_waits(client: httpx.Client, runtime: Runtime) -> None:
    hasty = f"hasty on {runtime.engine().dialect.name}"
    users.add_user(runtime.engine(), hasty, "keyer", HASH)
    for _ in range(5):
        assert sign_in(client, "wrong", hasty).status_code == 401
    answer = sign_in(client, PASSWORD, hasty)
    assert answer.status_code == 429 and 0 < int(answer.headers["retry-after"]) <= 301


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ],
)
def test_another_site_makes_no_browser_do_anything(
    client: httpx.Client, runtime: Runtime, headers: dict[str, str]
) -> None:
    read(runtime.engine(), PAGE)
    assert sign_in(client).status_code == 303
    (field,) = client.get("/v1/fields").json()["items"]
    path = f"/v1/fields/{field['field_id']}/review"
    assert client.post(path, json={"version": 0}, headers=headers).status_code == 403
    assert client.post("/login", data={"name": "anna", "password": PASSWORD}, headers=headers).status_code == 403
    own = {"Origin": str(client.base_url).rstrip("/"), "Sec-Fetch-Site": "same-origin"}
    assert client.post(path, json={"version": 0}, headers=own).status_code == 200


def test_the_token_of_the_machine_counts_on_the_loopback_only(client: httpx.Client, runtime: Runtime) -> None:
    token = read_local_token(runtime.home)
    assert client.get("/enter", params={"token": token}).status_code == 401
    assert client.get("/v1/fields", headers={"Authorization": f"Bearer {token}"}).status_code == 401


def test_a_token_may_do_what_its_scopes_and_its_user_may(client: httpx.Client, runtime: Runtime) -> None:
    engine = runtime.engine()
    users.add_user(engine, "key", "keyer", None)

    def status(token: str, path: str) -> int:
        return client.get(path, headers={"Authorization": f"Bearer {token}"}).status_code

    reads = users.add_token(engine, "anna", "erp", ["results:read"], life=timedelta(days=1))
    keys = users.add_token(engine, "key", "k", ["fields:review", "results:read"], life=None)
    over = users.add_token(engine, "anna", "old", ["results:read"], life=timedelta(seconds=-1))
    assert [status(each, "/v1/export") for each in (reads, keys, over, "icr_guess")] == [200, 403, 401, 401]
    post = client.post("/v1/fields/1/review", json={"version": 0}, headers={"Authorization": f"Bearer {reads}"})
    assert post.status_code == 403 and "fields:review" in post.json()["detail"]
    users.revoke_token(engine, 1)
    users.disable_user(engine, "key")
    assert (status(reads, "/v1/export"), status(keys, "/v1/fields")) == (401, 401)


def test_a_disabled_user_is_out_at_once(client: httpx.Client, runtime: Runtime) -> None:
    sign_in(client)
    users.disable_user(runtime.engine(), "anna")
    assert client.get("/v1/fields").status_code == 401
    assert "set-cookie" not in sign_in(client).headers


def test_a_session_ends(runtime: Runtime) -> None:
    user = users.find_user(runtime.engine(), "anna")
    assert user is not None
    over = users.open_session(runtime.engine(), user.id, life_s=-1)
    assert users.find_session(runtime.engine(), over) is None
    assert users.find_session(runtime.engine(), "") is None


def test_no_secret_stands_in_the_database(runtime: Runtime) -> None:
    engine = runtime.engine()
    token = users.add_token(engine, "anna", "erp", ["results:read"], life=None)
    session = users.open_session(engine, 1, life_s=60)
    with engine.connect() as connection:
        rows = [
            connection.exec_driver_sql(f"SELECT * FROM {table}").all() for table in ("users", "sessions", "api_tokens")
        ]
    assert not any(secret in repr(rows) for secret in (token, session, PASSWORD))


def test_the_commands_add_change_and_show(
    sqlite_template: object, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:

    shutil.copy(sqlite_template, f"{tmp_path}/icr.db")  # type: ignore[call-overload]
    monkeypatch.setenv("ICR_HOME", str(tmp_path))
    runner = CliRunner()

    def run(*words: str, said: str = "") -> str:
        result = runner.invoke(icr, words, input=said, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    run("users", "add", "anna", "--role", "admin", "--password-stdin", said=PASSWORD + "\n")
    with pytest.raises(InvalidUserError, match="already"):
        run("users", "add", "anna", "--password-stdin", said=PASSWORD + "\n")
    with pytest.raises(InvalidUserError, match="10 to 1000"):
        run("users", "add", "bob", "--password-stdin", said="short\n")
    token = run("tokens", "add", "erp", "--user", "anna", "--scope", "results:read", "--days", "30").strip()
    assert token.startswith("icr_") and token not in run("tokens", "list")
    run("tokens", "revoke", "1")
    assert "revoked" in run("tokens", "list")
    run("users", "disable", "anna")
    assert "disabled" in run("users", "list")
    run("users", "change", "anna", "--role", "keyer")
    assert "anna  keyer  password" in run("users", "list")


def test_hashes_are_argon2id_and_nobody_has_no_password() -> None:
    assert HASH.startswith("$argon2id$") and is_password(PASSWORD, HASH)
    assert not is_password(PASSWORD, None) and not is_password("nobody has this password", None)
