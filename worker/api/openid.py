"""OpenID Connect: what a provider is asked, and what it must answer before somebody is signed in.

The authorization code flow with PKCE (OpenID Connect Core 1.0, RFC 7636). Authlib and requests (the extra ``oidc``) are
imported when the first person signs in by it.
"""

from __future__ import annotations

import hashlib
import hmac
import importlib.util
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from worker.api.access import Role
from worker.errors import RefusedSignInError, SettingsError, SignInUnavailableError
from worker.system.local_token import is_loopback

if TYPE_CHECKING:
    from authlib.integrations.requests_client import OAuth2Session
    from joserfc.jwk import KeySet

    from worker.settings import Settings

EXTRA_IS_MISSING = "ICR_OIDC_ISSUER needs the extra 'oidc', which is not installed: pip install '.[oidc]'"

DISCOVERY = "/.well-known/openid-configuration"
TIMEOUT_S = 10.0
KEPT_S = 3600.0
"""How long what a provider says of itself, and its keys, are kept."""

LEEWAY_S = 60
"""By how much the provider's clock may differ from ours."""

ALGORITHMS = frozenset(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"))
"""Signatures by a key that the provider alone has; ``none`` and those by a shared secret are never taken."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a provider says is there: ``subject`` never changes, ``name`` may."""

    issuer: str
    subject: str
    name: str
    role: Role


class Provider:
    """The provider that the settings name; what it says of itself is fetched when it is first needed."""

    def __init__(self, settings: Settings) -> None:
        assert settings.oidc_issuer is not None
        self.issuer = settings.oidc_issuer
        self._client_id = settings.oidc_client_id
        secret = settings.oidc_client_secret
        self._client_secret = secret.get_secret_value() if secret else None
        self._scope = settings.oidc_scope
        self._name_claim, self._role_claim = settings.oidc_name_claim, settings.oidc_role_claim
        self._roles = parse_roles(settings.oidc_roles)
        self._lock = threading.Lock()
        self._known: dict[str, tuple[float, dict[str, Any]]] = {}

    @property
    def host(self) -> str:
        """Return the name by which people know it."""
        return urlsplit(self.issuer).netloc

    def authorization_url(self, secret: str, redirect_uri: str) -> str:
        """Return where a browser is sent to sign in. State, nonce and verifier follow from ``secret``, its cookie."""
        with self._session(redirect_uri) as session:
            url, _ = session.create_authorization_url(
                self.metadata()["authorization_endpoint"],
                state=_derive("state", secret),
                nonce=_derive("nonce", secret),
                code_verifier=_derive("verifier", secret),
            )
        return str(url)

    def identify(self, answer: Mapping[str, str], secret: str, redirect_uri: str) -> Identity:
        """Return who is there, by the answer with which the provider sent the browser back.

        Raises
        ------
        RefusedSignInError
            The provider refuses, the answer belongs to another sign-in, the ID token is not to be trusted, or no role
            follows from it.
        SignInUnavailableError
            The provider does not answer.
        """
        if not hmac.compare_digest(answer.get("state", "").encode(), _derive("state", secret).encode()):
            raise RefusedSignInError("the answer belongs to another sign-in")
        if answer.get("iss", self.issuer) != self.issuer:  # RFC 9207
            raise RefusedSignInError("another provider answered")
        if "code" not in answer:
            raise RefusedSignInError("the provider did not sign you in")
        claims = self._fetch_claims(answer["code"], secret, redirect_uri)
        return Identity(self.issuer, claims["sub"], self._name_of(claims), self._role_of(claims))

    def metadata(self) -> dict[str, Any]:
        """Return what the provider says of itself (OpenID Connect Discovery 1.0)."""
        found = self._fetch(self.issuer.rstrip("/") + DISCOVERY)
        if found.get("issuer") != self.issuer:
            raise SignInUnavailableError(f"{self.issuer} calls itself {found.get('issuer')!r}: set ICR_OIDC_ISSUER so")
        if missing := {"authorization_endpoint", "token_endpoint", "jwks_uri"} - found.keys():
            raise SignInUnavailableError(f"{self.issuer} does not say its {', '.join(sorted(missing))}")
        return found

    def _fetch_claims(self, code: str, secret: str, redirect_uri: str) -> dict[str, Any]:
        """Exchange the code for an ID token; return its claims, and those of the user where it has not all."""
        import requests
        from authlib.common.errors import AuthlibBaseError
        from joserfc.errors import JoseError

        metadata = self.metadata()
        try:
            with self._session(redirect_uri) as session:
                verifier = _derive("verifier", secret)
                token = session.fetch_token(metadata["token_endpoint"], code=code, code_verifier=verifier)
                claims = self._verify(token, nonce=_derive("nonce", secret))
                wanted = self._name_claim, self._role_claim
                if "userinfo_endpoint" in metadata and any(_find(claims, each) is None for each in wanted):
                    user = session.get(metadata["userinfo_endpoint"]).json()
                    if user.get("sub") != claims["sub"]:
                        raise RefusedSignInError("the provider tells of another user")
                    claims = user | claims
        except requests.RequestException as error:
            raise SignInUnavailableError(f"{self.host} does not answer") from error
        except (AuthlibBaseError, JoseError, ValueError) as error:
            kind = getattr(error, "error", None) or type(error).__name__
            raise RefusedSignInError(f"the provider's answer is not to be trusted ({kind})") from error
        return claims

    def _verify(self, token: Mapping[str, Any], *, nonce: str) -> dict[str, Any]:
        """Return the claims of an ID token whose signature, issuer, audience, times and nonce are right."""
        from authlib.oidc.core import CodeIDToken
        from joserfc import jwt
        from joserfc.errors import InvalidKeyIdError
        from joserfc.jws import JWSRegistry

        metadata, id_token = self.metadata(), token.get("id_token")
        if not isinstance(id_token, str):
            raise RefusedSignInError("the provider sent no ID token")
        offered = metadata.get("id_token_signing_alg_values_supported") or ["RS256"]
        registry = JWSRegistry(algorithms=sorted(ALGORITHMS.intersection(offered)), strict_check_header=False)
        try:
            signed = jwt.decode(id_token, self._keys(), registry=registry)
        except InvalidKeyIdError:  # the provider has new keys
            signed = jwt.decode(id_token, self._keys(fresh=True), registry=registry)
        expected = {
            "iss": {"essential": True, "value": self.issuer},
            "aud": {"essential": True, "value": self._client_id},
        }
        about = {"nonce": nonce, "client_id": self._client_id, "access_token": token.get("access_token")}
        claims = CodeIDToken(signed.claims, signed.header, expected, about)
        claims.validate(leeway=LEEWAY_S)
        return dict(claims)

    def _keys(self, *, fresh: bool = False) -> KeySet:
        from joserfc.jwk import KeySet

        found: Any = self._fetch(self.metadata()["jwks_uri"], fresh=fresh)
        return KeySet.import_key_set(found)

    def _name_of(self, claims: Mapping[str, Any]) -> str:
        name = _find(claims, self._name_claim)
        if not isinstance(name, str):
            raise RefusedSignInError(f"the provider says no {self._name_claim} (ICR_OIDC_NAME_CLAIM)")
        return name

    def _role_of(self, claims: Mapping[str, Any]) -> Role:
        """Return the highest role that one of the claim's values gives."""
        found = _find(claims, self._role_claim)
        values = [found] if isinstance(found, str) else found if isinstance(found, list) else []
        given = {self._roles[value] for value in values if isinstance(value, str) and value in self._roles}
        if not given:
            raise RefusedSignInError("the provider gives you no role here; ask who runs this station")
        return max(given, key=list(Role).index)

    def _fetch(self, url: str, *, fresh: bool = False) -> dict[str, Any]:
        import requests

        with self._lock:
            fetched_at, found = self._known.get(url, (-KEPT_S, {}))
            if not fresh and time.monotonic() < fetched_at + KEPT_S:
                return found
            try:
                answer = requests.get(url, timeout=TIMEOUT_S)
                answer.raise_for_status()
                found = answer.json()
            except (requests.RequestException, ValueError) as error:
                raise SignInUnavailableError(f"{urlsplit(url).netloc} does not answer") from error
            if not isinstance(found, dict):
                raise SignInUnavailableError(f"{urlsplit(url).netloc} answers something else than JSON objects")
            self._known[url] = time.monotonic(), found
            return found

    def _session(self, redirect_uri: str) -> OAuth2Session:
        from authlib.integrations.requests_client import OAuth2Session

        offered = self.metadata().get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        method = "client_secret_basic" if "client_secret_basic" in offered else "client_secret_post"
        return OAuth2Session(
            self._client_id,
            self._client_secret,
            token_endpoint_auth_method=method if self._client_secret else "none",
            scope=self._scope,
            redirect_uri=redirect_uri,
            code_challenge_method="S256",
            default_timeout=TIMEOUT_S,
        )


def make_provider(settings: Settings) -> Provider | None:
    """Return the provider of the settings, None where people sign in by password only.

    Raises
    ------
    SettingsError
        The extra is not installed, or a setting is missing or malformed.
    """
    if settings.oidc_issuer is None:
        return None
    if any(importlib.util.find_spec(name) is None for name in ("authlib", "joserfc", "requests")):
        raise SettingsError(EXTRA_IS_MISSING)
    if settings.oidc_client_id is None:
        raise SettingsError("ICR_OIDC_ISSUER needs ICR_OIDC_CLIENT_ID")
    issuer = urlsplit(settings.oidc_issuer)
    if issuer.scheme != "https" and not (issuer.scheme == "http" and is_loopback(issuer.hostname or "")):
        raise SettingsError("ICR_OIDC_ISSUER must begin with https://")
    if "openid" not in settings.oidc_scope.split():
        raise SettingsError("ICR_OIDC_SCOPE must hold openid")
    return Provider(settings)


def parse_roles(text: str) -> dict[str, Role]:
    """Return the roles of ``ICR_OIDC_ROLES``, as ``value=role`` split by commas, by the value that gives each.

    Raises
    ------
    SettingsError
        It is malformed, or names a role that is none.
    """
    roles = {}
    for entry in text.split(","):
        value, found, role = entry.strip().rpartition("=")
        if not found or not value or role not in list(Role):
            raise SettingsError(f"ICR_OIDC_ROLES: write value=role, the role one of {', '.join(Role)}, not {entry!r}")
        roles[value] = Role(role)
    return roles


def _find(claims: Mapping[str, Any], name: str) -> Any:
    """Return a claim by its name, or by the path to it, as ``realm_access.roles``; None where there is none."""
    if name in claims:  # first, for names may be addresses with dots
        return claims[name]
    found: Any = claims
    for step in name.split("."):
        found = found.get(step) if isinstance(found, Mapping) else None
    return found


def _derive(use: str, secret: str) -> str:
    """Return 64 hexadecimal digits that show nothing of ``secret``, others for each use."""
    return hmac.new(secret.encode("utf-8", "surrogateescape"), use.encode(), hashlib.sha256).hexdigest()
