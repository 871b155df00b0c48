"""Commands that answer at once: what each of them loads, and what it must leave alone."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.support.system import wait_until
from worker.system.local_token import read_local_token

HEAVY = {
    "alembic", "celery", "cv2", "fastapi", "kombu", "numpy", "onnxruntime", "opentelemetry.sdk.resources", "PIL",
    "psutil", "redis", "rich", "sqlalchemy", "torch", "watchdog",
}  # fmt: skip
TELL = f"""
import atexit, sys
atexit.register(lambda: print("loaded", *sorted({HEAVY!r} & set(sys.modules)), file=sys.stderr))
from worker.cli import main
main()
"""


@pytest.mark.parametrize(
    ("command", "needed"),
    [
        ("--help", set()),
        ("schema reading", set()),
        ("health", set()),
        ("status", {"sqlalchemy"}),
        ("results", {"sqlalchemy"}),
    ],
)
def test_a_brief_command_loads_only_what_it_needs(
    command: str, needed: set[str], sqlite_template: Path, tmp_path: Path
) -> None:
    assert _loaded_by(command, sqlite_template, tmp_path) == needed


@pytest.mark.parametrize(("command", "needed"), [("health", {"redis"}), ("status", {"redis", "sqlalchemy"})])
def test_a_command_asks_redis_without_loading_metrics(
    command: str, needed: set[str], sqlite_template: Path, tmp_path: Path
) -> None:
    nobody = {"ICR_BROKER_URL": f"unix://{tmp_path}/nobody.sock"}
    assert _loaded_by(command, sqlite_template, tmp_path, **nobody) == needed


def _loaded_by(command: str, sqlite_template: Path, tmp_path: Path, **settings: str) -> set[str]:
    shutil.copy(sqlite_template, tmp_path / "icr.db")
    environment = os.environ | {"ICR_HOME": str(tmp_path)} | settings
    ended = subprocess.run(
        [sys.executable, "-c", TELL, *command.split()], env=environment, capture_output=True, text=True, check=False
    )
    (told,) = [line for line in ended.stderr.splitlines() if line.startswith("loaded")]
    return set(told.split()[1:])


def test_the_server_shows_its_pages_without_arrays_decoders_or_the_queue(sqlite_template: Path, tmp_path: Path) -> None:
    shutil.copy(sqlite_template, tmp_path / "icr.db")
    environment = os.environ | {"ICR_HOME": str(tmp_path)}
    said = tmp_path / "said"
    with said.open("w") as output:
        server = subprocess.Popen([sys.executable, "-c", TELL, "serve", "--port", "0"], env=environment, stderr=output)
    try:
        wait_until(lambda: "station at" in said.read_text() or server.poll() is not None, 120, "the server starts")
        address = re.search(r"http://[\d.:]+", said.read_text())
        assert address, said.read_text()
        with httpx.Client(base_url=address[0], follow_redirects=True, timeout=60) as client:
            assert client.get("/enter", params={"token": read_local_token(tmp_path)}).status_code == 200
            for path in ("/", "/overview", "/v1/fields?status=review", "/v1/audits"):
                assert client.get(path).status_code == 200, path
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(30)
    (told,) = [line for line in said.read_text().splitlines() if line.startswith("loaded")]
    assert set(told.split()[1:]) <= {"fastapi", "rich", "sqlalchemy"}, "each costs 7 to 25 MB for as long as it runs"
