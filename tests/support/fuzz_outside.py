"""Throw mutated messages and names of scans at what takes them from outside.

    python -m tests.support.fuzz_outside --kind message --seed 7 --seconds 600

A message must end as a job or in one line of reason, and a name must lead to a file inside the allowed folder or to a
reason; anything else ends the program, and the case can be made again from the seed and its number.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import json
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from schemas.scan_job import ScanJob
from tests.support.fuzz_rasterizer import mutate
from worker.errors import FolderUnavailableError, InvalidJobError
from worker.queue.tasks import name_refused, parse_message
from worker.queue.transport import rebuild_message
from worker.sources.beneath import open_scan
from worker.sources.buckets import BucketRoot, locate_object
from worker.sources.file_uris import display_name, path_of_uri
from worker.sources.places import locate_scan

INSIDE, OUTSIDE = b"inside", b"secret"
NASTY = ("/", "..", ".", "%2e", "%2F", "%00", "\0", "~", "file:", "//", "s3://", "\\", "\ud800", "\u202e", "link", "%")
VALUES: tuple[object, ...] = (
    None,
    True,
    -1,
    1e308,
    2**70,
    "",
    "x" * 3000,
    [],
    {},
    [[]],
    "\0",
    "\ud800",
    "../../etc/passwd",
)


def messages() -> list[bytes]:
    """Return the good messages that mutation starts from: Celery's, a plain one, an old protocol's."""
    job = {"uri": "/scans/a.png", "id": "0b5ad5b8-4d4e-4f0f-9d1c-3d2b1a000001", "template": "form", "priority": 3}
    headers = {"task": "icr.read_scan", "id": job["id"], "root_id": job["id"], "lang": "py"}
    properties = {"delivery_tag": "t", "priority": 4, "delivery_info": {"exchange": "", "routing_key": "icr"}}
    plain = {"body": json.dumps([[job], {}, {}]), "headers": headers, "properties": properties}
    return [
        json.dumps(each).encode() for each in (plain, job, {**plain, "content-encoding": "utf-8"}, [job], {"job": job})
    ]


def replace_value(rng: random.Random, value: object) -> object:
    """Return a JSON value with one place in it replaced."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        name = rng.choice(list(value))
        return {**value, name: replace_value(rng, value[name])}
    if isinstance(value, list) and value and rng.random() < 0.85:
        at = rng.randrange(len(value))
        return [*value[:at], replace_value(rng, value[at]), *value[at + 1 :]]
    if isinstance(value, str) and value.startswith("[["):
        return json.dumps(replace_value(rng, json.loads(value)))
    return rng.choice(VALUES)


def try_message(rng: random.Random, _folder: Path) -> str:
    item = rng.choice(messages())
    item = mutate(rng, item) if rng.random() < 0.5 else json.dumps(replace_value(rng, json.loads(item))).encode()
    rebuilt = json.loads(rebuild_message(item, "icr", "tag"))
    args, kwargs, _ = json.loads(rebuilt["body"])
    identity = rebuilt["headers"]["id"]
    assert isinstance(identity, str)
    try:
        assert isinstance(parse_message(args, kwargs, message_id=identity), ScanJob)
    except InvalidJobError as error:
        assert "\n" not in str(error)
        name_refused(args, kwargs, message_id=identity)
        return "refused"
    return "a job"


def lay_out(folder: Path) -> None:
    """Make an allowed folder with a scan, and links out of it to a secret."""
    (folder / "root" / "in").mkdir(parents=True)
    (folder / "root" / "in" / "a.png").write_bytes(INSIDE)
    (folder / "secret").write_bytes(OUTSIDE)
    (folder / "root" / "link").symlink_to(folder)
    (folder / "root" / "in" / "link").symlink_to(folder / "secret")


def try_name(rng: random.Random, folder: Path) -> str:
    root = folder / "root"
    name = rng.choice([str(root / "in/a.png"), (root / "in/a.png").as_uri(), f"{root}/link/secret", f"{root}/in/link"])
    for _ in range(rng.choice((0, 1, 1, 2, 5))):
        at = rng.randrange(len(name) + 1)
        name = name[:at] + rng.choice(NASTY) + name[at + rng.choice((0, 0, 1, 4)) :]
    assert display_name(name).isprintable()
    path_of_uri(name)
    roots = (BucketRoot("bucket", "in"),)
    with contextlib.suppress(InvalidJobError):
        assert locate_object(f"s3://bucket/{name}", roots).startswith("bucket/in")
    try:
        with open_scan(locate_scan(name, (root,)), (root,)) as file:
            assert file.read() == INSIDE, name
    except (InvalidJobError, FolderUnavailableError) as error:
        assert "\n" not in str(error)
        return "refused"
    return "read"


TRIES: dict[str, Callable[[random.Random, Path], str]] = {"message": try_message, "name": try_name}


def fuzz(kind: str, seed: int, seconds: float) -> dict[str, object]:
    """Try seeded mutations for a time; return what came of them."""
    outcomes: collections.Counter[str] = collections.Counter()
    end = time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lay_out(folder)
        while time.monotonic() < end:
            number = outcomes.total()
            try:
                outcomes[TRIES[kind](random.Random(f"{seed}/{kind}/{number}"), folder)] += 1
            except BaseException:
                print(f"case {number}", flush=True)
                raise
    return {"cases": outcomes.total(), **outcomes}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=sorted(TRIES), default="message")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=5)
    chosen = parser.parse_args()
    print(json.dumps(fuzz(chosen.kind, chosen.seed, chosen.seconds)))


if __name__ == "__main__":
    main()
