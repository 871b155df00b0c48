"""The logs of one-machine mode stay short while a part runs for years."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support.system import wait_until
from worker import one_machine
from worker.bootstrap import build_runtime, read_settings
from worker.one_machine import Part
from worker.system.private_files import is_open_to_others


def test_a_log_that_grows_is_put_aside_while_its_part_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(one_machine, "MAX_LOG_BYTES", 1000)
    talker = "import time\nfor i in range(9999): print('line', i, flush=True); time.sleep(0.005)"
    monkeypatch.setattr(sys, "executable", _program(tmp_path, talker))
    runtime = build_runtime(read_settings().model_copy(update={"home": tmp_path}))
    runtime.logs_folder.mkdir()
    part = Part(runtime, "worker", ["worker"])
    part.start()
    log, old = runtime.logs_folder / "worker.log", runtime.logs_folder / "worker.old.log"
    try:
        wait_until(lambda: (part.revive(), old.exists() and log.stat().st_size > 200)[1], 60)
    finally:
        part.kill()
    assert int(log.read_text().split()[1]) > 50, "what was put aside is in the log no more"
    assert b"\x00" not in log.read_bytes(), "the part appends, so it goes on at the new end"
    assert not is_open_to_others(old)


def _program(folder: Path, talker: str) -> str:
    (folder / "talk.py").write_text(talker)
    program = folder / "python"
    program.write_text(f"#!/bin/sh\nexec {sys.executable} {folder / 'talk.py'}\n")
    program.chmod(0o755)
    return str(program)
