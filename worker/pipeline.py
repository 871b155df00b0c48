"""The whole way of a page, on one screen: print → registration → fields → readings → decisions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from schemas.form_template import FieldSpec
from worker.checks.reading import read_check
from worker.decision import AcceptPolicy, add_doubt, decide_field, decide_form
from worker.doubts import Doubt, DoubtKind
from worker.fields.free_fields import find_free_fields
from worker.fields.locating.cells import announce_cells
from worker.fields.locating.extraction import extract_fields
from worker.fields.reading import read_fields
from worker.page_kinds import CheckPage, FreePage, LoneField, PageKind
from worker.registration.registration import identify_form
from worker.values import (
    Box,
    FieldCrop,
    FieldReading,
    Page,
    PageReading,
    ReadField,
    Recognizers,
    Registration,
)


def read_page(page: Page, kind: PageKind, recognizers: Recognizers, policy: AcceptPolicy) -> PageReading:
    """Read one page as what it is said to be; of several forms, as the one that it is.

    A page on which no form is found for sure is not read: its ``problem`` says so, and it has no fields. A free page on
    which nothing is found is read, and doubted: it may be empty, or its writing too faint. Of a damaged page every
    field goes to review.
    """
    reading = _read_as(page, kind, recognizers, policy)
    if page.damage is None:
        return reading
    return _doubt_all(reading, Doubt(DoubtKind.DAMAGED_FILE, explanation=page.damage))


def _read_as(page: Page, kind: PageKind, recognizers: Recognizers, policy: AcceptPolicy) -> PageReading:
    if isinstance(kind, LoneField | FreePage):
        crops = [_whole_page(page)] if isinstance(kind, LoneField) else find_free_fields(page, recognizers)
        reading = _page_reading(page, _read(crops, recognizers, policy), recognizers)
        return reading if crops else replace(reading, doubts=(Doubt(DoubtKind.NO_WRITING_FOUND),))
    if isinstance(kind, CheckPage):
        fields, problem = read_check(page, recognizers, policy, kind.policy)
        return _page_reading(page, fields, recognizers, problem=problem)
    found = identify_form(page, kind)
    if found.template is None or found.registration is None:
        return _page_reading(page, (), recognizers, registration=found.registration, problem=found.problem)
    crops = extract_fields(page, found.template, found.registration)
    reads = read_fields(crops, recognizers)
    fields = decide_form(found.template, _decide(crops, reads, policy))
    return _page_reading(page, fields, recognizers, registration=found.registration)


def _doubt_all(reading: PageReading, doubt: Doubt) -> PageReading:
    fields = tuple(add_doubt(field, doubt) for field in reading.fields)
    return replace(reading, fields=fields, doubts=(*reading.doubts, doubt))


def _read(crops: Sequence[FieldCrop], recognizers: Recognizers, policy: AcceptPolicy) -> tuple[FieldReading, ...]:
    return _decide(crops, read_fields(crops, recognizers), policy)


def _decide(crops: Sequence[FieldCrop], reads: Sequence[ReadField], policy: AcceptPolicy) -> tuple[FieldReading, ...]:
    return tuple(decide_field(crop.spec, read, policy) for crop, read in zip(crops, reads, strict=True))


def _whole_page(page: Page) -> FieldCrop:
    """Return the page as the crop of one field, by its cells where its print shows them."""
    height, width = page.grey.shape
    spec = FieldSpec(name="field", box_mm=(0, 0, min(width, 5000), min(height, 5000)))
    return announce_cells(FieldCrop(spec, page.grey, Box(0, 0, width, height), np.eye(3)))


def _page_reading(
    page: Page,
    fields: tuple[FieldReading, ...],
    recognizers: Recognizers,
    *,
    registration: Registration | None = None,
    problem: str | None = None,
) -> PageReading:
    height, width = page.grey.shape
    return PageReading(
        page=page.number,
        width_px=width,
        height_px=height,
        fields=fields,
        model_versions=dict(recognizers.versions),
        template=registration.template if registration and not problem else None,
        template_version=registration.version if registration and not problem else None,
        registration=registration.quality if registration else None,
        problem=problem,
    )
