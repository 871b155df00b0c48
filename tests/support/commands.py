"""The commands of ``icr``, run within a test's own process and database."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import Engine

from worker.bootstrap import build_runtime
from worker.cli import icr

Run = Callable[..., Result]


def make_run(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs a command on a database, with a home of its own."""
    monkeypatch.setenv("ICR_DATABASE_URL", engine.url.render_as_string(hide_password=False))
    monkeypatch.setenv("ICR_HOME", str(tmp_path / "home"))
    runtime = replace(build_runtime(), engine=lambda: engine)
    return lambda *arguments: CliRunner().invoke(icr, [str(a) for a in arguments], obj=runtime, catch_exceptions=False)


def lines(result: Result) -> list[dict]:
    """Return the JSON objects that a command printed, one a line."""
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]
