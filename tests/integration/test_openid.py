"""Signing in by OpenID Connect, against a provider that signs real tokens and lies where it is told to."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from click.testing import CliRunner
from sqlalchemy import Engine

from tests.support.http import Stage, served
from tests.support.openid import CLIENT, SECRET, TestProvider, new_keys, provided
from tests.support.station import chromium
from worker.api import openid
from worker.cli import icr
from worker.errors import SettingsError
from worker.settings import Settings
from worker.store import users

LATER = 4_000_000_000
on_sqlite = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
"""For what the database has no part in."""


@pytest.fixture(scope="module")
def shared() -> Iterator[TestProvider]:
    with provided() as provider:
        yield provider


@pytest.fixture
def provider(shared: TestProvider) -> TestProvider:
    """Return the provider, honest again."""
    vars(shared).update(vars(TestProvider(shared.issuer, shared.keys)))
    return shared


def settings(provider: TestProvider, **more: Any) -> Settings:
    client = {"oidc_client_id": CLIENT, "oidc_client_secret": SECRET}
    return Settings(oidc_issuer=provider.issuer, serve_host="0.0.0.0", **client, **more)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, shared: TestProvider) -> Stage:
    return Stage(settings(shared, home=tmp_path_factory.mktemp("stage")))


@pytest.fixture(scope="module")
def address(stage: Stage) -> Iterator[str]:
    with served(stage.runtime) as address:
        yield address


@pytest.fixture
def client(address: str, stage: Stage, engine: Engine, provider: TestProvider) -> Iterator[httpx.Client]:
    stage.enter(engine)
    with httpx.Client(base_url=address, verify=False) as client:
        yield client


def go_to_provider(client: httpx.Client, leads_to: str = "/v1/fields") -> str:
    """Begin to sign in, press the button on the provider's page, return the address that leads back."""
    sent = client.get("/login/openid", params={"next": leads_to})
    assert sent.status_code == 303, sent.text
    page = httpx.get(sent.headers["location"], verify=False)
    (back,) = re.findall('href="([^"]+)"', page.text)
    return back.replace("&amp;", "&")


def sign_in(client: httpx.Client, leads_to: str = "/v1/fields") -> httpx.Response:
    return client.get(go_to_provider(client, leads_to))


def test_the_first_sign_in_adds_the_user_and_opens_a_session(client: httpx.Client, engine: Engine) -> None:
    assert "/login/openid?next=" in client.get("/login").text
    answer = sign_in(client)
    assert answer.status_code == 200 and 'content="0;url=/v1/fields"' in answer.text
    assert client.get("/v1/fields").status_code == 200
    (user,) = users.list_users(engine)
    assert (user.name, user.role, user.password_hash) == ("anna", "supervisor", None)
    cookies = [each.lower() for each in answer.headers.get_list("set-cookie")]
    assert any("icr-session" in each and "samesite=strict" in each and "httponly" in each for each in cookies)
    assert client.post("/logout").status_code == 303
    assert client.get("/v1/fields").status_code == 401


def test_the_provider_gives_the_role_anew_and_the_name_once(
    client: httpx.Client, engine: Engine, provider: TestProvider
) -> None:
    sign_in(client)
    provider.claims = {"preferred_username": "anna.miller", "groups": ["icr-keyer", "icr-admin"]}
    sign_in(client)
    assert [(user.name, user.role) for user in users.list_users(engine)] == [("anna", "admin")]
    provider.claims = {"groups": "icr-keyer"}
    sign_in(client)
    assert [user.role for user in users.list_users(engine)] == ["keyer"]


@on_sqlite
@pytest.mark.parametrize(
    ("claims", "told"),
    [
        ({"nonce": "another"}, "not to be trusted"),
        ({"nonce": None}, "not to be trusted"),
        ({"exp": 1_700_000_000}, "not to be trusted"),
        ({"exp": None}, "not to be trusted"),
        ({"iat": LATER}, "not to be trusted"),
        ({"aud": "another"}, "not to be trusted"),
        ({"aud": "another", "azp": CLIENT}, "not to be trusted"),
        ({"aud": [CLIENT, "another"], "azp": "another"}, "not to be trusted"),
        ({"iss": "https://evil.example"}, "not to be trusted"),
        ({"sub": None}, "not to be trusted"),
        ({"groups": ["staff"]}, "no role"),
        ({"groups": None}, "no role"),
        ({"preferred_username": 7}, "ICR_OIDC_NAME_CLAIM"),
        ({"preferred_username": " "}, "printable"),
    ],
)
def test_a_token_that_says_anything_wrong_signs_nobody_in(
    client: httpx.Client, engine: Engine, provider: TestProvider, claims: dict[str, Any], told: str
) -> None:
    provider.claims = claims
    answer = sign_in(client)
    assert answer.status_code == 403 and told in answer.text
    assert users.list_users(engine) == [] and client.get("/v1/fields").status_code == 401


@on_sqlite
def test_a_token_that_another_key_signed_signs_nobody_in(client: httpx.Client, provider: TestProvider) -> None:
    (provider.signs_with,) = new_keys(provider.keys.keys[0].kid).keys
    assert sign_in(client).status_code == 403


def test_only_signatures_by_a_key_of_the_provider_alone_are_taken() -> None:
    assert not any(name.startswith(("HS", "none")) for name in openid.ALGORITHMS)


@on_sqlite
def test_new_keys_of_the_provider_are_fetched(client: httpx.Client, provider: TestProvider) -> None:
    assert sign_in(client).status_code == 200
    provider.keys = new_keys()
    assert sign_in(client).status_code == 200


def test_an_answer_counts_once_and_in_its_own_browser_only(client: httpx.Client, address: str) -> None:
    with httpx.Client(base_url=address, verify=False) as other:
        stolen = go_to_provider(other)
        go_to_provider(client)
        assert client.get(stolen).status_code == 403, "the state is another browser's"
    back, cookies = go_to_provider(client), dict(client.cookies)
    assert client.get(back).status_code == 200
    client.cookies.update(cookies)
    again = client.get(back)
    assert again.status_code == 400 and "used before" in again.text
    client.cookies.clear()
    assert client.get(back).status_code == 400


def test_a_sign_in_ends(engine: Engine) -> None:
    over = users.open_sign_in(engine, leads_to="/", life_s=-1)
    assert users.take_sign_in(engine, over) is None
    secret = users.open_sign_in(engine, leads_to="/", life_s=60)
    with engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT * FROM sign_ins").all()
    assert len(rows) == 1 and secret not in repr(rows)


@on_sqlite
def test_who_was_refused_there_is_told_so(client: httpx.Client, provider: TestProvider) -> None:
    provider.refuses = True
    answer = sign_in(client)
    assert answer.status_code == 403 and "did not sign you in" in answer.text
    provider.refuses, provider.answers_by_iss = False, "https://evil.example"
    assert "Another provider" in sign_in(client).text
    provider.answers_by_iss = provider.issuer
    assert sign_in(client).status_code == 200


@on_sqlite
def test_claims_that_the_token_lacks_come_from_userinfo_of_the_same_user(
    client: httpx.Client, engine: Engine, provider: TestProvider
) -> None:
    provider.claims, provider.user = {"groups": None}, {"groups": ["icr-keyer"]}
    assert sign_in(client).status_code == 200
    assert [user.role for user in users.list_users(engine)] == ["keyer"]
    provider.user["sub"] = "another"
    assert "The provider tells of another user" in sign_in(client).text


def test_a_name_that_another_user_has_is_not_taken_over(client: httpx.Client, engine: Engine) -> None:
    users.add_user(engine, "anna", "admin", None)
    answer = sign_in(client)
    assert answer.status_code == 403 and "belongs to another user" in answer.text
    assert client.get("/v1/fields").status_code == 401


def test_a_disabled_user_stays_out(client: httpx.Client, engine: Engine) -> None:
    sign_in(client)
    users.disable_user(engine, "anna")
    assert client.get("/v1/fields").status_code == 401
    assert "let in no more" in sign_in(client).text


@on_sqlite
@pytest.mark.parametrize("leads_to", ["//evil.example", "https://evil.example", "javascript:1"])
def test_nobody_is_led_elsewhere(client: httpx.Client, leads_to: str) -> None:
    assert 'content="0;url=/"' in sign_in(client, leads_to).text


def test_a_provider_that_calls_itself_otherwise_or_is_away_is_named(stage: Stage, provider: TestProvider) -> None:
    asked = openid.Provider(settings(provider))
    provider.metadata = {"issuer": "https://evil.example"}
    with pytest.raises(openid.SignInUnavailableError, match=r"calls itself 'https://evil\.example'"):
        asked.metadata()
    away = replace(stage.runtime, settings=stage.runtime.settings.model_copy(update={"oidc_issuer": "http://[::1]:1"}))
    with served(away) as address:
        answer = httpx.get(f"{address}/login/openid")
    assert answer.status_code == 503 and "does not answer" in answer.text


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"oidc_client_id": None}, "ICR_OIDC_CLIENT_ID"),
        ({"oidc_issuer": "http://sso.example"}, "https://"),
        ({"oidc_scope": "profile"}, "ICR_OIDC_SCOPE"),
        ({"oidc_roles": "icr-admin"}, "ICR_OIDC_ROLES"),
        ({"oidc_roles": "a=boss"}, "keyer, supervisor, admin"),
    ],
)
def test_settings_that_cannot_work_are_named(provider: TestProvider, changes: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        openid.make_provider(settings(provider).model_copy(update=changes))


def test_without_the_extra_the_message_names_it(provider: TestProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    known = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "authlib" else known(name))
    with pytest.raises(SettingsError, match=r"pip install '\.\[oidc\]'"):
        openid.make_provider(settings(provider))
    assert openid.make_provider(Settings()) is None


def test_a_claim_is_found_by_its_name_or_its_path() -> None:
    claims = {"https://icr.example/roles": ["a"], "realm_access": {"roles": ["b"]}}
    assert openid._find(claims, "https://icr.example/roles") == ["a"]
    assert openid._find(claims, "realm_access.roles") == ["b"]
    assert openid._find(claims, "realm_access.roles.x") is None


def test_the_doctor_asks_the_provider(
    provider: TestProvider, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ICR_HOME", str(tmp_path))
    monkeypatch.setenv("ICR_OIDC_ISSUER", provider.issuer)
    assert "ICR_OIDC_ISSUER needs ICR_OIDC_CLIENT_ID" in CliRunner().invoke(icr, ["doctor"]).output
    monkeypatch.setenv("ICR_OIDC_CLIENT_ID", CLIENT)
    assert f"{provider.issuer} answers" in CliRunner().invoke(icr, ["doctor"]).output


@on_sqlite
def test_a_browser_that_comes_back_from_another_site_is_signed_in(
    stage: Stage, engine: Engine, provider: TestProvider
) -> None:
    """``localhost`` and ``127.0.0.1`` are two sites: a redirect from one to the other takes no strict cookie along."""
    stage.enter(engine)
    elsewhere = provider.issuer.replace("127.0.0.1", "localhost")
    provider.issuer, here = elsewhere, provider.issuer
    changed = stage.runtime.settings.model_copy(update={"oidc_issuer": elsewhere})
    try:
        with served(replace(stage.runtime, settings=changed)) as address, chromium() as browser:
            page = browser.new_page()
            page.goto(f"{address}/overview")
            page.get_by_role("link", name="Sign in with localhost").click()
            page.get_by_role("link", name="Yes").click()
            page.wait_for_url(f"{address}/overview")
            assert page.get_by_role("heading", level=1).inner_text()
    finally:
        provider.issuer = here
