"""Corners of forms that a person has placed on pages: who placed which, append-only; the latest of a page counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, insert, select

from worker.store.engine import database_now, reading
from worker.store.scan_tables import PlacedCornersRow

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class PlacedCorners:
    """Where the corners of ``box_mm`` of a template lie on a page, in its pixels, clockwise from the top left."""

    template: str
    box_mm: tuple[float, float, float, float]
    corners_px: tuple[Point, ...]


def write_corners(connection: Connection, job_id: str, page: int, placed: PlacedCorners | None, *, who: str) -> None:
    """Write down what a person placed on a page of a job; None where the page is to be read without it again."""
    what: dict[str, Any] = {"template": None, "box_mm": None, "corners_px": None}
    if placed is not None:
        what = {"template": placed.template, "box_mm": list(placed.box_mm), "corners_px": _lists(placed.corners_px)}
    row = {"job_id": job_id, "page": page, "who": who, "created_at": database_now(connection)}
    connection.execute(insert(PlacedCornersRow).values(row | what))


def load_corners(engine: Engine, job_id: str) -> dict[int, PlacedCorners]:
    """Return what counts of the corners that were placed on the pages of a job, by 0-based page."""
    query = select(PlacedCornersRow).where(PlacedCornersRow.job_id == job_id).order_by(PlacedCornersRow.id)
    with reading(engine) as connection:
        latest = {row.page: row for row in connection.execute(query)}
    return {
        page: PlacedCorners(row.template, tuple(row.box_mm), tuple((x, y) for x, y in row.corners_px))
        for page, row in latest.items()
        if row.template is not None
    }


def _lists(points: Sequence[Point]) -> list[list[float]]:
    return [list(point) for point in points]
