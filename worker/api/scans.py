"""Scans in, their state and results out."""

from __future__ import annotations

import asyncio
import time
import uuid
from pathlib import Path
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, BackgroundTasks, Header, HTTPException, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import ValidationError

from schemas.form_template import FORMLESS
from schemas.http import DocumentOut, FailureOut, LetterOut, ResultOut, ScanOut
from schemas.mistakes import say_mistakes
from schemas.scan_job import MAX_REFERENCE, ScanJob
from worker.api.access import OurRuntime, Submitter, Viewer
from worker.api.problems import problem_answers
from worker.api.uploads import Upload, no_room, received
from worker.bootstrap import Runtime
from worker.errors import TransientError, UnknownTemplateError
from worker.forms.templates import find_form
from worker.inbox.posted import find_kept, keep_file
from worker.queue.publishing import Publisher
from worker.sources.beneath import hash_scan, open_scan
from worker.sources.file_uris import display_name
from worker.store.awaiting import count_awaiting
from worker.store.documents import list_documents
from worker.store.jobs import get_job
from worker.store.letters import MAIL, find_letter
from worker.store.records import JobRecord
from worker.store.results import Selection, iter_pages
from worker.store.tables import JobState

log = structlog.get_logger(__name__)
router = APIRouter(prefix="/v1/scans", tags=["scans"])

SOURCE = "http"
KEYED = uuid.UUID("6a1c3c52-7f0e-5d0b-a1c4-5b1f0c6d8e21")
"""Namespace of the ids that follow from a sender's ``Idempotency-Key``: the same key is the same job."""

REST_S = 10.0
"""How long a queue that does not answer is left alone."""

LONGEST_WAIT_S = 30.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 0.5
_ENDED = {JobState.DONE, JobState.FAILED, JobState.DEAD, JobState.DUPLICATE}

_PROBLEMS = problem_answers(
    {408: "The scan took too long", 413: "The scan is too large", 415: "The bytes are no scan, or of no known kind"}
)
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        "template": {"type": "string"},
                        "reference": {"type": "string", "maxLength": MAX_REFERENCE},
                        "priority": {"type": "integer", "minimum": 0, "maximum": 9},
                    },
                }
            },
        },
    }
}


class Announcer:
    """Publishes jobs whose rows are committed; after a queue that does not answer it leaves them to the reconciler."""

    def __init__(self, runtime: Runtime) -> None:
        self.publisher = Publisher(runtime)
        self._rests_until = 0.0

    def announce(self, record: JobRecord) -> None:
        """Publish a job, unless the queue was away a moment ago: each try takes seconds, and a thread."""
        if time.monotonic() < self._rests_until:
            return
        try:
            self.publisher.republish(record)
        except TransientError as error:
            self._rests_until = time.monotonic() + REST_S
            log.warning("the job is kept and runs when the queue is back", job=record.id, reason=str(error))


@router.post("", status_code=202, responses=_PROBLEMS, openapi_extra=_BODY, summary="Send a scan")
async def post_scan(
    request: Request,
    response: Response,
    after_answer: BackgroundTasks,
    runtime: OurRuntime,
    user: Submitter,
    template: Annotated[str | None, Query(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")] = None,
    reference: Annotated[str | None, Query(max_length=MAX_REFERENCE)] = None,
    priority: Annotated[int, Query(ge=0, le=9)] = 5,
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=200)] = None,
) -> ScanOut:
    """Take a scan: its bytes as the body, or a form with ``file`` and, instead of the query, the other values.

    The scan is on the disk and its row is committed before the answer. The same ``Idempotency-Key`` with the same scan
    and values is the same job, however often it is sent.
    """
    asked = {"template": template, "reference": reference, "priority": priority}
    async with received(request, runtime.inbox.resolve(), max_file_mb=runtime.settings.max_file_mb) as upload:
        if unknown := sorted(upload.form.keys() - asked.keys()):
            raise HTTPException(422, "; ".join(f"form.{name} is not known" for name in unknown))
        asked |= {name: value for name, value in upload.form.items() if value}
        job_id = str(uuid.uuid5(KEYED, f"{user.name}\n{idempotency_key}") if idempotency_key else uuid.uuid4())
        announcer: Announcer = request.app.state.announcer
        record = await run_in_threadpool(_take_in, announcer.publisher, upload, job_id, asked)
    if record.state is JobState.QUEUED and record.published_at is None:
        after_answer.add_task(announcer.announce, record)
    response.headers["Location"] = f"/v1/scans/{record.id}"
    return await run_in_threadpool(scan_out, runtime, record)


@router.get("/{scan_id}", summary="The state of a scan")
def get_scan(scan_id: uuid.UUID, runtime: OurRuntime, _user: Viewer) -> ScanOut:
    """Return the state of a scan."""
    return scan_out(runtime, _find(runtime, scan_id))


@router.get(
    "/{scan_id}/result",
    summary="The readings of a scan",
    response_model=ResultOut,
    responses={202: {"model": ScanOut, "description": "It has not ended yet"}},
)
async def get_result(
    scan_id: uuid.UUID,
    runtime: OurRuntime,
    _user: Viewer,
    response: Response,
    wait: Annotated[float, Query(ge=0, le=LONGEST_WAIT_S, description="Seconds to wait for the end")] = 0.0,
) -> Any:
    """Return the pages of a scan that has ended; wait for the end up to ``wait`` seconds, if asked to."""
    loop = asyncio.get_running_loop()
    until, pause_s = loop.time() + wait, _FIRST_PAUSE_S
    while True:
        record = await run_in_threadpool(_find, runtime, scan_id)
        left_s = until - loop.time()
        if await run_in_threadpool(_has_ended, runtime, record) or left_s <= 0:
            break
        await asyncio.sleep(min(pause_s, left_s))
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
    scan = await run_in_threadpool(scan_out, runtime, record)
    if record.state in (JobState.QUEUED, JobState.RUNNING):
        response.status_code = 202
        response.headers["Retry-After"] = "1"
        return Response(scan.model_dump_json(), 202, {"Retry-After": "1"}, "application/json")
    return await run_in_threadpool(_result_out, runtime, scan)


def scan_out(runtime: Runtime, record: JobRecord) -> ScanOut:
    """Return what other systems are told of a job."""
    state, awaiting = _state(runtime, record), count_awaiting(runtime.engine(), record.id)
    failure = FailureOut(kind=record.error_kind, reason=record.error_reason or "") if record.error_kind else None
    return ScanOut(
        id=record.id,
        state=record.state.value,
        name=display_name(record.uri),
        template=record.template,
        reference=record.reference,
        priority=record.priority,
        created_at=record.created_at,
        finished_at=record.finished_at,
        duplicate_of=record.duplicate_of,
        failure=failure,
        awaiting=awaiting,
        complete=state is JobState.DONE and not awaiting,
        documents=_documents_out(runtime, record),
        letter=_letter_out(runtime, record),
    )


def _documents_out(runtime: Runtime, record: JobRecord) -> list[DocumentOut]:
    if record.state in (JobState.QUEUED, JobState.RUNNING):
        return []
    rows = list_documents(runtime.engine(), record.duplicate_of or record.id)
    return [DocumentOut(**{name: getattr(row, name) for name in DocumentOut.model_fields}) for row in rows]


def _letter_out(runtime: Runtime, record: JobRecord) -> LetterOut | None:
    row = find_letter(runtime.engine(), record.id) if record.source == MAIL else None
    return row and LetterOut(sender=row.sender, subject=row.subject, received_at=row.received_at)


def _result_out(runtime: Runtime, scan: ScanOut) -> ResultOut:
    pages = list(iter_pages(runtime.engine(), Selection(job=scan.id), with_digits=True))
    return ResultOut(scan=scan, pages=[page.model_copy(update={"source": scan.name}) for page in pages])


def _find(runtime: Runtime, scan_id: uuid.UUID) -> JobRecord:
    record = get_job(runtime.engine(), str(scan_id))
    if record is None:
        raise HTTPException(404, "there is no scan of that id")
    return record


def _state(runtime: Runtime, record: JobRecord) -> JobState:
    """Return the state of the job that was read for a job: its own, or that of the one whose bytes it repeats."""
    if record.duplicate_of is None:
        return record.state
    read = get_job(runtime.engine(), record.duplicate_of)
    return read.state if read else record.state


def _has_ended(runtime: Runtime, record: JobRecord) -> bool:
    return _state(runtime, record) in _ENDED


def _take_in(publisher: Publisher, upload: Upload, job_id: str, asked: dict[str, Any]) -> JobRecord:
    """Keep the file, and write and commit the row of its job; a repeated request finds what it did before.

    Raises
    ------
    HTTPException
        A value is wrong, or the key was used for another scan.
    """
    runtime = publisher.runtime
    job = _order(runtime, job_id, asked)
    known = get_job(runtime.engine(), job_id)
    if known is not None:
        return _same(known, upload, job)
    place = _keep(runtime, upload, job_id)
    ticket = publisher.register_scan(job.model_copy(update={"uri": place.as_uri()}), place, source=SOURCE)
    publisher.read_rest(ticket.duplicate_of)
    record = get_job(runtime.engine(), job_id)
    assert record is not None
    return record


def _order(runtime: Runtime, job_id: str, asked: dict[str, Any]) -> ScanJob:
    """Return the job that is asked for; its place is not known yet."""
    try:
        job = ScanJob(uri="pending", id=uuid.UUID(job_id), **asked)
    except ValidationError as error:
        raise HTTPException(422, say_mistakes(error)) from error
    if job.template is not None and job.template not in FORMLESS:
        try:
            find_form(job.template, runtime.templates())
        except UnknownTemplateError as error:
            raise HTTPException(422, f"template: {error}") from error
    return job


def _keep(runtime: Runtime, upload: Upload, job_id: str) -> Path:
    inbox = runtime.inbox.resolve()
    try:
        with no_room():
            return keep_file(inbox, upload.path, job_id, upload.name)
    except FileExistsError:  # the same key a moment ago, by a request that wrote no row yet or was cut off
        kept = find_kept(inbox, job_id)
        if kept is not None:
            with open_scan(kept, runtime.file_roots) as file:
                if hash_scan(file, max_file_mb=runtime.settings.max_file_mb)[0] == upload.sha256:
                    return kept
        raise HTTPException(422, _REUSED) from None


_REUSED = "the Idempotency-Key was used for another scan, or with other values"


def _same(known: JobRecord, upload: Upload, job: ScanJob) -> JobRecord:
    sent = upload.sha256, job.template, job.reference, job.priority
    if (known.sha256, known.template, known.reference, known.priority) != sent:
        raise HTTPException(422, _REUSED)
    return known
