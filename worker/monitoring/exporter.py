"""The exporter: ``/metrics`` for Prometheus, ``/healthz`` and ``/readyz`` for probes, gathered at each request.

It asks the database and Redis and keeps nothing. So one exporter serves any number of workers, and several exporters
say the same. It tells no number that was read off a scan.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import redis
from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import GaugeMetricFamily as Gauge
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.exposition import ThreadingWSGIServer
from prometheus_client.registry import Collector

from worker.bootstrap import Runtime
from worker.errors import DatabaseUnavailableError
from worker.monitoring.audit_bound import bound_rate
from worker.monitoring.health import find_obstacles, silent_here
from worker.queue.beats import beat_ages
from worker.queue.depth import queue_depth
from worker.store.audits import count_audits
from worker.store.figures import LATEST, count_latest_fields, latest_model_versions
from worker.store.summary import count_review_queue, queue_summary
from worker.store.webhooks import count_messages
from worker.telemetry.secrets import mask_secrets
from worker.telemetry.stages import BOUNDS_S, stage_histograms

MOST_CONNECTIONS = 64
"""A probe and a scraper need one each, for some milliseconds."""
SILENCE_S = 10.0
"""How long a connection may say nothing."""

StartResponse = Callable[[str, list[tuple[str, str]]], Any]


class IcrCollector(Collector):
    """Gathers the metrics; those of a part that does not answer are left out, and ``icr_answers`` says so."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def collect(self) -> Iterator[Metric]:
        """Yield every metric family."""
        answers = Gauge("icr_answers", "Whether the part answers (1) or not (0)", labels=["part"])
        for part, gather in (("database", _of_database), ("redis", _of_redis)):
            try:
                families = list(gather(self._runtime))
            except (DatabaseUnavailableError, redis.RedisError):
                families = []
            answers.add_metric([part], float(bool(families)))
            yield from families
        yield answers


def make_application(runtime: Runtime) -> Callable[[dict[str, Any], StartResponse], Iterable[bytes]]:
    """Return the WSGI application of the three addresses."""
    registry = CollectorRegistry()
    registry.register(IcrCollector(runtime))
    metrics = make_wsgi_app(registry)

    def serve(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/metrics":
            return metrics(environ, start_response)  # type: ignore[no-any-return]
        if path == "/healthz":
            return _verdict([f"{name} is silent" for name in silent_here(runtime)], start_response)
        if path == "/readyz":
            return _verdict(find_obstacles(runtime), start_response)
        start_response("404 Not Found", [("Content-Type", "text/plain")])
        return [b"/metrics, /healthz, /readyz\n"]

    return serve


def make_exporter(runtime: Runtime, host: str, port: int) -> WSGIServer:
    """Open the exporter's port; ``serve_forever`` serves it."""
    return make_server(host, port, make_application(runtime), _BoundedServer, _QuietHandler)


class _BoundedServer(ThreadingWSGIServer):
    """Holds a bounded number of connections; the oldest goes for a new one, so that silent ones shut nobody out."""

    request_queue_size = 128

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._open: dict[socket.socket, None] = {}
        self._lock = threading.Lock()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread of its own, after making room."""
        with self._lock:
            if len(self._open) >= MOST_CONNECTIONS:
                oldest = next(iter(self._open))
                del self._open[oldest]
                with contextlib.suppress(OSError):
                    oldest.shutdown(socket.SHUT_RDWR)  # its thread closes it
            self._open[request] = None
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection and forget it."""
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)


class _QuietHandler(WSGIRequestHandler):
    """Logs no requests, because probes come every few seconds."""

    timeout = SILENCE_S

    def handle(self) -> None:
        """Answer one request; a client that says nothing or goes away is nobody's mistake."""
        with contextlib.suppress(OSError):
            super().handle()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def _verdict(obstacles: list[str], start_response: StartResponse) -> list[bytes]:
    start_response(
        "503 Service Unavailable" if obstacles else "200 OK",
        [("Content-Type", "application/json"), ("Cache-Control", "no-store")],
    )
    return [json.dumps({"ok": not obstacles, "obstacles": [mask_secrets(each) for each in obstacles]}).encode() + b"\n"]


def _of_database(runtime: Runtime) -> Iterator[Metric]:
    engine = runtime.engine()
    summary, latest = queue_summary(engine, failures=0), count_latest_fields(engine)
    yield _gauge("icr_jobs", "Jobs kept in the database", "state", {s.value: n for s, n in summary.counts.items()})
    ages = {"queued": summary.oldest_queued_s, "running": summary.oldest_running_s}
    yield _gauge(
        "icr_oldest_job_seconds",
        "Age of the oldest job, 0 if there is none",
        "state",
        {state: age or 0.0 for state, age in ages.items()},
    )
    yield Gauge("icr_fields_awaiting_review", "Fields that a person must look at", count_review_queue(engine))
    messages = count_messages(engine)
    yield _gauge("icr_webhook_messages", "Webhook messages to be sent, and given up after a day", "state", messages)
    yield _gauge("icr_latest_fields", f"The latest {LATEST} fields read, by outcome", "status", latest)
    presented = latest["accepted"] + latest["review"]
    if presented:
        share = latest["accepted"] / presented
        yield Gauge("icr_read_rate", f"Accepted of the latest {LATEST} fields that are not blank", share)
        yield Gauge("icr_reject_rate", f"Left for review of the latest {LATEST} fields that are not blank", 1 - share)
    models = Gauge("icr_model_info", "The models that the latest page was read with", labels=["model", "version"])
    for name, version in latest_model_versions(engine).items():
        models.add_metric([name, version], 1.0)
    yield models
    yield from _of_audits(runtime)


def _of_audits(runtime: Runtime) -> Iterator[Metric]:
    labels = ["source", "template"]
    fields = Gauge("icr_audit_fields", "Accepted fields drawn for the audit, by outcome", labels=[*labels, "outcome"])
    bounds = Gauge(
        "icr_audit_substitution_bound",
        "Upper bound of the share of accepted fields that is wrong, which holds at all times at 95 %",
        labels=labels,
    )
    for count in count_audits(runtime.engine()):
        of_kind = [count.source, count.template or ""]
        outcomes = {"right": count.audited - count.wrong, "wrong": count.wrong, "open": count.drawn - count.audited}
        for outcome, number in outcomes.items():
            fields.add_metric([*of_kind, outcome], float(number))
        bounds.add_metric(of_kind, bound_rate(count.audited, count.wrong))
    yield fields
    yield bounds


def _of_redis(runtime: Runtime) -> Iterator[Metric]:
    client = runtime.redis_client()
    depth, ages, stages = queue_depth(client), beat_ages(client), stage_histograms(client)
    yield _gauge(
        "icr_queue_messages",
        "Messages in Redis: in line, and in a worker's hand",
        "place",
        {"waiting": depth.waiting, "in_hand": depth.in_hand},
    )
    yield _gauge("icr_last_beat_seconds", "Since a worker or watcher last showed that it works", "name", ages)
    durations = HistogramMetricFamily("icr_stage_seconds", "Time of one scan in each stage", labels=["stage"])
    for stage, found in stages.items():
        buckets = zip([*map(str, BOUNDS_S), "+Inf"], map(float, found.cumulative), strict=True)
        durations.add_metric([stage], list(buckets), found.sum_s)
    yield durations


def _gauge(name: str, about: str, label: str, values: dict[str, Any]) -> Gauge:
    family = Gauge(name, about, labels=[label])
    for key, value in values.items():
        family.add_metric([key], float(value))
    return family
