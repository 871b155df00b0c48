"""Signing in and out: by password everywhere, by the printed address on this machine."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import structlog
from fastapi import APIRouter, Form, HTTPException, Query, Request, Response
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader, Template

from worker.api.access import (
    SESSION_S,
    OurRuntime,
    Role,
    cookie_name,
    is_local_token,
    require_same_origin,
)
from worker.api.openid import Provider
from worker.api.passwords import FailureLimits, is_password
from worker.api.problems import as_sentence
from worker.errors import InvalidUserError, RefusedSignInError, SignInUnavailableError
from worker.store.users import (
    close_session,
    ensure_openid_user,
    ensure_user,
    find_user,
    open_session,
    open_sign_in,
    take_sign_in,
)
from worker.system.local_token import login_name

log = structlog.get_logger(__name__)
router = APIRouter(include_in_schema=False)

PAGES = Path(__file__).parent / "pages"
Text = Annotated[str, Form(max_length=1000)]
LeadsTo = Annotated[str, Query(alias="next", max_length=1000)]

SIGN_IN_S = 600.0
"""How long somebody may take at a provider of identities."""


@router.get("/enter")
def enter(request: Request, runtime: OurRuntime, token: str = "") -> Response:
    """Sign in who opens the address that was printed, and take the token out of the address."""
    if not is_local_token(runtime, token):
        raise HTTPException(401, "the address is not the one that was printed last")
    user = ensure_user(runtime.engine(), login_name(), Role.ADMIN)
    return _signed_in(request, runtime, user.id, "/")


@router.get("/login", response_class=HTMLResponse)
def get_login(request: Request, leads_to: LeadsTo = "/") -> Response:
    """Show the page to sign in."""
    return _page(request, 200, leads_to=leads_to)


@router.get("/login/style.css")
def get_style() -> Response:
    """Return the style of the page."""
    return FileResponse(PAGES / "login.css", media_type="text/css", headers={"Cache-Control": "private, max-age=3600"})


@router.post("/login")
def post_login(
    request: Request,
    runtime: OurRuntime,
    name: Text,
    password: Text,
    leads_to: Annotated[str, Form(alias="next", max_length=1000)] = "/",
) -> Response:
    """Sign in by password, unless too many tries have failed lately."""
    require_same_origin(request)
    limits: FailureLimits = request.app.state.failures
    address = request.client.host if request.client else "?"
    if wait_s := limits.wait_s(name, address):
        answer = _page(request, 429, "Too many tries have failed. Wait some minutes.", name=name, leads_to=leads_to)
        answer.headers["Retry-After"] = str(round(wait_s) + 1)
        return answer
    user = find_user(runtime.engine(), name)
    fits = is_password(password, user.password_hash if user else None)
    if user is None or not fits or user.disabled_at is not None:
        limits.note(name, address)
        log.warning("sign-in refused", address=address)
        return _page(request, 401, "The name or the password is wrong.", name=name, leads_to=leads_to)
    return _signed_in(request, runtime, user.id, leads_to)


@router.get("/login/openid")
def get_openid(request: Request, runtime: OurRuntime, leads_to: LeadsTo = "/") -> Response:
    """Send the browser to the provider of identities."""
    provider = _provider(request)
    secret = open_sign_in(runtime.engine(), leads_to=_local(leads_to), life_s=SIGN_IN_S)
    try:
        answer = RedirectResponse(provider.authorization_url(secret, _redirect_uri(request)), 303)
    except SignInUnavailableError as error:
        return _page(request, 503, as_sentence(str(error)), leads_to=leads_to)
    # Lax, and not strict as the cookie of a session is: it is the provider's page that leads back.
    answer.set_cookie(**_sign_in_cookie(request, runtime), value=secret, max_age=int(SIGN_IN_S), samesite="lax")
    return answer


@router.get("/login/openid/answer")
def get_openid_answer(request: Request, runtime: OurRuntime) -> Response:
    """Sign in whom the provider names. Each answer counts once."""
    provider = _provider(request)
    secret = request.cookies.get(_sign_in_cookie(request, runtime)["key"], "")
    leads_to = take_sign_in(runtime.engine(), secret)
    if leads_to is None:
        return _page(request, 400, "This sign-in has ended, or its answer was used before. Begin again.")
    try:
        who = provider.identify(request.query_params, secret, _redirect_uri(request))
        user = ensure_openid_user(
            runtime.engine(), issuer=who.issuer, subject=who.subject, name=who.name, role=who.role
        )
        if user.disabled_at is not None:
            raise RefusedSignInError("you are let in no more; ask who runs this station")
    except (RefusedSignInError, InvalidUserError, SignInUnavailableError) as error:
        log.warning("sign-in refused", address=request.client.host if request.client else "?", reason=str(error))
        status = 503 if isinstance(error, SignInUnavailableError) else 403
        answer: Response = _page(request, status, as_sentence(str(error)), leads_to=leads_to)
    else:
        answer = _signed_in(request, runtime, user.id, leads_to, from_elsewhere=True)
    answer.delete_cookie(**_sign_in_cookie(request, runtime), samesite="lax")
    return answer


@router.post("/logout")
def post_logout(request: Request, runtime: OurRuntime) -> Response:
    """Sign out."""
    require_same_origin(request)
    close_session(runtime.engine(), request.cookies.get(cookie_name(runtime), ""))
    answer = RedirectResponse("/login", 303)
    answer.delete_cookie(cookie_name(runtime))
    return answer


def _signed_in(
    request: Request, runtime: OurRuntime, user_id: int, leads_to: str, *, from_elsewhere: bool = False
) -> Response:
    """Open a session and lead on.

    A browser that comes from another site is led on by a page of ours: it would not send the strict cookie of the
    session to where a redirect leads.
    """
    token = open_session(runtime.engine(), user_id, life_s=SESSION_S)
    answer: Response = RedirectResponse(_local(leads_to), 303)
    if from_elsewhere:
        answer = HTMLResponse(_template("signed-in.html").render(next=_local(leads_to)))
    answer.set_cookie(
        cookie_name(runtime),
        token,
        max_age=int(SESSION_S),
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return answer


def _local(path: str) -> str:
    """Return a path of this server, whatever was asked for: nobody is led elsewhere by signing in."""
    is_ours = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return quote(path, safe="/?=&%~") if is_ours else "/"


def _provider(request: Request) -> Provider:
    provider: Provider | None = request.app.state.provider
    if provider is None:
        raise HTTPException(404, "people sign in by password here")
    return provider


def _redirect_uri(request: Request) -> str:
    return str(request.url_for("get_openid_answer"))


def _sign_in_cookie(request: Request, runtime: OurRuntime) -> dict[str, Any]:
    """Return what setting and deleting the cookie of a sign-in that is under way have in common."""
    name = cookie_name(runtime).replace("session", "sign-in")
    return {"key": name, "path": "/login", "httponly": True, "secure": request.url.scheme == "https"}


def _page(request: Request, status: int, problem: str = "", *, name: str = "", leads_to: str = "/") -> HTMLResponse:
    provider: Provider | None = request.app.state.provider
    host = provider.host if provider else ""
    return HTMLResponse(_template("login.html").render(problem=problem, name=name, next=leads_to, host=host), status)


@cache
def _template(name: str) -> Template:
    return Environment(loader=FileSystemLoader(PAGES), autoescape=True).get_template(name)
