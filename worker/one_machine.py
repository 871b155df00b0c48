"""One-machine mode: a private Redis, the worker and the watcher, kept alive and stopped cleanly."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import redis
import structlog
import tenacity

from worker.bootstrap import Runtime
from worker.errors import BrokerDiskFullError, BrokerUnavailableError, DatabaseUnavailableError, SettingsError
from worker.queue.beats import beat_ages, name_here, silence_limit_s
from worker.store.engine import upgrade_database, wait_for_database
from worker.store.records import QueueSummary
from worker.store.summary import clock, count_ended, queue_summary
from worker.store.tables import JobState
from worker.system.local_token import is_loopback, local_address
from worker.system.private_files import append_to_private, make_private_folder
from worker.system.private_redis import LOCK, HomeLock, PrivateRedis, die_with_parent

log = structlog.get_logger(__name__)

TICK_S = 0.2
HEAL_S = 5.0
SILENCE_PATIENCE_S = 30.0
"""A flushed Redis forgets the last beat, and the next canary brings it back within seconds. The patience doubles each
time that a worker was restarted in vain, and grows with the load: where ten programs share a core, a start takes ten
times as long, and a worker that is killed before its end never begins to read."""

MOST_PATIENCE = 20.0
"""Times that the load may lengthen it: a worker that hangs must be started again within minutes on any machine."""

COLD_STOP_S = 20.0
"""Celery takes about 10 s to end after the grace time is over (measured)."""
START_PATIENCE_S = 3600.0
MAX_PAUSE_S = 30.0
MAX_LOG_BYTES = 10 * 2**20
WATCHER_IS_STUCK = 3
"""Exit code of ``icr watch --once`` when files are left that cannot be moved."""


class Part:
    """One child process: started, restarted when it dies, and stopped by its id."""

    def __init__(self, runtime: Runtime, name: str, arguments: list[str]) -> None:
        self.name = name
        self._arguments = arguments
        self._environment = _environment(runtime)
        self._log = runtime.logs_folder / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._pause_s = 0.5
        self.started = 0.0

    @property
    def exit_code(self) -> int | None:
        """The exit code of the process; None while it runs."""
        return self._process.poll() if self._process else 0

    def start(self) -> None:
        """Start the process, with its output in its log; it gets SIGTERM if this process is killed."""
        self.started = time.monotonic()
        self._trim_log()
        with append_to_private(self._log) as output:
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", "worker", *self._arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self._environment,
                start_new_session=True,
                preexec_fn=die_with_parent(signal.SIGTERM),
            )

    def revive(self) -> None:
        """Start the process again if it has died; after deaths at once the pauses grow. Keep its log short, too."""
        self._trim_log()
        if self.exit_code is None:
            return
        lived_s = time.monotonic() - self.started
        if lived_s < self._pause_s:
            return
        self._pause_s = 0.5 if lived_s > MAX_PAUSE_S else min(MAX_PAUSE_S, 2 * self._pause_s)
        log.warning("part died and is started again", part=self.name, exit_code=self.exit_code)
        try:
            self.start()
        except OSError as error:  # no room for its log, or for the process
            log.error("part cannot be started", part=self.name, reason=error.strerror)

    def _trim_log(self) -> None:
        """Put a log that has grown long aside and begin it anew, without a word to the process that appends to it."""
        with contextlib.suppress(OSError):  # no log yet, or no room for a copy
            if self._log.stat().st_size > MAX_LOG_BYTES:
                shutil.copy(self._log, self._log.with_suffix(".old.log"))
                os.truncate(self._log, 0)

    def ask_to_stop(self) -> None:
        """Send SIGTERM."""
        if self._process and self.exit_code is None:
            self._process.terminate()

    def wait(self, timeout_s: float) -> None:
        """Wait until the process has ended; kill it, with all its children, when the time is over."""
        if self._process is None:
            return
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            log.error("part does not stop and is killed", part=self.name)
            self.kill()
        with contextlib.suppress(ProcessLookupError):  # children that outlived their parent
            os.killpg(self._process.pid, signal.SIGKILL)

    def kill(self) -> None:
        """Kill the process and all its children."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended: its ended jobs by state, and whether files are stuck."""

    ended: dict[JobState, int]
    summary: QueueSummary
    stuck: bool

    @property
    def failed(self) -> int:
        """How many scans could not be read."""
        return self.ended[JobState.FAILED] + self.ended[JobState.DEAD]


class OneMachine:
    """The parts of one home and the loop that keeps them going."""

    def __init__(
        self, runtime: Runtime, *, once: bool, show: Callable[[QueueSummary], None], say: Callable[[str], None]
    ) -> None:
        self._runtime = runtime
        self._once = once
        self._show = show
        self._say = say
        self._stop = threading.Event()
        self._redis = None if runtime.settings.broker_url else PrivateRedis(runtime.home)
        self._worker_name, watcher_name = (_own_name(runtime, role) for role in ("worker", "watcher"))
        self._worker = Part(runtime, "worker", ["worker", "--name", self._worker_name])
        watch = ["watch", "--name", watcher_name, *(["--once"] if once else [])]
        self._watcher = Part(runtime, "watcher", watch)
        self._metrics = Part(runtime, "metrics", ["metrics"]) if runtime.settings.metrics_port else None
        self._station = None if once or not runtime.settings.serve_port else Part(runtime, "station", ["serve"])
        self._mail = None if once or not runtime.settings.mail_host else Part(runtime, "mail", ["mail", "watch"])
        self._silent_since: float | None = None
        self._silence_patience_s = SILENCE_PATIENCE_S
        self._heal_at = 0.0

    def run(self) -> Outcome:
        """Run until drained or told to stop; return what came of it.

        Raises
        ------
        SettingsError
            Another process runs this home.
        """
        for folder in (self._runtime.home, self._runtime.logs_folder):
            _make_folder(folder, make_private_folder)
        _make_folder(self._runtime.inbox, partial(Path.mkdir, parents=True, exist_ok=True))
        with HomeLock(self._runtime.home.resolve() / LOCK), _signals(self._stop), contextlib.ExitStack() as stack:
            self._say(f"watching {self._runtime.inbox}" + ("" if self._once else "  (Ctrl-C stops)"))
            if self._redis:
                stack.callback(self._redis.stop)
                self._start_redis(self._redis)
            engine = self._runtime.engine()
            wait_for_database(engine, START_PATIENCE_S, self._say)
            upgrade_database(engine)
            started_at = clock(engine)
            stack.callback(self._stop_parts)
            self._worker.start()
            self._watcher.start()
            if self._metrics:
                self._metrics.start()
            if self._station:
                self._start_station(self._station)
            if self._mail:
                self._mail.start()
            after = self._keep_going()
            ended = count_ended(engine, started_at)
        return Outcome(ended, after, self._watcher.exit_code == WATCHER_IS_STUCK)

    def stop(self) -> None:
        """End the loop."""
        self._stop.set()

    def _keep_going(self) -> QueueSummary:
        summary = queue_summary(self._runtime.engine(), failures=100)
        while not self._stop.wait(TICK_S):
            self._revive_redis()
            self._worker.revive()
            for part in (self._metrics, self._station, self._mail):
                if part:
                    part.revive()
            self._heal_silence()
            if not self._watcher_is_through:
                self._watcher.revive()
            with contextlib.suppress(DatabaseUnavailableError):
                summary = queue_summary(self._runtime.engine(), failures=100)
                with contextlib.suppress(OSError):  # our output may go to a full disk
                    self._show(summary)
                if self._watcher_is_through and not _is_open(summary):
                    break
        return summary

    @property
    def _watcher_is_through(self) -> bool:
        return self._once and self._watcher.exit_code in (0, WATCHER_IS_STUCK)

    def _start_redis(self, server: PrivateRedis) -> None:
        """Start the private Redis; on a full disk wait until there is room, as for the database."""

        def tell(state: tenacity.RetryCallState) -> None:
            error = state.outcome.exception() if state.outcome else None
            self._say(f"{error}; waiting for room")

        waiting = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(BrokerDiskFullError),
            wait=tenacity.wait_exponential_jitter(multiplier=0.2, max=5),
            stop=tenacity.stop_after_delay(START_PATIENCE_S) | tenacity.stop_when_event_set(self._stop),
            before_sleep=tell,
            reraise=True,
        )
        waiting(server.start)
        self._tell_damage(server)

    def _tell_damage(self, server: PrivateRedis) -> None:
        if server.damage:
            log.error(server.damage)
            self._say(server.damage)

    def _start_station(self, station: Part) -> None:
        """Serve the pages and say where, unless another program has the port."""
        settings = self._runtime.settings
        if _is_taken(settings.serve_host, settings.serve_port):
            self._say(f"{settings.serve_host}:{settings.serve_port} is taken: set ICR_SERVE_PORT to serve the station")
            self._station = None
            return
        station.start()
        if is_loopback(settings.serve_host):
            scheme = "https" if settings.serve_certificate else "http"
            address = local_address(self._runtime.home, settings.serve_host, settings.serve_port, scheme)
            self._say(f"station at {address}")

    def _revive_redis(self) -> None:
        if self._redis and not self._redis.alive:
            log.warning("Redis died and is started again")
            try:
                self._redis.start()
                self._tell_damage(self._redis)
            except (BrokerUnavailableError, OSError) as error:
                log.error("Redis does not start", reason=str(error))
                self._stop.wait(1.0)

    def _heal_silence(self) -> None:
        """Restart a worker that runs but lets no canary through, unless Redis itself does not answer."""
        if time.monotonic() < self._heal_at:
            return
        self._heal_at = time.monotonic() + HEAL_S
        try:
            age_s = beat_ages(self._runtime.redis_client()).get(name_here(self._worker_name), float("inf"))
        except redis.RedisError:
            return
        now = time.monotonic()
        if age_s <= silence_limit_s(self._runtime.settings):
            self._silent_since, self._silence_patience_s = None, SILENCE_PATIENCE_S
        elif self._silent_since is None or self._silent_since < self._worker.started:
            self._silent_since = now
        elif now - self._silent_since > self._silence_patience_s * _crowdedness():
            log.error("the worker is alive and silent, and is started again")
            self._worker.kill()
            self._silent_since, self._silence_patience_s = None, 2 * self._silence_patience_s

    def _stop_parts(self) -> None:
        grace_s = self._runtime.settings.shutdown_grace_s + COLD_STOP_S
        all_parts = (self._watcher, self._worker, self._metrics, self._station, self._mail)
        parts = [part for part in all_parts if part]
        for part in parts:
            part.ask_to_stop()
        for part in parts:
            part.wait(grace_s)


def _own_name(runtime: Runtime, role: str) -> str:
    """Name a part: as what it is on a private Redis, and by its home, too, where several homes share a Redis."""
    if runtime.settings.broker_url is None:
        return role
    return f"{role}-{hashlib.sha256(os.fsencode(runtime.home)).hexdigest()[:6]}"


def _make_folder(folder: Path, make: Callable[[Path], None]) -> None:
    try:
        make(folder)
    except OSError as error:
        raise SettingsError(f"{folder} cannot be made: {error.strerror}") from error
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise SettingsError(f"{folder} cannot be written: give it to this user, or set another")


def _is_taken(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError:
        return True
    return False


def _crowdedness() -> float:
    """Return how many programs want each processor; 1 where there are enough."""
    return min(MOST_PATIENCE, max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1)))


def _is_open(summary: QueueSummary) -> bool:
    return bool(summary.counts[JobState.QUEUED] or summary.counts[JobState.RUNNING])


def _environment(runtime: Runtime) -> dict[str, str]:
    """Return the environment of the parts: the same home and inbox wherever they are started."""
    return {**os.environ, "ICR_HOME": str(runtime.home), "ICR_INBOX": str(runtime.inbox)}


@contextlib.contextmanager
def _signals(stop: threading.Event) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end the loop instead of the process."""
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
