"""Pictures of pages and of fields by the paths of IIIF, kept by the browser that asked and by nobody between."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, RedirectResponse

from worker.api.access import OurRuntime, Viewer
from worker.api.iiif import PictureOrder, UnfitPathError, describe, parse_path
from worker.api.pictures import PagePlace, PictureMaker
from worker.api.problems import problem_answers
from worker.errors import InvalidJobError, UnreadableScanError
from worker.store.places import StoredPlace, find_field_place, find_page_place

router = APIRouter(prefix="/v1", tags=["pictures"])

AROUND = 0.6
"""How much of its surroundings a field's picture shows on each side, of the field's height: a line above and below."""

CACHING = "private, max-age=86400, immutable"
"""The bytes behind an address never change: another reading has other ids."""

_DRAWING = 1
"""Part of every ETag: raise it when the same address gives other pixels."""

RowId = Annotated[int, Path(ge=1, le=2**62)]
_MEDIA = {"jpg": "image/jpeg", "png": "image/png"}
_INFO_MEDIA = 'application/ld+json;profile="http://iiif.io/api/image/3/context.json"'
_TOLD: dict[int | str, dict[str, Any]] = {200: {"content": {_INFO_MEDIA: {"schema": {"type": "object"}}}}}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in _MEDIA.values()}},
    304: {"description": "The picture that the sender has is the one"},
    **problem_answers({410: "The scan is not there any more, or cannot be decoded"}),
}


@router.get("/pages/{page_id}/image", summary="A page's picture", status_code=303, response_class=RedirectResponse)
def get_page_image(page_id: RowId, _user: Viewer) -> Response:
    """Lead to the description of a page's picture."""
    return RedirectResponse(f"/v1/pages/{page_id}/image/info.json", 303)


@router.get("/fields/{field_id}/image", summary="A field's picture", status_code=303, response_class=RedirectResponse)
def get_field_image(field_id: RowId, _user: Viewer) -> Response:
    """Lead to the description of a field's picture."""
    return RedirectResponse(f"/v1/fields/{field_id}/image/info.json", 303)


@router.get(
    "/pages/{page_id}/image/info.json",
    summary="What a page's picture is like",
    response_class=Response,
    responses=_TOLD,
)
def get_page_info(request: Request, page_id: RowId, runtime: OurRuntime, _user: Viewer) -> Response:
    """Return the size of a page's picture, and how it may be asked for."""
    place = _found(find_page_place(runtime.engine(), page_id))
    return _info(request, _page_box(place))


@router.get(
    "/fields/{field_id}/image/info.json",
    summary="What a field's picture is like",
    response_class=Response,
    responses=_TOLD,
)
def get_field_info(request: Request, field_id: RowId, runtime: OurRuntime, _user: Viewer) -> Response:
    """Return the size of a field's picture, and how it may be asked for."""
    place = _found(find_field_place(runtime.engine(), field_id))
    return _info(request, _field_box(place))


@router.get(
    "/pages/{page_id}/image/{region}/{size}/{rotation}/{file}",
    summary="A page, or a part of it",
    response_class=Response,
    responses=_ANSWERS,
)
async def get_page_picture(
    request: Request,
    page_id: RowId,
    region: str,
    size: str,
    rotation: str,
    file: str,
    runtime: OurRuntime,
    _user: Viewer,
) -> Response:
    """Return a page, or the region of it that is asked for."""
    place = _found(await run_in_threadpool(find_page_place, runtime.engine(), page_id))
    return await _picture(request, place, _ordered(region, size, rotation, file, _page_box(place)))


@router.get(
    "/fields/{field_id}/image/{region}/{size}/{rotation}/{file}",
    summary="A field with its surroundings",
    response_class=Response,
    responses=_ANSWERS,
)
async def get_field_picture(
    request: Request,
    field_id: RowId,
    region: str,
    size: str,
    rotation: str,
    file: str,
    runtime: OurRuntime,
    _user: Viewer,
) -> Response:
    """Return a field with what lies around it, or the region of that which is asked for."""
    place = _found(await run_in_threadpool(find_field_place, runtime.engine(), field_id))
    return await _picture(request, place, _ordered(region, size, rotation, file, _field_box(place)))


def _found(place: StoredPlace | None) -> StoredPlace:
    if place is None or 0 in place.size_px:
        raise HTTPException(404, "there is no picture of that id")
    return place


def _page_box(place: StoredPlace) -> tuple[int, int, int, int]:
    return 0, 0, *place.size_px


def _field_box(place: StoredPlace) -> tuple[int, int, int, int]:
    """Return the box of a field grown on all sides, within its page."""
    assert place.box_px is not None
    x, y, w, h = place.box_px
    around, (width, height) = round(AROUND * h), place.size_px
    left, top = min(max(0, x - around), width - 1), min(max(0, y - around), height - 1)
    right, bottom = min(width, x + w + around), min(height, y + h + around)
    return left, top, max(1, right - left), max(1, bottom - top)


def _info(request: Request, box: tuple[int, int, int, int]) -> Response:
    identity = str(request.url.replace(query="")).removesuffix("/info.json")
    return JSONResponse(describe(identity, *box[2:]), headers={"Cache-Control": CACHING}, media_type=_INFO_MEDIA)


def _ordered(region: str, size: str, rotation: str, file: str, box: tuple[int, int, int, int]) -> PictureOrder:
    try:
        return parse_path(region, size, rotation, file, box)
    except UnfitPathError as error:
        raise HTTPException(400, str(error)) from error


async def _picture(request: Request, place: StoredPlace, order: PictureOrder) -> Response:
    names = (_DRAWING, place.sha256, place.number, order)
    etag = f'"{hashlib.sha256(repr(names).encode()).hexdigest()[:32]}"'
    headers = {"ETag": etag, "Cache-Control": CACHING}
    if etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    maker: PictureMaker = request.app.state.pictures
    try:
        content = await maker.draw(PagePlace(place.uri, place.sha256, place.number, place.size_px), order)
    except (UnreadableScanError, InvalidJobError) as error:
        raise HTTPException(410, str(error)) from error
    return Response(content, headers=headers, media_type=_MEDIA[order.format])
