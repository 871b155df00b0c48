"""Programs that send scans: by messages in Redis, and by HTTP with an ``Idempotency-Key``."""

from __future__ import annotations

import json
import queue
import random
import socket
import threading
import time
import uuid
from pathlib import Path

import httpx
import redis

from tests.chaos.scans import REPLACED, Scan, make_scan, put
from tests.chaos.systems import System, ask
from worker.system.local_token import FILE

LATE = 0.1
"""Share of the messages that are quicker than their files."""

RESEND_S = 20.0
"""A sender that finds no row of its job sends it again: until then the message in Redis is the only copy."""

STALLED, IMPATIENT, TWICE = 0.05, 0.1, 0.2
"""Shares of the posts before which one stops half-way, whose sender hears no answer, that are sent again once known."""

IMPATIENCE_S = 0.03
SENDERS = 3


class Messages:
    """Jobs as messages of another program, each sent again until the database knows it."""

    def __init__(self, system: System, outbox: Path, dice: random.Random) -> None:
        self._system, self._outbox, self._dice = system, outbox, dice
        self.scans: dict[str, list[Scan]] = {}
        self._sent_at: dict[str, float] = {}
        self._replace_at: dict[str, float] = {}
        self.resent = 0

    def add(self, scan: Scan) -> None:
        """Take a scan to be sent; some files are replaced by another one after a moment, and either may be read."""
        job_id = str(uuid.UUID(int=self._dice.getrandbits(128), version=4))
        self.scans[job_id] = [scan]
        self._sent_at[job_id] = 0.0
        if self._dice.random() < REPLACED:
            self.scans[job_id].append(make_scan(scan.number, serial=1))
            self._replace_at[job_id] = time.monotonic() + self._dice.uniform(0, 3)

    def send(self) -> None:
        """Send every job of which the database knows nothing, and again after a while; replace files."""
        for job_id, at in list(self._replace_at.items()):
            if time.monotonic() > at and self._path(job_id).exists():
                put(self._path(job_id), self.scans[job_id][1].content)
                del self._replace_at[job_id]
        if not self._sent_at:
            return
        known = ask(self._system, "SELECT id FROM jobs WHERE source = 'message'")
        if known is None:
            return
        for (job_id,) in known:
            self._sent_at.pop(job_id, None)
        for job_id, at in list(self._sent_at.items()):
            if time.monotonic() - at > RESEND_S and not self._send(job_id, again=at > 0):
                return

    def _send(self, job_id: str, *, again: bool) -> bool:
        path = self._path(job_id)
        is_late = not path.exists() and self._dice.random() < LATE
        if not path.exists() and not is_late:
            put(path, self.scans[job_id][0].content)
        try:
            self._push(job_id, path)
        except redis.RedisError:
            return False
        finally:
            if is_late:
                time.sleep(0.2)
                put(path, self.scans[job_id][0].content)
        self.resent += again
        self._sent_at[job_id] = time.monotonic()
        return True

    def _path(self, job_id: str) -> Path:
        return self._outbox / self.scans[job_id][0].name

    def _push(self, job_id: str, path: Path) -> None:
        message = {
            "body": json.dumps([[{"uri": path.as_uri(), "id": job_id, "template": "field"}], {}, {}]),
            "content-type": "application/json",
            "content-encoding": "utf-8",
            "headers": {"task": "icr.read_scan", "id": job_id},
            "properties": {"delivery_tag": str(uuid.uuid4()), "delivery_info": {}, "priority": 4},
        }
        with redis.Redis(unix_socket_path=str(self._system.redis_socket), socket_timeout=2) as client:
            client.lpush("icr", json.dumps(message))


class Posts:
    """Threads that post scans until each is answered, whatever happens to the server meanwhile."""

    def __init__(self, system: System, seed: int) -> None:
        self._system, self._seed = system, seed
        self._waiting: queue.SimpleQueue[Scan] = queue.SimpleQueue()
        self._open: set[int] = set()
        self._stop = threading.Event()
        self._stalled: list[socket.socket] = []
        self.scans: dict[str, Scan] = {}
        self.tries = 0
        self.stalled = 0
        self.problems: list[str] = []
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(SENDERS)]
        for thread in self._threads:
            thread.start()

    def add(self, scan: Scan) -> None:
        """Take a scan to be posted."""
        self._open.add(scan.number)
        self._waiting.put(scan)

    @property
    def open(self) -> int:
        """The number of scans that no server has taken yet."""
        return len(self._open)

    def close(self) -> None:
        """End the threads, and the connections that stall."""
        self._stop.set()
        for thread in self._threads:
            thread.join(30)
        for connection in self._stalled:
            connection.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                scan = self._waiting.get(timeout=0.2)
            except queue.Empty:
                continue
            dice = random.Random(f"{self._seed} {scan.number}")
            if dice.random() < STALLED:
                self._stall(scan)
            if dice.random() < IMPATIENT:
                self._post(scan, IMPATIENCE_S)
            while (job_id := self._post(scan, 20.0)) is None and not self._stop.wait(0.5):
                pass
            if job_id is None:
                return
            self.scans[job_id] = scan
            if dice.random() < TWICE and (again := self._post(scan, 20.0)) not in (None, job_id):
                self.problems.append(f"scan {scan.number} was posted as {job_id}, and again as {again}")
            self._open.discard(scan.number)

    def _post(self, scan: Scan, timeout_s: float) -> str | None:
        """Post a scan once; return the id of its job, None if there was no answer or one that asks for patience."""
        self.tries += 1
        headers = {"Idempotency-Key": f"chaos-{self._seed}-{scan.number}"}
        try:
            headers["Authorization"] = f"Bearer {(self._system.home.folder / FILE).read_text().strip()}"
            answer = httpx.post(
                f"{self._system.http}/v1/scans",
                params={"template": "field"},
                content=scan.content,
                headers=headers,
                timeout=timeout_s,
            )
        except (httpx.TransportError, OSError):
            return None
        if answer.status_code in (200, 202):
            return str(answer.json()["id"])
        if answer.status_code not in (408, 429, 500, 502, 503, 504):
            self.problems.append(f"scan {scan.number}: HTTP {answer.status_code} {answer.text[:200]}")
        if answer.status_code == 500:
            self.problems.append(f"scan {scan.number}: HTTP 500 {answer.text[:200]}")
        return None

    def _stall(self, scan: Scan) -> None:
        """Send half of a scan and no more, on a connection that stays."""
        host, port = self._system.http.removeprefix("http://").split(":")
        try:
            token = (self._system.home.folder / FILE).read_text().strip()
            connection = socket.create_connection((host, int(port)), 2)
            head = (
                f"POST /v1/scans?template=field HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n"
                f"Idempotency-Key: chaos-{self._seed}-{scan.number}\r\nContent-Length: {len(scan.content)}\r\n\r\n"
            )
            connection.sendall(head.encode() + scan.content[: len(scan.content) // 2])
        except OSError:
            return
        self.stalled += 1
        self._stalled.append(connection)
