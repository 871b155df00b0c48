"""Jobs that came as messages: their row comes first, and the bytes of their scan are looked at under a claim.

So whatever happens to a message after that (its file hangs, ends the process, or is not there yet) is counted, bounded
and recorded as for every other job.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Engine, select, update

from schemas.scan_job import ScanJob
from worker.errors import InvalidJobError
from worker.store.engine import database_now, writing
from worker.store.jobs import claim_job, is_held
from worker.store.outbox import announce_duplicate
from worker.store.readings import insert_scan, upsert
from worker.store.records import ClaimedJob
from worker.store.registering import Duplicates, find_original, replace_refused
from worker.store.tables import JobRow, JobState
from worker.values import Scan

SOURCE = "message"


def claim_arrival(
    engine: Engine, job: ScanJob, *, worker: str, lease_s: float, max_deliveries: int
) -> ClaimedJob | None:
    """Write the row of a message's job, if there is none or a refused one, and claim it; see ``claim_job``.

    Raises
    ------
    InvalidJobError
        The id is that of another program's job for another file: reading neither would lose one of the two.
    """
    with writing(engine) as connection:
        _write_row(connection, job)
        return claim_job(connection, str(job.id), worker=worker, lease_s=lease_s, max_deliveries=max_deliveries)


def identify_scan(
    engine: Engine, claim: ClaimedJob, *, sha256: str, size: int, duplicates: Duplicates
) -> ClaimedJob | None:
    """Note the bytes of a claimed job's scan; None where the job has ended as the duplicate of another, or was lost."""
    with writing(engine) as connection:
        held = select(JobRow.id).where(is_held(claim)).with_for_update(key_share=True)
        if connection.execute(held).one_or_none() is None:
            return None
        now = database_now(connection)
        scan_id = insert_scan(connection, sha256=sha256, size=size, now=now)
        original = None if duplicates == "reprocess" else find_original(connection, scan_id, claim.template, claim.id)
        known: dict[str, Any] = {"scan_id": scan_id}
        if original is not None:
            known |= {
                "state": JobState.DUPLICATE,
                "duplicate_of": original,
                "linked": duplicates == "link",
                "finished_at": now,
                "leased_by": None,
                "leased_at": None,
                "lease_until": None,
            }
        connection.execute(update(JobRow).where(JobRow.id == claim.id).values(known))
        if original is not None:
            announce_duplicate(connection, claim.id, original)
    return None if original is not None else replace(claim, scan=Scan(scan_id, claim.scan.uri, sha256))


def _write_row(connection: Connection, job: ScanJob) -> None:
    now = database_now(connection)
    values = {
        "id": str(job.id),
        "uri": job.uri,
        "template": job.template,
        "reference": job.reference,
        "priority": job.priority,
        "source": SOURCE,
        "state": JobState.QUEUED,
        "attempts": 0,
        "deliveries": 0,
        "created_at": now,
        "queued_at": now,
        "published_at": now,
        "finished_at": None,
        "error_kind": None,
        "error_reason": None,
        "raw_message": None,
        "duplicate_of": None,
        "linked": False,
    }
    if upsert(connection, JobRow, values) or replace_refused(connection, values):
        return
    query = select(JobRow.uri).where(JobRow.id == str(job.id), JobRow.source == SOURCE, JobRow.uri.is_not(None))
    known = connection.execute(query).scalar_one_or_none()
    if known is not None and known != job.uri:
        raise InvalidJobError(f"job id {job.id} belongs to a job for another file: send this one under its own id")
