"""The runtime of a process: what it makes, when, and that importing makes nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from worker.bootstrap import OncePerProcess, build_runtime, read_settings
from worker.errors import SettingsError
from worker.queue.app import make_app
from worker.settings import Settings


def test_importing_every_module_builds_no_celery_app_and_patches_nothing() -> None:
    program = (
        "import importlib, json, pkgutil, sys, kombu.transport, celery._state as state\n"
        "before = dict(kombu.transport.TRANSPORT_ALIASES)\n"
        "import worker\n"
        "for found in pkgutil.walk_packages(worker.__path__, 'worker.'):\n"
        "    if not found.name.startswith(('worker.training', 'worker.__main__')):\n"
        "        importlib.import_module(found.name)\n"
        "same = before == kombu.transport.TRANSPORT_ALIASES\n"
        "print(json.dumps([same, len(state._apps), 'onnxruntime' in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [True, 0, False]


def test_a_value_is_made_once_a_process_and_again_in_a_forked_child() -> None:
    made: list[int] = []
    value = OncePerProcess(lambda: made.append(os.getpid()) or os.getpid())
    assert value() == value() == os.getpid() and made == [os.getpid()]
    child = os.fork()
    if child == 0:
        os._exit(0 if value() == value() == os.getpid() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert value() == os.getpid() and len(made) == 1


def test_two_runtimes_share_nothing(tmp_path: Path) -> None:
    one, other = (build_runtime(Settings(home=tmp_path / name)) for name in ("one", "other"))
    assert one.engine() is one.engine() is not other.engine()
    assert make_app(one).conf.broker_url != make_app(other).conf.broker_url
    assert one.inbox == tmp_path / "one" / "inbox" and one.scan_roots == (one.inbox.resolve(),)


def test_a_malformed_setting_is_named_before_anything_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ICR_MAX_PAGES", "many")
    with pytest.raises(SettingsError, match="ICR_MAX_PAGES"):
        read_settings()
    with pytest.raises(SettingsError, match="ICR_MAX_PAGES"):
        build_runtime()
