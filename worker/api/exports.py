"""All readings as a stream: one JSON object a page, as ``icr export`` writes them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from worker.api.access import OurRuntime, Reader
from worker.bootstrap import Runtime
from worker.sources.file_uris import display_name
from worker.store.results import Selection, iter_pages

router = APIRouter(prefix="/v1", tags=["results"])

LINES_AT_ONCE = 50
Text = Annotated[str | None, Query(max_length=200)]


@router.get(
    "/export",
    summary="All readings",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/jsonl": {"schema": {"type": "string"}}}}},
)
def get_export(
    runtime: OurRuntime,
    _user: Reader,
    scan: Text = None,
    reference: Text = None,
    template: Text = None,
    digits: Annotated[bool, Query(description="Whether each digit is told of")] = True,
) -> StreamingResponse:
    """Stream the pages that were read, one JSON object a line, in the order they were read."""
    lines = _lines(runtime, Selection(scan, reference, template), with_digits=digits)
    return StreamingResponse(lines, media_type="application/jsonl")


def _lines(runtime: Runtime, selection: Selection, *, with_digits: bool) -> Iterator[str]:
    kept: list[str] = []
    for page in iter_pages(runtime.engine(), selection, with_digits=with_digits):
        kept.append(page.model_copy(update={"source": display_name(page.source)}).model_dump_json() + "\n")
        if len(kept) == LINES_AT_ONCE:
            yield "".join(kept)
            kept.clear()
    yield "".join(kept)
