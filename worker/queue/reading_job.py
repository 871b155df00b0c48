"""Read the scan of a job: fetch it from its place, rasterize it, and read it page by page."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import structlog

from worker.batches import Batch
from worker.bootstrap import Runtime
from worker.errors import (
    FolderUnavailableError,
    InvalidJobError,
    MissingScanError,
    ScanContinuesError,
    UnreadableScanError,
)
from worker.sources.beneath import hash_scan, open_scan
from worker.sources.copies import copy_scan
from worker.store.corners import PlacedCorners, load_corners
from worker.store.jobs import get_job
from worker.store.parts import hand_back_part, load_parts
from worker.store.records import ClaimedJob
from worker.telemetry.stages import Stopwatch
from worker.values import PageReading, Scan

if TYPE_CHECKING:
    from pathlib import Path

    from worker.page_kinds import PlacedForm

log = structlog.get_logger(__name__)

SLICE = 0.25
"""Share of the time limit after which a scan of several pages lets others go first, and is read on after them."""

_TRIES = 3
"""How often a scan that changes while it is read is read again at once; after that, others go first."""


def read_scan_pages(runtime: Runtime, claim: ClaimedJob, watch: Stopwatch) -> tuple[Scan, list[PageReading]]:
    """Read every page of a claimed scan, with one in memory at a time; ``watch`` measures the stages.

    Raises
    ------
    PermanentError
        The file is not a scan that can be read, or no template has that name.
    ScanContinuesError
        Its time slice is over: what was read is kept, and the job is queued again.
    TransientError
        The place that the scan lies in is away.
    """
    try:
        found = watch.time("fetch", runtime.places().fetch, claim.scan.uri)
    except InvalidJobError as error:
        if isinstance(error, MissingScanError):
            _ask_whether_it_moved(runtime, claim, error)
        raise UnreadableScanError(str(error)) from error
    with found as path:
        for _ in range(_TRIES):
            read, sha256 = _read_copy(runtime, path, claim, watch)
            if not _has_changed(runtime, path, sha256):
                return Scan(claim.scan.id, claim.scan.uri, sha256), read
            log.warning("the scan changed while it was read, and is read again")
    raise FolderUnavailableError("the scan is still being written")


def _read_copy(runtime: Runtime, path: Path, claim: ClaimedJob, watch: Stopwatch) -> tuple[list[PageReading], str]:
    """Read a private copy, because the file at the path may be changed or replaced while it is read."""
    max_file_mb = runtime.settings.max_file_mb
    try:
        copy, sha256 = copy_scan(path, runtime.file_roots, runtime.copies_folder, max_file_mb=max_file_mb)
    except InvalidJobError as error:
        if isinstance(error, MissingScanError):
            _ask_whether_it_moved(runtime, claim, error)
            _ask_where_it_is(runtime, claim.scan.uri, error)
        raise UnreadableScanError(str(error)) from error
    try:
        return _read_file(runtime, copy, sha256, claim, watch), sha256
    finally:
        copy.unlink(missing_ok=True)


def _has_changed(runtime: Runtime, path: Path, sha256: str) -> bool:
    """Tell whether the file has other bytes than those that were read; False if it is gone."""
    try:
        with open_scan(path, runtime.file_roots) as file:
            return hash_scan(file, max_file_mb=runtime.settings.max_file_mb)[0] != sha256
    except InvalidJobError:
        return False


def _ask_whether_it_moved(runtime: Runtime, claim: ClaimedJob, error: InvalidJobError) -> None:
    """Tell a scan that is gone from one that the watcher has moved since the claim, as out of ``duplicate/``."""
    record = get_job(runtime.engine(), claim.id)
    if record is not None and record.uri != claim.scan.uri:
        raise FolderUnavailableError("the scan was moved meanwhile") from error


def _ask_where_it_is(runtime: Runtime, uri: str, error: InvalidJobError) -> None:
    """Tell a scan that vanished before it was read from one whose whole folder vanished and may come back."""
    try:
        runtime.places().fetch(uri)
    except InvalidJobError:
        return
    raise FolderUnavailableError("the scan was away for a moment") from error


def _as_placed(runtime: Runtime, placed: PlacedCorners) -> PlacedForm:
    from worker.forms.templates import find_template
    from worker.page_kinds import PlacedForm

    template = find_template(placed.template, runtime.templates())
    return PlacedForm(template, placed.box_mm, placed.corners_px)


def _read_file(runtime: Runtime, copy: Path, sha256: str, claim: ClaimedJob, watch: Stopwatch) -> list[PageReading]:
    from worker.forms.templates import find_page_kind
    from worker.pipeline import excuse_blank_backs
    from worker.rasterizer import open_pages

    placed = {number: _as_placed(runtime, each) for number, each in load_corners(runtime.engine(), claim.id).items()}
    before, began = load_parts(runtime.engine(), claim.id, sha256), time.monotonic()
    batch = Batch(runtime, find_page_kind(claim.template, runtime.templates(), runtime.check_policy), before)
    since: list[PageReading] = []
    pages = open_pages(copy, scan_id=claim.scan.id, limits=runtime.limits(), first=len(before))
    for page in watch.each("decode", pages):
        if since and time.monotonic() - began > SLICE * runtime.settings.job_time_limit_s:
            hand_back_part(runtime.engine(), claim, sha256=sha256, first_page=len(before), pages=since)
            raise ScanContinuesError(f"{len(before) + len(since)} pages are read; others go first")
        since.append(watch.time("read", batch.read, page, placed.get(page.number)))
    read = [*before, *since]
    if runtime.settings.blank_pages == "skip":
        return [reading for _, reading in excuse_blank_backs((None, reading) for reading in read)]
    return read
