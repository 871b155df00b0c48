"""What comes off the queue is rebuilt: whatever it is, Celery gets a message of ours that it can read."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    rebuilt = json.loads(rebuild_message(json.dumps(message()).encode(), "icr"))
    assert json.loads(rebuilt["body"]) == [[{"uri": "/a.png"}], {}, {}]
    assert rebuilt["headers"] == {"task": "icr.read_scan", "id": "one", "root_id": "one", "lang": "py"}
    assert rebuilt["properties"]["delivery_info"] == {
        "exchange": "",
        "routing_key": "icr",
        "redelivered": False,
    }
    assert rebuilt["properties"]["delivery_tag"] == "tag" and rebuilt["properties"]["priority"] == 4


def test_the_base64_of_celery_is_read_and_a_redelivery_stays_one() -> None:
    sent = message(body=base64.b64encode(b"[[1], {}, {}]").decode())
    sent["properties"] |= {"body_encoding": "base64", "delivery_info": {"redelivered": True}}
    rebuilt = json.loads(rebuild_message(json.dumps(sent).encode(), "icr"))
    assert json.loads(rebuilt["body"])[0] == [1]
    assert rebuilt["properties"]["delivery_info"]["redelivered"] is True
    assert rebuild_message(json.dumps(rebuilt).encode(), "icr") == json.dumps(rebuilt).encode()


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
        json.dumps(message(properties={})).encode(),
    ],
)
def test_what_is_no_message_becomes_a_job_that_will_be_refused_and_kept(item: bytes) -> None:
    rebuilt = json.loads(rebuild_message(item, "icr"))
    ((text,), kwargs, _) = json.loads(rebuilt["body"])
    assert rebuilt["headers"]["task"] == "icr.read_scan" and kwargs == {}
    assert text == item[:10_000].decode("utf-8", "backslashreplace")


@given(JSON | st.builds(message, body=JSON, headers=JSON, properties=JSON))
def test_nothing_gets_through_that_celery_could_not_read(sent: Any) -> None:
    rebuilt = json.loads(rebuild_message(json.dumps(sent).encode(), "icr"))
    args, kwargs, embed = json.loads(rebuilt["body"])
    assert isinstance(args, list) and isinstance(kwargs, dict) and embed == {}
    assert all(isinstance(rebuilt["headers"][name], str) for name in ("task", "id"))


@pytest.mark.parametrize("levels", [12, 200, 900, 1000, 5000])
def test_a_deep_message_is_kept_and_goes_no_further(levels: int) -> None:
    deep = "[" * levels + "]" * levels
    for body in (f"[[{deep}], {{}}, {{}}]", f'[[{{"uri": {deep}}}], {{}}, {{}}]', f'[[], {{"a": {deep}}}, {{}}]'):
        rebuilt = json.loads(rebuild_message(json.dumps(message(body=body)).encode(), "icr"))
        (args, _, _) = json.loads(rebuilt["body"])
        assert isinstance(args[0], str)
