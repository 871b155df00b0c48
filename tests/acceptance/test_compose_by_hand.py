"""The processes of docker-compose.yml, started by hand with its commands, settings, secrets and probes."""

from __future__ import annotations

import os
import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.data import PROJECT
from tests.support.mail import PASSWORD, USER, mail_server
from tests.support.system import Home, draw_scan, wait_until
from worker.store.engine import make_engine
from worker.store.summary import queue_summary

pytestmark = pytest.mark.timeout(240)

SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((PROJECT / "docker-compose.yml").read_text())["services"]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


class Containers:
    """What stands in for containers: folders in place of mounts, and free ports in place of networks."""

    def __init__(self, folder: Path, database_url: str, mail_port: int) -> None:
        self.folder, self.mail_port = folder, mail_port
        self.ports = {name: str(free_port()) for name in ("6379", "8017", "9464")}
        for name in ("data", "templates", "scans", "secrets", "tmp"):
            (folder / name).mkdir(mode=0o700)
        (folder / "secrets" / "icr_database_url").write_text(database_url)
        (folder / "secrets" / "icr_mail_password").write_text(PASSWORD)

    def here(self, service: str, text: str) -> str:
        """Return a word of a service's part in the file as it reads on this machine."""
        text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)  # what compose makes of it where nothing is set
        text = text.replace("redis://redis:", "redis://127.0.0.1:").replace("0.0.0.0", "127.0.0.1")
        for port, free in self.ports.items():
            text = text.replace(port, free)
        for mount in ("/data", "/templates", "/scans"):
            text = text.replace(mount, f"{self.folder}{mount}")
        return text.replace("/tmp/beat", f"{self.folder}/tmp/{service}")

    def environment(self, service: str) -> dict[str, str]:
        told = {name: self.here(service, value) for name, value in SERVICES[service]["environment"].items()}
        home = {"ICR_HOME": str(self.folder / "data"), "CREDENTIALS_DIRECTORY": str(self.folder / "secrets")}
        if service == "station":
            told["ICR_SERVE_PORT"] = self.ports["8017"]
        if service == "mail":
            told |= {"ICR_MAIL_HOST": "127.0.0.1", "ICR_MAIL_PORT": str(self.mail_port), "ICR_MAIL_USER": USER}
            told["ICR_MAIL_SECURITY"] = "none"
        return {**told, **home}

    def is_healthy(self, service: str) -> bool:
        kind, *test = SERVICES[service]["healthcheck"]["test"]
        command = [self.here(service, word) for word in (["sh", "-c", *test] if kind == "CMD-SHELL" else test)]
        return subprocess.run(command, capture_output=True, timeout=30).returncode == 0


@pytest.fixture
def containers(tmp_path: Path, postgresql_url: str) -> Iterator[Containers]:
    with mail_server() as mail_port:
        containers = Containers(tmp_path, postgresql_url, mail_port)
        yield from with_redis(containers)


def with_redis(containers: Containers) -> Iterator[Containers]:
    command = [
        *SERVICES["redis"]["command"],
        "--port",
        containers.ports["6379"],
        "--dir",
        str(containers.folder / "tmp"),
    ]
    redis = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    yield containers
    redis.terminate()
    redis.wait()


def test_every_service_runs_and_is_healthy_and_a_scan_is_read(containers: Containers, postgresql_url: str) -> None:
    parts, waiting = {}, ("worker", "watcher", "station", "mail", "metrics")
    assert not any(map(containers.is_healthy, waiting))
    with ExitStack() as stack:
        for service in ("migrate", *waiting):
            program, *arguments = SERVICES[service]["command"]
            assert program == "icr"
            folder = containers.folder / f"log-{service}"
            part = parts[service] = Home(folder)
            own = {name: value for name, value in os.environ.items() if not name.startswith("ICR_")}
            part.env = {**own, **containers.environment(service)}
            stack.callback(part.stop)
            if service == "migrate":
                done = part.icr(*arguments)
                assert done.returncode == 0, done.stderr
            else:
                part.start(*arguments)
        draw_scan(containers.folder / "data/inbox/field/a.png", 1)
        for service in waiting:
            wait_until(lambda s=service: containers.is_healthy(s), 90, parts[service].said)  # type: ignore[misc]
        engine = make_engine(postgresql_url)
        stack.callback(engine.dispose)
        wait_until(lambda: queue_summary(engine).counts["done"] == 1, 60, parts["worker"].said)
