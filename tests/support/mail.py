"""A real IMAP server for tests: pymap, with its mailboxes in memory, in a thread on a free port of the loopback."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from imap_tools import MailBoxUnencrypted
from proxyprotocol.reader import ProxyProtocolReader
from pymap.backend.dict import DictBackend
from pymap.imap import IMAPServer

USER, PASSWORD = "scans@example.org", "hush-hush-mail"


@contextmanager
def mail_server(context: ssl.SSLContext | None = None) -> Iterator[int]:
    """Serve one user's mailbox, with TLS from the first byte where a context is given; yield the port."""
    listener = socket.create_server(("127.0.0.1", 0))
    loop = asyncio.new_event_loop()
    started, end = threading.Event(), asyncio.Event()

    async def serve() -> None:
        known = {"debug": False, "cert": None, "key": None, "tls": False, "proxy_protocol": None}
        user = {"demo_data": False, "demo_user": USER, "demo_password": PASSWORD}
        arguments = Namespace(host="127.0.0.1", port=0, inherited_sockets=None, passlib_cfg=None, **known, **user)
        backend, config = await DictBackend.init(arguments, secure_auth=False)
        config.apply_context()
        answer = ProxyProtocolReader(config.proxy_protocol).get_callback(IMAPServer(backend.login, config))
        async with await asyncio.start_server(answer, sock=listener, ssl=context):
            started.set()
            await end.wait()

    def run() -> None:
        asyncio.set_event_loop(loop)
        with suppress(asyncio.CancelledError):
            loop.run_until_complete(serve())

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        assert started.wait(60), "the mail server does not start"
        yield listener.getsockname()[1]
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join(10)


def deliver(port: int, *messages: bytes) -> None:
    """Put messages into the mailbox, as its server does with what comes in."""
    with MailBoxUnencrypted("127.0.0.1", port).login(USER, PASSWORD) as box:
        for message in messages:
            box.append(message, "INBOX")


def subjects(port: int, folder: str) -> list[str]:
    """Return what lies in a folder."""
    with MailBoxUnencrypted("127.0.0.1", port).login(USER, PASSWORD) as box:
        if not box.folder.exists(folder):
            return []
        box.folder.set(folder)
        return [message.subject for message in box.fetch(mark_seen=False)]


def texts(port: int, folder: str) -> str:
    """Return the text of all that lies in a folder."""
    with MailBoxUnencrypted("127.0.0.1", port).login(USER, PASSWORD) as box:
        box.folder.set(folder)
        return "\n".join(message.text for message in box.fetch(mark_seen=False))
