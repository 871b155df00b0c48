"""Webhooks on both databases, to a real receiver: what is told, once each, and where it is shown."""

from __future__ import annotations

import json
import re
import shutil
import uuid
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import Engine, event, select

from schemas.scan_job import ScanJob
from tests.support.http import client_of
from tests.support.readings import PAGE, claim, make_field, make_page, read, register
from tests.support.receiver import Receiver
from tests.support.webhooks import deliver
from worker.bootstrap import Runtime, build_runtime
from worker.cli import icr
from worker.settings import Settings
from worker.store import webhooks
from worker.store.arrivals import claim_arrival, identify_scan
from worker.store.engine import reading
from worker.store.jobs import fail_job, store_readings
from worker.store.purge import purge_older_than
from worker.store.registering import record_invalid_job
from worker.store.results import list_review_queue
from worker.store.review_history import undo_review
from worker.store.review_queue import pass_field
from worker.store.reviews import ReviewClaim, correct_field
from worker.store.tables import Act, FieldRow
from worker.values import FieldStatus

ACCEPTED = make_page(0, make_field("sum", "701", FieldStatus.ACCEPTED))


@pytest.fixture
def runtime(engine: Engine, tmp_path: Path) -> Runtime:
    settings = Settings(home=tmp_path / "home", webhook_private=True)
    return replace(build_runtime(settings), engine=lambda: engine)


def test_the_life_of_a_scan_is_told_once_each_and_holds_no_number(runtime: Runtime, receiver: Receiver) -> None:
    engine = runtime.engine()
    webhooks.add_endpoint(engine, receiver.url, [])
    job = read(engine, PAGE, reference="order 7")
    (field,) = list_review_queue(engine, limit=10)
    correct_field(engine, field.field_id, "39", who="anna")
    deliver(runtime)
    deliver(runtime)
    assert sorted(receiver.events()) == ["field.reviewed", "scan.complete", "scan.read"]
    told = {json.loads(body)["type"]: json.loads(body)["data"] for _, body in receiver.got}
    assert told["scan.read"] == {
        **{"scan": job, "reference": "order 7", "template": None, "duplicate_of": None},
        "awaiting": 1,
        "documents": [],
    }
    assert told["field.reviewed"]["field_id"] == field.field_id and told["field.reviewed"]["who"] == "anna"
    assert not any(number in body for _, body in receiver.got for number in ('"39"', '"38"', '"701"'))


def test_a_decision_that_is_taken_back_is_told_as_it_was(runtime: Runtime, receiver: Receiver) -> None:
    engine = runtime.engine()
    webhooks.add_endpoint(engine, receiver.url, ["field.reviewed", "field.corrected_after_acceptance"])
    read(engine, PAGE)
    with reading(engine) as connection:
        ids = dict(connection.execute(select(FieldRow.name, FieldRow.id)).all())
    waiting, accepted = ids["count"], ids["sum"]
    skipped = pass_field(engine, waiting, Act.SKIP, who="anna", claim=ReviewClaim(0))
    undo_review(engine, skipped.id, who="anna")  # nobody was told of it
    for field_id, number in ((waiting, "39"), (accepted, "702"), (accepted, None)):
        undo_review(engine, correct_field(engine, field_id, number, who="anna").id, who="anna")
    deliver(runtime)
    told = [json.loads(body) for _, body in receiver.got]
    count = Counter((each["type"], each["data"]["name"], each["data"]["action"]) for each in told)
    assert count == {
        ("field.reviewed", "count", "correct"): 1,
        ("field.reviewed", "count", "undo"): 1,
        ("field.reviewed", "sum", "correct"): 1,
        ("field.corrected_after_acceptance", "sum", "correct"): 1,
        ("field.reviewed", "sum", "undo"): 2,
        ("field.corrected_after_acceptance", "sum", "undo"): 1,
        ("field.reviewed", "sum", "confirm"): 1,
    }


def test_a_duplicate_and_an_accepted_scan_and_a_failure_are_told(runtime: Runtime, receiver: Receiver) -> None:
    engine = runtime.engine()
    webhooks.add_endpoint(engine, receiver.url, ["scan.complete", "scan.failed"])
    original = read(engine, ACCEPTED, sha256="ab" * 32)
    copy = register(engine, sha256="ab" * 32)
    failing = claim(engine, register(engine))
    assert failing is not None and fail_job(engine, failing, kind="UnreadableScan", reason="truncated PNG")
    deliver(runtime)
    told = [json.loads(body) for _, body in receiver.got]
    assert {(each["type"], each["data"]["scan"]) for each in told} == {
        ("scan.complete", original),
        ("scan.complete", copy),
        ("scan.failed", failing.id),
    }
    assert next(each["data"] for each in told if each["data"]["scan"] == copy)["duplicate_of"] == original


def test_a_copy_that_came_as_a_message_and_a_refused_message_are_told(runtime: Runtime, receiver: Receiver) -> None:
    engine = runtime.engine()
    webhooks.add_endpoint(engine, receiver.url, ["scan.complete", "scan.failed"])
    read(engine, ACCEPTED, sha256="ab" * 32)
    job = ScanJob(uri="/scans/copy.png", id=uuid.uuid4())
    taken = claim_arrival(engine, job, worker="w", lease_s=60, max_deliveries=3)
    assert taken is not None
    assert identify_scan(engine, taken, sha256="ab" * 32, size=1, duplicates="skip") is None
    refused = record_invalid_job(engine, "{}", "no uri", job_id=str(uuid.uuid4()))
    record_invalid_job(engine, "{}", "no uri", job_id=refused.id)
    deliver(runtime)
    told = [json.loads(body)["data"]["scan"] for _, body in receiver.got]
    assert len(told) == 3 and {str(job.id), refused.id} <= set(told)


def test_a_scan_that_kills_its_workers_is_told_as_failed(runtime: Runtime, receiver: Receiver) -> None:
    engine = runtime.engine()
    webhooks.add_endpoint(engine, receiver.url, [])
    job = register(engine)
    for _ in range(2):
        claim(engine, job, "w", lease_s=-1, max_deliveries=1)
    deliver(runtime)
    assert receiver.events() == ["scan.failed"]


def test_a_correction_after_acceptance_is_told_by_meaning(runtime: Runtime, receiver: Receiver) -> None:
    engine = runtime.engine()
    webhooks.add_endpoint(engine, receiver.url, ["field.corrected_after_acceptance"])
    read(engine, ACCEPTED)
    correct_field(engine, 1, None, who="anna")
    correct_field(engine, 1, "701", who="anna")
    deliver(runtime)
    assert receiver.events() == []
    correct_field(engine, 1, "107", who="anna")
    deliver(runtime)
    assert receiver.events() == ["field.corrected_after_acceptance"]


def test_what_is_rolled_back_is_not_told(runtime: Runtime, receiver: Receiver) -> None:
    """The row of the event lies in the transaction of the result: a commit that fails takes it along."""
    engine = runtime.engine()
    webhooks.add_endpoint(engine, receiver.url, [])
    taken = claim(engine, register(engine))
    assert taken is not None

    def fail(_connection: object) -> None:
        raise RuntimeError("the power went")

    event.listen(engine, "commit", fail)
    with pytest.raises(RuntimeError):
        store_readings(engine, taken, taken.scan, [PAGE])
    event.remove(engine, "commit", fail)
    deliver(runtime)
    assert receiver.events() == []


def test_the_api_and_the_command_add_show_and_send_again(
    sqlite_template: Path, tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(sqlite_template, tmp_path / "icr.db")
    runtime = build_runtime(Settings(home=tmp_path, webhook_private=True))
    with client_of(runtime) as client:
        made = client.post("/v1/webhooks", json={"url": receiver.url, "events": ["scan.read"]})
        assert made.status_code == 201 and made.json()["secret"].startswith("whsec_")
        assert client.post("/v1/webhooks", json={"url": "ftp://x"}).status_code == 422
        assert client.post("/v1/webhooks", json={"url": receiver.url, "events": ["scan.lost"]}).status_code == 422
        (listed,) = client.get("/v1/webhooks").json()
        assert listed["url"] == receiver.url and "secret" not in listed
        read(runtime.engine(), PAGE)
        (delivery,) = webhooks.take_due(runtime.engine(), limit=10)
        webhooks.record_failure(runtime.engine(), delivery, status=500, reason="x", next_in_s=None)
        (dead,) = client.get("/v1/webhooks/messages").json()["items"]
        assert client.post(f"/v1/webhooks/messages/{dead['id']}/send").status_code == 202
        assert client.post(f"/v1/webhooks/messages/{dead['id']}/send").status_code == 404
        assert [m["id"] for m in client.get("/v1/webhooks/messages?state=due").json()["items"]] == [dead["id"]]
        monkeypatch.setenv("ICR_HOME", str(tmp_path))
        monkeypatch.setenv("ICR_WEBHOOK_PRIVATE", "true")
        runner = CliRunner()
        assert runner.invoke(icr, ["webhooks", "add", receiver.url]).output.startswith("whsec_")
        assert "1 due, 0 dead" in runner.invoke(icr, ["webhooks", "list"]).output
        assert client.delete("/v1/webhooks/1").status_code == 204
        assert "0 messages" in runner.invoke(icr, ["webhooks", "send", "--all"]).output, "nobody is told any more"
        assert dead["id"] in runner.invoke(icr, ["webhooks", "dead"]).output


def test_the_overview_shows_what_was_given_up_with_a_button_to_send_it_again(
    sqlite_template: Path, tmp_path: Path, receiver: Receiver
) -> None:
    shutil.copy(sqlite_template, tmp_path / "icr.db")
    runtime = build_runtime(Settings(home=tmp_path, webhook_private=True))
    engine = runtime.engine()
    webhooks.add_endpoint(engine, receiver.url + "?<b>", ["scan.read"])
    taken = claim(engine, register(engine))
    assert taken is not None and store_readings(engine, taken, taken.scan, [ACCEPTED], audit_share=1.0)
    (delivery,) = webhooks.take_due(engine, limit=10)
    webhooks.record_failure(engine, delivery, status=500, reason="<script>", next_in_s=None)
    with client_of(runtime) as client:
        page = client.get("/overview").text
        assert "Send again" in page and "100.00%" in page and "<script>alert" not in page and "<b>" not in page
        (action,) = re.findall(r'action="(/overview/webhooks/[^"]+)"', page)
        assert client.post(action).status_code == 303
        assert "Send again" not in client.get("/overview").text
    deliver(runtime)
    assert receiver.events() == ["scan.read"]


def test_a_purge_forgets_what_was_sent(runtime: Runtime, receiver: Receiver) -> None:
    engine = runtime.engine()
    webhooks.add_endpoint(engine, receiver.url, ["scan.read"])
    read(engine, PAGE)
    deliver(runtime)
    read(engine, PAGE)
    purge_older_than(engine, timedelta(seconds=-60), remove_scan=lambda _: None)
    with engine.connect() as connection:
        left = connection.exec_driver_sql("SELECT count(*) FROM webhook_messages").scalar_one()
    assert left == 1, "what is still to be sent stays"
