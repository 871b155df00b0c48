"""OpenTelemetry traces if ``OTEL_EXPORTER_OTLP_ENDPOINT`` is set: one span for each job, with a child span a stage.

Spans are written when a job ends, from the times that the stopwatch takes anyway. Without an endpoint nothing is
imported and nothing is done. The exporter and its thread live in the worker's children. Its other settings are
OpenTelemetry's own (``OTEL_SERVICE_NAME``, ``OTEL_EXPORTER_OTLP_HEADERS``, ...). A span holds only the id of the job
and its outcome. It holds no reading, no file name and no reason, because a reason may quote either.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import threading
from typing import TYPE_CHECKING

import structlog

from worker.telemetry.stages import Stopwatch

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

log = structlog.get_logger(__name__)

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
EXTRA_IS_MISSING = "the extra 'otel' is not installed, so no traces are sent: pip install '.[otel]'"
READ = "read"
"""The outcome of a job that went well; the others are kinds of failures, ``dropped`` and ``handed_back``."""

FLUSH_S = 2.0
"""How long an ending child may wait for the collector. Traces are a convenience, and a shutdown has a limit."""


def is_asked_for() -> bool:
    """Tell whether the environment names a collector."""
    return any(os.environ.get(name) for name in ENDPOINTS)


def find_obstacle() -> str | None:
    """Return why traces that were asked for cannot be sent; None if they can, or were not asked for."""
    return EXTRA_IS_MISSING if is_asked_for() and not _is_installed() else None


def prepare_tracing() -> None:
    """Load the exporter before the first job, if traces are asked for."""
    if is_asked_for() and _is_installed():
        _provider_of(os.getpid())


def trace_job(job_id: str, watch: Stopwatch, *, outcome: str) -> None:
    """Queue the spans of a job that has just ended; return before they are sent, and never raise."""
    if not is_asked_for() or not _is_installed():
        return
    try:
        _leave_spans(job_id, watch, outcome)
    except Exception as error:  # noqa: BLE001 - a failing trace must not fail a job that has ended
        log.warning("no trace left", reason=type(error).__name__)


def _leave_spans(job_id: str, watch: Stopwatch, outcome: str) -> None:
    from opentelemetry.trace import Status, StatusCode, set_span_in_context

    tracer = _provider_of(os.getpid()).get_tracer("icr-worker")
    about = {"icr.job.id": job_id, "icr.job.outcome": outcome}
    job = tracer.start_span("read_scan", start_time=watch.started_ns, attributes=about)
    if outcome != READ:
        job.set_status(Status(StatusCode.ERROR, outcome))
    for lap in watch.laps:
        span = tracer.start_span(lap.stage, set_span_in_context(job), start_time=lap.started_ns)
        span.end(lap.ended_ns)
    job.end(watch.now_ns())


def flush_traces() -> None:
    """Send the waiting spans, for a short time only, because the process is about to end."""
    if _provider_of.cache_info().currsize:  # in a thread: the SDK does not keep its own time limit
        flushing = threading.Thread(target=_provider_of(os.getpid()).force_flush, daemon=True)
        flushing.start()
        flushing.join(FLUSH_S)


@functools.lru_cache(maxsize=1)
def _is_installed() -> bool:
    try:
        return importlib.util.find_spec("opentelemetry.exporter.otlp.proto.http") is not None
    except ModuleNotFoundError:
        return False


@functools.lru_cache(maxsize=1)
def _provider_of(_pid: int) -> TracerProvider:
    """Return the exporter of this process; its thread does not survive a fork."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    name = os.environ.get("OTEL_SERVICE_NAME", "icr-worker")
    provider = TracerProvider(resource=Resource.create({"service.name": name}), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider
