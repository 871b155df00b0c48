"""Pages: those with waiting fields, those that could not be read, scans that failed; and one page with its fields."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fastapi import APIRouter, HTTPException
from fastapi.responses import HTMLResponse
from pydantic import BaseModel

from schemas.form_template import FormTemplate
from worker.api.access import Reviewer
from worker.decision.forms import BrokenRule
from worker.forms.templates import find_form, find_template
from worker.review.corners import CornersChoice, FormOutline, check_corners, outline_form
from worker.review.crops import crop_url, find_turns, place_crop
from worker.review.desk import Desk
from worker.review.items import Picture, find_label, show_field
from worker.review.rules import broken_rules
from worker.review.showing import GAP
from worker.store.held_rules import UNREADABLE
from worker.store.letters import find_letter
from worker.store.page_work import (
    WholePage,
    list_failed_scans,
    list_waiting_pages,
    load_page,
    next_waiting_page,
    read_again_as,
    read_again_by_corners,
)
from worker.store.results import box_of, list_page_review_queue
from worker.store.review_queue import Leased
from worker.store.reviews import settle_page

ON_A_LIST = 50


class FormChoice(BaseModel):
    """The form by which a scan is to be read again."""

    template: str


class Outcome(BaseModel):
    """What was done, in words, and what could not be done yet."""

    words: str


@dataclass(frozen=True, slots=True)
class Line:
    """One field of a page as its table shows it: ``verdict`` is a word, ``mode`` says what may be typed.

    Of a field of text nothing may be typed: its ``picture`` is shown.
    """

    leased: Leased
    label: str
    mode: str
    shown: str
    verdict: str
    words: list[str]
    picture: Picture | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether nobody has decided the field yet."""
        return self.leased.field.final_text is None


def make_page_desk(desk: Desk) -> APIRouter:
    """Return the routes of pages and scans."""
    router = APIRouter()
    add_pages(router, desk)
    add_rereading(router, desk)
    return router


def add_pages(router: APIRouter, desk: Desk) -> None:
    """Add the routes that show pages, and the one that settles a page."""

    @router.get("/pages")
    def pages(user: Reviewer, after: int = 0, before: datetime | None = None) -> HTMLResponse:
        return desk.show(
            "pages.html",
            user,
            here="pages",
            waiting=list_waiting_pages(desk.engine, limit=ON_A_LIST, after=after),
            doubted=list_page_review_queue(desk.engine, limit=ON_A_LIST),
            failed=list_failed_scans(desk.engine, limit=ON_A_LIST, before=before),
            on_a_list=ON_A_LIST,
            after=after,
            before=before,
        )

    @router.get("/pages/{page_id}")
    def page(page_id: int, user: Reviewer) -> HTMLResponse:
        whole = _load(desk, page_id)
        return desk.show(
            "page.html",
            user,
            here="pages",
            page=whole.row,
            letter=find_letter(desk.engine, whole.row.job_id),
            words=whole.words.get(None, []),
            lines=_make_lines(desk, whole),
            templates=sorted(desk.runtime.templates()),
            next_page=next_waiting_page(desk.engine, page_id),
        )

    @router.get("/pages/{page_id}/rules")
    def rules(page_id: int) -> list[dict[str, Any]]:
        whole = _load(desk, page_id)
        template = desk.runtime.templates().get(whole.row.template or "")
        broken = broken_rules(template, whole.fields) if template else []
        waiting = {leased.field.name for leased in whole.fields if leased.field.final_text is None}
        return [_describe_rule(rule, template, waiting) for rule in broken]

    @router.post("/pages/{page_id}/settle")
    def settle(page_id: int, user: Reviewer) -> Outcome:
        return Outcome(words=f"settled: {settle_page(desk.engine, page_id, who=user.name)}")


def add_rereading(router: APIRouter, desk: Desk) -> None:
    """Add the routes by which a scan is read again: as another form, by corners placed by hand, or after a failure."""

    @router.get("/forms/{name}/outline")
    def outline(name: str) -> FormOutline:
        return outline_form(find_template(name, desk.runtime.templates()))

    @router.post("/pages/{page_id}/corners")
    def corners(page_id: int, choice: CornersChoice, user: Reviewer) -> Outcome:
        template, page = find_template(choice.template, desk.runtime.templates()), _load(desk, page_id).row
        placed = check_corners(choice, template, width_px=page.width_px, height_px=page.height_px)
        job_id = read_again_by_corners(desk.engine, page_id, placed, who=user.name)
        return _publish(desk, job_id, f"The page is read again as {choice.template}, by the corners that you placed.")

    @router.post("/pages/{page_id}/read-again")
    def read_again(page_id: int, choice: FormChoice, user: Reviewer) -> Outcome:
        find_form(choice.template, desk.runtime.templates())
        job_id = read_again_as(desk.engine, page_id, choice.template, who=user.name)
        return _publish(desk, job_id, f"The scan is read again as {choice.template}.")

    @router.post("/scans/{job_id}/retry")
    def retry(job_id: str, _user: Reviewer) -> Outcome:
        from worker.inbox.reopening import reopen_scan
        from worker.store.jobs import retry_jobs

        if not retry_jobs(desk.engine, [job_id]):
            raise HTTPException(409, "the scan did not fail, or is being read again already")
        reopen_scan(desk.runtime.inbox, desk.engine, job_id)
        return _publish(desk, job_id, "The scan is queued again.")


def _publish(desk: Desk, job_id: str, words: str) -> Outcome:
    """Publish a job that was queued again; say ``words``, or what keeps it."""
    from worker.queue.publishing import Publisher

    return Outcome(words=Publisher(desk.runtime).publish_again(job_id) or words)


def _load(desk: Desk, page_id: int) -> WholePage:
    whole = load_page(desk.engine, page_id)
    if whole is None:
        raise HTTPException(404, f"there is no page {page_id}: its scan was read again or purged")
    return whole


def _describe_rule(rule: BrokenRule, template: FormTemplate | None, waiting: set[str]) -> dict[str, Any]:
    """Say what does not hold; the numbers only once nobody has to key one of them blind."""
    named = ", ".join(find_label(name, template) for name in rule.fields)
    words = f"between {named}" if waiting & set(rule.fields) else rule.explanation
    return {"rule": rule.rule, "words": words, "suspect": rule.suspect, "label": find_label(rule.suspect, template)}


def _make_lines(desk: Desk, whole: WholePage) -> list[Line]:
    turns = find_turns([digit for leased in whole.fields for digit in leased.digits])
    return [
        _show_text(desk, whole, leased, turns) if leased.field.status == "not_read" else _make_line(desk, whole, leased)
        for leased in whole.fields
    ]


def _show_text(desk: Desk, whole: WholePage, leased: Leased, turns: int) -> Line:
    """Describe a field of text: nobody has read it, and its picture says what stands there."""
    row = leased.field
    label = find_label(row.name, desk.runtime.templates().get(whole.row.template or ""))
    place = place_crop(box_of(row), (row.width_px, row.height_px), turns, around=0.2)
    picture = Picture(url=crop_url(row.page_id, place), width=place.size[0], height=place.size[1], box=place.box)
    return Line(leased, label, "text", "", "text", [], picture)


def _make_line(desk: Desk, whole: WholePage, leased: Leased) -> Line:
    """Describe a field; words that would give away what is to be keyed blind are left out."""
    row, showing = leased.field, show_field(leased)
    label = find_label(row.name, desk.runtime.templates().get(whole.row.template or ""))
    if row.final_text is None:
        shown = showing.text.replace(GAP, "▢") or "to be keyed"
        words = sorted(kind.replace("_", " ") for kind in leased.doubts)
        return Line(leased, label, showing.mode, shown, "waits", words)
    by_person = row.origin == "reviewer"
    verdict = "unreadable" if row.final_text == UNREADABLE else "keyed" if by_person else row.status
    shown = row.final_text if by_person else row.written or row.text
    return Line(leased, label, "whole", shown or "-", verdict, [])
