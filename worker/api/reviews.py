"""A person's word on a field, by the function that ``icr correct`` and the station use."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, HTTPException, Path

from schemas.http import ReviewIn, ReviewOut
from worker.api.access import OurRuntime, Reviewer
from worker.store.places import find_field_place
from worker.store.reviews import ReviewClaim, correct_field

router = APIRouter(prefix="/v1", tags=["review"])


@router.post("/fields/{field_id}/review", summary="Decide a field")
def post_review(
    field_id: Annotated[int, Path(ge=1, le=2**62)], order: ReviewIn, runtime: OurRuntime, user: Reviewer
) -> ReviewOut:
    """Confirm what the machine read, or say what stands there; it counts only while ``version`` is the field's own."""
    if find_field_place(runtime.engine(), field_id) is None:
        raise HTTPException(404, "there is no field of that id")
    claim = ReviewClaim(order.version)
    review = correct_field(
        runtime.engine(),
        field_id,
        order.text,
        who=user.name,
        overrule=order.overrule,
        claim=claim,
        templates=runtime.templates(),
    )
    told = {name: getattr(review, name) for name in ReviewOut.model_fields if name != "version"}
    return ReviewOut(**told, version=review.id)
