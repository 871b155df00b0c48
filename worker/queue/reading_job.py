"""A job's scan as readings: fetch it from where it lies, rasterize it, read page by page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.bootstrap import Runtime
from worker.errors import FolderUnavailableError, InvalidJobError, UnreadableScanError
from worker.queue.publishing import hash_file
from worker.store.records import ClaimedJob
from worker.telemetry.stages import Stopwatch
from worker.values import PageReading, Scan

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def read_scan_pages(runtime: Runtime, claim: ClaimedJob, watch: Stopwatch) -> tuple[Scan, list[PageReading]]:
    """Read every page of a claimed scan, one in memory at a time; ``watch`` is charged with the stages.

    Raises
    ------
    PermanentError
        The file is not a scan that can be read, or no template has that name.
    TransientError
        The place that the scan lies in is away.
    """
    try:
        found = watch.time("fetch", runtime.places().fetch, claim.scan.uri)
    except InvalidJobError as error:
        raise UnreadableScanError(str(error)) from error
    with found as path:
        try:
            return _read_file(runtime, path, claim, watch)
        except UnreadableScanError as error:
            if isinstance(error.__cause__, FileNotFoundError) or not path.exists():
                _ask_where_it_is(runtime, claim.scan.uri, error)
            raise


def _ask_where_it_is(runtime: Runtime, uri: str, error: UnreadableScanError) -> None:
    """Tell a scan that vanished while it was read from one whose whole folder did, and may come back."""
    try:
        runtime.places().fetch(uri)
    except InvalidJobError:
        return
    raise FolderUnavailableError("the scan was away for a moment") from error


def _read_file(runtime: Runtime, path: Path, claim: ClaimedJob, watch: Stopwatch) -> tuple[Scan, list[PageReading]]:
    from worker.forms.templates import find_page_kind
    from worker.pipeline import excuse_blank_backs, read_page
    from worker.rasterizer import open_pages

    try:
        sha256, _ = hash_file(path)
    except OSError as error:
        raise UnreadableScanError(str(error)) from error
    kind = find_page_kind(claim.template, runtime.templates(), runtime.check_policy)
    policy = runtime.accept_policy
    scan = Scan(claim.scan.id, claim.scan.uri, sha256)
    pages = open_pages(path, scan_id=scan.id, limits=runtime.limits())
    read: Iterator[tuple[None, PageReading]] = (
        (None, watch.time("read", read_page, page, kind, runtime.recognizers(), policy))
        for page in watch.each("decode", pages)
    )
    if runtime.settings.blank_pages == "skip":
        read = excuse_blank_backs(read)
    return scan, [reading for _, reading in read]
