"""A template is corrected, and its scans are read again: real queue, real worker, real folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.data import PROJECT
from tests.support.system import Home, processes_of, wait_until

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path / "home", ICR_TEMPLATES=str(tmp_path / "forms"))
    yield home
    home.stop()
    wait_until(lambda: not processes_of(home.folder), 20, "no process is left behind")


def write_template(folder: Path, *names: str) -> None:
    """Write the shipped meter card's template as a form of our own, with fewer fields."""
    whole = json.loads((PROJECT / "schemas/templates/meter-card.json").read_text())
    fields = [field for field in whole["fields"] if field["name"] in names]
    folder.mkdir(exist_ok=True)
    (folder / "card.json").write_text(json.dumps({**whole, "name": "card", "fields": fields, "rules": []}))


def test_scans_of_a_corrected_template_are_read_again(home: Home, tmp_path: Path) -> None:
    write_template(tmp_path / "forms", "route")
    (home.inbox / "card").mkdir(parents=True)
    shutil.copy(PROJECT / "samples/meter-card/card-1.png", home.inbox / "card")
    home.icr("up", "--once", timeout_s=120)
    ((field_id,),) = home.rows("SELECT id FROM fields")
    assert home.icr("correct", str(field_id), "77", "--by", "anna").returncode == 0
    write_template(tmp_path / "forms", "route", "persons")
    told = home.icr("reread", "--template", "card")
    assert "queued to be read again: 1 scan of card" in told.stdout, told.stderr
    again = home.icr("up", "--once", timeout_s=120)
    assert again.returncode == 0, again.stderr + home.said()
    fields = home.rows("SELECT name, origin, final_text FROM fields ORDER BY id")
    assert [name for name, *_ in fields] == ["route", "persons"]
    assert fields[0][1:] == ("reviewer", "77")
    assert home.states() == {"done": 1}
