"""The overview: what waits and how long, how much the machine reads by itself, and what people decided."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from worker.api.access import SignedIn
from worker.review.desk import Desk
from worker.store.figures import count_latest_fields
from worker.store.overview import list_waiting, list_work
from worker.store.summary import count_page_review_queue, queue_summary
from worker.store.tables import JobState

HOURS = 24


def make_overview(desk: Desk) -> APIRouter:
    """Return the route of the overview."""
    router = APIRouter()

    @router.get("/overview")
    def overview(user: SignedIn) -> HTMLResponse:
        latest = count_latest_fields(desk.engine)
        presented = latest["accepted"] + latest["review"]
        queue = queue_summary(desk.engine, failures=0)
        return desk.show(
            "overview.html",
            user,
            here="overview",
            waiting=list_waiting(desk.engine),
            pages=count_page_review_queue(desk.engine),
            failed=queue.counts[JobState.FAILED] + queue.counts[JobState.DEAD],
            queued=queue.counts[JobState.QUEUED] + queue.counts[JobState.RUNNING],
            latest=latest,
            read_rate=latest["accepted"] / presented if presented else None,
            work=list_work(desk.engine, HOURS),
            hours=HOURS,
        )

    return router
