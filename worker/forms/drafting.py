"""Draft a form template from one page, blank or filled: its printed boxes, rows of cells and combs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from schemas.form_template import OVERLAP_ALLOWED_MM, DigitRange, FieldSpec, FormTemplate, Landmark, overlap_mm
from worker.errors import PermanentError
from worker.forms.kinds import tell_kinds
from worker.forms.labels import name_fields, place_in_tables, read_labels
from worker.forms.layout import FormLayout, PrintedBox, PrintedRow, find_layout
from worker.forms.printed import keep_print, seems_blank
from worker.forms.rows import fold_rows
from worker.forms.sheet import keep_on_sheet
from worker.imaging.geometry import corners_of, project
from worker.registration.deskew import level_page
from worker.registration.form_print import detect_print
from worker.registration.landmarks import landmark_arrays
from worker.registration.refinement import share_found
from worker.values import Box, Grey, Page

FIELD_HEIGHT_MM = (3.0, 18.0)
MOST_ASPECT = 10.0
"""A box longer than this many heights holds words; even 16 digits in a row need only 9."""
DIGIT_PITCH, WRITTEN_MM = 0.45, 5.0
"""The closest that people write digits, in heights of their box, or of what they write in one that is higher."""
LEAST_SEEN = 0.5
"""Least share of a landmark that the drafted page shows; otherwise it is not print."""
DATE_GROUPS = ((2, 2, 4), (4, 2, 2))
"""Cells of the groups of a date, between which a point, a dash or nothing is printed."""
GROUP_GAP = 0.95
"""Widest gap between the groups of one date, in cells."""
PAPERS_MM = ((215.9, 279.4), (210.0, 297.0), (148.0, 210.0), (105.0, 148.0))
"""The paper of forms, the commonest of each proportion first."""
SAME_PROPORTIONS = 0.02
"""The proportions of A4, A5 and A6 differ by their rounding to whole millimetres."""
SCANNERS_DPI, OFF_SCANNER = (150, 200, 240, 300, 400, 600), 0.01
"""Resolutions of scanners, and how far a scan's length may be off."""


class NothingToDraftError(PermanentError):
    """The page shows no printed box that could be a field."""


def draft_template(
    page: Page,
    name: str,
    *,
    dpi: float | None = None,
    named: bool = False,
    blank: bool | None = None,
    text: bool = True,
) -> FormTemplate:
    """Return a template with a field for every box, row of cells and comb, named f01, f02... in reading order.

    A cell of a table is a field of its own. Rows that are alike become repeated ``rows``, whose fields are called
    row3.c2. With ``named`` the labels beside the boxes are read. They name the fields (row3.amount, or train.amount
    where the rows have labels), and tell dates, times and words from digits.

    Fields for words are left out without ``text``; only labels tell them.

    What is printed inside the boxes of a ``blank`` form is kept with the fields, and taken out of every scan. None
    leaves the question to the labels: the form counts as blank if most ink inside its boxes is certainly print.

    Raises
    ------
    NothingToDraftError
        No box is found.
    NoOcrError
        Fields are to be ``named``, and Tesseract is not there.
    """
    level = level_page(page.grey)
    px_per_mm = (dpi or page.dpi or guess_dpi(page)) / 25.4
    layout = find_layout(level, px_per_mm)
    height, width = level.shape
    page_mm = (round(width / px_per_mm, 1), round(height / px_per_mm, 1))
    fields = _keep_fitting(_fields_of(layout), page_mm)
    in_tables = place_in_tables(fields, layout.tables) if named else {}
    singles = [Box(*field.box_mm) for field in fields if field.name not in in_tables]
    labels = read_labels(level, px_per_mm, singles) if named else ()
    if blank is None:
        blank = named and seems_blank(fields, level, px_per_mm, labels)
    fields = keep_print(fields, level, px_per_mm) if blank else fields
    if named:
        fields = tell_kinds(name_fields(fields, layout.tables, labels))
        fields = fields if text else tuple(field for field in fields if field.kind != "text")
    if not fields:
        raise NothingToDraftError("no printed boxes, rows of cells or combs are found on this page")
    landmarks = _keep_seen(_landmarks_of(layout, page_mm), level, px_per_mm)
    landmarks = keep_on_sheet(landmarks, [field.box_mm for field in fields], level, px_per_mm)
    single, rows = fold_rows(fields, layout.tables)
    return FormTemplate(name=name, page_mm=page_mm, fields=single, rows=rows, landmarks=landmarks)


def find_landmarks(grey: Grey, page_mm: tuple[float, float]) -> tuple[Landmark, ...]:
    """Return the printed boxes and lines of a picture of the whole page, which is turned level first."""
    level = level_page(grey)
    px_per_mm = level.shape[1] / page_mm[0]
    return _keep_seen(_landmarks_of(find_layout(level, px_per_mm), page_mm), level, px_per_mm)


def guess_dpi(page: Page) -> float:
    """Return the resolution at which a page has the size of the paper that has its proportions.

    A4, A5 and A6 have the same. Of them it is the largest that makes the page a scan of a usual resolution, else A4: a
    photo shows more than the sheet, and small paper is rare.
    """
    height, width = page.grey.shape
    longer, shorter = max(height, width), min(height, width)
    nearest = min(PAPERS_MM, key=lambda p: abs(p[1] / p[0] - longer / shorter))
    alike = [p for p in PAPERS_MM if abs(p[1] / p[0] - nearest[1] / nearest[0]) < SAME_PROPORTIONS]
    told = [longer / paper[1] * 25.4 for paper in alike]
    usual = (dpi for dpi in told if any(abs(dpi / known - 1) < OFF_SCANNER for known in SCANNERS_DPI))
    return float(next(usual, told[0]))


def name_inked(page: Page, template: FormTemplate) -> list[str]:
    """Return the fields of a template that was drafted from a page whose boxes hold ink there."""
    level = level_page(page.grey)
    kept = keep_print(template.fields, level, level.shape[1] / template.page_mm[0])
    return [field.name for field in kept if field.print]


def template_json(template: FormTemplate) -> str:
    """Return a template as JSON that a person can edit: one line a field and a landmark."""
    content = template.model_dump(mode="json", exclude_defaults=True, by_alias=True)
    lists = {key: content.pop(key) for key in ("fields", "rows", "landmarks") if key in content}
    lines = [f"  {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in content.items()]
    for key, entries in lists.items():
        rows = ",\n".join(f"    {json.dumps(entry, ensure_ascii=False)}" for entry in entries)
        lines.append(f"  {json.dumps(key)}: [\n{rows}\n  ]")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def draw_fields(page: Page, template: FormTemplate, page_from_mm: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return the page (H, W, 3) uint8 BGR with every field outlined and named, and every landmark in grey."""
    picture = np.asarray(cv2.cvtColor(page.grey, cv2.COLOR_GRAY2BGR), np.uint8)
    pen = max(1, round(max(page.grey.shape) / 1200))
    for mark in template.landmarks:
        _outline(picture, page_from_mm, mark.box_mm, (200, 170, 120), pen)
    for field in template.fields:
        ring = _outline(picture, page_from_mm, field.box_mm, (40, 40, 220), 2 * pen)
        at = (int(ring[0][0]), int(ring[0][1]) - 3 * pen)
        cv2.putText(picture, field.name, at, cv2.FONT_HERSHEY_SIMPLEX, 0.4 * pen, (40, 40, 220), pen, cv2.LINE_AA)
    return picture


def _outline(
    picture: NDArray[np.uint8],
    page_from_mm: NDArray[np.float64],
    box_mm: Iterable[float],
    colour: tuple[int, int, int],
    pen: int,
) -> NDArray[np.int32]:
    ring = project(page_from_mm, corners_of(np.array([list(box_mm)], dtype=np.float64))[0]).round().astype(np.int32)
    cv2.polylines(picture, [ring], True, colour, pen, cv2.LINE_AA)
    return ring


# --- fields and landmarks ----------------------------------------------------------------------------------------


def _fields_of(layout: FormLayout) -> tuple[FieldSpec, ...]:
    found = [(_joined(row), row.count) for row in layout.rows if _is_field(row.boxes[0].outline)]
    found = _join_dates(found) + _join_dates(layout.combs)
    found += [(b.inner, b.teeth) for b in layout.boxes if _is_field(b.outline) and b.outline.w < _most_width(b)]
    in_order = _reading_order([box for box, _ in found])
    digits = len(str(len(found)))
    fields = [_spec(f"f{i + 1:0{max(2, digits)}d}", *found[k]) for i, k in enumerate(in_order)]
    for number, table in enumerate(layout.tables, start=1):
        of_table = f"t{number}." if len(layout.tables) > 1 else ""
        cells = [(at, b) for at, b in sorted(table.cells.items()) if _is_field(b.outline)]
        fields += [_spec(f"{of_table}r{r}c{c}", b.inner, b.teeth) for (r, c), b in cells]
    return tuple(fields)


def _join_dates(groups: Sequence[tuple[Box, int]]) -> list[tuple[Box, int]]:
    """Join the groups of cells of one date, as those for a day, a month and a year; a reader finds the gaps itself."""
    left = sorted(groups, key=lambda group: group[0].x)
    joined: list[tuple[Box, int]] = []
    while left:
        group = [left.pop(0)]
        while len(group) < 3 and (following := next((g for g in left if _follows(group[-1], g)), None)) is not None:
            left.remove(following)
            group.append(following)
        if tuple(cells for _, cells in group) in DATE_GROUPS:
            first, last = group[0][0], group[-1][0]
            top, bottom = min(b.y for b, _ in group), max(b.y + b.h for b, _ in group)
            joined.append((Box(first.x, top, last.x + last.w - first.x, bottom - top), 8))
        else:
            joined.append(group[0])
            left = sorted([*group[1:], *left], key=lambda each: each[0].x)
    return joined


def _follows(one: tuple[Box, int], other: tuple[Box, int]) -> bool:
    """Tell whether a group of cells is the next one on its line, with cells of one size."""
    (a, cells), (b, others) = one, other
    pitch = a.w / cells
    alike = abs(b.w / others - pitch) < 0.15 * pitch and abs(a.h - b.h) < 0.2 * a.h and abs(a.y - b.y) < 0.2 * a.h
    return alike and 0 < b.x - a.x - a.w < GROUP_GAP * pitch


def _keep_fitting(fields: Sequence[FieldSpec], page_mm: tuple[float, float]) -> tuple[FieldSpec, ...]:
    """Leave out fields that reach off the page or overlap an earlier one, because a template refuses both."""
    kept: list[FieldSpec] = []
    for field in fields:
        x, y, w, h = field.box_mm
        on_page = x + w <= page_mm[0] and y + h <= page_mm[1]
        if on_page and all(overlap_mm(field.box_mm, other.box_mm) <= OVERLAP_ALLOWED_MM for other in kept):
            kept.append(field)
    return tuple(kept)


def _spec(name: str, box: Box, cells: int) -> FieldSpec:
    box_mm = _rounded(box)
    if cells > 1:
        return FieldSpec(name=name, box_mm=box_mm, layout="cells", cells=cells, digits=DigitRange(min=1, max=cells))
    most = max(1, int(box.w / (DIGIT_PITCH * min(box.h, WRITTEN_MM))))
    return FieldSpec(name=name, box_mm=box_mm, digits=DigitRange(min=1, max=most))


def _is_field(outline: Box) -> bool:
    return FIELD_HEIGHT_MM[0] <= outline.h <= FIELD_HEIGHT_MM[1]


def _most_width(box: PrintedBox) -> float:
    return (40.0 if box.teeth > 1 else MOST_ASPECT) * box.outline.h


def _joined(row: PrintedRow) -> Box:
    first, last = row.boxes[0].inner, row.boxes[-1].inner
    top = min(cell.inner.y for cell in row.boxes)
    bottom = max(cell.inner.y + cell.inner.h for cell in row.boxes)
    return Box(first.x, top, last.x + last.w - first.x, bottom - top)


def _cells_of(row: PrintedRow) -> list[Box]:
    """Return the outlines of a row's cells, all as high as the row."""
    outlines = [box.outline for box in row.boxes]
    top, bottom = min(o.y for o in outlines), max(o.y + o.h for o in outlines)
    return [Box(o.x, top, o.w, bottom - top) for o in outlines]


def _reading_order(boxes: Sequence[Box]) -> list[int]:
    """Return indices line by line from the top, each line from the left."""
    left = sorted(range(len(boxes)), key=lambda i: boxes[i].y)
    order: list[int] = []
    while left:
        middle = boxes[left[0]].y + boxes[left[0]].h / 2
        line = [i for i in left if boxes[i].y < middle < boxes[i].y + boxes[i].h]
        order += sorted(line, key=lambda i: boxes[i].x)
        left = [i for i in left if i not in line]
    return order


def _landmarks_of(layout: FormLayout, page_mm: tuple[float, float]) -> tuple[Landmark, ...]:
    outlines = [b.outline for b in layout.boxes] + [cell for row in layout.rows for cell in _cells_of(row)]
    outlines += [b.outline for table in layout.tables for b in table.cells.values()]
    marks = [Landmark(kind="box", box_mm=_rounded(outline)) for outline in outlines]
    marks += [Landmark(kind="line", box_mm=_rounded(rule)) for rule in layout.rules]
    inside = [m for m in marks if m.box_mm[0] + m.box_mm[2] <= page_mm[0] and m.box_mm[1] + m.box_mm[3] <= page_mm[1]]
    return tuple(sorted(inside, key=lambda m: (m.box_mm[1], m.box_mm[0])))


def _keep_seen(landmarks: tuple[Landmark, ...], level: Grey, px_per_mm: float) -> tuple[Landmark, ...]:
    """Leave out what registration does not find as print on the same page: the edge of the sheet, a fold, a shadow."""
    form_print = detect_print(level)
    shift = (1 / form_print.reduction - 1) / 2
    scale = px_per_mm / form_print.reduction
    reduced_from_mm = np.array([[scale, 0, shift], [0, scale, shift], [0, 0, 1]])
    shares = share_found(reduced_from_mm, form_print, landmark_arrays(landmarks)) if landmarks else ()
    return tuple(mark for mark, share in zip(landmarks, shares, strict=True) if share >= LEAST_SEEN)


def _rounded(box: Box) -> tuple[float, float, float, float]:
    x, y, w, h = (round(float(side), 2) for side in box)
    return max(0.0, x), max(0.0, y), max(0.01, w), max(0.01, h)
