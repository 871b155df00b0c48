"""Where webhooks may go: to public addresses by https, whatever a name resolves to at the moment of the call."""

from __future__ import annotations

import ipaddress
import math
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpcore

from worker.errors import InvalidWebhookError

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
"""RFC 6052: such an address leads to the IPv4 address in its last four bytes."""


def check_url(url: str, *, allow_private: bool) -> None:
    """Refuse an address that webhooks may not go to by its form; what its name resolves to is checked at each call.

    Raises
    ------
    InvalidWebhookError
        Says what is wrong.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise InvalidWebhookError("a webhook is a URL: https://host/path") from None
    if parts.scheme not in ("https", "http") or not host or parts.username or parts.fragment or not url.isprintable():
        raise InvalidWebhookError("a webhook is a URL without a user or a fragment: https://host/path")
    if parts.scheme != "https" and not allow_private:
        raise InvalidWebhookError("webhooks go by https, except where ICR_WEBHOOK_PRIVATE allows http")
    if not allow_private and _is_literal(host) and not is_public(host):
        raise InvalidWebhookError("webhooks go to no private or loopback address (ICR_WEBHOOK_PRIVATE allows it)")


def is_public(address: str) -> bool:
    """Tell whether an IP address is one of the public internet, and no other way to write one that is not."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return is_public(str(ip.ipv4_mapped))
        if ip in _NAT64:
            return is_public(str(ipaddress.IPv4Address(ip.packed[-4:])))
        if ip.sixtofour is not None or ip.teredo is not None:
            return False
    return ip.is_global and not ip.is_multicast


class _Deadline(threading.local):
    """When the call of this thread must be over, by the monotonic clock."""

    at = math.inf

    def left_s(self, timeout: float | None, error: type[httpcore.TimeoutException]) -> float | None:
        left_s = self.at - time.monotonic()
        if left_s <= 0:
            raise error("the call took too long")
        return timeout if left_s == math.inf else left_s if timeout is None else min(timeout, left_s)


class _TimedStream(httpcore.NetworkStream):
    """A connection whose calls end by the deadline, also with a receiver that sends a byte now and then."""

    def __init__(self, inner: httpcore.NetworkStream, deadline: _Deadline) -> None:
        self._inner, self._deadline = inner, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, self._deadline.left_s(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, self._deadline.left_s(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left_s = self._deadline.left_s(timeout, httpcore.ConnectTimeout)
        return _TimedStream(self._inner.start_tls(ssl_context, server_hostname, left_s), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class GuardedBackend(httpcore.NetworkBackend):
    """Connects to what a name resolves to, after the check of that very address."""

    def __init__(self, *, allow_private: bool) -> None:
        self._allow_private = allow_private
        self._inner = httpcore.SyncBackend()
        self._deadline = _Deadline()

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Let whatever this thread asks of the network within the block be over in time, or fail."""
        self._deadline.at = time.monotonic() + seconds
        try:
            yield
        finally:
            self._deadline.at = math.inf

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to a host.

        Raises
        ------
        InvalidWebhookError
            It resolves to an address that webhooks may not go to.
        """
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise httpcore.ConnectError("the name of the host is not known") from error
        addresses = [str(entry[4][0]) for entry in found]
        if not self._allow_private and not all(map(is_public, addresses)):
            raise InvalidWebhookError("the host is at a private or loopback address (ICR_WEBHOOK_PRIVATE allows it)")
        failure: Exception = httpcore.ConnectError("the host has no address")
        for address in addresses:
            try:
                left_s = self._deadline.left_s(timeout, httpcore.ConnectTimeout)
                stream = self._inner.connect_tcp(address, port, left_s, local_address, socket_options)
                return _TimedStream(stream, self._deadline)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
