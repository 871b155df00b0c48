"""Scans in object storage, on a real S3 server: bounded copies, always deleted; what is away is waited for."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.support.object_storage import SECRET, S3Server
from worker.errors import InvalidJobError, StorageUnavailableError
from worker.rasterizer import RasterLimits
from worker.sources import buckets
from worker.sources.buckets import BucketRoot, ObjectStorage

pytestmark = [pytest.mark.timeout(180), pytest.mark.xdist_group("storage")]

ROOT = BucketRoot("scans", "in")


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    server = S3Server()
    server.start()
    yield server
    server.kill()


Connect = Callable[[dict[str, str]], None]


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Iterator[Connect]:
    """Return what makes an environment this process's only one for AWS."""

    def set_environment(environment: dict[str, str]) -> None:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            monkeypatch.delenv(name)
        for name, value in {**environment, "AWS_EC2_METADATA_DISABLED": "true"}.items():
            monkeypatch.setenv(name, value)
        _forget()

    yield set_environment
    _forget()


def _forget() -> None:
    import s3fs

    buckets._file_system.cache_clear()
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def storage(server: S3Server, connect: Connect, tmp_path: Path) -> ObjectStorage:
    connect(server.environment)
    return ObjectStorage((ROOT,), tmp_path / "tmp", RasterLimits(max_file_mb=1))


def test_an_object_is_a_file_for_as_long_as_it_is_read(server: S3Server, storage: ObjectStorage) -> None:
    content = os.urandom(2**20)
    server.put("in/a b%2e+ü?#*.png", content)
    with storage.fetch("s3://scans/in/a b%2e+ü?#*.png") as path:
        assert path.read_bytes() == content
        assert path.parent == storage.folder and path.stat().st_mode & 0o077 == 0
    assert list(storage.folder.iterdir()) == []


def test_a_copy_is_made_in_blocks(server: S3Server, storage: ObjectStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buckets, "BLOCK_BYTES", 1000)
    content = os.urandom(2501)
    server.put("in/blocks", content)
    with storage.fetch("s3://scans/in/blocks") as path:
        assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("s3://scans/in/missing.png", "cannot be found"),
        ("s3://scans/in/folder", "names no object"),
        ("s3://scans/in/large.png", "limit is 1 .ICR_MAX_FILE_MB"),
        ("s3://scans/out/secret.png", "none of the allowed places"),
    ],
)
def test_what_cannot_be_read_leaves_a_reason_and_no_copy(
    server: S3Server, storage: ObjectStorage, uri: str, reason: str
) -> None:
    server.put("in/large.png", b"x" * (2**20 + 1))
    server.put("in/folder/a.png", b"x")
    server.put("out/secret.png", b"x")
    with pytest.raises(InvalidJobError, match=reason):
        storage.fetch(uri)
    assert not storage.folder.exists() or list(storage.folder.iterdir()) == []


def test_a_bucket_that_is_not_there_is_a_reason(server: S3Server, storage: ObjectStorage) -> None:
    elsewhere = ObjectStorage((BucketRoot("nowhere", ""),), storage.folder, storage.limits)
    with pytest.raises(InvalidJobError, match="cannot be found"):
        elsewhere.fetch("s3://nowhere/a.png")


def test_storage_that_hangs_is_given_up_soon(
    server: S3Server, storage: ObjectStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buckets, "READ_S", 1.0)
    server.put("in/a.png", b"x")
    server.freeze()
    try:
        started = time.monotonic()
        with pytest.raises(StorageUnavailableError, match="does not answer"):
            storage.fetch("s3://scans/in/a.png")
        assert time.monotonic() - started < 20
    finally:
        server.thaw()
    assert list(storage.folder.iterdir()) == []
    with storage.fetch("s3://scans/in/a.png") as path:
        assert path.read_bytes() == b"x"


def test_storage_that_nobody_serves_is_waited_for(connect: Connect, server: S3Server, tmp_path: Path) -> None:
    connect({**server.environment, "AWS_ENDPOINT_URL": "http://127.0.0.1:9"})
    with pytest.raises(StorageUnavailableError, match="does not answer"):
        ObjectStorage((ROOT,), tmp_path, RasterLimits()).fetch("s3://scans/in/a.png")


def test_a_machine_without_credentials_waits_for_them(connect: Connect, server: S3Server, tmp_path: Path) -> None:
    connect({"AWS_ENDPOINT_URL": server.environment["AWS_ENDPOINT_URL"], "HOME": str(tmp_path)})
    with pytest.raises(StorageUnavailableError, match="no AWS credentials"):
        ObjectStorage((ROOT,), tmp_path, RasterLimits()).fetch("s3://scans/in/a.png")


class _Liar(BaseHTTPRequestHandler):
    """Says little and sends much, or says nothing good; ``path`` chooses."""

    ANSWERS = {"denied": 403, "broken": 500, "busy": 503}  # noqa: RUF012

    def do_HEAD(self) -> None:
        self._head(10)

    def do_GET(self) -> None:
        body = b"x" * (3 * 2**20)
        self._head(len(body))
        if self.path.endswith("liar"):
            self.wfile.write(body)
        elif self.path.endswith("breaks"):
            self.wfile.write(body[:100])

    def _head(self, length: int) -> None:
        status = self.ANSWERS.get(self.path.rpartition("/")[2], 200)
        self.send_response(status)
        self.send_header("Content-Length", str(length if status == 200 else 0))
        self.send_header("ETag", '"1"')
        self.send_header("Last-Modified", "Sat, 21 Nov 2026 12:00:00 GMT")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def liar(connect: Connect, server: S3Server, tmp_path: Path) -> Iterator[ObjectStorage]:
    with HTTPServer(("127.0.0.1", 0), _Liar) as listener:
        connect({**server.environment, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{listener.server_port}"})
        threading.Thread(target=listener.serve_forever, daemon=True).start()
        yield ObjectStorage((ROOT,), tmp_path / "tmp", RasterLimits(max_file_mb=1))
        listener.shutdown()


@pytest.mark.parametrize(
    ("key", "kind", "reason"),
    [
        ("liar", InvalidJobError, "limit is 1"),
        ("denied", InvalidJobError, "may not read it"),
        ("broken", StorageUnavailableError, "does not answer"),
        ("busy", StorageUnavailableError, "does not answer"),
        ("breaks", StorageUnavailableError, "does not answer"),
    ],
)
def test_storage_that_lies_or_breaks_off_costs_no_disk(
    liar: ObjectStorage, key: str, kind: type[Exception], reason: str
) -> None:
    with pytest.raises(kind, match=reason) as caught:
        liar.fetch(f"s3://scans/in/{key}")
    assert SECRET not in str(caught.value) and "\n" not in str(caught.value)
    assert list(liar.folder.iterdir()) == []
