"""Watch a mailbox until told to stop: take in what is there, then wait for more; connect anew after every break."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable

import redis
import structlog

from worker.bootstrap import Runtime
from worker.errors import IcrError
from worker.mail.intake import Intake
from worker.mail.mailbox import Mailbox
from worker.queue.beats import record_beat, touch_beat_file
from worker.queue.publishing import Publisher

log = structlog.get_logger(__name__)

FIRST_PAUSE_S, LONGEST_PAUSE_S = 2.0, 300.0
"""Between tries to connect: a server that locks an account after wrong passwords is not asked every second."""

CONNECTED_S = 20 * 60.0
"""Servers sign out who idles for half an hour (RFC 2177); a new connection looks through the folder in any case."""


def watch_mailbox(runtime: Runtime, *, stop: threading.Event, name: str) -> None:
    """Take in messages until told to stop; ``name`` leaves beats meanwhile."""
    pause_s = FIRST_PAUSE_S

    def beat() -> None:
        with contextlib.suppress(redis.RedisError):
            record_beat(runtime.redis_client(), name)
        touch_beat_file(runtime.settings.beat_file)

    with contextlib.closing(Intake(Publisher(runtime))) as intake:
        while not stop.is_set():
            try:
                with contextlib.closing(Mailbox(runtime.settings)) as mailbox:
                    until = time.monotonic() + CONNECTED_S
                    while not stop.is_set() and time.monotonic() < until:
                        intake.take_in(mailbox, beat)
                        pause_s = FIRST_PAUSE_S
                        mailbox.wait(runtime.settings.mail_poll_s, stop, beat)
            except (IcrError, OSError) as error:
                log.warning("the mailbox waits", reason=str(error), pause_s=pause_s)
                _pause(pause_s, stop, beat)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


def take_in_once(runtime: Runtime) -> int:
    """Take in what lies in the mailbox now; return how many messages were moved.

    Raises
    ------
    TransientError
        The mailbox, the database or the disk is away.
    """
    with (
        contextlib.closing(Intake(Publisher(runtime))) as intake,
        contextlib.closing(Mailbox(runtime.settings)) as mailbox,
    ):
        return intake.take_in(mailbox)


def _pause(pause_s: float, stop: threading.Event, beat: Callable[[], None]) -> None:
    until = time.monotonic() + pause_s
    while not stop.wait(min(1.0, max(0.0, until - time.monotonic()))) and time.monotonic() < until:
        beat()
