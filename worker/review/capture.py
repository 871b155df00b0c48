"""Photographs: a telephone or a camera sends page after page into a batch, by the API that programs use."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from worker.api.access import Reviewer
from worker.review.desk import Desk
from worker.review.station import require_supervisor


def make_capture(desk: Desk) -> APIRouter:
    """Return the route of the page that photographs."""
    router = APIRouter()

    @router.get("/capture")
    def capture(user: Reviewer) -> HTMLResponse:
        require_supervisor(user)
        return desk.show("capture.html", user, here="capture", templates=sorted(desk.runtime.templates()))

    return router
