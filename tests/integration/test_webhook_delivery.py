"""Webhooks on their way: signed, tried again, given up, kept in bounds, and sent to public addresses only."""

from __future__ import annotations

import json
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select
from standardwebhooks import Webhook, WebhookVerificationError

from tests.support.http import client_of
from tests.support.readings import PAGE, claim, read, register
from tests.support.receiver import DrippingReceiver, Receiver
from tests.support.scan_files import drawing, encoded
from tests.support.webhooks import deliver, make_due
from worker.api.delivering import AT_ONCE, PAUSES_S, Deliverer
from worker.api.targets import check_url, is_public
from worker.bootstrap import Runtime, build_runtime
from worker.errors import InvalidWebhookError
from worker.settings import Settings
from worker.store import webhooks
from worker.store.engine import reading
from worker.store.jobs import fail_job, store_readings
from worker.store.tables import PageRow

PNG = encoded(drawing(), "PNG")


@pytest.fixture
def runtime(engine: Engine, tmp_path: Path) -> Runtime:
    settings = Settings(home=tmp_path / "home", webhook_private=True)
    return replace(build_runtime(settings), engine=lambda: engine)


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
