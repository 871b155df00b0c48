"""A waiting field as the browser gets it: its label, what is shown of the reading, and where its picture is cut."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from schemas.form_template import FormTemplate
from worker.review.crops import crop_url, page_url, place_crop
from worker.review.showing import Showing, choose_showing
from worker.sources.file_uris import display_name
from worker.store.results import box_of
from worker.store.review_queue import Leased


class Picture(BaseModel):
    """A picture's address and size in pixels, with the field's box in it."""

    url: str
    width: int
    height: int
    box: tuple[int, int, int, int]


class Item(BaseModel):
    """One field as the station shows it; ``version`` and ``token`` go back with the answer."""

    field_id: int
    token: int | None
    version: int
    name: str
    label: str
    kind: str
    unit: str
    mode: str
    text: str
    why: list[str]
    scan: str
    page: int
    template: str | None
    reference: str | None
    crop: Picture
    whole: Picture


def make_item(leased: Leased, templates: Mapping[str, FormTemplate], turns: int) -> Item:
    """Describe a field for the browser."""
    row, shown = leased.field, show_field(leased)
    place = place_crop(box_of(row), (row.width_px, row.height_px), turns)
    return Item(
        field_id=row.id,
        token=leased.claim.token,
        version=leased.claim.version,
        name=row.name,
        label=find_label(row.name, templates.get(row.template or "")),
        kind=row.kind,
        unit=row.unit or row.currency or "",
        mode=shown.mode,
        text=shown.text,
        why=sorted(kind.replace("_", " ") for kind in leased.doubts),
        scan=display_name(row.uri),
        page=row.number + 1,
        template=row.template,
        reference=row.reference,
        crop=Picture(url=crop_url(row.page_id, place), width=place.size[0], height=place.size[1], box=place.box),
        whole=Picture(url=page_url(row.page_id), width=row.width_px, height=row.height_px, box=box_of(row)),
    )


def show_field(leased: Leased, *, digits_checked: bool = False) -> Showing:
    """Choose what is shown of a field's reading; ``digits_checked``: people have checked its digits."""
    row = leased.field
    if leased.audited:
        return Showing("blind")
    return choose_showing(
        text=row.text,
        written=row.written,
        confidence=1.0 if digits_checked else row.confidence,
        digits=[1.0 if digits_checked else digit.confidence for digit in leased.digits],
        doubts=leased.doubts,
        kind=row.kind,
    )


def find_label(name: str, template: FormTemplate | None) -> str:
    """Return what a form calls a field; else its name, as words."""
    fields: Any = template.fields if template else ()
    label = next((field.label for field in fields if field.name == name), "")
    return label or name.replace("_", " ").replace(".", " · ")
