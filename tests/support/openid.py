"""A small OpenID Connect provider for tests, on the loopback: it signs real RS256 tokens, and lies where it is told."""

from __future__ import annotations

import base64
import hashlib
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import flask
import markupsafe
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey
from werkzeug.serving import make_server

from tests.support.tls import free_port

CLIENT, SECRET = "icr", "a secret of the client"


@dataclass
class TestProvider:
    """What the provider says; ``claims`` are put over those of the ID token, those that are None are left out."""

    __test__ = False

    issuer: str
    keys: KeySet
    subject: str = "248289761001"
    claims: dict[str, Any] = field(default_factory=dict)
    user: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    answers_by_iss: str | None = None
    refuses: bool = False
    signs_with: RSAKey | None = None
    codes: dict[str, dict[str, str]] = field(default_factory=dict)

    def id_token(self, nonce: str) -> str:
        now = int(time.time())
        known = {"iss": self.issuer, "sub": self.subject, "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": nonce}
        known |= {"preferred_username": "anna", "groups": ["staff", "icr-supervisor"]} | self.claims
        key = self.signs_with or self.keys.keys[0]
        claims = {name: value for name, value in known.items() if value is not None}
        return jwt.encode({"alg": "RS256", "kid": key.kid}, claims, key)


def new_keys(kid: str | None = None) -> KeySet:
    return KeySet([RSAKey.generate_key(2048, {"kid": kid or secrets.token_hex(4)})])


def make_provider_app(provider: TestProvider) -> flask.Flask:
    app = flask.Flask(__name__)

    @app.get("/.well-known/openid-configuration")
    def describe() -> Any:
        ends = {"authorization": "authorize", "token": "token", "userinfo": "userinfo"}
        known = {f"{name}_endpoint": f"{provider.issuer}/{path}" for name, path in ends.items()}
        return {"issuer": provider.issuer, "jwks_uri": f"{provider.issuer}/keys", **known} | provider.metadata

    @app.get("/keys")
    def keys() -> Any:
        return provider.keys.as_dict(private=False)

    @app.get("/authorize")
    def authorize() -> Any:
        asked = flask.request.args.to_dict()
        assert asked["code_challenge_method"] == "S256" and asked["response_type"] == "code"
        assert asked["client_id"] == CLIENT and "openid" in asked["scope"].split()
        code = secrets.token_urlsafe(16)
        provider.codes[code] = asked
        answer = {"error": "access_denied"} if provider.refuses else {"code": code}
        if provider.answers_by_iss:
            answer["iss"] = provider.answers_by_iss
        back = asked["redirect_uri"] + "?" + urlencode(answer | {"state": asked["state"]})
        # As providers have it: a page of theirs, on which a person presses a button.
        return f'<!doctype html><title>Provider</title><a href="{markupsafe.escape(back)}">Yes</a>'

    @app.post("/token")
    def token() -> Any:
        form, auth = flask.request.form, flask.request.authorization
        asked = provider.codes.pop(form.get("code", ""), None)
        verifier = form.get("code_verifier", "").encode()
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier).digest()).rstrip(b"=").decode()
        is_client = auth is not None and (auth.username, auth.password) == (CLIENT, SECRET)
        if asked is None or not is_client or asked["code_challenge"] != challenge:
            return {"error": "invalid_grant"}, 400
        if asked["redirect_uri"] != form["redirect_uri"]:
            return {"error": "invalid_grant"}, 400
        return {"access_token": "access", "token_type": "Bearer", "id_token": provider.id_token(asked["nonce"])}

    @app.get("/userinfo")
    def userinfo() -> Any:
        assert flask.request.headers["Authorization"] == "Bearer access"
        return {"sub": provider.subject} | provider.user

    return app


@contextmanager
def provided() -> Iterator[TestProvider]:
    """Serve a provider on a free port of the loopback."""
    port = free_port()
    provider = TestProvider(f"http://127.0.0.1:{port}", new_keys())
    server = make_server("127.0.0.1", port, make_provider_app(provider), threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        thread.join(20)
