"""The template designer: a draft over its scan, fields drawn, named and merged into rows, the page read meanwhile."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import HTMLResponse, Response
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from schemas.form_template import FieldKind
from worker.api.access import Reviewer, User
from worker.review.designs import (
    Design,
    discard_design,
    draft_design,
    find_design,
    find_problems,
    list_designs,
    read_design,
    save_design,
)
from worker.review.desk import Desk
from worker.review.merging import merge_into_rows, split_rows
from worker.review.station import require_supervisor

KINDS: tuple[str, ...] = FieldKind.__args__  # type: ignore[attr-defined]


class Drafted(BaseModel):
    """A template that was drafted, by its name."""

    name: str


class Work(BaseModel):
    """The template as it stands in the browser."""

    template: dict[str, Any]


class Selection(Work):
    """The template as it stands, and the positions of the selected ones among its single fields."""

    selected: list[int]


class SplitRows(Work):
    """The template as it stands, and the position of the repeated rows that become fields."""

    number: int


class Checked(BaseModel):
    """What is wrong with a template; none where it was saved, or may be."""

    problems: list[dict[str, str]]
    words: str = ""


def supervisor(user: Reviewer) -> User:
    """Return the person who is signed in, who must be a supervisor."""
    require_supervisor(user)
    return user


Supervisor = Annotated[User, Depends(supervisor)]


def make_designer(desk: Desk) -> APIRouter:
    """Return the routes of the template designer."""
    router = APIRouter(prefix="/templates")

    @router.get("")
    def templates(user: Supervisor) -> HTMLResponse:
        known = sorted(desk.runtime.templates().values(), key=lambda template: template.name)
        designs = list_designs(desk.runtime)
        return desk.show("templates.html", user, here="templates", known=known, designs=designs)

    @router.post("/draft", status_code=201)
    async def draft(
        request: Request, _user: Supervisor, name: str, how: Literal["", "blank", "filled"] = ""
    ) -> Drafted:
        scan = await _read_body(request, round(desk.runtime.settings.max_file_mb * 1_000_000))
        await run_in_threadpool(draft_design, desk.runtime, name, scan, how)
        return Drafted(name=name)

    @router.get("/{name}")
    def design(name: str, user: Supervisor) -> HTMLResponse:
        found = _find(desk, name)
        return desk.show("designer.html", user, here="templates", name=found.name, kinds=KINDS)

    @router.get("/{name}/page")
    def page(name: str, _user: Supervisor) -> Response:
        return Response(_find(desk, name).page.read_bytes(), media_type="image/png")

    @router.get("/{name}/template")
    def template(name: str, _user: Supervisor) -> dict[str, Any]:
        return _find(desk, name).template()

    @router.post("/{name}/merge")
    def merge(name: str, work: Selection, _user: Supervisor) -> Work:
        _find(desk, name)
        return Work(template=merge_into_rows(work.template, work.selected))

    @router.post("/{name}/split")
    def split(name: str, work: SplitRows, _user: Supervisor) -> Work:
        _find(desk, name)
        return Work(template=split_rows(work.template, work.number))

    @router.post("/{name}/read")
    def read(name: str, work: Work, _user: Supervisor) -> dict[str, Any]:
        found, problems = _find(desk, name), find_problems(work.template)
        found.keep(work.template)
        return {"problems": problems, "page": None if problems else read_design(found)}

    @router.post("/{name}/save")
    def save(name: str, work: Work, _user: Supervisor) -> Checked:
        found, problems = _find(desk, name), find_problems(work.template)
        found.keep(work.template)
        if problems:
            return Checked(problems=problems)
        path = save_design(desk.runtime, found)
        return Checked(problems=[], words=f"Saved as {path.name}: scans of this form are read from now on.")

    @router.post("/{name}/discard", status_code=204)
    def discard(name: str, _user: Supervisor) -> None:
        discard_design(_find(desk, name))

    return router


def _find(desk: Desk, name: str) -> Design:
    found = find_design(desk.runtime, name)
    if found is None:
        raise HTTPException(404, f"no template {name} is being designed")
    return found


async def _read_body(request: Request, most_bytes: int) -> bytes:
    """Return the body of a request, refused as soon as it is larger than a scan may be."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most_bytes:
            raise HTTPException(413, f"the file is larger than {most_bytes / 1_000_000:g} MB (ICR_MAX_FILE_MB)")
    if not body:
        raise HTTPException(422, "the file is empty")
    return bytes(body)
