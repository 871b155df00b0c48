"""What ``icr read`` and the exports print: one JSON object a page."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from schemas.form_template import FieldKind

BoxPx = tuple[int, int, int, int]
"""(x, y, w, h) in page pixels."""


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class DigitOut(_Frozen):
    """One digit with its confidence and its place on the page."""

    digit: int
    confidence: float
    box: BoxPx


class AlternativeOut(_Frozen):
    """A runner-up reading."""

    text: str
    confidence: float


class DoubtOut(_Frozen):
    """One reason why a person should look: its kind, by which to count and filter, and the same in words."""

    kind: str
    words: str


class MoneyOut(_Frozen):
    """An amount as an integer of the currency's minor units, with its ISO 4217 code."""

    minor_units: int
    currency: str


class FieldOut(_Frozen):
    """One field: ``confidence`` is the probability that ``text`` is right as a whole.

    ``written`` is what stands there, with its marks (``-12.50``), and ``text`` its digits; ``kind`` is that of the
    field's grammar. ``value`` is what is meant: money, an integer, or text (a decimal number as ``12.50``, which
    no program rounds; an ISO date or time; a code's digits; ``ticked`` or ``empty``). It is None where the marks fit no
    value. ``unit`` is that of a number. ``reasons`` say in words why a person should look, and
    ``doubts`` give the kind of each beside its words; ``validation_sources`` name what spoke for the reading.
    """

    name: str
    text: str
    written: str = ""
    kind: FieldKind = "code"
    confidence: float
    status: Literal["accepted", "review", "blank", "not_read"]
    reasons: list[str] = []
    doubts: list[DoubtOut] = []
    box: BoxPx
    digits: list[DigitOut] = []
    alternatives: list[AlternativeOut] = []
    validation_sources: list[str] = []
    value: MoneyOut | int | str | None = None
    unit: str | None = None


class SeparatorOut(_Frozen):
    """What a page says of the document that begins: on a ``sheet`` before it, or by a barcode on its first page."""

    template: str | None
    reference: str | None
    sheet: bool


class PageOut(_Frozen):
    """One page of one file: ``error`` says why it could not be read, ``doubt`` why a person should look at it.

    A page with a ``doubt`` was read: nothing was found on it, or its file is damaged. ``doubts`` are the same by kind.
    A ``blank`` page is empty paper. ``reference`` is that of the page's document, or of its scan. ``separator`` is told
    while a file is read.
    """

    source: str
    page: int
    template: str | None = None
    registration: float | None = None
    error: str | None = None
    doubt: str | None = None
    doubts: list[DoubtOut] = []
    blank: bool = False
    separator: SeparatorOut | None = None
    reference: str | None = None
    fields: list[FieldOut] = []


class StoredField(FieldOut):
    """A field as the database holds it: ``text`` by the machine, ``final`` as it holds.

    ``final`` and ``origin`` are None while the field awaits review. ``final_value`` is what ``final`` means: after a
    correction, what the person's answer means by the field's grammar.
    """

    field_id: int
    final: str | None
    final_value: MoneyOut | int | str | None = None
    origin: Literal["machine", "reviewer"] | None


class StoredPage(PageOut):
    """A page as the database holds it; ``job`` is the id that its scan was ordered under.

    ``duplicate_of`` is the job that was read, where the one asked for repeats its bytes. ``settled_by`` names who has
    looked at a page with an ``error`` or a ``doubt``.
    """

    page_id: int
    settled_by: str | None = None
    job: str
    duplicate_of: str | None = None
    read_at: datetime
    template_version: str | None = None
    model_versions: dict[str, str] = {}
    fields: list[StoredField] = []  # type: ignore[assignment]  # the same, and more
