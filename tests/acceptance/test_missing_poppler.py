"""Without poppler a PDF waits in the folder, the other scans are read, and the reason is said."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.scan_files import pdf
from tests.support.system import Home, draw_scan


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path / "var", PATH=str(tmp_path))
    yield home
    home.stop()


def test_a_pdf_waits_in_the_folder_until_poppler_is_there(home: Home) -> None:
    draw_scan(home.inbox / "free" / "picture.png", 7)
    (home.inbox / "paper.pdf").write_bytes(pdf())
    answer = home.icr("up", "--once", timeout_s=120)
    assert answer.returncode == 2, answer.stderr
    assert home.states() == {"done": 1}
    assert (home.inbox / "paper.pdf").exists()
    assert "apt install poppler-utils" in home.said()


def test_a_pdf_sent_as_a_job_fails_with_the_reason(home: Home) -> None:
    path = home.inbox / ".hidden" / "paper.pdf"
    path.parent.mkdir()
    path.write_bytes(pdf())
    home.start("up")
    assert home.icr("migrate").returncode == 0
    assert home.icr("submit", str(path)).returncode == 0
    home.wait_for_states(failed=1)
    assert "apt install poppler-utils" in home.rows("SELECT error_reason FROM jobs")[0][0]
