"""The real server for tests: uvicorn in a thread on a free port of the loopback, and a client that is signed in."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import httpx
import uvicorn
from sqlalchemy import Engine

from tests.support.system import wait_until
from worker.api.app import make_app
from worker.api.serving import listen
from worker.bootstrap import Runtime, build_runtime
from worker.inbox.posted import POSTED
from worker.settings import Settings
from worker.system.local_token import read_local_token


@contextmanager
def served(runtime: Runtime) -> Iterator[str]:
    """Serve an application on a free port; yield its address."""
    server = uvicorn.Server(uvicorn.Config(make_app(runtime), log_config=None, access_log=False))
    listener = listen("127.0.0.1", 0)
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        wait_until(lambda: server.started or not thread.is_alive(), 20, "uvicorn starts")
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)


@contextmanager
def client_of(runtime: Runtime) -> Iterator[httpx.Client]:
    """Serve an application; yield a client that bears the token of this machine."""
    headers = {"Authorization": f"Bearer {read_local_token(runtime.home)}"}
    with served(runtime) as address, httpx.Client(base_url=address, headers=headers, timeout=40) as client:
        yield client


class Stage:
    """One server for many tests, on the database and with the scans of the test at hand."""

    def __init__(self, settings: Settings) -> None:
        self.engine: Engine | None = None
        self.runtime = replace(build_runtime(settings), engine=self._engine)

    def _engine(self) -> Engine:
        assert self.engine is not None, "the test has set no database"
        return self.engine

    def enter(self, engine: Engine) -> None:
        """Begin a test: its own database, and no scan of the one before."""
        self.engine = engine
        shutil.rmtree(self.runtime.inbox / POSTED, ignore_errors=True)
