"""Name drafted fields by the labels printed beside them: Tesseract reads the words, this module places them.

Tesseract is a program of its own (``apt install tesseract-ocr``), which the extra ``ocr`` calls through pytesseract.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count

import cv2
import numpy as np

from schemas.form_template import FieldSpec
from worker.errors import IcrError
from worker.forms.kinds import is_tick_box
from worker.forms.layout import PrintedTable, erase_lines
from worker.values import Box, Grey

OCR_DPI = 300.0
"""Resolution at which Tesseract reads best, by its own manual."""
LEAST_CONFIDENCE = 55.0
"""Least confidence of Tesseract, of 100, in a label; handwriting and remnants of rules stay below."""
WORD_GAP = 1.2
"""Widest space between words of one label, in heights of the line."""
ABOVE_MM, LEFT_MM, BEHIND_MM = 7.0, 45.0, 6.0
"""How far a label may lie above its field, to the left of it, and behind a tick box."""
MOST_NAME = 40
HIDDEN_RIM_MM = 0.3
"""Labels stand closer to a box than 0.8 mm on some forms."""


class NoOcrError(IcrError):
    """Tesseract, or the package that calls it, is not installed."""


@dataclass(frozen=True, slots=True)
class Label:
    """A line of printed words, its place in millimetres, and the confidence of its least certain word, of 100."""

    text: str
    box_mm: Box
    confidence: float = 100.0


def read_labels(grey: Grey, px_per_mm: float, boxes_mm: Sequence[Box] = ()) -> list[Label]:
    """Return the printed words of a level page, joined to labels; printed lines are taken out first.

    What stands beside ``boxes_mm`` is read apart from what is in them, because handwriting spoils the words beside it:
    Tesseract read "Customer number" as "Custom" above a filled row of cells. A word that is found only on the page as
    it is counts, too: the remnants of a tick box may spoil its label.

    Raises
    ------
    NoOcrError
        Tesseract is not installed.
    """
    scale = OCR_DPI / 25.4 / px_per_mm
    page = erase_lines(grey, px_per_mm)
    page = np.asarray(cv2.resize(page, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC), np.uint8)
    words = _read_words(page)
    if boxes_mm:
        apart = _read_words(_hide(page, boxes_mm))
        words = apart + [word for word in words if not any(_overlap(word.box_mm, other.box_mm) for other in apart)]
    return _join_words(words)


def _read_words(page: Grey) -> list[Label]:
    """Return the words of a page of ``OCR_DPI`` that Tesseract is sure enough of."""
    try:
        import pytesseract
    except ImportError as error:
        raise NoOcrError("names from labels need the extra ocr: pip install '.[ocr]'") from error
    try:
        found = pytesseract.image_to_data(page, config="--psm 11", output_type=pytesseract.Output.DICT)
    except pytesseract.TesseractNotFoundError as error:
        raise NoOcrError("names from labels need Tesseract: sudo apt install tesseract-ocr") from error
    return [
        Label(text.strip(), Box(*(side * 25.4 / OCR_DPI for side in sides)), float(sure))
        for text, sure, *sides in zip(
            *(found[key] for key in ("text", "conf", "left", "top", "width", "height")), strict=True
        )
        if float(sure) >= LEAST_CONFIDENCE and re.search(r"[^\W_]", text)
    ]


def _hide(page: Grey, boxes_mm: Iterable[Box]) -> Grey:
    """Return a page of ``OCR_DPI`` whose boxes, with a rim for what crosses their lines, are as bright as its paper."""
    hidden, per_mm = page.copy(), OCR_DPI / 25.4
    for box in boxes_mm:
        top, left = (max(0, round((side - HIDDEN_RIM_MM) * per_mm)) for side in (box.y, box.x))
        bottom, right = (round((side + HIDDEN_RIM_MM) * per_mm) for side in (box.y + box.h, box.x + box.w))
        hidden[top:bottom, left:right] = np.median(page)
    return hidden


def name_fields(
    fields: Sequence[FieldSpec], tables: Sequence[PrintedTable], labels: Sequence[Label]
) -> tuple[FieldSpec, ...]:
    """Return the fields named by the labels beside them; a cell of a table is named by its row and column.

    Cells that hold a label are no fields. A field without a label keeps its name.
    """
    places = place_in_tables(fields, tables)
    headings = [_headings_of(table, labels) for table in tables]
    named: list[FieldSpec] = []
    taken: set[str] = set()
    for field in fields:
        if field.name in places:
            number, row, column = places[field.name]
            rows, columns, labelled = headings[number]
            if (row, column) in labelled:
                continue
            label = ", ".join(text for text in (rows.get(row, ""), columns.get(column, "")) if text)
            name = f"{_slug(rows.get(row, '')) or f'r{row}'}.{_slug(columns.get(column, '')) or f'c{column}'}"
            name = name if rows or columns else ""
        else:
            label = _label_beside(field, fields, labels)
            name = _slug(label) if label else ""
        name = _unique(name or field.name, taken)
        taken.add(name)
        named.append(field.model_copy(update={"name": name, "label": label}))
    return tuple(named)


def _join_words(words: Iterable[Label]) -> list[Label]:
    """Join words that stand side by side on one line."""
    labels: list[Label] = []
    for word in sorted(words, key=lambda w: w.box_mm.x):
        before = next((label for label in labels if _follows(label.box_mm, word.box_mm)), None)
        if before is None:
            labels.append(word)
            continue
        joined = Label(
            f"{before.text} {word.text}",
            _around(before.box_mm, word.box_mm),
            min(before.confidence, word.confidence),
        )
        labels[labels.index(before)] = joined
    return sorted(labels, key=lambda label: (label.box_mm.y, label.box_mm.x))


def _follows(a: Box, b: Box) -> bool:
    height = max(a.h, b.h)
    level = abs(a.y + a.h / 2 - b.y - b.h / 2) < 0.6 * height
    return level and -0.5 * height < b.x - a.x - a.w < WORD_GAP * height


def _around(a: Box, b: Box) -> Box:
    x, y = min(a.x, b.x), min(a.y, b.y)
    return Box(x, y, max(a.x + a.w, b.x + b.w) - x, max(a.y + a.h, b.y + b.h) - y)


def place_in_tables(fields: Sequence[FieldSpec], tables: Sequence[PrintedTable]) -> dict[str, tuple[int, int, int]]:
    """Return by name, for each field that lies in a table, the table's number from 0, the row and the column."""
    places = [
        (cell.outline, (number, row, column))
        for number, table in enumerate(tables)
        for (row, column), cell in table.cells.items()
    ]
    found = ((f.name, next((at for box, at in places if _is_inside(f.box_mm, box)), None)) for f in fields)
    return {name: at for name, at in found if at is not None}


def _headings_of(
    table: PrintedTable, labels: Sequence[Label]
) -> tuple[Mapping[int, str], Mapping[int, str], set[tuple[int, int]]]:
    """Return the labels of a table's rows and of its columns, and the cells (row, column) that hold one.

    Rows have labels if most of the table's first column holds words, columns if most of its first row does. A heading
    may also stand above the first row, without a box. Numbers in other cells are what somebody wrote.
    """
    texts = {
        at: " ".join(label.text for label in labels if _is_inside(label.box_mm, cell.outline))
        for at, cell in table.cells.items()
    }
    first_column, first_row = min(column for _, column in texts), min(row for row, _ in texts)
    rows = {row: text for (row, column), text in texts.items() if column == first_column and _is_words(text)}
    columns = {column: text for (row, column), text in texts.items() if row == first_row and _is_words(text)}
    in_first_column = sum(column == first_column for _, column in texts)
    in_first_row = sum(row == first_row for row, _ in texts)
    rows = rows if 2 * len(rows) >= in_first_column else {}
    columns = columns if 2 * len(columns) >= in_first_row else {}
    labelled = {at for at in texts if (rows and at[1] == first_column) or (columns and at[0] == first_row)}
    for (row, column), cell in table.cells.items():
        if row == first_row and column not in columns and not columns.keys() - {first_column}:
            above = _nearest_above(cell.outline, labels)
            columns = {**columns, column: above} if above else columns
    return rows, columns, labelled


def _is_words(text: str) -> bool:
    return sum(c.isalpha() for c in text) >= 2


def _label_beside(field: FieldSpec, fields: Sequence[FieldSpec], labels: Sequence[Label]) -> str:
    """Return the label above a field or to its left, of a tick box the one to its right; '' if there is none."""
    box = Box(*field.box_mm)
    behind = [label for label in labels if is_tick_box(field) and _stands_behind(label.box_mm, box)]
    if behind:
        return min(behind, key=lambda label: label.box_mm.x).text
    above = _nearest_above(box, labels)
    if above:
        return above
    left = [
        label
        for label in labels
        if abs(label.box_mm.y + label.box_mm.h / 2 - box.y - box.h / 2) < box.h / 2
        and 0 <= box.x - label.box_mm.x - label.box_mm.w < LEFT_MM
        and not any(_lies_between(label.box_mm, Box(*other.box_mm), box) for other in fields)
        and not (is_tick_box(field) and _names_another(label, field, fields))
    ]
    return max(left, key=lambda label: label.box_mm.x + label.box_mm.w).text if left else ""


def _names_another(label: Label, field: FieldSpec, fields: Sequence[FieldSpec]) -> bool:
    """Tell whether a label stands behind another tick box, whose name it then is."""
    others = [other for other in fields if other is not field and is_tick_box(other)]
    return any(_stands_behind(label.box_mm, Box(*other.box_mm)) for other in others)


def _stands_behind(label: Box, box: Box) -> bool:
    level = abs(label.y + label.h / 2 - box.y - box.h / 2) < box.h / 2
    return level and 0 <= label.x - box.x - box.w < BEHIND_MM


def _nearest_above(box: Box, labels: Sequence[Label]) -> str:
    above = [
        label
        for label in labels
        if _is_words(label.text)
        and 0 <= box.y - label.box_mm.y - label.box_mm.h + 0.5 < ABOVE_MM
        and min(label.box_mm.x + label.box_mm.w, box.x + box.w) - max(label.box_mm.x, box.x) > 0.3 * label.box_mm.w
    ]
    return max(above, key=lambda label: label.box_mm.y + label.box_mm.h).text if above else ""


def _lies_between(label: Box, other: Box, box: Box) -> bool:
    level = other.y < box.y + box.h / 2 < other.y + other.h
    return level and label.x + label.w <= other.x + 0.5 and other.x + other.w <= box.x + 0.5


def _overlap(a: Box, b: Box) -> bool:
    return a.x < b.x + b.w and b.x < a.x + a.w and a.y < b.y + b.h and b.y < a.y + a.h


def _is_inside(inner: Sequence[float], outer: Box) -> bool:
    x, y = inner[0] + inner[2] / 2, inner[1] + inner[3] / 2
    return outer.x < x < outer.x + outer.w and outer.y < y < outer.y + outer.h


def _slug(text: str) -> str:
    """Return a label as a field name: plain letters, digits and underscores, beginning with a letter.

    The order of a date in brackets says how to write, not what: ``from`` for "From (DD.MM.YYYY)".
    """
    text = re.sub(r"\([DMYTJA. /-]{6,}\)", " ", text)
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    name = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")[:MOST_NAME].rstrip("_")
    return name if not name or name[0].isalpha() else f"n{name}"


def _unique(name: str, taken: set[str]) -> str:
    if name not in taken:
        return name
    return next(f"{name}_{i}" for i in count(2) if f"{name}_{i}" not in taken)
