"""What comes off the queue is rebuilt: whatever it is, Celery gets a message of ours that it can read."""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any

import kombu.compression
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.fuzz_messages import fuzz
from worker.queue.transport import rebuild_message

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def message(**changes: Any) -> dict[str, Any]:
    return {
        "body": json.dumps([[{"uri": "/a.png"}], {}, {"callbacks": [{"task": "os.system"}]}]),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {
            "task": "icr.read_scan",
            "id": "one",
            "timelimit": [9, 9],
            "eta": "2099-01-01",
            "retries": 99,
        },
        "properties": {
            "delivery_tag": "tag",
            "priority": 4,
            "delivery_info": {"exchange": "x", "routing_key": "y"},
        },
    } | changes


def test_a_good_message_keeps_its_task_id_arguments_and_place_and_nothing_else() -> None:
    rebuilt = json.loads(rebuild_message(json.dumps(message()).encode(), "icr", "tag 1"))
    assert json.loads(rebuilt["body"]) == [[{"uri": "/a.png"}], {}, {}]
    assert rebuilt["headers"] == {"task": "icr.read_scan", "id": "one", "root_id": "one", "lang": "py"}
    assert rebuilt["properties"]["delivery_info"] == {"exchange": "", "routing_key": "icr"}
    assert rebuilt["properties"]["delivery_tag"] == "tag 1" and rebuilt["properties"]["priority"] == 4


def test_the_base64_of_celery_is_read_and_rebuilding_twice_changes_nothing() -> None:
    sent = message(body=base64.b64encode(b"[[1], {}, {}]").decode())
    sent["properties"] |= {"body_encoding": "base64"}
    rebuilt = json.loads(rebuild_message(json.dumps(sent).encode(), "icr", "tag 1"))
    assert json.loads(rebuilt["body"])[0] == [1]
    assert rebuild_message(json.dumps(rebuilt).encode(), "icr", "tag 1") == json.dumps(rebuilt).encode()


@pytest.mark.parametrize("compression", ["gzip", "bzip2", "lzma"])
def test_what_celery_compressed_is_read(compression: str) -> None:
    packed, kind = kombu.compression.compress(b'[[{"uri": "/a.png"}], {}, {}]', compression)
    sent = message(body=base64.b64encode(packed).decode())
    sent["headers"] |= {"compression": kind}
    sent["properties"] |= {"body_encoding": "base64"}
    rebuilt = json.loads(rebuild_message(json.dumps(sent).encode(), "icr", "tag 1"))
    assert json.loads(rebuilt["body"])[0] == [{"uri": "/a.png"}]
    assert "compression" not in rebuilt["headers"]


@pytest.mark.parametrize("packed", [zlib.compress(b" " * 2**24 + b"[[1], {}, {}]"), zlib.compress(b"[]")[:-3], b"no"])
def test_a_compressed_body_that_is_huge_or_damaged_is_refused_under_its_id(packed: bytes) -> None:
    sent = message(body=base64.b64encode(packed).decode())
    sent["headers"] |= {"compression": "application/x-gzip"}
    sent["properties"] |= {"body_encoding": "base64"}
    rebuilt = json.loads(rebuild_message(json.dumps(sent).encode(), "icr", "tag 1"))
    assert isinstance(json.loads(rebuilt["body"])[0][0], str)
    assert rebuilt["headers"]["id"] == "one"


def test_what_has_no_id_gets_one_that_follows_from_its_bytes() -> None:
    ids = [json.loads(rebuild_message(item, "icr", "tag 1"))["headers"]["id"] for item in (b"{", b"{", b"[")]
    assert ids[0] == ids[1] != ids[2]


@pytest.mark.parametrize("given", [12345, "x" * 300, None, ["a"]])
def test_an_id_that_will_not_do_does_not_hide_the_job(given: object) -> None:
    """A number became `the task takes one JSON object`, and the job was not found by what its sender calls it."""
    sent = message(headers={"task": "icr.read_scan", "id": given})
    rebuilt = json.loads(rebuild_message(json.dumps(sent).encode(), "icr", "tag 1"))
    assert json.loads(rebuilt["body"])[0] == [{"uri": "/a.png"}]
    assert isinstance(rebuilt["headers"]["id"], str)


@pytest.mark.parametrize(
    "item",
    [
        b"",
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b"null",
        b"x" * 2_000_000,
        json.dumps(message(headers={"task": "os.system", "id": "x"})).encode(),
        json.dumps(message(body="[]")).encode(),
    ],
)
def test_what_is_no_message_becomes_a_job_that_will_be_refused_and_kept(item: bytes) -> None:
    rebuilt = json.loads(rebuild_message(item, "icr", "tag 1"))
    ((text,), kwargs, _) = json.loads(rebuilt["body"])
    assert rebuilt["headers"]["task"] == "icr.read_scan" and kwargs == {}
    assert text == item[:10_000].decode("utf-8", "backslashreplace")


@given(JSON | st.builds(message, body=JSON, headers=JSON, properties=JSON))
def test_nothing_gets_through_that_celery_could_not_read(sent: Any) -> None:
    rebuilt = json.loads(rebuild_message(json.dumps(sent).encode(), "icr", "tag 1"))
    args, kwargs, embed = json.loads(rebuilt["body"])
    assert isinstance(args, list) and isinstance(kwargs, dict) and embed == {}
    assert all(isinstance(rebuilt["headers"][name], str) for name in ("task", "id"))


@pytest.mark.parametrize("levels", [12, 200, 900, 1000, 5000])
def test_a_deep_message_is_kept_and_goes_no_further(levels: int) -> None:
    deep = "[" * levels + "]" * levels
    for body in (f"[[{deep}], {{}}, {{}}]", f'[[{{"uri": {deep}}}], {{}}, {{}}]', f'[[], {{"a": {deep}}}, {{}}]'):
        rebuilt = json.loads(rebuild_message(json.dumps(message(body=body)).encode(), "icr", "tag 1"))
        (args, _, _) = json.loads(rebuilt["body"])
        assert isinstance(args[0], str)


def test_damaged_messages_and_odd_paths_end_in_a_job_or_a_reason() -> None:
    """The short form of ``python -m tests.support.fuzz_messages``; a message id of half a character once had no end."""
    ended = fuzz(seed=1, cases=3000)
    assert min(ended[outcome] for outcome in ("a job", "refused", "path found", "path refused")) > 10
