"""Where the pixels of a page or a field lie: which page of which bytes, and where on it."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Engine, select

from worker.store.engine import reading
from worker.store.tables import FieldRow, JobRow, PageRow, ScanRow


@dataclass(frozen=True, slots=True)
class StoredPlace:
    """A page of a scan that was read, its size in pixels, and the box of the field on it, if one was asked for."""

    uri: str
    sha256: str
    number: int
    size_px: tuple[int, int]
    box_px: tuple[int, int, int, int] | None = None


def find_page_place(engine: Engine, page_id: int) -> StoredPlace | None:
    """Return where a page lies, None where there is none of that id."""
    return _find(engine, page_id=page_id)


def find_field_place(engine: Engine, field_id: int) -> StoredPlace | None:
    """Return where a field lies, None where there is none of that id."""
    return _find(engine, field_id=field_id)


def _find(engine: Engine, *, page_id: int | None = None, field_id: int | None = None) -> StoredPlace | None:
    columns = (JobRow.uri, ScanRow.sha256, PageRow.number, PageRow.width_px, PageRow.height_px)
    boxes = (FieldRow.box_x, FieldRow.box_y, FieldRow.box_w, FieldRow.box_h)
    query = select(*columns, *(boxes if field_id is not None else ())).select_from(PageRow)
    query = query.join(JobRow, JobRow.id == PageRow.job_id).join(ScanRow, ScanRow.id == JobRow.scan_id)
    if field_id is None:
        query = query.where(PageRow.id == page_id)
    else:
        query = query.join(FieldRow, FieldRow.page_id == PageRow.id).where(FieldRow.id == field_id)
    with reading(engine) as connection:
        row = connection.execute(query).one_or_none()
    if row is None or row.uri is None:
        return None
    box = None if field_id is None else (row.box_x, row.box_y, row.box_w, row.box_h)
    return StoredPlace(row.uri, row.sha256, row.number, (row.width_px, row.height_px), box)
