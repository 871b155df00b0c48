"""Who asks: one dependency for the API and the pages, and the refusal of requests that another site sends."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import Depends, HTTPException, Request, Security
from fastapi.security import HTTPBearer

from worker.bootstrap import Runtime
from worker.store.users import TOKEN_PREFIX, Holder, find_session, find_token
from worker.system.local_token import is_loopback, login_name, read_local_token

SESSION_S = 12 * 3600.0
"""How long a browser stays signed in: a shift."""

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class Role(StrEnum):
    """What a user may do; each may also do what those before may."""

    KEYER = "keyer"
    SUPERVISOR = "supervisor"
    ADMIN = "admin"


class Scope(StrEnum):
    """What a program may be let do by its token."""

    SUBMIT = "scans:write"
    READ = "results:read"
    REVIEW = "fields:review"
    ADMIN = "admin"


_SCOPES = {
    Role.KEYER: frozenset({Scope.REVIEW}),
    Role.SUPERVISOR: frozenset({Scope.REVIEW, Scope.READ, Scope.SUBMIT}),
    Role.ADMIN: frozenset(Scope),
}


def scopes_of(role: Role) -> frozenset[Scope]:
    """Return all that a role may do; a token may be let do less."""
    return _SCOPES[role]


@dataclass(frozen=True, slots=True)
class User:
    """Whoever is signed in, and what they may do."""

    name: str
    role: Role
    scopes: frozenset[Scope]

    def may(self, role: Role) -> bool:
        """Tell whether the user may do what ``role`` may."""
        ranks = list(Role)
        return ranks.index(self.role) >= ranks.index(role)


async def runtime_of(request: Request) -> Runtime:
    """Return the runtime that the application was made with; async, for what waits for nothing needs no thread."""
    runtime: Runtime = request.app.state.runtime
    return runtime


OurRuntime = Annotated[Runtime, Depends(runtime_of)]


def current_user(
    request: Request, runtime: OurRuntime, _token: Annotated[Any, Security(HTTPBearer(auto_error=False))] = None
) -> User:
    """Return who asks: by ``Authorization: Bearer``, else by the cookie of a session.

    Raises
    ------
    HTTPException
        401 for nobody, 403 for a request that another site made a browser send.
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        user = _of_token(runtime, token.strip())
    else:
        user = _of_session(runtime, request.cookies.get(cookie_name(runtime), ""))
        if user is not None and request.method not in _SAFE_METHODS:
            require_same_origin(request)
    if user is None:
        raise HTTPException(401, "sign in, or send a token", {"WWW-Authenticate": "Bearer"})
    return user


SignedIn = Annotated[User, Depends(current_user)]


def require_scope(*scopes: Scope) -> Callable[[User], Awaitable[User]]:
    """Return a dependency that lets in whoever has one of ``scopes``."""

    async def check(user: SignedIn) -> User:
        if not user.scopes.intersection(scopes):
            raise HTTPException(403, f"this needs the scope {' or '.join(scopes)}")
        return user

    return check


Submitter = Annotated[User, Depends(require_scope(Scope.SUBMIT))]
Reader = Annotated[User, Depends(require_scope(Scope.READ))]
Reviewer = Annotated[User, Depends(require_scope(Scope.REVIEW))]
Viewer = Annotated[User, Depends(require_scope(Scope.READ, Scope.REVIEW))]
Admin = Annotated[User, Depends(require_scope(Scope.ADMIN))]


def require_same_origin(request: Request) -> None:
    """Refuse a request that changes something and comes from a page of another site.

    ``Sec-Fetch-Site`` says it in every browser since 2023, and ``Origin`` in older ones; a program sends neither.
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site not in (None, "same-origin", "none"):
        raise HTTPException(403, "the request comes from another site")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise HTTPException(403, "the request comes from another site")


def cookie_name(runtime: Runtime) -> str:
    """Return the cookie's name; it holds the port, because browsers share cookies between the ports of a machine."""
    return f"icr-session-{runtime.settings.serve_port}"


def is_local_token(runtime: Runtime, token: str) -> bool:
    """Tell whether it is the token of the printed address, which counts only where nobody else reaches this server."""
    if not is_loopback(runtime.settings.serve_host):
        return False
    return secrets.compare_digest(token.encode(), read_local_token(runtime.home).encode())


def _of_token(runtime: Runtime, token: str) -> User | None:
    if token.startswith(TOKEN_PREFIX):
        holder = find_token(runtime.engine(), token)
        return None if holder is None else _as_user(holder)
    return User(login_name(), Role.ADMIN, scopes_of(Role.ADMIN)) if is_local_token(runtime, token) else None


def _of_session(runtime: Runtime, token: str) -> User | None:
    holder = find_session(runtime.engine(), token) if token else None
    return None if holder is None else _as_user(holder)


def _as_user(holder: Holder) -> User:
    role = Role(holder.role)
    allowed = scopes_of(role)
    return User(holder.name, role, allowed if holder.scopes is None else allowed & frozenset(map(Scope, holder.scopes)))
