"""Stored readings as flat lines, one a field, all with the same keys: what CSV and tables are made of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from schemas.reading import MoneyOut, StoredField, StoredPage

ResultLine = dict[str, Any]

OF_FIELD = (
    "field_id",
    "name",
    "text",
    "written",
    "kind",
    "unit",
    "confidence",
    "status",
    "reasons",
    "final",
    "origin",
    "box",
    "validation_sources",
)
_OF_VALUE = ("final_value", "currency")
OF_PAGE = ("job", "reference", "source", "page", "page_id", "template", "registration", "error", "doubt", "settled_by")
RESULT_LINE: ResultLine = dict.fromkeys((*OF_FIELD, *_OF_VALUE, *OF_PAGE, "read_at"))


def lines_of_page(page: StoredPage) -> Iterator[ResultLine]:
    """Yield the fields of a page as lines; a page without fields is a line of its own."""
    if not page.fields:
        yield _field_line(page, None)
    for field in page.fields:
        yield _field_line(page, field)


def _field_line(page: StoredPage, field: StoredField | None) -> ResultLine:
    line = {**RESULT_LINE, **{key: getattr(page, key) for key in OF_PAGE}, "read_at": page.read_at.isoformat()}
    if field is None:
        return line
    of_field = {key: getattr(field, key) for key in OF_FIELD} | {"written": field.written or field.text}
    return {**line, **of_field, **_final_value(field)}


def _final_value(field: StoredField) -> ResultLine:
    """Return what the final text means, flat: an amount's minor units beside its currency, or one value."""
    value = field.final_value
    if isinstance(value, MoneyOut):
        return {"final_value": value.minor_units, "currency": value.currency}
    return {"final_value": value}
