"""The tasks of the queue: read one scan, and the canary. What goes wrong with a job is recorded here."""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn, TypeVar

import redis
import structlog
import tenacity
from billiard.exceptions import SoftTimeLimitExceeded
from celery import Celery, Task
from celery.exceptions import Reject
from pydantic import ValidationError

from schemas.mistakes import say_mistakes
from schemas.scan_job import MAX_REFERENCE, ScanJob
from worker.bootstrap import Runtime
from worker.errors import (
    DatabaseUnavailableError,
    IcrError,
    InvalidJobError,
    InvalidTemplateError,
    MissingScanError,
    PermanentError,
    PlaceUnavailableError,
    ScanContinuesError,
    TransientError,
)
from worker.queue.names import CANARY, HARD_LIMIT_MARGIN_S, READ_SCAN
from worker.queue.publishing import Publisher
from worker.queue.reading_job import read_scan_pages
from worker.queue.reconciler import reconcile_in_turn
from worker.queue.signing import choose_key, open_job
from worker.sources.beneath import hash_scan, open_scan
from worker.store.arrivals import SOURCE, claim_arrival, identify_scan
from worker.store.holders import take_back_jobs
from worker.store.jobs import fail_job, get_job, release_job, store_readings
from worker.store.records import ClaimedJob
from worker.store.registering import record_invalid_job
from worker.store.tables import JobState
from worker.system.process_identity import is_dead, name_process
from worker.telemetry.stages import Stopwatch, record_stages
from worker.telemetry.tracing import READ, trace_job

log = structlog.get_logger(__name__)
T = TypeVar("T")

MAX_MESSAGE_BYTES = 65_536
PAUSE_S = 0.25
"""Pause before a message that could not be recorded goes back, so that a queue of such does not spin."""
_OVER = (JobState.DONE, JobState.DEAD, JobState.DUPLICATE)
DATABASE_PATIENCE = 0.75
"""Share of the time limit for which a job waits for a database that does not answer."""


def add_tasks(app: Celery, runtime: Runtime) -> None:
    """Register the two tasks of the queue on an application."""
    publisher = Publisher(runtime)

    @app.task(name=READ_SCAN, bind=True, typing=False)  # type: ignore[untyped-decorator]
    def read_scan(self: Task, *args: Any, **kwargs: Any) -> None:
        run_message(publisher, args, kwargs, message_id=str(self.request.id))

    @app.task(name=CANARY, typing=False)  # type: ignore[untyped-decorator]
    def canary(*_: Any, **__: Any) -> None:
        """Show that this worker works (the beat is left by every task that ends), and look for lost jobs."""
        try:
            reconcile_in_turn(publisher)
        except (IcrError, redis.RedisError) as error:
            log.warning("could not look for lost jobs", reason=str(error))


def run_message(publisher: Publisher, args: Any, kwargs: Any, *, message_id: str) -> None:
    """Read the scan of one message, and record what is wrong with it; only a lost database hands it back."""
    runtime = publisher.runtime
    deadline = time.monotonic() + DATABASE_PATIENCE * runtime.settings.job_time_limit_s
    names = SenderNames()
    try:
        key = choose_key(args, runtime.job_keys)
        names = name_refused(args, kwargs, message_id=message_id, key=key)
        job = parse_message(args, kwargs, message_id=message_id, key=key)
        names = SenderNames(str(job.id), job.reference)
        with structlog.contextvars.bound_contextvars(job=str(job.id)):
            claim = _take(publisher, job, deadline)
            if claim is not None:
                _run(publisher, claim, deadline)
    except InvalidJobError as error:
        _record_or_hand_back(runtime, args, kwargs, error, names, deadline)
    except (TransientError, SoftTimeLimitExceeded) as error:
        _hand_back(error)
    except Reject:
        raise
    except Exception as error:
        log.exception("a mistake in the program")
        reason = InvalidJobError(f"a mistake in the program: {type(error).__name__}")
        _record_or_hand_back(runtime, args, kwargs, reason, names, deadline)


def _hand_back(error: Exception) -> NoReturn:
    log.warning("job handed back", reason=str(error) or "the time limit passed while the database was away")
    raise Reject(str(error), requeue=True) from error


def _record_or_hand_back(
    runtime: Runtime, args: Any, kwargs: Any, error: Exception, names: SenderNames, deadline: float
) -> None:
    """Keep a message that cannot be run, with the reason; if that fails too, the message goes back."""
    try:
        _record_invalid(runtime, args, kwargs, error, names, deadline)
    except Exception as again:  # noqa: BLE001  # the edge of the task: nothing may vanish with its message
        time.sleep(PAUSE_S)
        _hand_back(again)


def parse_message(args: Any, kwargs: Any, *, message_id: str, key: str | None = None) -> ScanJob:
    """Check a message's signature and schema; a job without an id gets one that is the same at every delivery.

    Raises
    ------
    InvalidJobError
        Says what is wrong, without the values.
    """
    if len(args) != 1 or kwargs or not isinstance(args[0], dict):
        raise InvalidJobError("the task takes one JSON object as its only argument: see 'icr schema scan-job'")
    if len(json.dumps(args[0])) > MAX_MESSAGE_BYTES:
        raise InvalidJobError(f"the message is longer than {MAX_MESSAGE_BYTES} bytes")
    try:
        job = ScanJob.model_validate_json(json.dumps(open_job(args[0], key)))
    except ValidationError as error:
        raise InvalidJobError(say_mistakes(error)) from error
    return job if job.id else job.model_copy(update={"id": _stable_uuid(message_id)})


class SenderNames(NamedTuple):
    """The job id and the reference by which the sender of a message looks for it."""

    job_id: str | None = None
    reference: str | None = None


def name_refused(args: Any, kwargs: Any, *, message_id: str, key: str | None = None) -> SenderNames:
    """Return the names by which the sender of a refused message looks for it.

    A job without an id of its own has that of its message; what stood for its id is its reference if it has none. If
    there is a key, a message that is not signed with it has no names, because anybody could take the id of a future
    job.
    """
    sent = args[0] if args and isinstance(args[0], dict) else kwargs
    try:
        job = open_job(sent, key)
    except InvalidJobError:
        if key is not None:
            return SenderNames()
        job = {}
    own_id, reference = job.get("id"), job.get("reference")
    has_id = isinstance(own_id, str) and _is_uuid(own_id)
    job_id = _stable_uuid(str(own_id) if has_id else message_id)
    reference = own_id if reference is None and not has_id else reference
    told = str(reference)[:MAX_REFERENCE] if isinstance(reference, str | int) else None
    return SenderNames(str(job_id), told)


def _is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


def _stable_uuid(message_id: str) -> uuid.UUID:
    if _is_uuid(message_id):
        return uuid.UUID(message_id)
    return uuid.uuid5(uuid.NAMESPACE_OID, message_id.encode("utf-8", "backslashreplace").decode())


def _take(publisher: Publisher, job: ScanJob, deadline: float) -> ClaimedJob | None:
    """Claim the job of a message, writing its row first if there is none; None if there is nothing to do."""
    runtime, job_id = publisher.runtime, str(job.id)
    engine, settings = runtime.engine(), runtime.settings
    record = _patiently(lambda: get_job(engine, job_id), deadline)
    if record is not None and record.state in _OVER and (record.source != SOURCE or record.uri == job.uri):
        log.info("nothing to do: it has ended")  # known without a transaction that writes, for copies come in thousands
        return None
    holder = record.leased_by if record is not None and record.state is JobState.RUNNING else None
    if holder and is_dead(holder):
        _patiently(lambda: take_back_jobs(engine, holder), deadline)
    claim = _patiently(
        lambda: claim_arrival(
            engine,
            job,
            worker=name_process(os.getpid()),
            lease_s=settings.job_time_limit_s + 2 * HARD_LIMIT_MARGIN_S,
            max_deliveries=settings.max_deliveries,
        ),
        deadline,
    )
    if claim is None:
        log.info("nothing to do: done, dead, or in other hands")
    return claim


def _run(publisher: Publisher, claim: ClaimedJob, deadline: float) -> None:
    """Read a claimed scan and end its job once; then log it."""
    watch, outcome = Stopwatch(), "handed_back"
    try:
        outcome = _read_and_end(publisher.runtime, claim, watch, deadline)
    except ScanContinuesError as error:
        log.info("a long scan lets others go first", reason=str(error))
        _publish_on(publisher, claim)
    finally:
        trace_job(claim.id, watch, outcome=outcome)


def _publish_on(publisher: Publisher, claim: ClaimedJob) -> None:
    """Put a scan that is to be read on at the end of the queue; if that fails, the reconciler does."""
    record = get_job(publisher.runtime.engine(), claim.id)
    if record is not None and record.state is JobState.QUEUED:
        try:
            publisher.republish(record)
        except TransientError as error:
            log.warning("the scan is read on later", reason=str(error))


def _read_and_end(runtime: Runtime, claim: ClaimedJob, watch: Stopwatch, deadline: float) -> str:
    """Return how the job ended: ``read``, ``dropped`` or the kind of failure.

    At a shutdown, and while its place is away or a form template is wrong, it is handed back uncounted.
    """
    engine = runtime.engine()
    try:
        if not claim.is_identified:
            identified = watch.time("fetch", _identify, runtime, claim, deadline)
            if identified is None:
                log.info("a duplicate: its scan is read, or was, under another id")
                record = get_job(engine, claim.id)
                Publisher(runtime).read_rest(record.duplicate_of if record else None)
                return "duplicate"
            claim = identified
        scan, pages = read_scan_pages(runtime, claim, watch)
        share, trusts_sheets = runtime.settings.audit_share, runtime.settings.separators == "trust"
        held = claim
        stored = watch.time(
            "store",
            _patiently,
            lambda: store_readings(engine, held, scan, pages, audit_share=share, trusts_sheets=trusts_sheets),
            deadline,
        )
        log.info(
            "scan read" if stored else "reading dropped: another worker took over",
            pages=len(pages),
            seconds={stage: round(taken_s, 3) for stage, taken_s in watch.seconds.items()},
        )
        if stored:
            _leave_stages(runtime, watch)
        return READ if stored else "dropped"
    except (PlaceUnavailableError, InvalidTemplateError) as error:  # neither is the fault of the scan
        return _release(runtime, claim, error)
    except MissingScanError as error:
        if claim.waited_s < runtime.settings.incomplete_s:  # a message may be quicker than its file, as on NFS
            return _release(runtime, claim, error)
        return _fail(runtime, claim, deadline, "MissingScan", str(error))
    except TransientError:
        raise
    except SoftTimeLimitExceeded:
        limit = runtime.settings.job_time_limit_s
        return _fail(runtime, claim, deadline, "time_limit", f"took longer than {limit} s (ICR_JOB_TIME_LIMIT_S)")
    except MemoryError:
        limit = runtime.settings.job_memory_mb
        return _fail(
            runtime, claim, deadline, "memory_limit", f"needs more than {limit} MB of memory (ICR_JOB_MEMORY_MB)"
        )
    except PermanentError as error:
        return _fail(runtime, claim, deadline, type(error).__name__.removesuffix("Error"), str(error))
    except Exception as error:
        log.exception("a mistake in the program")
        return _fail(runtime, claim, deadline, "Internal", f"a mistake in the program: {type(error).__name__}")
    except (SystemExit, KeyboardInterrupt):
        if not _is_over_time(runtime, deadline):
            release_job(engine, claim)
        raise


def _identify(runtime: Runtime, claim: ClaimedJob, deadline: float) -> ClaimedJob | None:
    """Find out which bytes a message's scan has; None where another job reads them."""
    settings = runtime.settings
    with runtime.places().fetch(claim.scan.uri) as path, open_scan(path, runtime.file_roots) as file:
        sha256, size = hash_scan(file, max_file_mb=settings.max_file_mb)
    return _patiently(
        lambda: identify_scan(runtime.engine(), claim, sha256=sha256, size=size, duplicates=settings.duplicates),
        deadline,
    )


def _release(runtime: Runtime, claim: ClaimedJob, error: Exception) -> str:
    """Hand a job back uncounted; the reconciler publishes it again, after others."""
    release_job(runtime.engine(), claim)
    log.warning("job handed back", reason=str(error))
    return "handed_back"


def _is_over_time(runtime: Runtime, deadline: float) -> bool:
    """Tell whether a signal to end comes from the hard limit, whose delivery counts, and not from a shutdown."""
    limit = runtime.settings.job_time_limit_s
    return time.monotonic() >= deadline + (1 - DATABASE_PATIENCE) * limit


def _leave_stages(runtime: Runtime, watch: Stopwatch) -> None:
    try:
        record_stages(runtime.redis_client(), watch.seconds)
    except redis.RedisError as error:
        log.debug("no durations left", reason=str(error))


def _fail(runtime: Runtime, claim: ClaimedJob, deadline: float, kind: str, reason: str) -> str:
    _patiently(lambda: fail_job(runtime.engine(), claim, kind=kind, reason=reason), deadline)
    log.warning("scan failed", kind=kind, reason=reason)
    return kind


def _record_invalid(
    runtime: Runtime, args: Any, kwargs: Any, error: Exception, names: SenderNames, deadline: float
) -> None:
    """Keep a message that is no job, with the reason, under the id and reference of its sender."""
    raw = json.dumps(args[0] if len(args) == 1 and not kwargs else {"args": args, "kwargs": kwargs}, sort_keys=True)
    ticket = _patiently(
        lambda: record_invalid_job(
            runtime.engine(), raw, str(error), job_id=names.job_id, reference=names.reference, source="message"
        ),
        deadline,
    )
    log.warning("job refused", job=ticket.id, reason=str(error))


def _patiently(act: Callable[[], T], deadline: float) -> T:
    """Try repeatedly with growing pauses while the database is away, until the deadline.

    A try that the soft limit cuts off after others found the database away ends as they did, because the job is not at
    fault.
    """
    away: list[BaseException | None] = []

    def tell(state: tenacity.RetryCallState) -> None:
        away.append(state.outcome.exception() if state.outcome else None)
        log.warning("waiting for the database", attempt=state.attempt_number, reason=str(away[-1]))

    waiting = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(DatabaseUnavailableError),
        wait=tenacity.wait_exponential_jitter(multiplier=0.2, max=5),
        stop=tenacity.stop_after_delay(max(0.0, deadline - time.monotonic())),
        before_sleep=tell,
        reraise=True,
    )
    try:
        return waiting(act)
    except SoftTimeLimitExceeded:
        if away and away[-1]:
            raise away[-1] from None
        raise
