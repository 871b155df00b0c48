"""``icr up`` for one machine; ``icr worker``, ``watch``, ``migrate``, ``health`` and ``metrics`` for many."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import click

from worker.bootstrap import Runtime, build_runtime
from worker.commands.entry import pass_runtime
from worker.commands.saying import counted, say
from worker.errors import BrokerUnavailableError, DatabaseUnavailableError, SettingsError
from worker.sources.file_uris import display_name

if TYPE_CHECKING:
    from worker.one_machine import Outcome
    from worker.store.records import QueueSummary

DATABASE_PATIENCE_S = 3600.0


def _start_logging(runtime: Runtime) -> None:
    from worker.telemetry.logs import configure_logging

    configure_logging(runtime.settings.log_level)


def _warn_of_tracing() -> None:
    """Say in the log what keeps the traces that were asked for from being left."""
    import structlog

    from worker.telemetry.tracing import find_obstacle

    if obstacle := find_obstacle():
        structlog.get_logger(__name__).warning(obstacle)


@click.command()
@click.option("--once", is_flag=True, help="Read what is there and end; exit code 2 if a scan failed.")
@click.option("--inbox", type=click.Path(path_type=Path), help="The watched folder, instead of ICR_INBOX.")
@pass_runtime
def up(runtime: Runtime, once: bool, inbox: Path | None) -> None:
    """Run everything on this machine: a private Redis, the worker, the watcher."""
    if inbox is not None:
        runtime = build_runtime(runtime.settings.model_copy(update={"inbox": inbox}))
    _start_logging(runtime)
    _check_separators(runtime)
    if runtime.settings.mail_host and not once:
        from worker.mail.mailbox import check_settings

        check_settings(runtime.settings)
    from worker.inbox.folder import check_working
    from worker.one_machine import OneMachine

    check_working(runtime.inbox)  # a watcher that cannot use it would be started again and again
    runtime.templates()  # a wrong one is said at once, before a scan is taken
    with _Progress() as show:
        outcome = OneMachine(runtime, once=once, show=show, say=_say).run()
    _print_outcome(runtime, outcome)
    if once and (outcome.failed or outcome.stuck):
        sys.exit(2)


@click.command()
@click.option("--concurrency", type=click.IntRange(min=1), help="Processes; instead of ICR_CONCURRENCY.")
@click.option("--name", help="Tells workers on one machine apart.  [default: worker, worker-2 ..., the first free]")
@pass_runtime
def worker(runtime: Runtime, concurrency: int | None, name: str | None) -> None:
    """Run a Celery worker: it takes scans from the queue until it is told to stop."""
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(variable, "1")  # one thread a process: the processes are the parallelism
    _start_logging(runtime)
    _check_models()
    _check_separators(runtime)
    runtime.templates()
    _wait_for_database(runtime)
    _warn_of_tracing()
    from worker.queue.celery_worker import run_worker

    run_worker(runtime, name=name, processes=concurrency or runtime.settings.concurrency or os.cpu_count() or 1)


@click.command()
@click.option("--once", is_flag=True, help="End when everything that lies in the folder has been read.")
@click.option("--name", help="Tells watchers on one machine apart.  [default: watcher, watcher-2 ..., the first free]")
@pass_runtime
def watch(runtime: Runtime, once: bool, name: str | None) -> None:
    """Watch the folder and hand its scans to the queue."""
    _start_logging(runtime)
    _wait_for_database(runtime)
    from worker.inbox.loop import choose_name, watch_inbox
    from worker.one_machine import WATCHER_IS_STUCK
    from worker.queue.beats import free_name

    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    name = choose_name(runtime, name)
    moved_all = watch_inbox(runtime, once=once, stop=stop, name=name)
    free_name(runtime.redis_client(), name)
    sys.exit(0 if moved_all or not once else WATCHER_IS_STUCK)


@click.command()
@pass_runtime
def migrate(runtime: Runtime) -> None:
    """Bring the database to the newest schema; waits for a database that does not answer yet."""
    from worker.store.engine import describe, upgrade_database, wait_for_database

    engine = runtime.engine()
    wait_for_database(engine, DATABASE_PATIENCE_S, _say)
    upgrade_database(engine)
    say(f"the database {describe(engine)} is up to date")


@click.command()
@pass_runtime
def metrics(runtime: Runtime) -> None:
    """Serve /metrics (Prometheus), /healthz and /readyz on ICR_METRICS_PORT until told to stop."""
    port, host = runtime.settings.metrics_port, runtime.settings.metrics_host
    if port is None:
        raise SettingsError("set ICR_METRICS_PORT, as to 9464")
    _start_logging(runtime)
    from worker.monitoring.exporter import make_exporter

    try:
        server = make_exporter(runtime, host, port)
    except OSError as error:
        raise SettingsError(f"{host}:{port} (ICR_METRICS_HOST, ICR_METRICS_PORT): {error.strerror}") from error
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
    with server:
        server.serve_forever()


@click.command()
@click.option("--ready", is_flag=True, help="Ask instead whether a scan sent now would be read, by any machine.")
@pass_runtime
def health(runtime: Runtime, ready: bool) -> None:
    """Exit with 0 if what runs on this machine works (a canary came through lately), with 1 if not."""
    from worker.monitoring.health import NOTHING_RUNS, ages_here, find_obstacles, is_started
    from worker.queue.beats import silence_limit_s

    if ready:
        obstacles = find_obstacles(runtime)
        for line in obstacles or ["ready"]:
            say(line)
        sys.exit(1 if obstacles else 0)
    if not is_started(runtime):
        raise BrokerUnavailableError(NOTHING_RUNS)
    from redis import RedisError

    try:
        here = ages_here(runtime.redis_client())
    except RedisError as error:
        raise BrokerUnavailableError(f"Redis does not answer: {error}") from error
    limit_s = silence_limit_s(runtime.settings)
    for name, age in here.items():
        say(f"{'silent' if age > limit_s else 'ok    '}  {name}  {age:.0f} s ago")
    if not here:
        say("nothing on this machine has been heard of", err=True)
    sys.exit(0 if here and max(here.values()) <= limit_s else 1)


def _check_models() -> None:
    """Refuse to start on a missing or changed model, here in the parent that must not load it."""
    from worker.models.runtime import verify_models

    verify_models()


def _check_separators(runtime: Runtime) -> None:
    """Refuse to start where separator sheets are wanted and no code can be read: they would be taken for pages."""
    if runtime.settings.separators != "off":
        from worker.separators import require_barcodes

        require_barcodes()
    elif runtime.settings.barcodes is not None:
        raise SettingsError("ICR_BARCODES needs ICR_SEPARATORS=ask or trust, which say what becomes of a barcode")


def _wait_for_database(runtime: Runtime) -> None:
    from worker.store.engine import require_database, wait_for_database

    engine = runtime.engine()
    wait_for_database(engine, DATABASE_PATIENCE_S, _say)
    require_database(engine)
    engine.dispose()


def _say(text: str) -> None:
    say(text, err=True)


class _Progress:
    """Shows how the queue stands: one line that changes in a terminal, else a line at each change."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(stderr=True)
        self._status = self._console.status("starting ...") if self._console.is_terminal else None
        self._last = ""

    def __enter__(self) -> _Progress:
        if self._status:
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status:
            self._status.stop()

    def __call__(self, summary: QueueSummary) -> None:
        text = ", ".join(f"{count} {state.value}" for state, count in summary.counts.items() if count) or "no jobs yet"
        if self._status:
            self._status.update(text)
        elif text != self._last:
            _say(text)
        self._last = text


def _print_outcome(runtime: Runtime, outcome: Outcome) -> None:
    from worker.inbox.walking import describe_left, find_left
    from worker.store.engine import describe
    from worker.store.tables import JobState

    ended = outcome.ended
    read, again = counted(ended[JobState.DONE], "scan"), counted(ended[JobState.DUPLICATE], "duplicate")
    say(f"{read} read, {outcome.failed} failed, {again}")
    for failure in outcome.summary.failures[: max(outcome.failed, 0)]:
        say(f"  failed: {display_name(failure.uri)}: {failure.reason}")
    if outcome.stuck:
        say("  some scans cannot be moved to where they belong: see the watcher's log")
    if left := find_left(runtime.inbox):
        say(f"  left: {describe_left([str(name) for name in left])}")
    _print_review(runtime)
    database = describe(runtime.engine())
    say(f"results in {database}; scans in {runtime.inbox}; logs in {runtime.logs_folder}")


def _print_review(runtime: Runtime) -> None:
    from worker.store.summary import count_page_review_queue, count_review_queue

    with contextlib.suppress(DatabaseUnavailableError):
        pages, fields = (count(runtime.engine()) for count in (count_page_review_queue, count_review_queue))
        if pages or fields:
            say(f"{counted(pages, 'page')} and {counted(fields, 'field')} await review: 'icr results --review'")
