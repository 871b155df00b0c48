"""Tell the edge of a photographed sheet from print: the table beside it is darker or brighter than the paper."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from schemas.form_template import BoxMm, Landmark
from worker.values import Grey

NEAR_MM, FAR_MM = 1.0, 3.0
"""How far from a line the paper on both sides of it is looked at."""
OTHER_GREY = 25
"""The table differs from the paper by more grey levels than this; a shadow changes less within millimetres."""
FEWEST_SIDES = 3
"""Sides of a box beyond which there is something else: beside a printed frame there may be one shaded band or two."""


def keep_on_sheet(
    landmarks: Sequence[Landmark], fields_mm: Sequence[BoxMm], level: Grey, px_per_mm: float
) -> tuple[Landmark, ...]:
    """Return the landmarks of a photographed form without the edges of its sheet, and without what lies beyond them.

    Parameters
    ----------
    landmarks, fields_mm
        What was found on the page, and the boxes of all its fields.
    level, px_per_mm
        (H, W) uint8 of the level page, 0 = ink, and its resolution.
    """
    sheets = [mark.box_mm for mark in landmarks if mark.kind == "box" and _is_sheet(mark, fields_mm, level, px_per_mm)]
    inside = [mark for mark in landmarks if all(_encloses(sheet, mark.box_mm) for sheet in sheets)]
    return tuple(m for m in inside if m.box_mm not in sheets and not _is_lone_edge(m, fields_mm, level, px_per_mm))


def _is_sheet(mark: Landmark, fields_mm: Sequence[BoxMm], level: Grey, px_per_mm: float) -> bool:
    """Tell whether a box is the outline of the sheet: all fields lie in it, and something else lies around it."""
    if not all(_encloses(mark.box_mm, field) for field in fields_mm):
        return False
    x, y, w, h = mark.box_mm
    sides = (((x, y), (w, 0.0)), ((x, y + h), (w, 0.0)), ((x, y), (0.0, h)), ((x + w, y), (0.0, h)))
    return sum(_parts(start, run, level, px_per_mm) for start, run in sides) >= FEWEST_SIDES


def _is_lone_edge(mark: Landmark, fields_mm: Sequence[BoxMm], level: Grey, px_per_mm: float) -> bool:
    """Tell whether a line is an edge of the sheet whose other edges are not seen: no field lies beyond it."""
    x, y, w, h = mark.box_mm
    if mark.kind != "line" or w < h:
        return False
    below = sum(top > y for _, top, _, _ in fields_mm)
    return below in (0, len(fields_mm)) and _parts((x, y + h / 2), (w, 0.0), level, px_per_mm)


def _encloses(outer: BoxMm, inner: BoxMm) -> bool:
    return all(outer[i] <= inner[i] and inner[i] + inner[i + 2] <= outer[i] + outer[i + 2] for i in (0, 1))


def _parts(start_mm: tuple[float, float], run_mm: tuple[float, float], level: Grey, px_per_mm: float) -> bool:
    """Tell whether the grey on the two sides of a level or upright line differs."""
    (x, y), (along, up) = start_mm, run_mm
    greys = []
    for low, high in ((-FAR_MM, -NEAR_MM), (NEAR_MM, FAR_MM)):
        shift = (0.0, low, 0.0, high) if along else (low, 0.0, high, 0.0)
        ends = (x + shift[0], y + shift[1], x + along + shift[2], y + up + shift[3])
        left, top, right, bottom = (max(0, round(end * px_per_mm)) for end in ends)
        beside = level[top:bottom, left:right]
        greys.append(float(np.median(beside)) if beside.size else None)
    before, after = greys
    return before is not None and after is not None and abs(before - after) > OTHER_GREY
