"""The short form of ``make bench`` runs, and what gets worse by a tenth is said."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.compare import find_worse
from tests.support.data import PROJECT
from worker.rasterizer import find_poppler

KEPT = json.loads((PROJECT / "docs" / "reference" / "speed.json").read_text("utf-8"))


@pytest.mark.skipif(find_poppler() is not None, reason="poppler is not installed")
@pytest.mark.timeout(120)
def test_the_short_form_measures_all_that_is_kept_but_the_peers(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.benchmarks.speed.ratios", "--short", "--rounds", "1"]
    ended = subprocess.run(
        [*command, "--json", str(tmp_path / "now.json")], cwd=PROJECT, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    found = json.loads((tmp_path / "now.json").read_text("utf-8"))
    kept = {name for name in KEPT["measures"] if not name.startswith("exam page")}
    assert {name for name in found["measures"] if not name.startswith("classify")} == {
        name for name in kept if not name.startswith("classify")
    }
    assert all(one["ms"] > 0 for one in found["measures"].values())


def test_a_ratio_that_is_worse_by_a_tenth_is_said_and_no_other() -> None:
    assert find_worse(KEPT, KEPT) == []
    now = copy.deepcopy(KEPT)
    now["measures"]["register"]["times"] *= 1.2
    now["measures"]["decode and read"]["times"] *= 1.09
    now["measures"]["icr status"]["times"] *= 0.5
    now["measures"]["icr results"].update(ms=1.0, times=99.0)
    (said,) = find_worse(KEPT, now)
    assert said.startswith("register: ")
    del now["measures"]["register"]
    assert find_worse(KEPT, now) == ["register: not measured"]


def test_figures_of_another_page_are_not_compared() -> None:
    with pytest.raises(ValueError, match="another"):
        find_worse(KEPT, KEPT | {"page": "another"})
