"""Databases with rows of every kind, and all their rows as values that can be compared."""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy import Engine

from tests.support.readings import CHECK, PAGE, make_page, read, register
from worker.store.purge import purge_older_than
from worker.store.results import Selection, iter_pages
from worker.store.reviews import correct_field
from worker.store.service_tables import Base


def fill(engine: Engine) -> None:
    """Read four scans, one of them purged again, with a copy of a scan that came before its original, and a review."""
    read(engine, sha256="a" * 64)
    purge_older_than(engine, timedelta(0), remove_scan=lambda *_: True, with_review=True)
    read(engine, CHECK, reference="r\x00\udc80")
    read(engine, make_page(0, *PAGE.fields), make_page(1, *CHECK.fields), job_id="z", sha256="b" * 64)
    register(engine, job_id="a", sha256="b" * 64)
    (page, *_) = iter_pages(engine, Selection())
    correct_field(engine, page.fields[1].field_id, "11/22/2026", who="Zoë")
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE fields SET grammar = NULL WHERE position = 0"))


def rows_of(engine: Engine) -> dict[str, list[tuple[object, ...]]]:
    with engine.connect() as connection:
        found = {}
        for table in Base.metadata.sorted_tables:
            columns = [*table.columns, *(c.is_(sa.null()) for c in table.columns)]
            found[table.name] = sorted(map(tuple, connection.execute(sa.select(*columns))), key=repr)
        return found
