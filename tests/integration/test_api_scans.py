"""Scans sent by HTTP on both databases: kept before the answer, once for each key, and nothing that is no scan."""

from __future__ import annotations

import hashlib
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Engine
from structlog.testing import capture_logs

from tests.support.http import Stage, client_of
from tests.support.readings import PAGE, claim, read
from tests.support.scan_files import drawing, encoded
from tests.support.system import wait_until
from worker.bootstrap import Runtime, build_runtime
from worker.inbox.posted import POSTED
from worker.inbox.removal import remove_own_scan
from worker.settings import Settings
from worker.store.jobs import fail_job, find_lost_jobs, get_job, store_readings
from worker.store.purge import purge_older_than
from worker.system.private_redis import PrivateRedis, socket_path

PNG = encoded(drawing(), "PNG")
OTHER = encoded(drawing(3), "PNG")


@pytest.fixture(scope="module")
def broker_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home = tmp_path_factory.mktemp("queue")
    server = PrivateRedis(home)
    server.start()
    yield f"unix://{socket_path(home)}"
    server.stop()


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, broker_url: str) -> Stage:
    home = tmp_path_factory.mktemp("stage")
    return Stage(Settings(home=home, max_file_mb=0.2, broker_url=broker_url))


@pytest.fixture
def runtime(stage: Stage, engine: Engine) -> Runtime:
    stage.enter(engine)
    return stage.runtime


@pytest.fixture
def client(staged: httpx.Client, runtime: Runtime) -> httpx.Client:
    return staged


def kept_files(runtime: Runtime) -> list[Path]:
    return sorted(path for path in (runtime.inbox / POSTED).rglob("*") if path.is_file())


def test_a_scan_is_on_disk_and_in_a_row_before_the_answer_and_then_in_the_queue(
    client: httpx.Client, runtime: Runtime
) -> None:
    query = {"template": "field", "reference": "order 7", "priority": 9}
    headers = {"Content-Disposition": 'attachment; filename="../../a\u0001b.png"'}
    answer = client.post("/v1/scans", params=query, content=PNG, headers=headers)
    assert answer.status_code == 202, answer.text
    scan = answer.json()
    assert answer.headers["location"] == f"/v1/scans/{scan['id']}"
    assert (scan["state"], scan["template"], scan["reference"], scan["priority"]) == ("queued", "field", "order 7", 9)
    record = get_job(runtime.engine(), scan["id"])
    assert record is not None and record.sha256 == hashlib.sha256(PNG).hexdigest() and record.source == "http"
    assert [path.read_bytes() for path in kept_files(runtime)] == [PNG]
    assert scan["name"] == kept_files(runtime)[0].name == "a_b.png"
    assert client.get(f"/v1/scans/{scan['id']}").json() == scan
    wait_until(lambda: is_published(runtime, scan["id"]), 10, "the message is published")


def is_published(runtime: Runtime, job_id: str) -> bool:
    record = get_job(runtime.engine(), job_id)
    return record is not None and record.published_at is not None


def test_without_a_queue_scans_are_taken_at_once_and_kept(
    sqlite_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    for pause in ("redis.retry.sleep", "kombu.utils.functional.sleep"):
        monkeypatch.setattr(pause, slept.append)
    shutil.copy(sqlite_template, tmp_path / "icr.db")
    runtime = build_runtime(Settings(home=tmp_path, broker_url="redis://127.0.0.1:1/0"))
    with client_of(runtime) as client:
        states = [client.post("/v1/scans", content=content).json()["state"] for content in (PNG, OTHER)]
        assert states == ["queued", "queued"] and sum(slept) < 5, "nobody waits for a queue that is away"
    lost = find_lost_jobs(runtime.engine(), unpublished_after_s=0, limit=10)
    assert len(lost) == 2, "the reconciler publishes them when the queue is back"


def test_a_form_is_taken_like_a_body(client: httpx.Client, runtime: Runtime) -> None:
    data = {"template": "free", "reference": "né 1", "priority": "3"}
    answer = client.post("/v1/scans", files={"file": ("brief.png", PNG)}, data=data)
    assert answer.status_code == 202, answer.text
    scan = answer.json()
    told = [scan[name] for name in ("template", "reference", "priority", "name")]
    assert told == ["free", "né 1", 3, "brief.png"]
    assert [path.read_bytes() for path in kept_files(runtime)] == [PNG]


def test_the_same_key_is_the_same_job_and_never_another_scan(client: httpx.Client, runtime: Runtime) -> None:
    send = partial(client.post, "/v1/scans", headers={"Idempotency-Key": "k 1"})
    first, again = send(content=PNG), send(content=PNG)
    assert first.status_code == again.status_code == 202 and first.json() == again.json()
    for changed in (send(content=OTHER), send(content=PNG, params={"reference": "x"})):
        assert changed.status_code == 422 and "Idempotency-Key" in changed.json()["detail"]
    assert len(kept_files(runtime)) == 1


def test_one_of_many_at_once_with_one_key_is_kept(client: httpx.Client, runtime: Runtime) -> None:
    answers: list[httpx.Response] = []

    def send(content: bytes) -> None:
        answers.append(client.post("/v1/scans", content=content, headers={"Idempotency-Key": "race"}))

    threads = [threading.Thread(target=send, args=(PNG if i % 2 else OTHER,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    taken = [answer.json()["id"] for answer in answers if answer.status_code == 202]
    assert len(set(taken)) == 1 and len(kept_files(runtime)) == 1
    assert {answer.status_code for answer in answers} <= {202, 422}
    record = get_job(runtime.engine(), taken[0])
    assert record is not None and record.sha256 == hashlib.sha256(kept_files(runtime)[0].read_bytes()).hexdigest()


def test_a_scan_of_known_bytes_is_a_duplicate(client: httpx.Client, runtime: Runtime) -> None:
    known = read(runtime.engine(), PAGE, sha256=hashlib.sha256(PNG).hexdigest())
    scan = client.post("/v1/scans", content=PNG).json()
    assert (scan["state"], scan["duplicate_of"], scan["awaiting"], scan["complete"]) == ("duplicate", known, 1, False)
    result = client.get(f"/v1/scans/{scan['id']}/result").json()
    assert [page["duplicate_of"] for page in result["pages"]] == [known]


@pytest.mark.parametrize(
    ("content", "status", "said"),
    [
        (b"", 400, "no scan was sent"),
        (b"GIF89a" + bytes(2000), 415, "GIF"),
        (b"hello", 415, "not a PNG"),
        (PNG + bytes(300_000), 413, "ICR_MAX_FILE_MB"),
    ],
)
def test_what_is_no_scan_is_refused_and_leaves_nothing(
    client: httpx.Client, runtime: Runtime, content: bytes, status: int, said: str
) -> None:
    def unannounced() -> Iterator[bytes]:
        yield from (content[at : at + 50_000] for at in range(0, len(content), 50_000))

    for body in (content, unannounced()):
        answer = client.post("/v1/scans", content=body)
        assert answer.status_code == status and said in answer.json()["detail"], answer.text
        assert answer.headers["content-type"] == "application/problem+json"
    assert kept_files(runtime) == []


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"template": "no-such-form"}, "no template"),
        ({"template": "../etc/passwd.json"}, "template"),
        ({"priority": "12"}, "priority"),
        ({"reference": "x" * 201}, "reference"),
    ],
)
def test_a_wrong_value_is_said_and_nothing_is_kept(
    client: httpx.Client, runtime: Runtime, query: dict[str, str], said: str
) -> None:
    for answer in (
        client.post("/v1/scans", content=PNG, params=query),
        client.post("/v1/scans", files={"file": ("a.png", PNG)}, data=query),
    ):
        assert answer.status_code == 422 and said in answer.json()["detail"], answer.text
    assert kept_files(runtime) == []


def test_malformed_forms_are_refused(client: httpx.Client, runtime: Runtime) -> None:
    two = client.post("/v1/scans", files=[("file", ("a.png", PNG)), ("file", ("b.png", OTHER))])
    none = client.post("/v1/scans", files={"reference": (None, "only a text")})
    huge = client.post("/v1/scans", data={"reference": "x" * 100_000}, files={"file": ("a.png", PNG)})
    kind = {"Content-Type": "multipart/form-data"}
    plain = client.post(
        "/v1/scans", content=b"--x\r\nrubbish", headers={"Content-Type": kind["Content-Type"] + "; boundary=x"}
    )
    unbounded = client.post("/v1/scans", content=b"rubbish", headers=kind)
    assert [a.status_code for a in (two, none, huge, plain, unbounded)] == [400, 400, 413, 400, 400]
    assert kept_files(runtime) == []


def test_a_request_that_is_cut_off_leaves_nothing(client: httpx.Client, runtime: Runtime) -> None:
    def cut() -> Iterator[bytes]:
        yield PNG[:100]
        raise ConnectionError

    with pytest.raises((ConnectionError, httpx.HTTPError)):
        client.post("/v1/scans", content=cut())
    until = time.monotonic() + 10
    while kept_files(runtime) and time.monotonic() < until:
        time.sleep(0.05)
    assert kept_files(runtime) == [] and client.get("/v1/export").text == ""


def test_on_a_full_disk_the_sender_is_told_to_try_again(
    client: httpx.Client, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system call is made to fail: a file system of one's own needs a right that not every machine gives."""

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.link", full)
    answer = client.post("/v1/scans", content=PNG, headers={"Idempotency-Key": "full"})
    assert answer.status_code == 503 and "No space left" in answer.json()["detail"] and answer.headers["retry-after"]
    monkeypatch.undo()
    assert client.post("/v1/scans", content=PNG, headers={"Idempotency-Key": "full"}).status_code == 202
    assert len(kept_files(runtime)) == 1


def test_the_result_is_waited_for(client: httpx.Client, runtime: Runtime) -> None:
    scan_id = client.post("/v1/scans", content=PNG, params={"reference": "a"}).json()["id"]
    early = client.get(f"/v1/scans/{scan_id}/result", params={"wait": 0.1})
    assert early.status_code == 202 and early.json()["state"] == "queued" and early.headers["retry-after"]
    taken = claim(runtime.engine(), scan_id)
    assert taken is not None

    def finish() -> None:
        time.sleep(0.3)
        store_readings(runtime.engine(), taken, taken.scan, [PAGE])

    thread = threading.Thread(target=finish)
    thread.start()
    answer = client.get(f"/v1/scans/{scan_id}/result", params={"wait": 20})
    thread.join()
    assert answer.status_code == 200
    result = answer.json()
    assert result["scan"]["awaiting"] == 1 and not result["scan"]["complete"]
    assert [field["name"] for field in result["pages"][0]["fields"]] == ["sum", "count", "rest"]
    assert result["pages"][0]["source"] == result["scan"]["name"], "no path of the server is told"
    (line,) = client.get("/v1/export", params={"reference": "a"}).text.splitlines()
    assert '"701"' in line and str(runtime.inbox) not in line


def test_a_failure_is_told_with_its_reason(client: httpx.Client, runtime: Runtime) -> None:
    scan_id = client.post("/v1/scans", content=PNG).json()["id"]
    taken = claim(runtime.engine(), scan_id)
    assert taken is not None and fail_job(runtime.engine(), taken, kind="UnreadableScan", reason="truncated PNG")
    scan = client.get(f"/v1/scans/{scan_id}/result", params={"wait": 20}).json()["scan"]
    assert scan["failure"] == {"kind": "UnreadableScan", "reason": "truncated PNG"} and not scan["complete"]
    assert client.get("/v1/scans/1b671a64-40d5-491e-99b0-da01ff1f3341").status_code == 404


def test_a_purge_deletes_the_file_with_its_folder(client: httpx.Client, runtime: Runtime) -> None:
    scan_id = client.post("/v1/scans", content=PNG).json()["id"]
    taken = claim(runtime.engine(), scan_id)
    assert taken is not None and store_readings(runtime.engine(), taken, taken.scan, [PAGE])
    counts = purge_older_than(runtime.engine(), timedelta(seconds=-60), remove_scan=remove_own_scan, with_review=True)
    assert counts.jobs == 1 and kept_files(runtime) == []
    assert not (runtime.inbox / POSTED / scan_id).exists()


def test_nobody_in_without_a_token_and_no_page_of_another_site(runtime: Runtime, client: httpx.Client) -> None:
    address = str(client.base_url)
    for path in ("/v1/fields", "/v1/export", "/v1/scans/1b671a64-40d5-491e-99b0-da01ff1f3341", "/v1/digits"):
        assert httpx.get(address + path).status_code == 401
    assert httpx.post(address + "/v1/scans", content=PNG).status_code == 401
    assert kept_files(runtime) == []


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_sender_that_hangs_up_leaves_no_file_and_is_no_mistake_of_ours(
    client: httpx.Client, runtime: Runtime
) -> None:
    head = (
        f"POST /v1/scans?template=field HTTP/1.1\r\nHost: {client.base_url.host}\r\nContent-Length: {len(PNG)}\r\n"
        f"Authorization: {client.headers['Authorization']}\r\n\r\n"
    )
    with capture_logs() as logs:
        with socket.create_connection((client.base_url.host, client.base_url.port or 80), 5) as sender:
            sender.sendall(head.encode() + PNG[: len(PNG) // 2])
            wait_until(lambda: kept_files(runtime), 10, "the scan is being received")
        wait_until(lambda: not kept_files(runtime), 10, "what came is deleted")
        wait_until(lambda: logs, 10, "it is told")
    assert [(entry["event"], entry["log_level"]) for entry in logs] == [("a sender hung up", "info")]


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_misspelt_value_of_a_scan_is_refused_and_nothing_is_kept(client: httpx.Client, runtime: Runtime) -> None:
    by_query = client.post("/v1/scans", params={"tmplate": "field"}, content=PNG)
    by_form = client.post("/v1/scans", files={"file": ("a.png", PNG)}, data={"refrence": "7"})
    assert (by_query.status_code, by_query.json()["detail"]) == (422, "query.tmplate is not known")
    assert (by_form.status_code, by_form.json()["detail"]) == (422, "form.refrence is not known")
    assert kept_files(runtime) == []
