"""OpenTelemetry traces of real worker processes, received by a real collector; and none where nobody asks."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.support.system import Home, draw_scan, wait_until
from worker.telemetry.tracing import is_asked_for

pytestmark = pytest.mark.timeout(240)


class Collector:
    """Takes traces by HTTP, as an OpenTelemetry collector does; ``bodies`` are the requests as they came."""

    def __init__(self) -> None:
        pytest.importorskip("opentelemetry.sdk", reason="OpenTelemetry is not installed: see the extra 'test'")
        self.bodies: list[bytes] = []
        bodies = self.bodies

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                assert self.path == "/v1/traces" and self.headers["Content-Type"] == "application/x-protobuf"
                bodies.append(body)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def spans(self) -> list[tuple[str, Any]]:
        """Return the name of the service and the span, for each that came."""
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        return [
            (next(each.value.string_value for each in of.resource.attributes if each.key == "service.name"), span)
            for body in self.bodies
            for of in ExportTraceServiceRequest.FromString(body).resource_spans
            for scope in of.scope_spans
            for span in scope.spans
        ]

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.stop()


def test_each_job_is_one_span_with_its_stages_and_nothing_that_was_read(collector: Collector, tmp_path: Path) -> None:
    """The exporter is told to wait ten minutes, so that what comes was sent by a child at its end."""
    home = Home(
        tmp_path / "home",
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint,
        OTEL_BSP_SCHEDULE_DELAY="600000",
        ICR_CONCURRENCY="1",
    )
    try:
        whole = draw_scan(home.inbox / "field" / "secret-706517.png", 706517).read_bytes()
        (home.inbox / "field" / "broken-401995.png").write_bytes(whole[:-200])
        home.start("up")
        home.wait_for_states(done=1, failed=1)
        jobs = dict(home.rows("SELECT state, id FROM jobs"))
        ((text,),) = home.rows("SELECT text FROM fields")
    finally:
        home.stop()
    wait_until(lambda: len(collector.spans()) >= 6, 20, home.said)
    assert {service for service, _ in collector.spans()} == {"icr-worker"}
    spans = [span for _, span in collector.spans()]
    read, broken = (_span_of(spans, jobs[state]) for state in ("done", "failed"))
    assert _about(read)["icr.job.outcome"] == "read" and read.status.code == 0
    assert _about(broken)["icr.job.outcome"] == "UnreadableScan" and broken.status.code == 2
    assert _stages(spans, read) == ["fetch", "decode", "read", "store"]
    assert _stages(spans, broken) == ["fetch", "decode"]
    assert len(spans) == 8
    for secret in (text, "706517", "401995", "secret", "broken", ".png", str(home.inbox)):
        assert len(secret) >= 4 and not any(secret.encode() in body for body in collector.bodies)


def _span_of(spans: list[Any], job_id: str) -> Any:
    (found,) = [span for span in spans if _about(span).get("icr.job.id") == job_id]
    assert (
        found.name == "read_scan"
        and not found.parent_span_id
        and set(_about(found))
        == {
            "icr.job.id",
            "icr.job.outcome",
        }
    )
    return found


def _about(span: Any) -> dict[str, str]:
    return {each.key: each.value.string_value for each in span.attributes}


def _stages(spans: list[Any], job: Any) -> list[str]:
    """Return the names of a job's child spans in order; each lies within the job's own time, none within another."""
    children = [span for span in spans if span.parent_span_id == job.span_id and span.trace_id == job.trace_id]
    children.sort(key=lambda span: span.start_time_unix_nano)
    times = [job.start_time_unix_nano]
    for child in children:
        times += [child.start_time_unix_nano, child.end_time_unix_nano]
        assert not child.attributes
    assert [*times, job.end_time_unix_nano] == sorted([*times, job.end_time_unix_nano])
    return [child.name for child in children]


def test_a_collector_that_is_gone_costs_no_scan(collector: Collector, tmp_path: Path) -> None:
    collector.stop()
    home = Home(tmp_path / "home", OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint, OTEL_BSP_SCHEDULE_DELAY="100")
    try:
        for i in range(5):
            draw_scan(home.inbox / "field" / f"{i}.png", i)
        done = home.icr("up", "--once", timeout_s=120)
        assert done.returncode == 0 and home.states() == {"done": 5}, home.said()
    finally:
        home.stop()


@pytest.mark.parametrize(
    ("environment", "hidden", "told"),
    [({}, False, "None"), ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}, True, ".[otel]")],
)
def test_without_the_endpoint_or_the_extra_nothing_is_imported(
    environment: dict[str, str], hidden: bool, told: str
) -> None:
    """Where the extra alone is missing, the worker says so at its start; redis-py looks at metrics by itself."""
    assert not is_asked_for()
    program = (
        "import importlib.util as u, sys; find = u.find_spec\n"
        f"if {hidden}: u.find_spec = lambda name, *a: None if name.startswith('opentelemetry') else find(name, *a)\n"
        "import worker.queue.tasks, worker.telemetry.tracing as t; from worker.telemetry.stages import Stopwatch\n"
        "t.prepare_tracing(); t.trace_job('1', Stopwatch(), outcome='read'); t.flush_traces()\n"
        "ours = ('opentelemetry.exporter', 'opentelemetry.sdk.trace', 'requests', 'google.protobuf')\n"
        "print(t.find_obstacle(), [name for name in sys.modules if name.startswith(ours)])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert told in done.stdout and done.stdout.endswith("[]\n")
