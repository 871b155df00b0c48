"""``icr export`` and ``icr purge``: results leave, and go."""

from __future__ import annotations

import csv
import io
import os
import re
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, select, update

from tests.support.commands import Run, lines, make_run
from tests.support.readings import CHECK, PAGE, make_field, make_page, read
from worker.errors import SettingsError
from worker.store.engine import writing
from worker.store.tables import JobRow
from worker.values import FieldStatus


@pytest.fixture
def run(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    return make_run(engine, tmp_path, monkeypatch)


def test_export_is_one_object_a_page_with_digits(engine: Engine, run: Run, tmp_path: Path) -> None:
    read(engine, PAGE, make_page(1))
    pages = lines(run("export", "--format", "jsonl"))
    assert [len(page["fields"]) for page in pages] == [3, 0]
    assert pages[0]["fields"][0]["digits"][0] == {"digit": 7, "confidence": 0.999, "box": [10, 30, 18, 28]}
    assert pages[0]["fields"][0]["final"] == "701"
    target = tmp_path / "out.csv"
    assert run("export", "--format", "csv", "--out", target).exit_code == 0
    assert len(target.read_text().splitlines()) == 5
    with pytest.raises(Exception, match="cannot write"):
        run("export", "--out", tmp_path / "missing" / "out.jsonl")


def test_the_wide_export_is_one_row_a_form(
    engine: Engine, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read(engine, CHECK, reference="order 7")
    read(engine, make_page(0, make_field("sum", "0701", FieldStatus.ACCEPTED)))
    target = tmp_path / "out.csv"
    options = ("--delimiter", ";", "--decimal-mark", ",", "--out", target)
    assert run("export", "--wide", *options).exit_code == 0
    rows = list(csv.DictReader(io.StringIO(target.read_text("utf-8-sig")), delimiter=";"))
    assert [(row["amount"], row["sum"], row["awaits review"]) for row in rows] == [
        ("123,45", "", "date"),
        ("", "0701", ""),
    ]
    for mistaken in (["--decimal-mark", ","], ["--format", "jsonl"], ["--format", "xlsx"]):
        assert run("export", "--wide", *mistaken).exit_code == 2
    assert run("export", "--format", "xlsx").exit_code == 2
    monkeypatch.setitem(sys.modules, "xlsxwriter", None)
    with pytest.raises(SettingsError, match=re.escape("pip install '.[xlsx]'")):
        run("export", "--wide", "--format", "xlsx", "--out", tmp_path / "out.xlsx")


def test_purge_asks_and_deletes_our_scans_in_any_inbox_and_no_others(engine: Engine, run: Run, tmp_path: Path) -> None:
    done, other = tmp_path / "home/inbox/done", tmp_path / "other/failed/done"
    for folder in (done, other, done.parent / ".working", tmp_path / "other/.working"):
        folder.mkdir(parents=True)
    names = ("a b.png", os.fsdecode(b"caf\xe9.png"), os.fsdecode(b"100%41.png"), "Zähler\n#1?.png")
    ours = [*(done / name for name in names), other / "in a folder called done.png"]
    sent, outside, away = done / "sent.png", tmp_path / "c.png", tmp_path / "gone/done/d.png"
    for path, source in [*((path, "inbox") for path in (*ours, away)), (sent, "submit"), (outside, "message")]:
        if path != away:
            path.write_bytes(b"scan")
            path.with_name(path.name + ".reason.txt").write_bytes(b"why")
        read(engine, uri=path.as_uri(), source=source)
    with writing(engine) as connection:
        ended = connection.execute(select(JobRow.finished_at)).scalars().first()
        assert ended is not None
        connection.execute(update(JobRow).values(finished_at=ended - timedelta(days=91)))
    old = ("purge", "--older-than", "90d")
    assert "would delete 0 jobs" in run(*old).stdout and "kept 8 jobs that await review" in run(*old).stdout
    planned = run(*old, "--with-review").stdout
    assert planned.startswith("would delete 8 jobs") and "nothing was deleted: add --delete" in planned
    assert run(*old, "--with-review", "--delete").exit_code == 1, "nobody answered"
    assert all(path.exists() for path in ours)
    result = run(*old, "--with-review", "--delete", "--yes")
    assert result.stdout.startswith("deleted 7 jobs, 5 files, 7 scans, 7 pages, 21 fields, 35 digits")
    assert result.exit_code == 1 and "kept 1 job whose file cannot be deleted" in result.stderr
    assert [path.exists() for path in (*ours, sent, outside)] == [False] * 5 + [True, True]
    assert list(other.iterdir()) == [], "the reasons go, too"
    assert run("purge", "--older-than", "soon").exit_code == 2
