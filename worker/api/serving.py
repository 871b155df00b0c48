"""The server: uvicorn on one port, and the delivery of webhooks beside it, until it is told to stop."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable

import uvicorn

from worker.api.app import make_app
from worker.api.delivering import Deliverer
from worker.bootstrap import Runtime
from worker.errors import SettingsError

DRAIN_S = 5
"""How long requests in hand may take to end after the signal to stop."""


def serve_http(runtime: Runtime, *, say: Callable[[Runtime, int], None]) -> None:
    """Serve the API and the pages on the host and port of the settings; ``say`` is told the port.

    Raises
    ------
    SettingsError
        The port is taken, the address is none of this machine, or the certificate cannot be used.
    """
    listener = listen(runtime.settings.serve_host, runtime.settings.serve_port)
    certificate, key = runtime.settings.serve_certificate, runtime.settings.serve_key
    say(runtime, listener.getsockname()[1])
    config = uvicorn.Config(
        make_app(runtime),
        log_config=None,  # the log is ours; a line a request would hold addresses of scans
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=DRAIN_S,
        timeout_keep_alive=65,
        ssl_certfile=certificate,
        ssl_keyfile=key,
    )
    try:
        config.load()
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"ICR_SERVE_CERTIFICATE, ICR_SERVE_KEY: {error.strerror or error}") from error
    stop = threading.Event()
    delivering = threading.Thread(target=Deliverer(runtime).run, args=(stop,))
    delivering.start()
    try:
        uvicorn.Server(config).run(sockets=[listener])
    finally:
        stop.set()
        delivering.join()


def listen(host: str, port: int) -> socket.socket:
    """Open a port, 0 for a free one.

    Raises
    ------
    SettingsError
        The port is taken, or the address is none of this machine.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=256)
    except OSError as error:
        raise SettingsError(f"{host}:{port} (ICR_SERVE_HOST, ICR_SERVE_PORT): {error.strerror}") from error
    # Accepted connections inherit it. asyncio sets it only on sockets that name their protocol, and create_server's do
    # not; without it every answer waits 40 ms for the client's delayed acknowledgement (48 instead of 2 ms a list).
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener
