"""All readings as a stream, as ``icr export`` writes them: one JSON object a page, or CSV with one line a field."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from schemas.reading import StoredPage
from worker.api.access import OurRuntime, Reader
from worker.bootstrap import Runtime
from worker.output.csv_lines import csv_lines
from worker.output.field_lines import lines_of_page
from worker.sources.file_uris import display_name
from worker.store.results import Selection, iter_pages

router = APIRouter(prefix="/v1", tags=["results"])

LINES_AT_ONCE = 50
_MEDIA = {"jsonl": "application/jsonl", "csv": "text/csv"}
Text = Annotated[str | None, Query(max_length=200)]


@router.get(
    "/export",
    summary="All readings",
    response_class=StreamingResponse,
    responses={200: {"content": {kind: {"schema": {"type": "string"}} for kind in _MEDIA.values()}}},
)
def get_export(
    runtime: OurRuntime,
    _user: Reader,
    scan: Text = None,
    reference: Text = None,
    template: Text = None,
    form: Annotated[
        Literal["jsonl", "csv"], Query(alias="format", description="One page or one field a line")
    ] = "jsonl",
    digits: Annotated[bool, Query(description="Whether jsonl tells of each digit")] = True,
) -> StreamingResponse:
    """Stream what was read, in the order it was read."""
    selection = Selection(scan, reference, template)
    lines = _csv(runtime, selection) if form == "csv" else _lines(runtime, selection, with_digits=digits)
    return StreamingResponse(lines, media_type=_MEDIA[form])


def _lines(runtime: Runtime, selection: Selection, *, with_digits: bool) -> Iterator[str]:
    pages = _named_pages(runtime, selection, with_digits=with_digits)
    return _together(f"{page.model_dump_json()}\n" for page in pages)


def _csv(runtime: Runtime, selection: Selection) -> Iterator[str]:
    pages = _named_pages(runtime, selection, with_digits=False)
    return _together(csv_lines(line for page in pages for line in lines_of_page(page)))


def _named_pages(runtime: Runtime, selection: Selection, *, with_digits: bool) -> Iterator[StoredPage]:
    """Yield the pages with the names of their files, not with the places on the server."""
    for page in iter_pages(runtime.engine(), selection, with_digits=with_digits):
        yield page.model_copy(update={"source": display_name(page.source)})


def _together(lines: Iterable[str]) -> Iterator[str]:
    """Yield many lines at once: each piece of a stream costs a change of threads."""
    iterator = iter(lines)
    while several := list(itertools.islice(iterator, LINES_AT_ONCE)):
        yield "".join(several)
