"""The router of all pages: ``worker.api.app`` finds it by its name, and lets in only who is signed in."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException
from fastapi.responses import RedirectResponse, Response

from worker.bootstrap import Runtime
from worker.review.designer import make_designer
from worker.review.desk import STATIC, TYPES, Desk, make_desk
from worker.review.groups import make_groups
from worker.review.overview import make_overview
from worker.review.page_desk import make_page_desk
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

    router.include_router(make_station(desk))
    router.include_router(make_page_desk(desk))
    router.include_router(make_groups(desk))
    router.include_router(make_designer(desk))
    router.include_router(make_overview(desk))
    return router


def _static_file(desk: Desk, version: str, name: str) -> Response:
    path = STATIC / name
    if path.suffix not in TYPES or path.parent != STATIC or not path.is_file():
        raise HTTPException(404, "there is no such file")
    kept = FOR_EVER if version == desk.static_version else "no-store"
    return Response(path.read_bytes(), media_type=TYPES[path.suffix], headers={"Cache-Control": kept})
