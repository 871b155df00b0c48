"""Throw damaged messages at what takes them off the queue, and odd paths at what finds their files.

    python -m tests.support.fuzz_messages --seed 7 --cases 100000

Every message becomes one of ours that is a job or is refused with a reason, and keeps an id by which its sender finds
it. Every path leads to the one scan under the root, or is refused. Anything else ends the program, and the case can be
made again from the seed and its number. The last line printed is a summary in JSON.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import json
import os
import random
import tempfile
import uuid
from pathlib import Path
from typing import Any

from tests.support.fuzz_rasterizer import mutate
from worker.errors import InvalidJobError
from worker.queue.signing import choose_key, sign_job
from worker.queue.tasks import name_refused, parse_message
from worker.queue.transport import rebuild_message
from worker.sources.beneath import open_scan
from worker.sources.buckets import BucketRoot, locate_object
from worker.sources.file_uris import display_name, path_of_uri
from worker.sources.places import locate_scan

KEY = "a key of sixteen or more"
ODD = (
    None,
    True,
    -1,
    2**70,
    1e308,
    "",
    "\x00",
    "\ud800",
    "x" * 70_000,
    [],
    {},
    [[[[]]]],
    {"a": {}},
    "\u202e",
    "é" * 99,
)
PIECES = ("..", ".", "", "/", "~", "a.png", "%2e%2e", "%2f", "%00", "\x00", "link", "in", "x" * 300, "*", "file:", "é")
PIECES += ("\ud800", "\u202e", "s3://", "\\", "%")


def make_message(dice: random.Random) -> dict[str, Any]:
    job = {"uri": "/scans/a.png", "id": str(uuid.UUID(int=dice.getrandbits(128), version=4)), "template": "field"}
    sent = sign_job(job, KEY) if dice.random() < 0.3 else job
    return {
        "body": json.dumps([[sent], {}, {}]),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {"task": "icr.read_scan", "id": job["id"]},
        "properties": {"delivery_tag": "1", "priority": dice.randrange(10), "delivery_info": {}},
    }


def damage(message: dict[str, Any], dice: random.Random) -> bytes:
    """Return a message with an odd value somewhere, or with damaged bytes, or both."""
    if dice.random() < 0.7:
        where = dice.choice([message, message["headers"], message["properties"]])
        where[dice.choice([*where, "timelimit", "compression", "body_encoding"])] = dice.choice(ODD)
    if dice.random() < 0.5 and isinstance(message.get("body"), str):
        message["body"] = mutate(dice, message["body"].encode("utf-8", "surrogatepass")).decode("latin-1")
    raw = json.dumps(message).encode()
    return mutate(dice, raw) if dice.random() < 0.5 else raw


def try_message(item: bytes, dice: random.Random) -> str:
    """Return what came of a message: a job, or refused."""
    message = json.loads(rebuild_message(item, "icr", "tag"))
    args, kwargs, embed = json.loads(message["body"])
    assert embed == {} and isinstance(args, list) and isinstance(kwargs, dict)
    assert message["properties"]["delivery_tag"] == "tag" and set(message["headers"]) == {
        "task",
        "id",
        "root_id",
        "lang",
    }
    keys = dice.choice([[], [KEY], ["another key of ours", KEY]])
    key = choose_key(args, keys)
    job_id, _ = name_refused(args, kwargs, message_id=message["headers"]["id"], key=key)
    assert job_id is None or uuid.UUID(job_id)
    assert job_id is not None or keys, "only a message that is not signed has no name"
    try:
        job = parse_message(args, kwargs, message_id=message["headers"]["id"], key=key)
    except InvalidJobError as error:
        assert str(error)
        return "refused"
    assert job.id is not None and str(job.id) == job_id
    return "a job"


def try_path(root: Path, dice: random.Random) -> str:
    """Return what came of a path: the scan, or refused."""
    inside = "/".join(dice.choice(PIECES) for _ in range(dice.randint(1, 6)))
    start = dice.choice([f"{root}/", f"file://{root}/", "/", f"file://localhost{root}/", "", f"{root.parent}/"])
    path_of_uri(start + inside)
    assert display_name(start + inside).isprintable()
    with contextlib.suppress(InvalidJobError):
        assert locate_object(f"s3://bucket/{inside}", (BucketRoot("bucket", "in"),)).startswith("bucket/in/")
    try:
        found = locate_scan(start + inside, (root,))
        with open_scan(found, (root,)) as file:
            assert file.read() == b"the scan", f"{start + inside!r} leads elsewhere"
    except InvalidJobError as error:
        assert str(error)
        return "path refused"
    return "path found"


def make_root(folder: Path) -> Path:
    """Make a root with one scan, links that lead out of it, and a secret beside it."""
    root = folder / "root"
    (root / "in").mkdir(parents=True)
    for scan in (root / "a.png", root / "in" / "a.png"):
        scan.write_bytes(b"the scan")
    (folder / "a.png").write_bytes(b"a secret")
    (root / "link").symlink_to(folder)
    (root / "in" / "link").symlink_to("/")
    os.mkfifo(root / "in" / "é")
    return root.resolve()


def fuzz(seed: int, cases: int) -> dict[str, Any]:
    ended: collections.Counter[str] = collections.Counter()
    with tempfile.TemporaryDirectory(prefix="icr-fuzz-") as folder:
        root = make_root(Path(folder))
        for number in range(cases):
            dice = random.Random(f"{seed}/{number}")
            try:
                ended[try_message(damage(make_message(dice), dice), dice)] += 1
                ended[try_path(root, dice)] += 1
            except BaseException:
                print(f"seed {seed}, case {number}", flush=True)
                raise
    return {"seed": seed, "cases": 2 * cases, **ended}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cases", type=int, default=2000)
    chosen = parser.parse_args()
    print(json.dumps(fuzz(chosen.seed, chosen.cases)))


if __name__ == "__main__":
    main()
