"""docs/architecture.md is the map of the tree: every room and module, and two walks that pass each room once.

No other page names a file that is not there.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.data import PROJECT

PAGE = (PROJECT / "docs" / "architecture.md").read_text("utf-8")
ROOTS = ("schemas", "migrations", "worker")
WALKS = ("From a file in the folder to a row", "A page through `read_page`")
OFF_THE_WAY = {"worker/__main__.py", "worker/errors.py", "worker/synthesis/", "worker/training/"}


PAGES = [*PROJECT.glob("*.md"), *(PROJECT / "docs").rglob("*.md")]
NAMED_PATH = re.compile(r"(?<![\w/.-])(?:worker|schemas|migrations|tests|samples)/[\w./-]*\w(?![\w*<])")


def rooms_of_the_map() -> dict[str, set[str]]:
    rows = re.findall(r"^\| `([^`]+)` \| [^|]+ \| ?([^|]*)\|$", PAGE, re.MULTILINE)
    return {room: set(re.findall(r"`(\w+)`", modules)) for room, modules in rows}


def rooms_of_the_tree() -> dict[str, set[str]]:
    """Return the packages with their modules; a module right under ``worker/`` is a room of its own."""
    rooms = {f"worker/{path.name}": set[str]() for path in (PROJECT / "worker").glob("*.py") if path.stem != "__init__"}
    for root in ROOTS:
        for init in (PROJECT / root).rglob("__init__.py"):
            name = str(init.parent.relative_to(PROJECT))
            if name not in ("worker", "migrations/versions"):
                rooms[f"{name}/"] = {path.stem for path in init.parent.glob("*.py") if path.stem != "__init__"}
    return rooms


def rooms_on_the_way() -> list[str]:
    steps = []
    for walk in WALKS:
        (section,) = re.findall(rf"^## {re.escape(walk)}\n(.*?)^## ", PAGE, re.MULTILINE | re.DOTALL)
        steps += re.findall(r"^\d+\. `([^`]+)`", section, re.MULTILINE)
    return [f"worker/{step}" for step in steps]


@pytest.mark.parametrize("room", sorted({*rooms_of_the_map(), *rooms_of_the_tree()}))
def test_the_map_has_every_module_and_no_other(room: str) -> None:
    there, told = rooms_of_the_tree().get(room), rooms_of_the_map().get(room)
    assert there is not None, f"{room} is gone: take its line out of docs/architecture.md"
    assert told is not None, f"{room} is new: give it a line in docs/architecture.md"
    assert told == there, f"{room}: new {sorted(there - told)}, gone {sorted(told - there)} in docs/architecture.md"


def test_the_walks_pass_each_room_once() -> None:
    on_the_way = rooms_on_the_way()
    assert len(on_the_way) == len(set(on_the_way))
    first_level = {room for room in rooms_of_the_tree() if room.startswith("worker/") and len(Path(room).parts) == 2}
    assert set(on_the_way) == first_level - OFF_THE_WAY


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_what_a_page_names_is_there(page: Path) -> None:
    named = NAMED_PATH.findall(page.read_text("utf-8"))
    assert [path for path in named if not (PROJECT / path).exists() and not (PROJECT / f"{path}.py").exists()] == []
