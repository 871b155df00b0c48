"""A real S3 server for tests: moto's, on loopback, in a process of its own that can be frozen and be away."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import Any

import pytest

from tests.support.tls import free_port

SECRET = "hush-hush-object-storage"
KEY_ID = "AKIAHUSHHUSHHUSHHUSH"


class Gate:
    """A port that leads to another, and can be shut: what is behind it is away, and keeps what it has."""

    def __init__(self, behind: int) -> None:
        self._behind = behind
        self.port = free_port()
        self._open: list[socket.socket] = []
        self.open()

    def open(self) -> None:
        listener = socket.create_server(("127.0.0.1", self.port))
        self._open = [listener]
        threading.Thread(target=self._serve, args=(listener,), daemon=True).start()

    def shut(self) -> None:
        """Refuse connections from now on, and break those that are."""
        for each in self._open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _serve(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                outer, _ = listener.accept()
                inner = socket.create_connection(("127.0.0.1", self._behind))
                self._open += [outer, inner]
                for source, target in ((outer, inner), (inner, outer)):
                    threading.Thread(target=_pump, args=(source, target), daemon=True).start()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while block := source.recv(65536):
            target.sendall(block)
        target.shutdown(socket.SHUT_WR)


class S3Server:
    """One S3 server; ``gate`` is the way to it, by which it can be away."""

    def __init__(self) -> None:
        for needed in ("s3fs", "moto.server", "flask_cors"):
            pytest.importorskip(needed, reason=f"{needed} is not installed: it comes with the extra 'test'")
        self._port = free_port()
        self.gate = Gate(self._port)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """The standard AWS environment of a client."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.gate.port}",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET,
        }

    def start(self) -> None:
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self._port)]
        log = subprocess.DEVNULL
        self._process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while True:
            try:
                self.client().create_bucket(Bucket="scans")
                return
            except Exception:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise
                time.sleep(0.2)

    def client(self) -> Any:
        import boto3

        return boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{self._port}",
            region_name="us-east-1",
            aws_access_key_id=KEY_ID,
            aws_secret_access_key=SECRET,
        )

    def put(self, key: str, content: bytes) -> None:
        self.client().put_object(Bucket="scans", Key=key, Body=content)

    def freeze(self) -> None:
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        self.gate.shut()
