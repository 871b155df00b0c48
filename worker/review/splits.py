"""Scans with separator sheets: where each would be cut, for a person to agree or to change it."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from worker.api.access import Reviewer
from worker.errors import InvalidReviewError
from worker.review.desk import Desk
from worker.store.documents import accept_split, list_proposals, load_proposal

ON_A_LIST = 50
MOST_FIELDS = 2_000


def make_splits(desk: Desk) -> APIRouter:
    """Return the routes of the pages on which a split is shown before it happens."""
    router = APIRouter()

    @router.get("/splits")
    def splits(user: Reviewer) -> HTMLResponse:
        waiting = list_proposals(desk.engine, limit=ON_A_LIST)
        return desk.show("splits.html", user, here="splits", waiting=waiting)

    @router.get("/splits/{job_id}")
    def split(job_id: str, user: Reviewer) -> HTMLResponse:
        proposal = load_proposal(desk.engine, job_id)
        if proposal is None:
            raise HTTPException(404, "this scan has no separator sheet")
        return desk.show("split.html", user, here="splits", proposal=proposal)

    @router.post("/splits/{job_id}")
    async def accept(job_id: str, request: Request, user: Reviewer) -> Response:
        async with request.form(max_files=0, max_fields=MOST_FIELDS) as form:
            sent = {name: str(value) for name, value in form.items()}
        try:
            first_pages = [int(name.removeprefix("begins-")) for name in sent if name.startswith("begins-")]
            references = {page: sent.get(f"reference-{page}", "").strip() or None for page in first_pages}
            await run_in_threadpool(accept_split, desk.engine, job_id, references, who=user.name)
        except ValueError as error:
            raise HTTPException(422, "a page is named by its number") from error
        except InvalidReviewError as error:
            raise HTTPException(409, str(error)) from error
        return RedirectResponse("/splits", 303)

    return router
