"""Passwords: hashed with argon2, checked a few at a time, and not guessed by trying."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from dataclasses import dataclass, field

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from worker.errors import InvalidUserError

_hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
"""OWASP Password Storage Cheat Sheet: argon2id with 19 MiB, 2 passes, 1 lane."""

_NOBODY = _hasher.hash("nobody has this password")
"""What is checked where there is no user, so that the time of an answer does not tell whether there is one."""

_turns = threading.Semaphore(2)
"""Checks at once: each takes 19 MiB."""

LEAST, MOST = 10, 1000
"""Characters; NIST SP 800-63B asks for 8 at least and no rules beside length, and no hash of a novel."""


def hash_password(password: str) -> str:
    """Return the hash of a new password.

    Raises
    ------
    InvalidUserError
        It is too short or too long.
    """
    if not LEAST <= len(password) <= MOST:
        raise InvalidUserError(f"a password has {LEAST} to {MOST} characters")
    return _hasher.hash(password)


def is_password(password: str, hashed: str | None) -> bool:
    """Tell whether a password is the one; it takes as long where there is no hash."""
    with _turns:
        try:
            _hasher.verify(hashed or _NOBODY, password[: MOST + 1].encode("utf-8", "surrogateescape"))
        except (VerificationError, InvalidHashError):
            return False
    return hashed is not None


WINDOW_S = 300.0
MOST_KEPT = 10_000


@dataclass(slots=True)
class FailureLimits:
    """Counts failed tries by whom they were for and where they came from, within ``WINDOW_S``, in this process."""

    per_name_and_address: int = 5
    per_address: int = 30
    per_name: int = 60
    _failures: OrderedDict[tuple[str, ...], deque[float]] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def wait_s(self, name: str, address: str) -> float:
        """Return the seconds until the next try is allowed, 0 if it is now."""
        with self._lock:
            return max(self._wait_of(key, most) for key, most in self._keys(name, address))

    def note(self, name: str, address: str) -> None:
        """Count a failure."""
        with self._lock:
            for key, _ in self._keys(name, address):
                self._failures.setdefault(key, deque(maxlen=100)).append(time.monotonic())
                self._failures.move_to_end(key)
            while len(self._failures) > MOST_KEPT:
                self._failures.popitem(last=False)

    def _keys(self, name: str, address: str) -> list[tuple[tuple[str, ...], int]]:
        return [
            (("both", name, address), self.per_name_and_address),
            (("address", address), self.per_address),
            (("name", name), self.per_name),
        ]

    def _wait_of(self, key: tuple[str, ...], most: int) -> float:
        times, now = self._failures.get(key, deque()), time.monotonic()
        while times and times[0] < now - WINDOW_S:
            times.popleft()
        return 0.0 if len(times) < most else times[-most] + WINDOW_S - now
