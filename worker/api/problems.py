"""Errors as answers: ``application/problem+json`` (RFC 9457), without a digit of anybody's scan in a log."""

from __future__ import annotations

import traceback
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse
from sqlalchemy.exc import TimeoutError as ConnectionsTakenError
from starlette.exceptions import HTTPException

from schemas.http import ProblemOut
from worker.errors import (
    DoubtfulReviewError,
    IcrError,
    PermanentError,
    SettingsError,
    StaleReviewError,
    TransientError,
)

log = structlog.get_logger(__name__)

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


def add_problem_answers(app: FastAPI) -> None:
    """Make every error of an application an answer of this kind."""
    app.add_exception_handler(HTTPException, _of_http)
    app.add_exception_handler(RequestValidationError, _of_validation)
    app.add_exception_handler(IcrError, _of_ours)
    app.add_exception_handler(ConnectionsTakenError, _of_busy_database)
    app.add_exception_handler(Exception, _of_mistake)


def _of_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    wants_page = "text/html" in request.headers.get("accept", "") and request.method == "GET"
    if error.status_code == HTTPStatus.UNAUTHORIZED and wants_page and request.url.path != "/enter":
        return RedirectResponse(f"/login?next={quote(request.url.path)}", 303)
    answer = problem(error.status_code, str(error.detail))
    answer.headers.update(error.headers or {})
    return answer


def _of_validation(_request: Request, error: Exception) -> Response:
    """Say where the request is wrong, without the value: it may be a number off a scan."""
    assert isinstance(error, RequestValidationError)
    wrong = [{"where": ".".join(map(str, each["loc"])), "what": each["msg"]} for each in error.errors()]
    detail = "; ".join(f"{each['where']}: {each['what']}" for each in wrong[:5])
    return problem(422, detail, errors=wrong)


def _of_ours(_request: Request, error: Exception) -> Response:
    kind = f"urn:icr:{type(error).__name__.removesuffix('Error')}"
    if isinstance(error, TransientError):
        answer = problem(503, str(error), kind=kind)
        answer.headers["Retry-After"] = str(RETRY_AFTER_S)
        return answer
    if isinstance(error, SettingsError) or not isinstance(error, PermanentError):
        return problem(500, str(error), kind=kind)
    is_conflict = isinstance(error, DoubtfulReviewError | StaleReviewError)
    return problem(409 if is_conflict else 422, str(error), kind=kind)


def _of_busy_database(_request: Request, _error: Exception) -> Response:
    """Say that all connections to the database were in use for half a minute."""
    answer = problem(503, "the database has no connection free", kind="urn:icr:DatabaseUnavailable")
    answer.headers["Retry-After"] = str(RETRY_AFTER_S)
    return answer


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
    return problem(500, "a mistake in the program; its place is in the log")
