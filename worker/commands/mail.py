"""``icr mail``: scans that come by mail."""

from __future__ import annotations

import signal
import threading

import click

from worker.bootstrap import Runtime
from worker.commands.entry import pass_runtime, ready_engine
from worker.commands.saying import say


@click.group()
def mail() -> None:
    """Take in what is attached to the messages of a mailbox (ICR_MAIL_HOST)."""


@mail.command("watch")
@click.option("--once", is_flag=True, help="End when the messages that lie there have been taken in.")
@pass_runtime
def watch(runtime: Runtime, once: bool) -> None:
    """Watch the mailbox and hand what is attached to the queue; 'icr up' does it, too."""
    from worker.mail.mailbox import check_settings
    from worker.telemetry.logs import configure_logging

    check_settings(runtime.settings)
    ready_engine(runtime)
    configure_logging(runtime.settings.log_level)
    from worker.mail.watching import take_in_once, watch_mailbox
    from worker.queue.beats import free_name, name_here

    if once:
        say(f"{take_in_once(runtime)} messages taken in")
        return
    stop, name = threading.Event(), name_here("mail")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    watch_mailbox(runtime, stop=stop, name=name)
    free_name(runtime.redis_client(), name)


@mail.command("check")
@pass_runtime
def check(runtime: Runtime) -> None:
    """Sign in to the mailbox, make the folders for what was taken in, and say how many messages wait."""
    import contextlib

    from worker.mail.mailbox import Mailbox

    with contextlib.closing(Mailbox(runtime.settings)) as mailbox:
        waiting = len(mailbox.list_messages())
    say(f"{waiting} messages wait in {runtime.settings.mail_folder} of {runtime.settings.mail_user}")
