"""The overview: what waits and how long, how much the machine reads, what people decided, what was not delivered."""

from __future__ import annotations

import math

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, RedirectResponse

from worker.api.access import Admin, Reviewer, Role
from worker.monitoring.audit_bound import bound_rate
from worker.review.desk import Desk
from worker.store import webhooks
from worker.store.audits import count_audits
from worker.store.digit_groups import count_misses
from worker.store.figures import count_latest_fields
from worker.store.overview import count_key_errors, list_waiting, list_work
from worker.store.summary import count_page_review_queue, queue_summary
from worker.store.tables import JobState
from worker.store.webhooks import list_messages

HOURS = 24
SHOWN = 50
"""Messages that were given up, as a list shows them; the command shows more."""


def make_overview(desk: Desk) -> APIRouter:
    """Return the route of the overview."""
    router = APIRouter()

    @router.get("/overview")
    def overview(user: Reviewer) -> HTMLResponse:
        latest = count_latest_fields(desk.engine)
        presented = latest["accepted"] + latest["review"]
        known = {
            "known wrong digits missed": count_misses(desk.engine),
            "fields keyed otherwise than decided": count_key_errors(desk.engine),
        }
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
            misses=[
                (who, what, of, wrong, *wilson(wrong, of))
                for what, counted in known.items()
                for who, (of, wrong) in sorted(counted.items())
            ],
            hours=HOURS,
            audits=[(each, bound_rate(each.audited, each.wrong)) for each in count_audits(desk.engine)],
            undelivered=list_messages(desk.engine, dead=True, limit=SHOWN) if user.may(Role.ADMIN) else [],
        )

    @router.post("/overview/webhooks/{message_id}")
    def send_again(message_id: str, _user: Admin) -> RedirectResponse:
        """Send a message again that was given up."""
        webhooks.send_again(desk.engine, message_id)
        return RedirectResponse("/overview", 303)

    return router


def wilson(found: int, of: int) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson 1927), all of [0, 1] where nothing was counted."""
    if not of:
        return 0.0, 1.0
    z, share = 1.96, found / of
    middle = share + z * z / (2 * of)
    half = z * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    scale = 1 + z * z / of
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)
