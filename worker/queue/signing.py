"""Sign jobs by the HMAC of their JSON text, so that only holders of the key can order a scan to be read.

The text is signed as it stands and parsed only if the signature fits, so programs need not agree on one canonical form
of a JSON object.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Sequence
from typing import Any

from worker.errors import InvalidJobError

JOB, HMAC = "job", "hmac"


def sign_job(job: dict[str, Any], key: str) -> dict[str, str]:
    """Return a job as a signed message: its JSON text, and the hexadecimal HMAC-SHA256 of that text in UTF-8."""
    text = json.dumps(job)
    return {JOB: text, HMAC: _digest(text, key)}


def open_job(message: dict[str, Any], key: str | None) -> dict[str, Any]:
    """Return the job that a message holds; without a key, signatures are neither required nor checked.

    Raises
    ------
    InvalidJobError
        There is a key, and the message is not signed with it, or was altered.
    """
    signed = set(message) == {JOB, HMAC} and all(isinstance(part, str) for part in message.values())
    if not signed:
        if key is not None:
            raise InvalidJobError("the job is not signed, and this worker takes signed jobs only (ICR_JOB_KEY)")
        return message
    if key is not None and not _fits(message[JOB], message[HMAC], key):
        raise InvalidJobError("the signature does not fit: the job was altered, or signed with another key")
    return _parse(message[JOB], must_have_id=key is not None)


def choose_key(args: Any, keys: Sequence[str]) -> str | None:
    """Return the one of ``keys`` that a message is signed with, else the first, by which it is refused.

    So jobs that wait in the queue while the key is changed still run; none where there are no keys.
    """
    sent = args[0] if isinstance(args, list | tuple) and args and isinstance(args[0], dict) else {}
    text, signature = sent.get(JOB), sent.get(HMAC)
    if isinstance(text, str) and isinstance(signature, str):
        for key in keys:
            if _fits(text, signature, key):
                return key
    return next(iter(keys), None)


def _parse(text: str, *, must_have_id: bool) -> dict[str, Any]:
    try:
        job = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidJobError("the signed text is no JSON") from error
    if not isinstance(job, dict):
        raise InvalidJobError("the signed text is no JSON object")
    if must_have_id and not job.get("id"):  # otherwise anybody who saw it could send it again under other ids
        raise InvalidJobError("a signed job needs an id of its own")
    return job


def _fits(text: str, signature: str, key: str) -> bool:
    """Compare in constant time, so that a guesser learns nothing."""
    return hmac.compare_digest(_digest(text, key).encode(), signature.encode("utf-8", "replace"))


def _digest(text: str, key: str) -> str:
    return hmac.new(key.encode(), text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()
