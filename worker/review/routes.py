"""The router of all pages: ``worker.api.app`` finds it by its name, and lets in only who is signed in."""

from __future__ import annotations

from fastapi import APIRouter, Depends, HTTPException
from fastapi.responses import RedirectResponse, Response

from worker.api.access import Scope, require_scope
from worker.bootstrap import Runtime
from worker.review.capture import make_capture
from worker.review.designer import make_designer
from worker.review.desk import STATIC, TYPES, Desk, make_desk
from worker.review.groups import make_groups
from worker.review.overview import make_overview
from worker.review.page_desk import make_page_desk
from worker.review.splits import make_splits
from worker.review.station import make_station

FOR_EVER = "private, max-age=31536000, immutable"


def make_pages(runtime: Runtime) -> APIRouter:
    """Return the router of the station's pages."""
    desk = make_desk(runtime)
    router = APIRouter()

    @router.get("/")
    def home() -> Response:
        return RedirectResponse("/review", 303)

    @router.get("/static/{version}/{name}")
    def static(version: str, name: str) -> Response:
        return _static_file(desk, version, name)

    reviewers = [Depends(require_scope(Scope.REVIEW))]
    for make in (make_station, make_groups, make_page_desk, make_splits, make_designer, make_capture, make_overview):
        router.include_router(make(desk), dependencies=reviewers)
    return router


def _static_file(desk: Desk, version: str, name: str) -> Response:
    path = STATIC / name
    if path.suffix not in TYPES or path.parent != STATIC or not path.is_file():
        raise HTTPException(404, "there is no such file")
    kept = FOR_EVER if version == desk.static_version else "no-store"
    return Response(path.read_bytes(), media_type=TYPES[path.suffix], headers={"Cache-Control": kept})
