"""A receiver of webhooks on the loopback, which keeps what it gets and answers what a test says."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Receiver:
    """A server on a free port; ``got`` are the headers, in small letters, and bodies in the order they came.

    ``act`` is called with each event before it is answered.
    """

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], str]] = []
        self.status = 204
        self.act: Callable[[dict[str, Any]], object] = lambda event: None
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                receiver.got.append(({k.lower(): v for k, v in self.headers.items()}, body))
                receiver.act(json.loads(body))
                self.send_response(receiver.status)
                if 300 <= receiver.status < 400:
                    self.send_header("Location", f"http://127.0.0.1:{receiver.port}/elsewhere")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}/hook"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def events(self) -> list[str]:
        """Return the types of the events in the order they came."""
        return [json.loads(body)["type"] for _, body in self.got]

    def close(self) -> None:
        """End the server."""
        self._server.shutdown()
        self._server.server_close()


class DrippingReceiver:
    """A receiver that takes every call and answers a byte now and then, for ever."""

    def __init__(self, pause_s: float = 0.05) -> None:
        self._pause_s, self._over = pause_s, threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/hook"
        self.calls = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """End the server and its connections."""
        self._over.set()
        self._listener.close()

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.calls += 1
            threading.Thread(target=self._drip, args=(connection,), daemon=True).start()

    def _drip(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            while not self._over.wait(self._pause_s):
                connection.sendall(b"a")
