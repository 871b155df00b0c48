"""What the HTTP API takes and answers: one model an object, from which OpenAPI is written."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from schemas.form_template import FieldKind
from schemas.reading import AlternativeOut, BoxPx, StoredPage


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


class FailureOut(_Answer):
    """Why a scan could not be read: a short code, and one line for a person."""

    kind: str
    reason: str


class DocumentOut(_Answer):
    """Pages of a scan that belong together, from the first to the last, counted from 0, with their own reference."""

    first_page: int
    last_page: int
    template: str | None
    reference: str | None


class LetterOut(_Answer):
    """What the message said that a scan came with, which nobody has checked."""

    sender: str
    subject: str
    received_at: datetime


class ScanOut(_Answer):
    """One scan that was sent.

    ``awaiting`` counts the pages and fields that a person must look at: the scan is complete when it has ended and
    nothing awaits. ``duplicate_of`` is the scan of the same bytes that was read in its place. ``documents`` are
    those of a scan that was split; ``letter`` is there if it came by mail.
    """

    id: str
    state: Literal["queued", "running", "done", "failed", "dead", "duplicate"]
    name: str
    template: str | None
    reference: str | None
    priority: int
    created_at: datetime
    finished_at: datetime | None
    duplicate_of: str | None
    failure: FailureOut | None
    awaiting: int
    complete: bool
    documents: list[DocumentOut] = []
    letter: LetterOut | None = None


class ResultOut(_Answer):
    """A scan that has ended, and its pages with their fields and digits."""

    scan: ScanOut
    pages: list[StoredPage]


class FieldAwaitingOut(_Answer):
    """One field that awaits review; its ``version`` goes back with the answer, so that no decision is lost unseen."""

    field_id: int
    version: int
    name: str
    text: str
    written: str
    kind: FieldKind
    unit: str | None
    confidence: float
    reasons: list[str]
    alternatives: list[AlternativeOut]
    box: BoxPx
    page_id: int
    page: int
    template: str | None
    scan: str
    reference: str | None
    image: str


class FieldsOut(_Answer):
    """One page of a list; ``next`` is the path of the next one, None at the end."""

    items: list[FieldAwaitingOut]
    next: str | None


class PageAwaitingOut(_Answer):
    """One page that awaits review: it could not be read (``problem``), or it is doubted (``doubt``)."""

    page_id: int
    page: int
    problem: str | None
    doubt: str | None
    template: str | None
    scan: str
    reference: str | None
    image: str


class PagesOut(_Answer):
    """One page of a list; ``next`` is the path of the next one, None at the end."""

    items: list[PageAwaitingOut]
    next: str | None


class DigitDoubtedOut(_Answer):
    """One digit that the machine doubts, with its runners-up."""

    field_id: int
    position: int
    digit: int
    confidence: float
    second_digit: int
    second_confidence: float
    third_digit: int
    third_confidence: float
    box: BoxPx
    field: str
    status: Literal["accepted", "review", "blank", "not_read"]
    final: str | None
    page: int
    template: str | None
    scan: str


class DigitsOut(_Answer):
    """One page of a list; ``next`` is the path of the next one, None at the end."""

    items: list[DigitDoubtedOut]
    next: str | None


class ReviewIn(BaseModel):
    """A person's word on a field, as of the ``version`` that the person saw.

    Without ``text`` the machine's reading is confirmed; with it, this is what stands there, with its marks (empty: a
    blank field). ``overrule`` takes a text that does not fit the field.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Annotated[int, Field(ge=0, le=2**62)]
    text: Annotated[str | None, Field(max_length=100)] = None
    overrule: bool = False


class ReviewOut(_Answer):
    """A decision as it was written down; ``version`` is that of the field now."""

    field_id: int
    name: str
    action: str
    before: str
    after: str
    who: str
    overruled: str | None
    version: int


class ProblemOut(_Answer):
    """What is wrong (RFC 9457); ``type`` is a name that programs compare."""

    type: str
    title: str
    status: int
    detail: str


class AuditOut(_Answer):
    """What the audit of accepted fields of one source and template has shown.

    ``bound`` is an upper bound of the share of them that is wrong. It holds at all times together with the probability
    ``confidence``, however often one looks. ``source`` and ``template`` are None in the sum over all.
    """

    source: str | None
    template: str | None
    drawn: int
    audited: int
    wrong: int
    bound: float
    confidence: float


class AuditsOut(_Answer):
    """The audit over all accepted fields, and for each source and template."""

    share: float
    total: AuditOut
    items: list[AuditOut]


WebhookEvent = Literal[
    "scan.read", "scan.failed", "scan.complete", "field.reviewed", "field.corrected_after_acceptance"
]


class WebhookIn(BaseModel):
    """An address that is to be told of ``events``; of all, if none is named."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: Annotated[str, Field(min_length=1, max_length=2000)]
    events: Annotated[list[WebhookEvent], Field(max_length=20)] = []


class WebhookOut(_Answer):
    """One address that is told of events, and how many messages to it are due and were given up."""

    id: int
    url: str
    events: list[str]
    created_at: datetime
    disabled_at: datetime | None
    disabled_reason: str | None
    due: int
    dead: int


class WebhookSecretOut(_Answer):
    """A new webhook, with the secret that signs what it gets."""

    id: int
    url: str
    events: list[str]
    secret: str


class WebhookMessageOut(_Answer):
    """One message to one webhook."""

    id: str
    event: str
    url: str
    created_at: datetime
    attempts: int
    next_try_at: datetime | None
    dead_at: datetime | None
    last_status: int | None
    last_error: str | None


class WebhookMessagesOut(_Answer):
    """One page of a list; ``next`` is the path of the next one, None at the end."""

    items: list[WebhookMessageOut]
    next: str | None
