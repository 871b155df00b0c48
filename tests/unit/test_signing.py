"""Signed jobs: only what was signed with the key is opened, and nothing else can be told from the refusal."""

from __future__ import annotations

import hmac
import json
import uuid
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.errors import InvalidJobError
from worker.queue.signing import choose_key, open_job, sign_job
from worker.queue.tasks import parse_message
from worker.settings import Settings

KEY = "a key of more than sixteen letters"
JOB = {"uri": "/a/ü\u202e.png", "id": str(uuid.uuid4())}


def parse(message: Any, key: str | None = KEY) -> Any:
    return parse_message([message], {}, message_id=str(uuid.uuid4()), key=key)


@settings(deadline=None)
@given(st.dictionaries(st.text(), st.integers() | st.text()), st.text(min_size=1).filter(lambda t: t.isprintable()))
def test_what_was_signed_is_opened_with_the_same_key_only(extra: dict[str, Any], key: str) -> None:
    job = {**extra, **JOB}
    assert open_job(sign_job(job, key), key) == job
    with pytest.raises(InvalidJobError, match="does not fit"):
        open_job(sign_job(job, key), key + "x")


@given(st.data())
@settings(deadline=None)
def test_one_changed_character_is_refused(data: st.DataObject) -> None:
    message = sign_job(JOB, KEY)
    part = data.draw(st.sampled_from(sorted(message)))
    place = data.draw(st.integers(0, len(message[part]) - 1))
    letter = data.draw(st.characters(codec=None).filter(lambda c: c != message[part][place]))
    message[part] = message[part][:place] + letter + message[part][place + 1 :]
    with pytest.raises(InvalidJobError, match="does not fit"):
        parse(message)


@pytest.mark.parametrize(
    "message",
    [
        JOB,
        {**JOB, "hmac": "0" * 64},
        {"job": json.dumps(JOB)},
        {**sign_job(JOB, KEY), "priority": 9},
        {**sign_job(JOB, KEY), "hmac": None},
        {**sign_job(JOB, KEY), "job": JOB},
        {},
    ],
)
def test_what_is_not_signed_is_refused_once_there_is_a_key(message: dict[str, Any]) -> None:
    with pytest.raises(InvalidJobError, match="not signed"):
        parse(message)


def test_a_signature_does_not_excuse_from_the_schema() -> None:
    assert str(parse(sign_job(JOB, KEY)).id) == JOB["id"]
    for job, reason in (
        ({**JOB, "colour": "red"}, "colour"),
        ({"uri": "/a.png"}, "needs an id"),
        ({**JOB, "id": "seven"}, "id must"),
    ):
        with pytest.raises(InvalidJobError, match=reason):
            parse(sign_job(job, KEY))
    for text in ("[" * 5000, "[]", "no json"):
        signature = hmac.new(KEY.encode(), text.encode(), "sha256").hexdigest()
        with pytest.raises(InvalidJobError, match="no JSON"):
            parse({"job": text, "hmac": signature})


def test_without_a_key_signed_and_unsigned_jobs_are_taken() -> None:
    assert parse(sign_job(JOB, "any"), key=None) == parse(JOB, key=None)


def test_signatures_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []
    monkeypatch.setattr(hmac, "compare_digest", lambda *both: bool(compared.append(both)))
    with pytest.raises(InvalidJobError):
        parse(sign_job(JOB, KEY))
    assert len(compared) == 1


def test_settings_do_not_show_their_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ICR_JOB_KEY", "hush" * 4)
    monkeypatch.setenv("ICR_BROKER_URL", "redis://:hush@h")
    monkeypatch.setenv("ICR_DATABASE_URL", "postgresql://u:hush@h/d")
    assert "hush" not in repr(Settings())


def test_what_was_signed_before_the_key_was_changed_still_runs_and_nothing_else_does() -> None:
    old, new, other = "the old key 1234567", "the new key 1234567", "no key of ours 1234"
    job = {"uri": "/a.png", "id": "7"}
    for key in (old, new):
        assert choose_key([sign_job(job, key)], [new, old]) == key
    for sent in ([sign_job(job, other)], [job], ["text"], [], None, [{"job": 1, "hmac": 2}]):
        assert choose_key(sent, [new, old]) == new, "by which it is refused"
    assert choose_key([sign_job(job, old)], []) is None
