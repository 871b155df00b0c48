"""The systemd units of docs/how-to/operate.md, as systemd itself reads them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.data import PROJECT
from worker.cli import COMMANDS
from worker.settings import Settings

BLOCKS = re.findall(r"^```ini\n(.*?)^```", (PROJECT / "docs/how-to/operate.md").read_text(), re.MULTILINE | re.DOTALL)
TEXT = "\n".join(BLOCKS)
UNITS = [block for block in BLOCKS if block.startswith("[Unit]")]
(MORE,) = [block for block in BLOCKS if not block.startswith("[Unit]")]


def test_commands_and_settings_of_the_units_exist() -> None:
    assert set(re.findall(r"/bin/icr (\w+)", TEXT)) <= set(COMMANDS)
    named = {name.removeprefix("ICR_").lower() for name in re.findall(r"ICR_[A-Z_]+", TEXT)}
    assert named | set(re.findall(r"LoadCredential=icr_(\w+):", TEXT)) <= set(Settings.model_fields)


def test_every_folder_that_a_unit_names_is_made_before() -> None:
    """The backup of the first night failed for want of its folder."""
    guide = (PROJECT / "docs/how-to/operate.md").read_text()
    made = set(" ".join(re.findall(r"^install -d (.*)$", guide, re.MULTILINE)).split())
    named = {path.rpartition("/")[0] if "icr-" in path else path for path in re.findall(r"/srv/icr[^\s']*", TEXT)}
    assert {"/srv/icr/inbox", "/srv/icr/backups"} <= named <= made


def test_a_stop_waits_longer_than_a_scan_in_hand_may_take() -> None:
    (patience,) = re.findall(r"TimeoutStopSec=(\d+)", UNITS[0])
    assert int(patience) > Settings().shutdown_grace_s + 30


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze")
@pytest.mark.parametrize("unit", [*UNITS, UNITS[0].replace("\n\n[Install]", f"\n{MORE}\n[Install]")])
def test_systemd_takes_the_units(unit: str, tmp_path: Path) -> None:
    program = tmp_path / "icr"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    path = tmp_path / ("icr.timer" if "[Timer]" in unit else "icr.service")
    (tmp_path / "icr.service").write_text("[Service]\nExecStart=/bin/true\n")
    path.write_text(unit.replace("/opt/icr/.venv/bin/icr", str(program)))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(path)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    about_it = [line for line in (done.stdout + done.stderr).splitlines() if path.name in line]
    assert done.returncode == 0 and about_it == [], done.stderr


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze")
def test_a_mistake_in_a_unit_would_be_found(tmp_path: Path) -> None:
    path = tmp_path / "icr.service"
    path.write_text(
        UNITS[0].replace("Restart=always", "Restart=alwys").replace("/opt/icr/.venv/bin/icr up", "/bin/true")
    )
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(path)], capture_output=True, text=True, timeout=60
    )
    assert "alwys" in done.stderr
