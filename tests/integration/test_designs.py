"""Templates that are designed in the browser: drafted and read in processes of their own, saved where workers look."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.station import CARDS
from worker.bootstrap import Runtime, build_runtime
from worker.errors import InvalidJobError, InvalidTemplateError, UnreadableScanError
from worker.review.designs import (
    draft_design,
    find_design,
    find_problems,
    list_designs,
    read_design,
    save_design,
)
from worker.settings import Settings


@pytest.fixture
def runtime(tmp_path: Path) -> Runtime:
    return build_runtime(Settings(home=tmp_path / "home"))


def test_a_draft_is_read_and_saved_and_every_process_knows_it(runtime: Runtime) -> None:
    assert "card" not in runtime.templates()
    design = draft_design(runtime, "card", (CARDS / "card-1.png").read_bytes(), "filled")
    template = design.template()
    assert list_designs(runtime) == ["card"] and len(template["fields"]) == 12
    assert design.page.read_bytes().startswith(b"\x89PNG")
    texts = {field["text"] for field in read_design(design)["fields"]}
    assert "364855920" in texts
    assert find_problems(template) == []
    path = save_design(runtime, design)
    assert path == runtime.home / "templates" / "card.json"
    assert "card" in runtime.templates(), "without a restart"
    assert list_designs(runtime) == [] and find_design(runtime, "card") is None
    with pytest.raises(InvalidJobError, match="already"):
        draft_design(runtime, "card", b"", "")


@pytest.mark.parametrize("name", ["../etc", "Card", "free", ""])
def test_a_name_that_no_template_may_have_is_refused(runtime: Runtime, name: str) -> None:
    with pytest.raises(InvalidJobError, match="no name of a template"):
        draft_design(runtime, name, b"", "")


def test_a_file_that_is_no_scan_leaves_nothing_behind(runtime: Runtime) -> None:
    with pytest.raises(UnreadableScanError, match="not a PNG"):
        draft_design(runtime, "card", b"no picture at all", "")
    assert list_designs(runtime) == [] and list((runtime.home / "designs").iterdir()) == []


def test_problems_name_their_field() -> None:
    field = {"name": "a", "box_mm": [10, 10, 20, 8]}
    template = {
        "name": "card",
        "page_mm": [100, 50],
        "fields": [field, {**field, "name": "b", "box_mm": [25, 10, 9, 8]}],
    }
    (overlap,) = find_problems(template)
    assert overlap["field"] == "b" and "overlaps" in overlap["words"]
    template["fields"][1] |= {"box_mm": [40, 10, 9, 8], "kind": "nothing"}  # type: ignore[index]
    (unknown,) = find_problems(template)
    assert unknown["field"] == "b" and unknown["words"].startswith("kind")
    template |= {"fields": [], "rows": [{"count": 2, "pitch_mm": 10, "fields": [{**field, "kind": "nothing"}]}]}
    in_rows = find_problems(template)[0]
    assert in_rows["field"] == "a" and in_rows["words"].startswith("kind")
    template["rows"][0] |= {"count": 1, "fields": [field]}  # type: ignore[index]
    (too_few,) = find_problems(template)
    assert too_few["field"] == "" and too_few["words"].startswith("rows.0.count")


def test_changed_templates_are_taken_and_wrong_ones_are_not(runtime: Runtime) -> None:
    folder = runtime.own_templates
    folder.mkdir(parents=True)
    good = {"name": "own", "page_mm": [100, 50], "fields": [{"name": "a", "box_mm": [10, 10, 20, 8]}]}
    (folder / "own.json").write_text(json.dumps(good))
    assert "own" in runtime.templates()
    (folder / "own.json").write_text("{")
    assert "own" in runtime.templates(), "what was good goes on"
    with pytest.raises(InvalidTemplateError):
        build_runtime(runtime.settings).templates()
    (folder / "own.json").unlink()
    assert "own" not in runtime.templates()
