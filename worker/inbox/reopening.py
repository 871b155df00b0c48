"""Putting a failed scan back to work: from ``failed/`` into ``.working``, where the watcher finds it."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Engine

from worker.inbox import folder
from worker.sources.file_uris import path_of_uri
from worker.store.jobs import get_job, record_place


def reopen_scan(inbox: Path, engine: Engine, job_id: str) -> None:
    """Move the scan of a job that is to be read again; one that lies elsewhere stays where it is."""
    record = get_job(engine, job_id)
    if record is None or record.source != "inbox" or record.uri is None:
        return
    path, failed = path_of_uri(record.uri), inbox / folder.FAILED
    if path is None or not path.is_relative_to(failed) or folder.sight(path) is None:
        return
    target = inbox / folder.WORKING / job_id / path.relative_to(failed)
    target.parent.mkdir(parents=True, exist_ok=True)
    record_place(engine, job_id, target.as_uri())
    path.rename(target)
    path.with_name(path.name + folder.REASON_SUFFIX).unlink(missing_ok=True)
