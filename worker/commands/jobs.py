"""``icr submit``, ``status``, ``retry``, ``reread`` and ``schema``: jobs in, how they stand, and in again."""

from __future__ import annotations

import json
import sys
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from worker.bootstrap import Runtime
from worker.commands.entry import kept_id, pass_runtime, ready_engine
from worker.commands.saying import counted, say
from worker.errors import BrokerUnavailableError, IcrError
from worker.sources.file_uris import display_name
from worker.sources.places import STORAGE_SCHEME

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from schemas.scan_job import ScanJob
    from worker.queue.publishing import Publisher
    from worker.store.records import JobTicket

POLL_S = 0.2
_SCHEMAS = ("scan-job", "form-template", "reading")


@click.command()
@click.argument("files", nargs=-1, required=True)
@click.option("--template", help="A form template's name; without it, each page finds its own form.")
@click.option("--reference", help="Your own reference, kept with the results.")
@click.option("--priority", type=click.IntRange(0, 9), default=5, show_default=True, help="9 is most urgent.")
@click.option("--wait", is_flag=True, help="Wait until all have ended; exit code 2 if one failed.")
@pass_runtime
def submit(
    runtime: Runtime,
    files: tuple[str, ...],
    template: str | None,
    reference: str | None,
    priority: int,
    wait: bool,
) -> None:
    """Enqueue scans, files or s3://bucket/key; prints one line each: the job's id, its state, the scan."""
    from worker.queue.publishing import Publisher

    engine, publisher = ready_engine(runtime), Publisher(runtime)
    refused, ids = False, []
    for name in files:
        try:
            ticket = _submit_scan(publisher, name, template=template, reference=reference, priority=priority)
        except (IcrError, OSError) as error:
            say(f"icr: {name}: {getattr(error, 'strerror', None) or error}", err=True)
            refused = True
            continue
        ids.append(ticket.id)
        say(f"{ticket.id}  {ticket.state.value:<9}  {name}")
    failed = wait and _wait_for(engine, ids)
    sys.exit(1 if refused else 2 if failed else 0)


@click.command()
@click.option("--format", "output", type=click.Choice(["table", "json"]), default="table", show_default=True)
@pass_runtime
def status(runtime: Runtime, output: str) -> None:
    """Show the queue's depth, who is alive, how old the oldest jobs are, and the latest failures."""
    found = _collect_status(runtime)
    if output == "json":
        click.echo(json.dumps(found, indent=2))
    else:
        _print_status(found)


@click.command()
@click.argument("jobs", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Every job that failed or died.")
@pass_runtime
def retry(runtime: Runtime, jobs: tuple[str, ...], everything: bool) -> None:
    """Queue failed jobs again, and named ones of whose scans a page was not read; scans of the folder come back."""
    if bool(jobs) == everything:
        raise click.UsageError("name the jobs, or --all")
    from worker.inbox.reopening import reopen_scan
    from worker.queue.publishing import Publisher
    from worker.store.jobs import retry_jobs

    engine, publisher = ready_engine(runtime), Publisher(runtime)
    jobs = tuple(kept_id(job) for job in jobs)
    tickets = retry_jobs(engine, None if everything else list(jobs))
    for ticket in tickets:
        reopen_scan(runtime.inbox, engine, ticket.id)
        _publish_again(publisher, ticket.id)
        say(f"{ticket.id}  {ticket.state.value}")
    unknown = set(jobs) - {ticket.id for ticket in tickets}
    for job_id in sorted(unknown):
        say(f"icr: {job_id}: no job that failed, or of whose scan a page was not read", err=True)
    sys.exit(1 if unknown else 0)


@click.command()
@click.option("--template", required=True, help="A form template's name, or a form's: its scans are read again.")
@click.option("--since", type=click.DateTime(), help="Only scans read at or after this time (UTC).")
@pass_runtime
def reread(runtime: Runtime, template: str, since: datetime | None) -> None:
    """Read the scans of a template again, as after a correction of it.

    The new readings replace the old ones. What a person decided stays with each field that lies where it lay.
    """
    from worker.forms.templates import find_form
    from worker.queue.publishing import Publisher
    from worker.store.rereading import MOST_AT_ONCE, requeue_read_jobs

    form = find_form(template, runtime.templates())
    names = sorted({template, *(page.name for page in form.pages)})
    engine, publisher = ready_engine(runtime), Publisher(runtime)
    ids = requeue_read_jobs(engine, templates=names, since=since.replace(tzinfo=UTC) if since else None)
    for trouble in dict.fromkeys(filter(None, map(publisher.publish_again, ids))):
        say(f"icr: {trouble}", err=True)
    say(f"queued to be read again: {counted(len(ids), 'scan')} of {template}")
    if len(ids) == MOST_AT_ONCE:
        say("icr: so many are queued at once: run this again for the others", err=True)


@click.command()
@click.argument("name", type=click.Choice(_SCHEMAS))
def schema(name: str) -> None:
    """Print the JSON Schema of a job message, a form template, or a page's readings."""
    from pydantic import BaseModel

    from schemas.form_template import FormTemplate
    from schemas.reading import PageOut
    from schemas.scan_job import ScanJob

    models: dict[str, type[BaseModel]] = dict(zip(_SCHEMAS, (ScanJob, FormTemplate, PageOut), strict=True))
    click.echo(json.dumps(models[name].model_json_schema(), indent=2))


def _submit_scan(
    publisher: Publisher, name: str, *, template: str | None, reference: str | None, priority: int
) -> JobTicket:
    """Enqueue one scan; a queue that does not answer is said, and the job is kept.

    Raises
    ------
    InvalidJobError
        The scan lies under none of the allowed places, or an option breaks the schema.
    StorageUnavailableError
        The object storage that it lies in does not answer.
    """
    from pydantic import ValidationError

    from schemas.mistakes import say_mistakes
    from schemas.scan_job import ScanJob
    from worker.errors import InvalidJobError

    in_storage = name.startswith(STORAGE_SCHEME)
    with publisher.runtime.places().fetch(name if in_storage else str(Path(name).absolute())) as path:
        try:
            uri = name if in_storage else path.as_uri()
            job = ScanJob(uri=uri, id=uuid.uuid4(), template=template, reference=reference, priority=priority)
        except ValidationError as error:
            raise InvalidJobError(say_mistakes(error)) from error
        return _enqueue(publisher, job, path)


def _enqueue(publisher: Publisher, job: ScanJob, path: Path) -> JobTicket:
    from worker.store.jobs import get_job
    from worker.store.records import JobTicket

    try:
        ticket = publisher.enqueue_scan(job, path, source="submit")
        publisher.read_rest(ticket.duplicate_of)
        return ticket
    except BrokerUnavailableError as error:
        say(f"icr: {error}; the job is kept and runs when the queue is back", err=True)
        record = get_job(publisher.runtime.engine(), str(job.id))
        assert record is not None
        return JobTicket(record.id, record.state)


def _publish_again(publisher: Publisher, job_id: str) -> None:
    if trouble := publisher.publish_again(job_id):
        say(f"icr: {trouble}", err=True)


def _wait_for(engine: Engine, ids: list[str]) -> bool:
    """Wait until all jobs have ended; print how; True if one failed."""
    from worker.store.jobs import get_job
    from worker.store.tables import JobState

    failed, left = False, list(ids)
    while left:
        for job_id in list(left):
            record = get_job(engine, job_id)
            if record is None or record.state in (JobState.QUEUED, JobState.RUNNING):
                continue
            left.remove(job_id)
            failed |= record.state in (JobState.FAILED, JobState.DEAD)
            say(f"{job_id}  {record.state.value:<9}  {record.error_reason or ''}".rstrip())
        if left:
            time.sleep(POLL_S)
    return failed


def _collect_status(runtime: Runtime) -> dict[str, Any]:
    """Gather the status as plain values; what Redis would tell is None where it does not answer."""
    from worker.inbox.walking import find_left
    from worker.monitoring.health import is_started
    from worker.store.summary import count_page_review_queue, count_review_queue, queue_summary

    engine = ready_engine(runtime)
    summary, has_redis = queue_summary(engine), is_started(runtime)
    depth, workers = _ask_redis(runtime) if has_redis else (None, None)
    return {
        "jobs": {state.value: count for state, count in summary.counts.items()},
        "review": {"fields": count_review_queue(engine), "pages": count_page_review_queue(engine)},
        "queue_depth": depth,
        "is_started": has_redis,
        "oldest_queued_s": summary.oldest_queued_s,
        "oldest_running_s": summary.oldest_running_s,
        "workers": workers,
        "left_in_inbox": [str(name) for name in find_left(runtime.inbox)],
        "failures": [
            {
                "job": f.id,
                "uri": f.uri,
                "state": f.state.value,
                "kind": f.kind,
                "reason": f.reason,
                "finished_at": f.finished_at.isoformat(),
            }
            for f in summary.failures
        ],
    }


def _ask_redis(runtime: Runtime) -> tuple[dict[str, int] | None, list[dict[str, Any]] | None]:
    """Return the depth of the queue and who is alive; None for what Redis does not tell."""
    from redis import RedisError

    from worker.queue.beats import beat_ages, silence_limit_s
    from worker.queue.depth import queue_depth

    client, limit_s = runtime.redis_client(), silence_limit_s(runtime.settings)
    depth = None
    try:
        counted = queue_depth(client)
        depth = {"waiting": counted.waiting, "in_hand": counted.in_hand}
        ages = beat_ages(client).items()
    except RedisError:
        return depth, None
    return depth, [{"name": name, "last_beat_s": round(age, 1), "alive": age <= limit_s} for name, age in ages]


def _print_status(found: dict[str, Any]) -> None:
    from worker.inbox.walking import describe_left
    from worker.monitoring.health import NOTHING_RUNS

    jobs = ", ".join(f"{count} {state}" for state, count in found["jobs"].items() if count) or "none yet"
    depth = (
        "{waiting} waiting, {in_hand} in hand".format(**found["queue_depth"])
        if found["queue_depth"] is not None
        else "Redis does not answer"
        if found["is_started"]
        else NOTHING_RUNS
    )
    say(f"jobs       {jobs}")
    say(f"queue      {depth}")
    if any(found["review"].values()):
        pages, fields = counted(found["review"]["pages"], "page"), counted(found["review"]["fields"], "field")
        say(f"review     {pages}, {fields}: 'icr results --review'")
    for label, key in (("waiting", "oldest_queued_s"), ("running", "oldest_running_s")):
        if found[key] is not None:
            say(f"{label}    longest {found[key]:.0f} s")
    for one in found["workers"] or []:
        say(f"{'alive ' if one['alive'] else 'SILENT'}     {one['name']}, {one['last_beat_s']:.0f} s ago")
    if found["workers"] == []:
        say("workers    none: start with 'icr up' or 'icr worker'")
    if found["left_in_inbox"]:
        say(f"left       {describe_left(found['left_in_inbox'])}")
    for failure in found["failures"]:
        name = display_name(failure["uri"])
        say(f"{failure['state']:<9}  {failure['job']}  {name}: {failure['reason']}")
