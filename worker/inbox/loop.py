"""The loop of the watcher, driven by native events and rescans; it reports what goes wrong and tries again."""

from __future__ import annotations

import contextlib
import threading
import time
from pathlib import Path

import redis
import structlog
import watchfiles

from worker.bootstrap import Runtime
from worker.errors import IcrError
from worker.inbox import folder, walking
from worker.inbox.probing import Prober
from worker.inbox.watcher import Watcher
from worker.queue.beats import keep_name, name_here, name_patience_s, record_beat, take_name, touch_beat_file
from worker.queue.publishing import Publisher
from worker.queue.reconciler import reconcile_in_turn
from worker.system.private_redis import HomeLock

log = structlog.get_logger(__name__)

TICK_S = 0.25
ROLE = "watcher"

MOST_WATCHED = 1000
"""Folders from which events are asked for; in others, the rescans find what is new."""


def choose_name(runtime: Runtime, name: str | None) -> str:
    """Return the name that this watcher leaves its beats under: the given one, or the first free one of this host."""
    if name:
        return name_here(name)
    try:
        return take_name(runtime.redis_client(), ROLE, patience_s=name_patience_s(runtime.settings))
    except redis.RedisError:
        return name_here(ROLE)


def watch_inbox(runtime: Runtime, *, once: bool, stop: threading.Event, name: str) -> bool:
    """Watch the folder until told to stop or, if ``once``, until all has ended; False if something is stuck.

    Raises
    ------
    SettingsError
        Another watcher has this folder.
    """
    inbox, publisher = runtime.inbox, Publisher(runtime)
    folder.prepare(inbox)
    prober, changed = Prober(runtime.settings, inbox), threading.Event()
    with HomeLock(inbox / folder.WORKING / "lock"), contextlib.closing(prober):
        threading.Thread(target=_listen, args=(inbox, changed, stop), daemon=True).start()
        watcher = Watcher(publisher, prober)
        rescan_at = 0.0
        while not stop.is_set():
            try:
                if time.monotonic() >= rescan_at:
                    watcher.recover()
                    changed.set()
                    rescan_at = time.monotonic() + runtime.settings.rescan_s
                if changed.is_set() or watcher.wants_more:
                    changed.clear()
                    watcher.look()
                watcher.step()
                if once and watcher.idle:
                    break
            except (IcrError, OSError) as error:
                log.warning("the watcher waits", reason=str(error))
                stop.wait(1.0)
            _do_rounds(publisher, name)
            changed.wait(min(TICK_S, watcher.due_s))
        return not watcher.stuck


def _do_rounds(publisher: Publisher, name: str) -> None:
    """Show that the watcher works, and look for lost jobs."""
    try:
        client = publisher.runtime.redis_client()
        record_beat(client, name)
        touch_beat_file(publisher.runtime.settings.beat_file)
        keep_name(client, name, patience_s=name_patience_s(publisher.runtime.settings))
        reconcile_in_turn(publisher)
    except (IcrError, redis.RedisError) as error:
        log.debug("could not look for lost jobs", reason=str(error))


def _listen(inbox: Path, changed: threading.Event, stop: threading.Event) -> None:
    """Wake the loop at every change; without events, as on network drives, the rescans find everything.

    Each folder is watched by itself: who watches whatever lies below goes through links, and one to ``/`` is enough.
    """

    def concerns(_change: watchfiles.Change, path: str) -> bool:
        top = Path(path).relative_to(inbox).parts[:1]
        return bool(top) and top[0] not in folder.OUTCOMES and not walking.is_passed_over(Path(path).name)

    while not stop.is_set():
        folders = walking.list_folders(inbox, most=MOST_WATCHED)
        try:
            for changes in watchfiles.watch(
                *folders,
                watch_filter=concerns,
                stop_event=stop,
                debounce=200,
                step=50,
                recursive=False,
                yield_on_timeout=True,
            ):
                if changes:
                    changed.set()
                if changes and not any(Path(path).is_dir() for _, path in changes):
                    continue
                if walking.list_folders(inbox, most=MOST_WATCHED) != folders:
                    changed.set()  # for what was written into a new folder before it was watched
                    break
            else:
                stop.wait(5.0)
        except (OSError, RuntimeError) as error:
            log.warning("no events from the folder; looking every rescan only", reason=str(error))
            stop.wait(5.0)
