"""A job's scan as readings: find its file under the allowed roots, rasterize it, read page by page."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote_to_bytes, urlsplit

from worker import bootstrap
from worker.enqueue import hash_file
from worker.errors import FolderUnavailableError, InvalidJobError, UnreadableScanError
from worker.stages import Stopwatch
from worker.store.records import ClaimedJob
from worker.values import PageReading, Scan

if TYPE_CHECKING:
    from schemas.form_template import FormTemplate, NamedForm
    from worker.checks.policy import CheckPolicy

WORKING = ".working"
"""The folder in the inbox where scans lie whose jobs have not ended."""


def locate_scan(uri: str, roots: tuple[Path, ...]) -> Path:
    """Return the file that a job names, links resolved, if it lies under one of the allowed ``roots``.

    Raises
    ------
    InvalidJobError
        It names another scheme, no regular file, or one elsewhere. What lies elsewhere is not told.
    FolderUnavailableError
        The folder itself that it should lie under is not there.
    """
    try:
        path = _path_of(uri).resolve(strict=False)
        if not any(path.is_relative_to(root) for root in roots):
            raise InvalidJobError(
                "the file lies under none of the allowed folders (ICR_INBOX, ICR_SCAN_ROOTS)"
            )
        _require_folder(path, roots)
        mode = path.stat().st_mode
    except (OSError, ValueError, RuntimeError) as error:
        raise InvalidJobError(
            f"the file cannot be found: {getattr(error, 'strerror', None) or error}"
        ) from error
    if not stat.S_ISREG(mode):
        raise InvalidJobError("the job names no regular file")
    return path


def _require_folder(path: Path, roots: tuple[Path, ...]) -> None:
    """Refuse to judge a file while its folder is away; of a drive taken off, an empty mount point stays."""
    for folder in (*roots, *(root / WORKING for root in roots)):
        if path.is_relative_to(folder) and not folder.is_dir():
            raise FolderUnavailableError(f"the folder {folder} is not there")


def _path_of(uri: str) -> Path:
    if uri.startswith("/"):
        return Path(uri)
    parts = urlsplit(uri)
    if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
        raise InvalidJobError("a scan is named by an absolute path or a file:// URI")
    return Path(unquote_to_bytes(parts.path).decode("utf-8", "surrogateescape"))


def read_scan_pages(claim: ClaimedJob, watch: Stopwatch) -> tuple[Scan, list[PageReading]]:
    """Read every page of a claimed scan, one in memory at a time; ``watch`` is charged with the stages.

    Raises
    ------
    PermanentError
        The file is not a scan that can be read, or no template has that name.
    """
    from worker.pipeline import read_page
    from worker.rasterizer import open_pages

    try:
        path = locate_scan(claim.scan.uri, bootstrap.scan_roots())
        sha256, _ = hash_file(path)
    except (InvalidJobError, OSError) as error:
        raise UnreadableScanError(str(error)) from error
    form = _choose_form(claim.template)
    policy = bootstrap.accept_policy()
    scan = Scan(claim.scan.id, claim.scan.uri, sha256)
    pages = open_pages(path, scan_id=scan.id, limits=bootstrap.raster_limits())
    return scan, [
        watch.time("read", read_page, page, form, bootstrap.recognizers(), policy)
        for page in watch.each("decode", pages)
    ]


def _choose_form(name: str | None) -> NamedForm | list[FormTemplate] | CheckPolicy | Literal["field", "free"]:
    """Return the form of that name, the layout of that name, or without one every template known."""
    from worker.templates import find_form

    if name == "field":
        return "field"
    if name == "free":
        return "free"
    if name == "check":
        return bootstrap.check_policy()
    known = bootstrap.templates()
    return find_form(name, known) if name else list(known.values())
