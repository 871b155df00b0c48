"""``icr demo``, which ``make run`` calls: send the samples through the whole system and show the numbers."""

from __future__ import annotations

import os
import secrets
import shutil
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from worker.bootstrap import Runtime
from worker.commands.entry import pass_runtime
from worker.commands.saying import say
from worker.errors import SettingsError
from worker.sources.beneath import open_folder

if TYPE_CHECKING:
    from schemas.reading import StoredPage

SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".pdf"}
SAMPLES = Path("samples")


@click.command()
@click.option(
    "--samples",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=SAMPLES,
    show_default=True,
    help="The folder of scans; copies of them are read.",
)
@pass_runtime
def demo(runtime: Runtime, samples: Path) -> None:
    """Read the shipped samples as 'icr up --once' would, and show the numbers.

    A sample is damaged on purpose, so that a failure is seen too. Exit code 2 if nothing was read at all.
    """
    from worker.commands.run import up
    from worker.system.private_files import make_private_folder

    make_private_folder(runtime.home)  # before the inbox in it, whose parents would be open to all
    count = copy_scans(samples, runtime.inbox)
    say(f"{count} scans copied from {samples}/ to {_short(runtime.inbox)}/ ...", err=True)
    try:
        click.get_current_context().invoke(up, once=True, inbox=None)
    except SystemExit as end:
        if end.code != 2:  # 2: a scan failed, as one of the samples should
            raise
    if not _show_results(runtime):
        raise SystemExit(2)


def copy_scans(samples: Path, inbox: Path) -> int:
    """Copy the scans of a folder and its sub-folders into the inbox; each appears there whole, and none through a link.

    Raises
    ------
    SettingsError
        The folder holds no scan, or the inbox cannot be written, or a folder in it is a link.
    """
    paths = sorted(p for p in samples.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    if not paths:
        raise SettingsError(f"no scans in {samples}: name a folder with --samples")
    try:
        inbox.mkdir(parents=True, exist_ok=True)
        for path in paths:
            _copy_scan(path, inbox, path.relative_to(samples))
    except OSError as error:
        raise SettingsError(f"the samples cannot be copied to {inbox}: {error.strerror}") from error
    return len(paths)


def _copy_scan(path: Path, inbox: Path, place: Path) -> None:
    with open_folder(inbox, place.parent, make=True) as folder, path.open("rb") as sample:
        hidden = f".{secrets.token_hex(16)}.part"  # that nobody can have planted as a link
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(hidden, flags, 0o644, dir_fd=folder), "wb") as copy:
            shutil.copyfileobj(sample, copy)
        os.rename(hidden, place.name, src_dir_fd=folder, dst_dir_fd=folder)


def _show_results(runtime: Runtime) -> int:
    """Print what the database holds; return how many pages."""
    from worker.commands.printing import print_lines
    from worker.commands.result_lines import FIELD_TABLE, field_lines
    from worker.store.results import Selection, iter_pages
    from worker.store.summary import count_review_queue

    print_lines(field_lines(runtime.engine(), Selection()), "table", shape=FIELD_TABLE)
    pages = list(iter_pages(runtime.engine(), Selection()))
    tally = Counter(field.status for page in pages for field in page.fields)
    waiting = count_review_queue(runtime.engine())
    click.echo("")
    say(
        f"{tally.total()} fields: {tally['accepted']} accepted, {tally['review']} doubted"
        f" ({waiting} await review), {tally['blank']} blank, {tally['not_read']} of text."
    )
    click.echo(_next_steps(runtime, pages))
    return len(pages)


def _next_steps(runtime: Runtime, pages: list[StoredPage]) -> str:
    from worker.store.engine import describe

    program, inbox = _short(Path(sys.executable).with_name("icr")), _short(runtime.inbox)
    database = _short(Path(describe(runtime.engine())))
    doubted = next((f.field_id for page in pages for f in page.fields if f.final is None), "FIELD_ID")
    return (
        f"\nThe database is {database}, the scans lie in {inbox}/. Try next:\n"
        f"  {program} results --format csv\n"
        f"  {program} correct {doubted} NUMBER --by {os.environ.get('USER') or 'me'}\n"
        f"  {program} up   (and drop your own scans into {inbox}/)"
    )


def _short(path: Path) -> str:
    """Return a path relative to the current folder, if it lies below."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
