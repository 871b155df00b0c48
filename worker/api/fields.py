"""What awaits a person: fields, pages and doubtful digits, a page of a list at a time."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Query, Request

from schemas.http import (
    DigitDoubtedOut,
    DigitsOut,
    FieldAwaitingOut,
    FieldsOut,
    PageAwaitingOut,
    PagesOut,
)
from worker.api.access import OurRuntime, Viewer
from worker.store.awaiting import latest_acts
from worker.store.results import (
    AnyRow,
    box_of,
    list_low_confidence,
    list_page_review_queue,
    list_review_queue,
)
from worker.store.tables import LOW_CONFIDENCE

router = APIRouter(prefix="/v1", tags=["review"])

MOST = 500
Limit = Annotated[int, Query(ge=1, le=MOST)]
After = Annotated[int, Query(ge=0, le=2**62, description="The last id of the page before")]
Awaiting = Annotated[Literal["review"], Query(alias="status", description="Only what awaits a person")]


@router.get("/fields", summary="Fields that await review")
def get_fields(
    request: Request,
    runtime: OurRuntime,
    _user: Viewer,
    _status: Awaiting = "review",
    after: After = 0,
    limit: Limit = 50,
) -> FieldsOut:
    """Return fields that await review, the longest waiting first."""
    rows = list_review_queue(runtime.engine(), limit=limit, after=after)
    acts = latest_acts(runtime.engine(), [row.field_id for row in rows])
    items = [_field_out(row, acts.get(row.field_id, 0)) for row in rows]
    return FieldsOut(items=items, next=_next(request, limit, rows, lambda row: row.field_id))


@router.get("/pages", summary="Pages that await review")
def get_pages(
    request: Request,
    runtime: OurRuntime,
    _user: Viewer,
    _status: Awaiting = "review",
    after: After = 0,
    limit: Limit = 50,
) -> PagesOut:
    """Return pages that await review, the longest waiting first."""
    rows = list_page_review_queue(runtime.engine(), limit=limit, after=after)
    items = [
        PageAwaitingOut(
            page_id=row.page_id,
            page=row.page,
            problem=row.problem,
            doubt=row.doubt,
            template=row.template,
            scan=row.job_id,
            reference=row.reference,
            image=f"/v1/pages/{row.page_id}/image",
        )
        for row in rows
    ]
    return PagesOut(items=items, next=_next(request, limit, rows, lambda row: row.page_id))


@router.get("/digits", summary="Doubtful digits")
def get_digits(
    request: Request,
    runtime: OurRuntime,
    _user: Viewer,
    below: Annotated[float, Query(gt=0, le=LOW_CONFIDENCE)] = 0.95,
    after: Annotated[
        str | None, Query(max_length=100, description="The key of the last digit of the page before")
    ] = None,
    limit: Limit = 50,
) -> DigitsOut:
    """Return the digits whose confidence is less than ``below``, the most doubtful first."""
    rows = list_low_confidence(runtime.engine(), below=below, limit=limit, after=_digit_key(after) if after else None)
    key = lambda row: f"{row.confidence!r}~{row.field_id}~{row.position}"  # noqa: E731  # one expression, used once
    return DigitsOut(items=[_digit_out(row) for row in rows], next=_next(request, limit, rows, key))


def _next(request: Request, limit: int, rows: Any, key: Any) -> str | None:
    """Return the path of the next page of a list, None where this is the last."""
    if len(rows) < limit:
        return None
    url = request.url.include_query_params(after=key(rows[-1]))
    return f"{url.path}?{url.query}"


def _digit_key(text: str) -> tuple[float, int, int]:
    try:
        confidence, field_id, position = text.split("~")
        key = float(confidence), int(field_id), int(position)
    except ValueError:
        raise HTTPException(422, "after: not the key of a digit: follow 'next' as it is") from None
    if not math.isfinite(key[0]) or not 0 <= key[1] < 2**62 or not 0 <= key[2] < 2**15:
        raise HTTPException(422, "after: not the key of a digit: follow 'next' as it is")
    return key


def _field_out(row: AnyRow, version: int) -> FieldAwaitingOut:
    return FieldAwaitingOut(
        field_id=row.field_id,
        version=version,
        name=row.name,
        text=row.machine_text,
        written=row.machine_written or row.machine_text,
        kind=row.kind,
        unit=row.unit,
        confidence=round(row.confidence, 5),
        reasons=row.reasons,
        alternatives=row.alternatives,
        box=box_of(row),
        page_id=row.page_id,
        page=row.page,
        template=row.template,
        scan=row.job_id,
        reference=row.reference,
        image=f"/v1/fields/{row.field_id}/image",
    )


def _digit_out(row: AnyRow) -> DigitDoubtedOut:
    kept = {name: row._mapping[name] for name in DigitDoubtedOut.model_fields if name in row._mapping}
    others = {"box": box_of(row), "field": row.name, "final": row.final_text, "scan": row.job_id}
    return DigitDoubtedOut(**{**kept, **others})
