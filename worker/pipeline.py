"""The whole way of a page, on one screen: print → registration → fields → readings → decisions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from schemas.form_template import FieldGrammar, FieldSpec
from worker.checks.reading import read_check
from worker.decision.confirmation import add_doubt
from worker.decision.fields import AcceptPolicy, decide_field, leave_unread
from worker.decision.forms import decide_form
from worker.doubts import Doubt, DoubtKind
from worker.fields.free_pages.writing import find_free_writing
from worker.fields.locating.cells import announce_cells
from worker.fields.locating.extraction import extract_fields, place_texts
from worker.fields.reading import read_fields
from worker.imaging.blank_pages import is_blank_page
from worker.page_kinds import CheckPage, FreePage, LoneField, PageKind, PlacedForm
from worker.registration.registration import FoundForm, identify_form, register_by_corners
from worker.values import (
    Box,
    FieldCrop,
    FieldReading,
    FieldStatus,
    Page,
    PageReading,
    RawReading,
    Recognizers,
    Registration,
    UnreadablePage,
)

T = TypeVar("T")

LONGEST = 30
"""A longer side of more than so many shorter ones is no page and no field: a number of 30 digits is about 25 to 1.

Readers shrink a crop to their height; a column of 50 to 1 that was full of digits became grey, and was called blank.
"""


def read_page(
    page: Page | UnreadablePage, kind: PageKind, recognizers: Recognizers, policy: AcceptPolicy
) -> PageReading:
    """Read one page as what it is said to be; of several forms, as the one that it is.

    A page on which no form is found for sure is not read: its ``problem`` says so, and it has no fields. A free page on
    which nothing is found is read, and doubted: it may be empty, or its writing too faint. Of a damaged page every
    field goes to review; one that could not be decoded has a ``problem`` and nothing else.
    """
    if isinstance(page, UnreadablePage):
        return PageReading(page=page.number, width_px=0, height_px=0, problem=page.problem)
    reading = _read_as(page, kind, recognizers, policy)
    if page.damage is None:
        return reading if reading.fields else replace(reading, blank=is_blank_page(page.grey))
    return _doubt_all(reading, Doubt(DoubtKind.DAMAGED_FILE, explanation=page.damage))


def excuse_blank_backs(pages: Iterable[tuple[T, PageReading]]) -> Iterator[tuple[T, PageReading]]:
    """Let the blank pages of a scan need nobody where another of its pages holds ink.

    A scan of blank pages only keeps what its pages say: somebody may have laid the sheets in the wrong way round.
    Blank pages at the beginning are held back until another comes; what stands beside the readings goes with them.
    """
    held: list[tuple[T, PageReading]] = []
    has_ink = False
    for beside, reading in pages:
        if reading.blank and not has_ink:
            held.append((beside, reading))
            continue
        has_ink = True
        for waiting, blank in held:
            yield waiting, replace(blank, problem=None, doubts=())
        held.clear()
        yield beside, replace(reading, problem=None, doubts=()) if reading.blank else reading
    yield from held


def _read_as(page: Page, kind: PageKind, recognizers: Recognizers, policy: AcceptPolicy) -> PageReading:
    if max(page.grey.shape) > LONGEST * min(page.grey.shape):
        height, width = page.grey.shape
        strip = f"a strip of {width} x {height} pixels: one side is more than {LONGEST} times the other"
        return _page_reading(page, (), recognizers, problem=strip)
    if isinstance(kind, LoneField):
        crop = _whole_page(page, kind.grammar)
        (lone,) = read_fields([crop], recognizers)
        if policy.accept_threshold is None:
            lone = _held_to_stranger(crop, lone, recognizers)
        return _page_reading(page, _decide([crop], [lone], policy), recognizers)
    if isinstance(kind, FreePage):
        writing = find_free_writing(page, recognizers)
        reads = read_fields(writing.fields, recognizers)
        reads = [_held_to_pages(crop, read, recognizers) for crop, read in zip(writing.fields, reads, strict=True)]
        reading = _page_reading(page, _decide(writing.fields, reads, policy), recognizers)
        doubts = writing.doubts if writing.fields or writing.doubts else (Doubt(DoubtKind.NO_WRITING_FOUND),)
        return replace(reading, doubts=doubts)
    if isinstance(kind, CheckPage):
        fields, problem = read_check(page, recognizers, policy, kind.policy)
        return _page_reading(page, fields, recognizers, problem=problem)
    found = _find_placed(page, kind) if isinstance(kind, PlacedForm) else identify_form(page, kind)
    if found.template is None or found.registration is None:
        return _page_reading(page, (), recognizers, registration=found.registration, problem=found.problem)
    crops = extract_fields(page, found.template, found.registration)
    reads = read_fields(crops, recognizers)
    read = decide_form(found.template, _decide(crops, reads, policy))
    texts = [leave_unread(crop.spec, crop.box_px) for crop in place_texts(page, found.template, found.registration)]
    by_name = {field.name: field for field in (*read, *texts)}
    fields = tuple(by_name[spec.name] for spec in found.template.fields)
    return _page_reading(page, fields, recognizers, registration=found.registration)


def _find_placed(page: Page, kind: PlacedForm) -> FoundForm:
    placed = register_by_corners(page, kind.template, box_mm=kind.box_mm, corners_px=kind.corners_px)
    return FoundForm(kind.template, placed)


def _held_to_pages(crop: FieldCrop, read: RawReading, recognizers: Recognizers) -> RawReading:
    """Return what was read on a page without a form, with the threshold that was shown on whole pages.

    The labelled fields of the calibration were cut out before; here a wrong cut is read with confidence, too. Where no
    promise was shown on pages, a person sees the number.
    """
    if read.blank:
        return read
    threshold = recognizers.page_promises.threshold_for(crop.spec.layout)
    if threshold is None:
        return replace(read, doubts=(*read.doubts, Doubt(DoubtKind.NO_PROMISE)))
    own = read.accept_threshold
    return read if own is None else replace(read, accept_threshold=max(own, threshold))


def _held_to_stranger(crop: FieldCrop, read: RawReading, recognizers: Recognizers) -> RawReading:
    """Return what was read of a lone crop, with the stricter threshold of a source of which no promise is shown.

    Nobody says what it was cut from. Once ``icr calibrate`` has seen the site's own fields, their promise holds.
    """
    known = recognizers.calibration
    if read.blank or read.accept_threshold is None or known.knows_source:
        return read
    threshold = known.of_layout(crop.spec.layout).stranger_threshold
    if threshold is not None and read.confidence < threshold:
        return replace(read, accept_threshold=threshold, doubts=(*read.doubts, Doubt(DoubtKind.NO_PROMISE)))
    return replace(read, accept_threshold=threshold)


def _doubt_all(reading: PageReading, doubt: Doubt) -> PageReading:
    fields = tuple(f if f.status is FieldStatus.NOT_READ else add_doubt(f, doubt) for f in reading.fields)
    return replace(reading, fields=fields, doubts=(*reading.doubts, doubt))


def _decide(crops: Sequence[FieldCrop], reads: Sequence[RawReading], policy: AcceptPolicy) -> tuple[FieldReading, ...]:
    return tuple(decide_field(crop.spec, read, policy) for crop, read in zip(crops, reads, strict=True))


def _whole_page(page: Page, grammar: FieldGrammar) -> FieldCrop:
    """Return the page as the crop of one field, by its cells where its print shows them."""
    height, width = page.grey.shape
    box = (0, 0, min(width, 5000), min(height, 5000))
    spec = FieldSpec.model_validate({"name": "field", "box_mm": box, **grammar.model_dump()})
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
