"""Errors as answers: ``application/problem+json`` (RFC 9457), without a digit of anybody's scan in a log."""

from __future__ import annotations

import json
import traceback
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader, Template
from sqlalchemy.exc import TimeoutError as ConnectionsTakenError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from schemas.http import ProblemOut
from schemas.mistakes import list_mistakes
from worker.errors import (
    DoubtfulReviewError,
    IcrError,
    PermanentError,
    SettingsError,
    StaleReviewError,
    TransientError,
)

log = structlog.get_logger(__name__)

PAGES = Path(__file__).parent / "pages"
FOR_PROGRAMS = "/v1/"
"""Addresses under which every answer is JSON, whoever asks."""

_TITLES = {
    400: "This cannot be asked so",
    401: "You are not signed in",
    403: "You may not do this",
    404: "There is nothing here",
    405: "This cannot be asked so",
    409: "Somebody was faster",
    410: "This is no longer there",
    422: "This cannot be asked so",
    500: "Something went wrong",
    503: "Something is away for a moment",
}
"""What a person is told, in place of the names that RFC 9110 gives the statuses."""

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 5


def problem_answers(reasons: dict[int, str]) -> dict[int | str, dict[str, Any]]:
    """Return what OpenAPI is told of answers that are problems."""
    schema = {"schema": ProblemOut.model_json_schema()}
    return {code: {"description": why, "content": {MEDIA_TYPE: schema}} for code, why in reasons.items()}


COMMON = problem_answers(
    {
        400: "The request is malformed",
        401: "Nobody is signed in, and there is no token that counts",
        403: "The user or the token may not do this, or another site asks for it",
        404: "There is no such thing",
        409: "Somebody has decided it meanwhile, or the text does not fit the field",
        422: "A value is wrong",
        503: "The database does not answer",
    }
)
"""What every address may answer."""


def problem(status: int, detail: str, *, kind: str = "about:blank", **more: Any) -> JSONResponse:
    """Return an answer that says what is wrong; ``kind`` is a name that programs compare."""
    body = {"type": kind, "title": HTTPStatus(status).phrase, "status": status, "detail": detail, **more}
    return JSONResponse(body, status, media_type=MEDIA_TYPE)


def _answer(request: Request, told: JSONResponse) -> Response:
    """Return a problem as a page where a browser shows the answer to a person; a script and a program get JSON."""
    if "text/html" not in request.headers.get("accept", "") or request.url.path.startswith(FOR_PROGRAMS):
        return told
    body = json.loads(bytes(told.body))
    is_told = body["detail"] != HTTPStatus(body["status"]).phrase
    page = _page().render(
        title=_TITLES.get(body["status"], body["title"]),
        detail=as_sentence(body["detail"]) if is_told else "",
        again=request.url.path if request.method == "GET" and body["status"] >= 500 else "",
    )
    headers = {name: told.headers[name] for name in ("retry-after", "allow") if name in told.headers}
    return HTMLResponse(page, body["status"], headers)


def as_sentence(text: str) -> str:
    """Return a reason as a sentence of its own."""
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"


@cache
def _page() -> Template:
    return Environment(loader=FileSystemLoader(PAGES), autoescape=True).get_template("problem.html")


def add_problem_answers(app: FastAPI) -> None:
    """Make every error of an application an answer of this kind."""
    app.add_exception_handler(HTTPException, _of_http)
    app.add_exception_handler(RequestValidationError, _of_validation)
    app.add_exception_handler(IcrError, _of_ours)
    app.add_exception_handler(ConnectionsTakenError, _of_busy_database)
    app.add_exception_handler(ClientDisconnect, _of_hang_up)
    app.add_exception_handler(Exception, _of_mistake)


def _of_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    wants_page = "text/html" in request.headers.get("accept", "") and request.method == "GET"
    if error.status_code == HTTPStatus.UNAUTHORIZED and wants_page and request.url.path != "/enter":
        return RedirectResponse(f"/login?next={quote(request.url.path)}", 303)
    answer = problem(error.status_code, str(error.detail))
    answer.headers.update(error.headers or {})
    return _answer(request, answer)


def _of_validation(request: Request, error: Exception) -> Response:
    """Say where the request is wrong, without the value: it may be a number off a scan."""
    assert isinstance(error, RequestValidationError)
    mistakes = list_mistakes(error.errors())
    wrong = [{"where": ".".join(map(str, each.path)), "what": each.words} for each in mistakes]
    detail = "; ".join(map(str, mistakes[:5]))
    return _answer(request, problem(422, detail, errors=wrong))


def _of_ours(request: Request, error: Exception) -> Response:
    kind = f"urn:icr:{type(error).__name__.removesuffix('Error')}"
    if isinstance(error, TransientError):
        answer = problem(503, str(error), kind=kind)
        answer.headers["Retry-After"] = str(RETRY_AFTER_S)
        return _answer(request, answer)
    if isinstance(error, SettingsError) or not isinstance(error, PermanentError):
        return _answer(request, problem(500, str(error), kind=kind))
    is_conflict = isinstance(error, DoubtfulReviewError | StaleReviewError)
    return _answer(request, problem(409 if is_conflict else 422, str(error), kind=kind))


def _of_busy_database(request: Request, _error: Exception) -> Response:
    """Say that all connections to the database were in use for half a minute."""
    answer = problem(503, "the database has no connection free", kind="urn:icr:DatabaseUnavailable")
    answer.headers["Retry-After"] = str(RETRY_AFTER_S)
    return _answer(request, answer)


def _of_hang_up(request: Request, _error: Exception) -> Response:
    """Answer a sender who has gone, whom nothing reaches, without calling it our mistake."""
    log.info("a sender hung up", method=request.method, route=getattr(request.scope.get("route"), "path", None))
    return _answer(request, problem(400, "the connection ended before the request was whole"))


def _of_mistake(request: Request, error: Exception) -> Response:
    """Log where a mistake in the program is, and not its message, which may hold what was read."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    log.error(
        "a mistake in the program",
        kind=type(error).__name__,
        place=f"{place.filename}:{place.lineno}",
        method=request.method,
        route=getattr(request.scope.get("route"), "path", None),
    )
    return _answer(request, problem(500, "a mistake in the program; its place is in the log"))
