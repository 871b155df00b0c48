"""Forms drawn from their templates: the print, then a hand's digits in its fields, with the truth.

The template is the one source of the geometry: landmarks and fields are drawn where it says they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from schemas.form_template import FieldSpec, FormTemplate, Landmark
from schemas.rules import DateRule
from worker.registration.fiducials import marker_picture
from worker.synthesis.glyphs import Hand, shape_from_strokes
from worker.synthesis.lines import NOTHING, WrittenLine, write_cells, write_line
from worker.synthesis.paper import add_ink
from worker.synthesis.pen import Pen, draw_ink
from worker.values import Grey

MM_PER_INCH = 25.4
PRINT_TONE = 60
LABEL_MM, TITLE_MM = 2.1, 4.2
TICK, CROSS = "x", "0,4 100,96 | 96,0 6,100"
"""What is written in a ticked box, and its strokes, in hundredths of its height."""


@dataclass(frozen=True, slots=True, eq=False)
class FormSample:
    """A drawn page with its truth.

    ``grey`` is (H, W) uint8, 0 = ink; ``page_from_mm`` the (3, 3) float64 homography from template
    millimetres to its pixels; ``digits`` what each field holds, digits only, "x" for a tick, "" where it is empty.
    """

    grey: Grey
    page_from_mm: NDArray[np.float64]
    digits: Mapping[str, str]


def draw_form(
    rng: np.random.Generator,
    template: FormTemplate,
    values: Mapping[str, str],
    *,
    writer: tuple[Hand, Pen],
    dpi: float = 200.0,
) -> FormSample:
    """Draw a filled form.

    Parameters
    ----------
    rng : numpy.random.Generator
        The source of all chance.
    template : FormTemplate
        What is printed and where is written.
    values : mapping of field name to text
        Texts as written, separators included; a field without one stays empty.
    writer : (Hand, Pen)
        Who writes, and with what.
    dpi : float
        The resolution.

    Raises
    ------
    KeyError
        A value names no field of the template.
    """
    unknown = set(values) - {f.name for f in template.fields}
    if unknown:
        raise KeyError(f"{template.name} has no field {', '.join(sorted(unknown))}")
    scale = dpi / MM_PER_INCH
    page: NDArray[Any] = draw_blank(template, dpi)
    for field in template.fields:
        if values.get(field.name):
            _fill(rng, page, field, values[field.name], writer=writer, scale=scale)
    digits = {f.name: "".join(c for c in values.get(f.name, "") if c.isdigit() or c == TICK) for f in template.fields}
    return FormSample(page, np.diag([scale, scale, 1.0]), digits)


def draw_blank(template: FormTemplate, dpi: float) -> Grey:
    """Draw the empty form: (H, W) uint8 at ``dpi``."""
    scale = dpi / MM_PER_INCH
    width, height = (round(side * scale) for side in template.page_mm)
    page = np.full((height, width), 255, np.uint8)
    for mark in template.landmarks:
        _print_landmark(page, mark, scale)
    for field in template.fields:
        if field.layout == "cells":
            _print_dividers(page, field, comb=not _is_framed(template, field), scale=scale)
        _print_labels(page, field, scale)
    left = min(f.box_mm[0] for f in template.fields)
    _print_text(page, template.title, (left, 0.09 * template.page_mm[1] + 1), TITLE_MM, scale)
    return page


def _print_landmark(page: Grey, mark: Landmark, scale: float) -> None:
    x, y, w, h = mark.box_mm
    if mark.kind == "box":
        _print_lines(
            page, [(x, y, x + w, y), (x + w, y, x + w, y + h), (x + w, y + h, x, y + h), (x, y + h, x, y)], scale
        )
    elif mark.kind == "line":
        ends = (x, y + h / 2, x + w, y + h / 2) if w >= h else (x + w / 2, y, x + w / 2, y + h)
        _print_lines(page, [ends], scale)
    elif mark.number is not None:
        left, top, right, bottom = (round(v * scale) for v in (x, y, x + w, y + h))
        side = min(right - left, bottom - top)
        marker = marker_picture(mark.dictionary, mark.number, side)
        page[top : top + side, left : left + side] = marker
    else:
        corner = [round(v * scale * 16 - 8) for v in (x, y, x + w, y + h)]
        cv2.rectangle(page, corner[:2], corner[2:], 0, -1, cv2.LINE_AA, 4)


def _print_lines(page: Grey, lines: list[tuple[float, float, float, float]], scale: float) -> None:
    """Print lines 0.3 mm thick, given in mm."""
    thickness = max(1, round(0.3 * scale))
    for line in lines:
        x0, y0, x1, y1 = (round(v * scale * 16 - 8) for v in line)
        cv2.line(page, (x0, y0), (x1, y1), PRINT_TONE, thickness, cv2.LINE_AA, 4)


def _is_framed(template: FormTemplate, field: FieldSpec) -> bool:
    """Tell whether a printed box runs round the field; cells without one are a comb."""
    boxes = [m.box_mm for m in template.landmarks if m.kind == "box"]
    return any(max(abs(a - b) for a, b in zip(box, field.box_mm, strict=True)) < 1 for box in boxes)


def _print_dividers(page: Grey, field: FieldSpec, *, comb: bool, scale: float) -> None:
    x, y, w, h = field.box_mm
    cells = field.cells or 1
    top = y + 0.6 * h if comb else y
    inner = range(cells + 1) if comb else range(1, cells)
    _print_lines(page, [(x + w * i / cells, top, x + w * i / cells, y + h) for i in inner], scale)


def _print_labels(page: Grey, field: FieldSpec, scale: float) -> None:
    """Print the field's name over it and, for a date in cells, DDMMYYYY under the cells."""
    x, y, w, h = field.box_mm
    _print_text(page, field.label, (x, y - 1.2), LABEL_MM, scale)
    formats = [rule.format for rule in field.rules if isinstance(rule, DateRule)]
    if formats and field.cells == len(formats[0]):
        for i, letter in enumerate(formats[0]):
            _print_text(page, letter, (x + w * (i + 0.4) / field.cells, y + h + 2.6), 0.8 * LABEL_MM, scale)


def _print_text(page: Grey, text: str, at_mm: tuple[float, float], height_mm: float, scale: float) -> None:
    font = cv2.FONT_HERSHEY_SIMPLEX
    size = height_mm * scale / cv2.getTextSize("H", font, 1.0, 1)[0][1]
    weight = max(1, round(0.28 * scale * height_mm / 4))
    at = (round(at_mm[0] * scale), round(at_mm[1] * scale))
    cv2.putText(page, text, at, font, size, PRINT_TONE, weight, cv2.LINE_AA)


def _fill(
    rng: np.random.Generator,
    page: NDArray[Any],
    field: FieldSpec,
    text: str,
    *,
    writer: tuple[Hand, Pen],
    scale: float,
) -> None:
    """Write a text into its field."""
    hand, pen = writer
    x, y, w, h = (v * scale for v in field.box_mm)
    if field.cells:
        pitch = w / field.cells
        height = min(rng.uniform(0.6, 0.72) * h, 1.15 * pitch)
        line = write_cells(rng, hand, text, pitch / height)
        origin = np.array([x, y + (h - height) * rng.uniform(0.35, 0.6)], np.float32)
    elif text == TICK:
        height = float(rng.uniform(0.7, 0.9)) * h
        line = WrittenLine((shape_from_strokes(CROSS, rng, 0.04),), NOTHING, NOTHING)
        origin = np.array([x + (w - height) / 2, y + (h - height) / 2], np.float32)
    else:
        line = write_line(rng, hand, text, pen.width)
        points = np.concatenate([*line.shapes, line.extra]).reshape(-1, 2)
        low, high = points.min(axis=0), points.max(axis=0)
        height = min(rng.uniform(0.55, 0.7) * h, 0.92 * w / float(high[0] - low[0]))
        room = w - height * float(high[0] - low[0])
        origin = np.array([x + room * rng.uniform(0.15, 0.6) - low[0] * height, 0], np.float32)
        origin[1] = y + (h - height) * rng.uniform(0.4, 0.6)
    write_on(rng, page, line, pen, (origin, height))


def write_on(
    rng: np.random.Generator,
    page: NDArray[Any],
    line: WrittenLine,
    pen: Pen,
    place: tuple[NDArray[np.float32], float],
) -> None:
    """Write a line on a page, in place; ``place`` is its origin (x, y) and its digits' height in pixels."""
    origin, height = place
    strokes = np.concatenate([*line.shapes, line.extra]) * np.float32(height) + origin
    low = np.floor(strokes.min(axis=(0, 1)) - height).astype(int).clip(0)
    high = np.ceil(strokes.max(axis=(0, 1)) + height).astype(int)
    window = page[low[1] : high[1], low[0] : high[0]]
    ink = draw_ink(rng, strokes - low.astype(np.float32), window.shape[:2], pen, height)
    window[:] = add_ink(window, ink, rng.uniform(0.75, 0.92)).astype(np.uint8)
