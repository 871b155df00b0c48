"""Pages of a scan that were read before its job was handed back, so that a long scan is read on and not again.

They are kept as Python's own bytes, which are quick to write and hold a reading whole; only values of readings are made
of them again, and nothing else is called, whoever may write to the database.
"""

from __future__ import annotations

import io
import pickle
import zlib
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Engine, delete, insert, select, update

from worker.store.engine import database_now, reading, writing
from worker.store.jobs import NO_LEASE, is_held
from worker.store.records import ClaimedJob
from worker.store.scan_tables import ReadingPartRow
from worker.store.tables import JobRow, JobState
from worker.values import PageReading

_MADE_OF = {
    "worker.values",
    "worker.doubts",
    "worker.grammar.locales",
    "schemas.form_template",
    "schemas.rules",
}
_MADE_WITH = {
    ("builtins", "set"),
    ("builtins", "frozenset"),
    ("copyreg", "_reconstructor"),
    ("datetime", "date"),
    ("datetime", "time"),
    ("decimal", "Decimal"),
    ("fractions", "Fraction"),
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy._core.numeric", "_frombuffer"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "scalar"),
}


def load_parts(engine: Engine, job_id: str, sha256: str) -> list[PageReading]:
    """Return the pages of a scan of these bytes that were read before, from the first one on."""
    with reading(engine) as connection:
        query = select(ReadingPartRow).where(ReadingPartRow.job_id == job_id).order_by(ReadingPartRow.first_page)
        rows = connection.execute(query).all()
    pages: list[PageReading] = []
    for row in rows:
        if row.sha256 != sha256 or row.first_page != len(pages):
            return []
        pages += unpack_pages(row.pages)
    return pages


def hand_back_part(
    engine: Engine, claim: ClaimedJob, *, sha256: str, first_page: int, pages: Sequence[PageReading]
) -> bool:
    """Keep the pages that were read since the claim, and queue the job again; False where the claim was lost.

    The delivery does not count, since it has come further. Pages of other bytes go.
    """
    with writing(engine) as connection:
        held = select(JobRow.id).where(is_held(claim)).with_for_update(key_share=True)
        if connection.execute(held).one_or_none() is None:
            return False
        of_job = ReadingPartRow.job_id == claim.id
        connection.execute(delete(ReadingPartRow).where(of_job, ReadingPartRow.first_page >= first_page))
        part = {"job_id": claim.id, "first_page": first_page, "sha256": sha256, "pages": pack_pages(pages)}
        connection.execute(insert(ReadingPartRow).values(part))
        back = {
            "state": JobState.QUEUED,
            "deliveries": JobRow.deliveries - 1,
            "queued_at": database_now(connection),
            "published_at": None,
            **NO_LEASE,
        }
        connection.execute(update(JobRow).where(JobRow.id == claim.id).values(back))
        return True


def pack_pages(pages: Sequence[PageReading]) -> bytes:
    """Return pages as bytes."""
    return zlib.compress(pickle.dumps(list(pages), protocol=pickle.HIGHEST_PROTOCOL))


def unpack_pages(packed: bytes) -> list[PageReading]:
    """Return the pages that bytes hold.

    Raises
    ------
    pickle.UnpicklingError
        The bytes call for something that no reading is made of.
    """
    pages: list[PageReading] = _Unpacker(io.BytesIO(zlib.decompress(packed))).load()
    return pages


class _Unpacker(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Return a class of readings, or refuse."""
        known = super().find_class(module, name) if module in _MADE_OF or (module, name) in _MADE_WITH else None
        if known is None or (module in _MADE_OF and not isinstance(known, type)):
            raise pickle.UnpicklingError(f"{module}.{name} is no part of a reading")
        return known
