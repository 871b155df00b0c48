"""Made-up forms: templates of random design, for tests of registration and identification among many."""

from __future__ import annotations

import numpy as np

from schemas.form_template import BoxMm, FieldSpec, FormTemplate, Landmark
from worker.synthesis.glyphs import pick

LABELS = (
    "Number",
    "Date",
    "Account",
    "Total",
    "Code",
    "Weight",
    "Ward",
    "Room",
    "Dose",
    "Height",
    "Year",
    "Order",
)
PAGES_MM = ((210.0, 297.0), (215.9, 279.4), (210.0, 148.0), (148.0, 210.0))
MARGIN_MM, GAP_MM = 15.0, 8.0


def draw_template(rng: np.random.Generator, name: str) -> FormTemplate:
    """Design a form: rows of cells, combs and boxes on a usual page, with rules or corner marks."""
    page = PAGES_MM[pick(rng, (0.4, 0.3, 0.15, 0.15))]
    fields: list[FieldSpec] = []
    marks = _corner_marks(page) if rng.random() < 0.5 else []
    y = 0.09 * page[1] + 12.0
    while y < page[1] - 35:
        height = round(float(rng.uniform(7, 11)), 2)
        x = MARGIN_MM + (round(float(rng.uniform(0, 25)), 2) if rng.random() < 0.4 else 0.0)
        while x < page[0] - MARGIN_MM - 20:
            field, mark = _draw_field(rng, f"f{len(fields) + 1:02d}", (x, y), (page[0] - MARGIN_MM - x, height))
            fields.append(field)
            marks.append(mark)
            x = round(x + field.box_mm[2] + GAP_MM + float(rng.uniform(0, 25)), 2)
        if rng.random() < 0.3:
            marks.append(Landmark(kind="line", box_mm=(MARGIN_MM, y + height + 3.5, page[0] - 2 * MARGIN_MM, 0.3)))
        y = round(y + height + float(rng.uniform(9, 24)), 2)
    return FormTemplate(
        name=name, title=name.replace("-", " ").capitalize(), page_mm=page, landmarks=tuple(marks), fields=tuple(fields)
    )


def _draw_field(
    rng: np.random.Generator, name: str, at: tuple[float, float], room: tuple[float, float]
) -> tuple[FieldSpec, Landmark]:
    """Draw a field at ``at`` (x, y) within ``room`` (w, h) mm, and the landmark around or under it."""
    label = LABELS[int(rng.integers(len(LABELS)))]
    height = room[1]
    if rng.random() < 0.5:
        pitch = round(float(rng.uniform(5.5, 8.5)), 2)
        cells = min(int(rng.integers(2, 12)), int(room[0] // pitch))
        box = (*at, round(cells * pitch, 2), height)
        field = FieldSpec(name=name, label=label, box_mm=box, layout="cells", cells=cells, digits=cells)
        return field, _comb(box) if rng.random() < 0.3 else Landmark(kind="box", box_mm=box)
    width = round(min(room[0], float(rng.uniform(18, 80))), 2)
    field = FieldSpec(name=name, label=label, box_mm=(*at, width, height))
    return field, Landmark(kind="box", box_mm=field.box_mm)


def _comb(box: BoxMm) -> Landmark:
    x, y, w, h = box
    return Landmark(kind="line", box_mm=(x, y + h - 0.15, w, 0.3))


def _corner_marks(page: tuple[float, float]) -> list[Landmark]:
    width, height = page
    places = [(6.0, 6.0), (width - 11, 6.0), (6.0, height - 11), (width - 11, height - 11)]
    return [Landmark(kind="corner_mark", box_mm=(x, y, 5.0, 5.0)) for x, y in places]
