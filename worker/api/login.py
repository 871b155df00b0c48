"""Signing in and out: by password everywhere, by the printed address on this machine."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated
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
from worker.api.passwords import FailureLimits, is_password
from worker.store.users import close_session, ensure_user, find_user, open_session
from worker.system.local_token import login_name

log = structlog.get_logger(__name__)
router = APIRouter(include_in_schema=False)

PAGES = Path(__file__).parent / "pages"
Text = Annotated[str, Form(max_length=1000)]


@router.get("/enter")
def enter(request: Request, runtime: OurRuntime, token: str = "") -> Response:
    """Sign in who opens the address that was printed, and take the token out of the address."""
    if not is_local_token(runtime, token):
        raise HTTPException(401, "the address is not the one that was printed last")
    user = ensure_user(runtime.engine(), login_name(), Role.ADMIN)
    return _signed_in(request, runtime, user.id, "/")


@router.get("/login", response_class=HTMLResponse)
def get_login(leads_to: Annotated[str, Query(alias="next", max_length=1000)] = "/") -> Response:
    """Show the page to sign in."""
    return _page(200, leads_to=leads_to)


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
        answer = _page(429, "Too many tries have failed. Wait some minutes.", name=name, leads_to=leads_to)
        answer.headers["Retry-After"] = str(round(wait_s) + 1)
        return answer
    user = find_user(runtime.engine(), name)
    fits = is_password(password, user.password_hash if user else None)
    if user is None or not fits or user.disabled_at is not None:
        limits.note(name, address)
        log.warning("sign-in refused", address=address)
        return _page(401, "The name or the password is wrong.", name=name, leads_to=leads_to)
    return _signed_in(request, runtime, user.id, leads_to)


@router.post("/logout")
def post_logout(request: Request, runtime: OurRuntime) -> Response:
    """Sign out."""
    require_same_origin(request)
    close_session(runtime.engine(), request.cookies.get(cookie_name(runtime), ""))
    answer = RedirectResponse("/login", 303)
    answer.delete_cookie(cookie_name(runtime))
    return answer


def _signed_in(request: Request, runtime: OurRuntime, user_id: int, leads_to: str) -> Response:
    token = open_session(runtime.engine(), user_id, life_s=SESSION_S)
    answer = RedirectResponse(_local(leads_to), 303)
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


def _page(status: int, problem: str = "", *, name: str = "", leads_to: str = "/") -> HTMLResponse:
    return HTMLResponse(_template().render(problem=problem, name=name, next=leads_to), status)


@cache
def _template() -> Template:
    return Environment(loader=FileSystemLoader(PAGES), autoescape=True).get_template("login.html")
