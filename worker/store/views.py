"""The views, as the store's own queries use them; ``migrations/`` makes them (see docs/reference/results.md)."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Double, MetaData, SmallInteger, Table, Text

from worker.store.columns import JsonValue, UtcDateTime

_views = MetaData()  # apart from the metadata of the tables, because views are not created or compared there
_BOX = ("box_x", "box_y", "box_w", "box_h")


def _page_columns() -> list[Column[object]]:
    return [
        Column("page", SmallInteger),
        Column("template", Text),
        Column("job_id", Text),
        Column("uri", Text),
        Column("reference", Text),
        Column("read_at", UtcDateTime),
        Column("document", Text),
    ]


review_queue = Table(
    "review_queue",
    _views,
    Column("field_id", BigInteger),
    Column("name", Text),
    Column("machine_text", Text),
    Column("confidence", Double),
    Column("reasons", JsonValue),
    Column("alternatives", JsonValue),
    Column("accept_threshold", Double),
    Column("machine_value", Text),
    Column("currency", Text),
    Column("validation_sources", JsonValue),
    Column("machine_written", Text),
    Column("kind", Text),
    Column("unit", Text),
    *(Column(name, SmallInteger) for name in _BOX),
    Column("page_id", BigInteger),
    *_page_columns(),
)

page_review_queue = Table(
    "page_review_queue",
    _views,
    Column("page_id", BigInteger),
    Column("problem", Text),
    Column("doubt", Text),
    Column("registration", Double),
    *_page_columns(),
)

low_confidence_digits = Table(
    "low_confidence_digits",
    _views,
    Column("field_id", BigInteger),
    Column("position", SmallInteger),
    Column("digit", SmallInteger),
    Column("confidence", Double),
    Column("second_digit", SmallInteger),
    Column("second_confidence", Double),
    Column("third_digit", SmallInteger),
    Column("third_confidence", Double),
    Column("outlier", Double),
    *(Column(name, SmallInteger) for name in _BOX),
    Column("name", Text),
    Column("machine_text", Text),
    Column("field_confidence", Double),
    Column("status", Text),
    Column("final_text", Text),
    Column("origin", Text),
    *_page_columns(),
)
