"""Webhooks on both databases, to a real receiver: told once each, signed, tried again, given up, and kept in bounds."""

from __future__ import annotations

import json
import re
import shutil
import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import Engine, event, func, select, update
from standardwebhooks import Webhook, WebhookVerificationError

from schemas.scan_job import ScanJob
from tests.support.http import client_of
from tests.support.readings import PAGE, claim, make_field, make_page, read, register
from tests.support.receiver import DrippingReceiver, Receiver
from tests.support.scan_files import drawing, encoded
from worker.api.delivering import AT_ONCE, PAUSES_S, Deliverer
from worker.api.targets import check_url, is_public
from worker.bootstrap import Runtime, build_runtime
from worker.cli import icr
from worker.errors import InvalidWebhookError
from worker.settings import Settings
from worker.store import webhooks
from worker.store.arrivals import claim_arrival, identify_scan
from worker.store.engine import database_now, reading, writing
from worker.store.jobs import claim_job, fail_job, record_invalid_job, store_readings
from worker.store.purge import purge_older_than
from worker.store.results import list_review_queue
from worker.store.review_history import undo_review
from worker.store.review_queue import pass_field
from worker.store.reviews import ReviewClaim, correct_field
from worker.store.service_tables import WebhookMessageRow
from worker.store.tables import FieldRow, PageRow
from worker.values import FieldStatus

PNG = encoded(drawing(), "PNG")
ACCEPTED = make_page(0, make_field("sum", "701", FieldStatus.ACCEPTED))


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
def runtime(engine: Engine, tmp_path: Path) -> Runtime:
    settings = Settings(home=tmp_path / "home", webhook_private=True)
    return replace(build_runtime(settings), engine=lambda: engine)


def deliver(runtime: Runtime) -> None:
    """Send until nothing is due."""
    with ThreadPoolExecutor(4) as pool:
        while Deliverer(runtime).send_due(pool):
            pass


def make_due(engine: Engine, *, first_try_s_ago: float = 0) -> None:
    """Bring the time of the next try."""
    with writing(engine) as connection:
        now = database_now(connection)
        waiting = update(WebhookMessageRow).where(WebhookMessageRow.next_try_at.is_not(None))
        times = {"next_try_at": now - timedelta(seconds=1), "first_try_at": now - timedelta(seconds=first_try_s_ago)}
        connection.execute(waiting.values(times))


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
    skipped = pass_field(engine, waiting, "skip", who="anna", claim=ReviewClaim(0))
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
        claim_job(engine, job, worker="w", lease_s=-1, max_deliveries=1)
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


def test_messages_are_signed_and_keep_their_id_over_tries(runtime: Runtime, receiver: Receiver) -> None:
    engine = runtime.engine()
    _, secret = webhooks.add_endpoint(engine, receiver.url, ["scan.read"])
    read(engine, PAGE)
    receiver.status = 500
    deliver(runtime)
    receiver.status = 204
    make_due(engine)
    deliver(runtime)
    (first, body), (second, same) = receiver.got
    assert first["webhook-id"] == second["webhook-id"] and body == same
    assert Webhook(secret).verify(body, first)["type"] == "scan.read"
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(body.replace("read", "lost"), first)


def test_a_receiver_that_stays_away_is_tried_for_a_day_and_then_given_up(runtime: Runtime, receiver: Receiver) -> None:
    engine = runtime.engine()
    webhooks.add_endpoint(engine, receiver.url, ["scan.read"])
    read(engine, PAGE)
    receiver.status = 302
    for passed_s in [sum(PAUSES_S[:i]) for i in range(len(PAUSES_S) + 1)]:
        assert webhooks.count_messages(engine) == {"due": 1, "dead": 0}, "not before a day has passed"
        make_due(engine, first_try_s_ago=passed_s)
        deliver(runtime)
    assert 23 * 3600 < sum(PAUSES_S) <= 24 * 3600
    assert webhooks.count_messages(engine) == {"due": 0, "dead": 1}
    assert len(receiver.got) == len(PAUSES_S) + 1, "a redirection is followed nowhere"
    (dead,) = webhooks.list_messages(engine, dead=True, limit=10)
    assert (dead.last_status, dead.last_error) == (302, "the receiver answered 302")
    receiver.status = 200
    assert webhooks.send_again(engine, dead.id) == 1
    deliver(runtime)
    assert webhooks.count_messages(engine) == {"due": 0, "dead": 0}


def test_a_receiver_that_is_gone_for_good_is_told_nothing_more(runtime: Runtime, receiver: Receiver) -> None:
    engine = runtime.engine()
    webhooks.add_endpoint(engine, receiver.url, [])
    receiver.status = 410
    read(engine, PAGE)
    deliver(runtime)
    read(engine, PAGE)
    deliver(runtime)
    assert len(receiver.got) == 1
    (row,) = webhooks.list_endpoints(engine)
    assert row.disabled_reason == "the receiver answered 410 Gone" and (row.due, row.dead) == (0, 1)


def test_a_receiver_that_never_ends_its_answer_holds_up_no_other(
    runtime: Runtime, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It sent a byte now and then, which is an answer to each wait: eight calls to it, and nobody was told anything."""
    engine, dripping = runtime.engine(), DrippingReceiver()
    monkeypatch.setattr("worker.api.delivering.TIMEOUT_S", 4.0)
    monkeypatch.setattr("worker.api.delivering.LEFT_ALONE_S", 3600.0)  # however long this machine takes
    webhooks.add_endpoint(engine, dripping.url, ["scan.read"])
    for _ in range(3 * AT_ONCE):
        read(engine, PAGE)
    webhooks.add_endpoint(engine, receiver.url, ["scan.read"])
    read(engine, PAGE)
    try:
        deliver(runtime)
    finally:
        dripping.close()
    assert receiver.events() == ["scan.read"]
    assert dripping.calls == AT_ONCE, "after the first of its messages it is left alone for a while"
    told = webhooks.list_messages(engine, dead=False, limit=99)
    assert {message.last_error for message in told} == {None, "ReadTimeout: no answer"}
    assert len(told) == 3 * AT_ONCE + 1 and sum(message.attempts for message in told) == AT_ONCE


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_receiver_that_points_at_itself_is_asked_once_a_try(
    runtime: Runtime, receiver: Receiver, status: int
) -> None:
    engine = runtime.engine()
    webhooks.add_endpoint(engine, receiver.url, ["scan.read"])
    receiver.status = status
    read(engine, PAGE)
    deliver(runtime)
    assert len(receiver.got) == 1 and webhooks.count_messages(engine) == {"due": 1, "dead": 0}


def test_a_receiver_that_posts_the_scan_again_makes_duplicates_and_stops_with_a_key(
    runtime: Runtime, receiver: Receiver
) -> None:
    """Each post without a key is a job with events of its own. Nothing is read twice, and others are told."""
    engine, other = runtime.engine(), Receiver()
    with client_of(runtime) as client, ThreadPoolExecutor(4) as pool:
        deliverer = Deliverer(runtime)
        first = client.post("/v1/scans", content=PNG).json()["id"]
        taken = claim(engine, first)
        webhooks.add_endpoint(engine, receiver.url, ["scan.read"])
        webhooks.add_endpoint(engine, other.url, ["scan.failed"])
        assert taken is not None and store_readings(engine, taken, taken.scan, [PAGE])
        receiver.act = lambda _: client.post("/v1/scans", content=PNG)
        for _ in range(5):
            assert deliverer.send_due(pool)
        failing = claim(engine, register(engine))
        assert failing is not None and fail_job(engine, failing, kind="UnreadableScan", reason="truncated PNG")
        assert deliverer.send_due(pool)
        assert other.events() == ["scan.failed"]
        receiver.act = lambda _: client.post("/v1/scans", content=PNG, headers={"Idempotency-Key": "invoice-7"})
        deliver(runtime)
    other.close()
    told = [json.loads(body)["data"]["duplicate_of"] for _, body in receiver.got]
    assert told == [None, *[first] * (len(told) - 1)] and len(told) == 8
    with reading(engine) as connection:
        assert connection.execute(select(func.count()).select_from(PageRow)).scalar_one() == 1


def test_two_processes_send_a_message_once(runtime: Runtime, receiver: Receiver) -> None:
    engine = runtime.engine()
    webhooks.add_endpoint(engine, receiver.url, ["scan.read"])
    for _ in range(10):
        read(engine, PAGE)
    threads = [threading.Thread(target=deliver, args=(runtime,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ids = [headers["webhook-id"] for headers, _ in receiver.got]
    assert len(ids) == len(set(ids)) == 10


def test_a_sender_that_was_slow_cannot_undo_what_another_noted(runtime: Runtime, receiver: Receiver) -> None:
    engine = runtime.engine()
    webhooks.add_endpoint(engine, receiver.url, ["scan.read"])
    read(engine, PAGE)
    (slow,) = webhooks.take_due(engine, limit=10)
    assert webhooks.take_due(engine, limit=10) == []
    make_due(engine)
    deliver(runtime)
    webhooks.record_failure(engine, slow, status=None, reason="late", next_in_s=None)
    assert webhooks.count_messages(engine) == {"due": 0, "dead": 0}


@pytest.mark.parametrize(
    "address",
    (
        *("127.0.0.1", "10.1.2.3", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1"),
        *("::1", "fe80::1%eth0", "fd00::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "::"),
    ),
)
def test_private_addresses_are_known_however_they_are_written(address: str) -> None:
    assert not is_public(address)
    with pytest.raises(InvalidWebhookError):
        check_url(f"https://[{address}]/" if ":" in address else f"https://{address}/", allow_private=False)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "64:ff9b::808:808"])
def test_public_addresses_are_allowed(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/",
        "ftp://example.org/",
        "https://",
        "https://u:p@example.org/",
        "https://[::1",
        "x",
        "https://a/\n",
    ],
)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(InvalidWebhookError):
        check_url(url, allow_private=False)


def test_a_name_that_leads_to_this_machine_is_refused_at_the_call(
    sqlite_template: Path, tmp_path: Path, receiver: Receiver
) -> None:
    """The check is of the address that is connected to, so a name that changed since it was added gains nothing."""
    shutil.copy(sqlite_template, tmp_path / "icr.db")
    runtime = build_runtime(Settings(home=tmp_path))
    webhooks.add_endpoint(runtime.engine(), f"https://localhost:{receiver.port}/", [])
    read(runtime.engine(), PAGE)
    deliver(runtime)
    assert receiver.got == []
    (message, *_) = webhooks.list_messages(runtime.engine(), dead=False, limit=10)
    assert "ICR_WEBHOOK_PRIVATE" in message.last_error


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
