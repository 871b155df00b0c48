"""Put a scan back to work: from ``failed/`` or ``done/`` into ``.working``, where the watcher finds it."""

from __future__ import annotations

import contextlib
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
    path = path_of_uri(record.uri)
    if path is None or folder.sight(path) is None:
        return
    outcome = next((each for each in folder.OUTCOMES if path.is_relative_to(inbox / each)), None)
    if outcome is None:
        return
    name = path.relative_to(inbox / outcome)
    record_place(engine, job_id, (inbox / folder.WORKING / job_id / name).as_uri())
    with contextlib.suppress(FileNotFoundError):  # the watcher was quicker
        folder.bring_back(inbox, name, outcome, job_id)
