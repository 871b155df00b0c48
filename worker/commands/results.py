"""``icr results``, ``low-confidence``, ``correct``, ``settle`` and ``purge``: what was read, its fate."""

from __future__ import annotations

import getpass
import itertools
import re
import sys
from datetime import timedelta

import click

from worker.bootstrap import Runtime
from worker.commands.entry import choose_pages, pass_runtime, ready_engine, select_pages
from worker.commands.saying import counted, say

_FORMAT = click.option(
    "--format", "output", type=click.Choice(["table", "jsonl", "csv"]), default="table", show_default=True
)
_LIMIT = click.option("--limit", type=click.IntRange(1), help="Stop after so many lines.  [table: 200]")


@click.command()
@select_pages
@click.option("--review", is_flag=True, help="Only what awaits review, the longest waiting first: pages, then fields.")
@_LIMIT
@_FORMAT
@pass_runtime
def results(
    runtime: Runtime,
    job: str | None,
    reference: str | None,
    template: str | None,
    review: bool,
    limit: int | None,
    output: str,
) -> None:
    """Show what was read, one line a field; a page that could not be read is a line with the error.

    With --job or --reference, jobs that gave no result are shown too, with their state and the reason.
    """
    from worker.commands.printing import print_lines
    from worker.commands.result_lines import FIELD_TABLE, field_lines, review_lines, unread_job_lines

    if review and (job or reference or template):
        raise click.UsageError("--review shows the whole queue: leave out --job, --reference and --template")
    engine, selection = ready_engine(runtime), choose_pages(job, reference, template)
    answers = itertools.chain(field_lines(engine, selection), unread_job_lines(engine, selection))
    print_lines(review_lines(engine) if review else answers, output, shape=FIELD_TABLE, limit=limit)


@click.command("low-confidence")
@click.option(
    "--below",
    type=click.FloatRange(0, 0.99),
    default=0.95,
    show_default=True,
    help="List the digits whose confidence is less; the index reaches up to 0.99.",
)
@_LIMIT
@_FORMAT
@pass_runtime
def low_confidence(runtime: Runtime, below: float, limit: int | None, output: str) -> None:
    """List doubtful digits, one line a digit, the most doubtful first."""
    from worker.commands.printing import print_lines
    from worker.commands.result_lines import DIGIT_TABLE, digit_lines

    print_lines(digit_lines(ready_engine(runtime), below=below), output, shape=DIGIT_TABLE, limit=limit)


@click.command(context_settings={"ignore_unknown_options": True})  # -12.50 is a number
@click.argument("field_id", type=int)
@click.argument("number", required=False)
@click.option("--confirm", is_flag=True, help="The machine is right: keep what it read.")
@click.option("--overrule", is_flag=True, help="Take the number though it does not fit the field; that is recorded.")
@click.option("--by", "who", help="Who decides.  [default: your login name]")
@pass_runtime
def correct(
    runtime: Runtime, field_id: int, number: str | None, confirm: bool, overrule: bool, who: str | None
) -> None:
    """Set the right NUMBER of a field, with its marks ('' if blank), or --confirm it; it leaves the review queue."""
    if confirm == (number is not None):
        raise click.UsageError("give the right number, or --confirm")
    from worker.store.reviews import correct_field
    from worker.store.tables import Act

    who = who or _login_name()
    review = correct_field(
        ready_engine(runtime), field_id, number, who=who, overrule=overrule, templates=runtime.templates()
    )
    said = f"confirmed {review.written_before!r}" if confirm else f"was {review.written_before!r}, is {review.after!r}"
    if review.action is Act.KEY:
        said = f"waits for another keyer after {review.after!r}"
    say(f"field {field_id} ({review.name}): {said}, by {review.who}")
    if review.unknown_template:
        unknown = f"the template {review.unknown_template} is not known here"
        say(f"icr: {unknown}, so the rules across its fields were not held again: set ICR_TEMPLATES", err=True)


@click.command()
@click.argument("page_id", type=int)
@click.option("--by", "who", help="Who has looked at it.  [default: your login name]")
@pass_runtime
def settle(runtime: Runtime, page_id: int, who: str | None) -> None:
    """Take a page that could not be read, or is doubted, off the review queue; its fields stay there."""
    from worker.store.reviews import settle_page

    reason = settle_page(ready_engine(runtime), page_id, who=who or _login_name())
    say(f"page {page_id} is settled: {reason}")


@click.command()
@click.option("--older-than", "age", required=True, help="As 90d, 12w or 36h, counted from the end of the job.")
@click.option("--delete", "really", is_flag=True, help="Delete it; without this, nothing changes.")
@click.option("--yes", is_flag=True, help="With --delete: do not ask.")
@click.option("--with-review", is_flag=True, help="Also jobs with fields or pages that a person has yet to look at.")
@pass_runtime
def purge(runtime: Runtime, age: str, really: bool, yes: bool, with_review: bool) -> None:
    """Say which jobs ended long ago; with --delete, delete them with their readings and their files in the inbox.

    Jobs that await review stay. What was deleted is counted in the table 'purges'.
    """
    from worker.inbox.removal import remove_own_scan
    from worker.store.purge import plan_purge, purge_older_than

    engine, how_old = ready_engine(runtime), _parse_age(age)
    plan = plan_purge(engine, how_old, with_review=with_review)
    pages, fields = counted(plan.pages, "page"), counted(plan.fields, "field")
    what = f"{counted(plan.jobs, 'job')} that ended more than {age} ago, with {pages} and {fields}"
    if not really:
        say(f"would delete {what}")
        _tell_kept(plan.awaiting_jobs)
        say("nothing was deleted: add --delete")
        return
    if not yes:
        click.confirm(f"delete {what}?", abort=True)
    counts = purge_older_than(engine, how_old, remove_scan=remove_own_scan, with_review=with_review)
    gone = counts.fields_accepted + counts.fields_review + counts.fields_blank
    say(
        f"deleted {counted(counts.jobs, 'job')}, {counted(counts.files, 'file')}, {counted(counts.scans, 'scan')}, "
        f"{counted(counts.pages, 'page')}, {counted(gone, 'field')}, {counted(counts.digits, 'digit')}, "
        f"{counted(counts.reviews, 'review')}"
    )
    _tell_kept(counts.awaiting_jobs)
    if counts.kept_jobs:
        say(
            f"icr: kept {counted(counts.kept_jobs, 'job')} whose file cannot be deleted, or whose inbox is away",
            err=True,
        )
        sys.exit(1)


def _tell_kept(jobs: int) -> None:
    if jobs:
        say(f"kept {jobs} jobs that await review: 'icr results --review'; --with-review deletes them, too")


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return ""


def _parse_age(age: str) -> timedelta:
    match = re.fullmatch(r"(\d{1,6})([hdw])", age)
    if match is None:
        raise click.BadParameter(f"{age!r} is no age: a number and d, w or h, as 90d", param_hint="--older-than")
    unit = {"h": "hours", "d": "days", "w": "weeks"}[match[2]]
    return timedelta(**{unit: int(match[1])})
