"""Redis behind TLS and a password, for tests: a server that speaks TLS itself, or ours behind a terminator."""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
import threading
import time
from pathlib import Path
from typing import Protocol

import pytest
import redis

from worker.system.private_redis import PrivateRedis, redis_server_binary

PASSWORD = "hush-hush-redis"


class TlsRedis(Protocol):
    """What both kinds have: a port, and an end."""

    port: int

    def stop(self) -> None: ...


class TlsServer:
    """A Redis built with TLS; a test that asks for one is skipped where the one at hand was built without."""

    def __init__(self, folder: Path, certificate: Path) -> None:
        self.port = free_port()
        command = [
            redis_server_binary(),
            "--port",
            "0",
            "--tls-port",
            str(self.port),
            "--tls-auth-clients",
            "no",
            "--tls-cert-file",
            str(certificate),
            "--tls-key-file",
            str(certificate),
            "--tls-ca-cert-file",
            str(certificate),
            "--appendonly",
            "yes",
            "--dir",
            str(folder),
            "--save",
            "",
        ]
        settings = f"requirepass {PASSWORD}\n".encode()  # by stdin: a command line can be read by everybody
        log = folder / "tls.log"
        with log.open("wb") as output:
            self._process = subprocess.Popen([*command, "-"], stdin=subprocess.PIPE, stdout=output, stderr=output)
        assert self._process.stdin is not None
        with self._process.stdin as stdin:
            stdin.write(settings)
        while not _listens(self.port):
            if self._process.poll() is not None:
                told = log.read_text()
                if "Bad directive" in told:
                    pytest.skip("this redis-server was built without TLS")
                raise RuntimeError(told)
            time.sleep(0.05)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(30)


class TlsTerminator:
    """The private Redis with a password, behind a TLS port of this process."""

    def __init__(self, folder: Path, certificate: Path) -> None:
        self._server = PrivateRedis(folder)
        self._server.start()
        with redis.Redis(unix_socket_path=str(self._server.socket)) as client:
            client.config_set("requirepass", PASSWORD)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate)
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        listening = asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._context)
        self._listener = asyncio.run_coroutine_threadsafe(listening, self._loop).result(30)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_unix_connection(str(self._server.socket))
        await asyncio.gather(_pump(reader, inner_writer), _pump(inner_reader, writer))

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._listener.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._server.stop()


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    try:
        while piece := await source.read(65536):
            sink.write(piece)
            await sink.drain()
    except OSError:
        pass
    finally:
        sink.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
