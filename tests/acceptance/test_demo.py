"""``make run``'s last step: copies of the samples through the whole system; a second run does no harm."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.system import Home, draw_scan, processes_of


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path / "var")
    yield home
    home.stop()


def test_the_demo_shows_numbers_failures_and_duplicates(home: Home, tmp_path: Path) -> None:
    samples = tmp_path / "samples"
    good = draw_scan(samples / "free" / "good.png", 42)
    (samples / "damaged.png").write_bytes(good.read_bytes()[:300])
    (samples / "README.md").write_text("not a scan")

    first = home.icr("demo", "--samples", str(samples), timeout_s=120)
    assert first.returncode == 0, first.stderr + home.said()
    assert "1 scan read, 1 failed, 0 duplicates" in first.stdout
    assert "damaged.png: truncated PNG" in first.stdout
    assert "good.png  1" in first.stdout
    assert "icr.db" in first.stdout
    assert all(f"bin/icr {name}" in first.stdout for name in ("results", "correct", "up"))
    assert good.exists()
    assert home.listed("done") == ["good.png"]

    second = home.icr("demo", "--samples", str(samples), timeout_s=120)
    assert second.returncode == 0, second.stderr + home.said()
    assert "1 duplicate" in second.stdout
    assert home.rows("SELECT count(*) FROM pages") == [(1,)]
    assert processes_of(home.folder) == []


def test_a_folder_without_scans_is_said(home: Home, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    answer = home.icr("demo", "--samples", str(empty))
    assert answer.returncode == 1
    assert "no scans in" in answer.stderr


def test_the_home_is_private_before_the_inbox_is_made_in_it(tmp_path: Path) -> None:
    """Or ``icr doctor`` complains right after ``make run``."""
    home = Home(tmp_path / "clone", ICR_HOME=str(tmp_path / "clone" / "var"))
    draw_scan(tmp_path / "samples" / "free" / "good.png", 42)
    assert home.icr("demo", "--samples", str(tmp_path / "samples"), timeout_s=120).returncode == 0
    assert (tmp_path / "clone" / "var").stat().st_mode & 0o077 == 0
