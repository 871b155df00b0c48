"""Commands that answer at once: what each of them loads, and what it must leave alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {
    "alembic", "celery", "cv2", "fastapi", "kombu", "numpy", "onnxruntime", "PIL", "redis", "rich", "sqlalchemy",
    "torch", "watchdog",
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
        ("health", {"redis"}),
        ("status", {"redis", "sqlalchemy"}),
        ("results", {"sqlalchemy"}),
    ],
)
def test_a_brief_command_loads_only_what_it_needs(
    command: str, needed: set[str], sqlite_template: Path, tmp_path: Path
) -> None:
    environment = os.environ | {"ICR_HOME": str(tmp_path), "ICR_DATABASE_URL": f"sqlite:///{sqlite_template}"}
    ended = subprocess.run(
        [sys.executable, "-c", TELL, *command.split()], env=environment, capture_output=True, text=True, check=False
    )
    (told,) = [line for line in ended.stderr.splitlines() if line.startswith("loaded")]
    assert set(told.split()[1:]) == needed, ended.stderr
