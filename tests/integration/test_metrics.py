"""The exporter on a real Redis and both databases: what it tells, what it leaves out, and what its probes say."""

from __future__ import annotations

import json
import re
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import redis
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Engine

from tests.support.readings import PAGE, claim, read, register
from tests.support.system import wait_until
from worker.bootstrap import build_runtime
from worker.monitoring.exporter import MOST_CONNECTIONS, _QuietHandler, make_exporter
from worker.queue.beats import name_here, record_beat
from worker.store.jobs import store_readings
from worker.store.reviews import correct_field
from worker.system.private_redis import PrivateRedis
from worker.telemetry.stages import record_stages


class Exporter:
    """One exporter that serves, its Redis, and a client of that."""

    def __init__(self, port: int, server: PrivateRedis, client: redis.Redis) -> None:
        self.port, self.server, self.client = port, server, client

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def samples(self) -> dict[tuple[str, ...], float]:
        """Return the samples of /metrics by name and the values of the labels, in the order of their names."""
        status, text = self.get("/metrics")
        assert status == 200
        return {
            (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }


@pytest.fixture
def exporter(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Exporter]:
    server = PrivateRedis(tmp_path)
    server.start()
    monkeypatch.setenv("ICR_HOME", str(tmp_path))
    runtime = replace(build_runtime(), engine=lambda: engine)
    with make_exporter(runtime, "127.0.0.1", 0) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield Exporter(http.server_port, server, runtime.redis_client())
        http.shutdown()
    server.stop()


def test_connections_that_say_nothing_shut_nobody_out(exporter: Exporter, monkeypatch: pytest.MonkeyPatch) -> None:
    before, silent = threading.active_count(), []
    try:
        for _ in range(300):
            silent.append(socket.create_connection(("127.0.0.1", exporter.port), timeout=10))
        for path in ("/healthz", "/metrics"):
            assert exporter.get(path)[0] == 200
        wait_until(lambda: threading.active_count() - before <= MOST_CONNECTIONS, 20)
        assert silent[0].recv(1) == b""  # the oldest was closed
        silent[-1].settimeout(0.2)
        with pytest.raises(TimeoutError):
            silent[-1].recv(1)
    finally:
        for each in silent:
            each.close()


def test_a_connection_is_closed_when_it_says_nothing_for_long(
    exporter: Exporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_QuietHandler, "timeout", 0.2)
    with socket.create_connection(("127.0.0.1", exporter.port), timeout=10) as silent:
        silent.sendall(b"GET /heal")
        assert silent.recv(1) == b""


def test_it_tells_of_jobs_queue_stages_rates_and_models(exporter: Exporter, engine: Engine) -> None:
    for _ in range(2):
        read(engine, PAGE)
    register(engine)
    claim(engine, register(engine))
    exporter.client.lpush("icr", "one", "two")
    exporter.client.hset("icr:in-hand", "tag", "message")
    record_beat(exporter.client, "worker@elsewhere")
    for read_s in (0.2, 0.25, 500.0):
        record_stages(exporter.client, {"decode": 0.01, "read": read_s, "store": 0.1})
    told = exporter.samples()
    assert [told["icr_jobs", state] for state in ("done", "queued", "running", "dead")] == [2, 1, 1, 0]
    assert told["icr_oldest_job_seconds", "queued"] >= 0
    assert (told["icr_queue_messages", "waiting"], told["icr_queue_messages", "in_hand"]) == (2, 1)
    assert [told["icr_latest_fields", status] for status in ("accepted", "review", "blank")] == [2, 2, 2]
    assert (told["icr_read_rate",], told["icr_reject_rate",], told["icr_fields_awaiting_review",]) == (0.5, 0.5, 2)
    assert told["icr_model_info", "digits", "1.0"] == 1
    assert 0 <= told["icr_last_beat_seconds", "worker@elsewhere"] < 60
    bucket = "icr_stage_seconds_bucket"
    assert [told[bucket, bound, "read"] for bound in ("0.1", "0.3", "100.0", "+Inf")] == [0, 2, 2, 3]
    assert told["icr_stage_seconds_sum", "read"] == pytest.approx(500.45)
    assert (told["icr_stage_seconds_count", "decode"], told[bucket, "0.03", "decode"]) == (3, 3)
    assert (told["icr_answers", "database"], told["icr_answers", "redis"]) == (1, 1)
    assert "701" not in re.findall(r"[\d.]+", exporter.get("/metrics")[1]), "no reading is told"


def test_it_tells_what_the_audit_has_shown(exporter: Exporter, engine: Engine) -> None:
    taken = claim(engine, register(engine))
    assert taken is not None and store_readings(engine, taken, taken.scan, [PAGE], audit_share=1.0)
    told = exporter.samples()
    of_kind = ("test", "sample-form")
    assert [told["icr_audit_fields", o, *of_kind] for o in ("right", "wrong", "open")] == [0, 0, 1]
    assert told["icr_audit_substitution_bound", *of_kind] == 1.0, "nothing is known yet"
    correct_field(engine, 1, "107", who="anna")
    assert exporter.samples()["icr_audit_fields", "wrong", *of_kind] == 1
    assert (told["icr_webhook_messages", "due"], told["icr_webhook_messages", "dead"]) == (0, 0)


def test_an_empty_system_has_no_rates(exporter: Exporter) -> None:
    told = exporter.samples()
    assert ("icr_read_rate",) not in told and told["icr_jobs", "done"] == 0


def test_without_redis_the_database_is_still_told_of(exporter: Exporter, engine: Engine) -> None:
    read(engine, PAGE)
    exporter.server.stop()
    told = exporter.samples()
    assert (told["icr_answers", "redis"], told["icr_jobs", "done"]) == (0, 1)
    assert exporter.get("/healthz")[0] == 200, "what is silent cannot be known, and a restart would not help"
    status, text = exporter.get("/readyz")
    assert status == 503 and "nothing runs here" in text


def test_probes_tell_the_silent_and_the_ready(exporter: Exporter, engine: Engine) -> None:
    status, text = exporter.get("/readyz")
    assert status == 503 and json.loads(text)["obstacles"] == ["no worker has been heard of lately"]
    record_beat(exporter.client, "worker@elsewhere")
    assert exporter.get("/readyz") == (200, '{"ok": true, "obstacles": []}\n')
    assert exporter.get("/healthz")[0] == 200, "nobody here is not somebody silent here"
    exporter.client.set(f"icr:beat:{name_here('watcher')}", "alive", px=60_000)  # the rest of a day's life: long silent
    status, text = exporter.get("/healthz")
    assert status == 503 and "watcher@" in text and "silent" in text
    assert exporter.get("/readyz")[0] == 200, "the other worker reads"
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = 'older'")
    status, text = exporter.get("/readyz")
    assert status == 503 and "icr migrate" in text
    assert exporter.get("/elsewhere")[0] == 404
