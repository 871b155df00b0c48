"""Text of strangers (names, references, reasons, reviewers) reaches terminals and spreadsheets harmless."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import socket
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.data import PROJECT
from tests.support.readings import claim, make_field, make_page
from tests.support.readings import read as store
from worker import cli
from worker.bootstrap import connect_redis
from worker.output.csv_lines import defuse
from worker.queue.beats import record_beat
from worker.store.engine import make_engine
from worker.store.jobs import fail_job
from worker.store.registering import register_job
from worker.store.reviews import correct_field
from worker.system.private_redis import PrivateRedis
from worker.values import FieldStatus

NASTY = "\x1b]0;owned\x07\x1b[2J\x9b31m\r\nforged line\tok\u202egnp\u2028\x7f"
FORMULA = "=HYPERLINK(1);@x"
COMMANDS = [
    ("status",),
    ("status", "--format", "json"),
    *(("results", "--format", kind) for kind in ("table", "jsonl", "csv")),
    ("results", "--review"),
    ("results", "--reference", f"{NASTY}{FORMULA}"),
    *(("low-confidence", "--format", kind) for kind in ("table", "jsonl", "csv")),
    *(("export", "--format", kind) for kind in ("jsonl", "csv")),
    ("export", "--wide", "--delimiter", ";"),
    ("health",),
    ("retry", f"no-such{NASTY}"),
    ("submit", f"/nowhere/{NASTY}.png"),
    ("read", f"/nowhere/{NASTY}.png"),
    ("template", "check", f"/nowhere/{NASTY}.json", "/nowhere/a.png"),
    ("correct", "1", "--confirm", "--by", f"Eve{NASTY}"),
    ("settle", "1", "--by", f"Eve{NASTY}"),
    ("reread", "--template", NASTY),
    ("doctor",),
]


SAYS_LITTLE = ("correct", "low-confidence", "settle")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Path:
    """Return a home in whose every text a stranger has had a hand."""
    home = tmp_path_factory.mktemp("home")
    shutil.copy(sqlite_template, home / "icr.db")
    engine = make_engine(f"sqlite:///{home / 'icr.db'}")
    page = make_page(
        0,
        make_field("sum", "701", FieldStatus.ACCEPTED),
        make_field(f"count{NASTY}", "38", FieldStatus.REVIEW, 0.7),
        make_field(f"left{NASTY}", "39", FieldStatus.REVIEW, 0.7),
    )
    uri = (home / f"{NASTY.replace('/', '')}.png").as_uri()
    store(engine, page, uri=uri, reference=f"{NASTY}{FORMULA}", template=NASTY)
    correct_field(engine, 2, "39", who=f"{FORMULA}{NASTY}")
    register_job(
        engine, job_id=f"bad{NASTY}", sha256="f" * 64, uri=f"/x/{NASTY}", size=1, template=NASTY, reference=FORMULA,
        priority=5, source="test", duplicates="skip",
    )  # fmt: skip
    taken = claim(engine, f"bad{NASTY}", NASTY)
    assert taken is not None
    fail_job(engine, taken, kind="unreadable", reason=f"cannot read {NASTY}")
    engine.dispose()
    inbox = home / "inbox"
    inbox.mkdir()
    (inbox / f"link{NASTY}").symlink_to("/")
    return home


@pytest.fixture
def icr(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Return what runs a command in this process and returns all that it says."""
    monkeypatch.setattr(cli, "_save_time", lambda: None)  # this process goes on
    for name in [name for name in os.environ if name.startswith("ICR_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("ICR_HOME", str(home))

    def run(*arguments: str) -> str:
        with pytest.raises(SystemExit):
            cli.main(arguments)
        said = capsys.readouterr()
        return said.out + said.err

    return run


def test_no_output_of_any_command_holds_what_a_terminal_obeys(
    home: Path, icr: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    redis = PrivateRedis(home)
    redis.start()
    try:
        with connect_redis(f"unix://{redis.socket}") as client:
            record_beat(client, f"worker{NASTY}@{socket.gethostname()}")
        for command in COMMANDS:
            if command == ("doctor",):
                monkeypatch.setenv(f"ICR_NO{NASTY}", "1")
            said = icr(*command)
            assert "owned" in said or command[0] in SAYS_LITTLE, (command, said)
            left = [c for c in said if c not in "\r\n" and unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp")]
            assert left == [] and "\r" not in said.replace("\r\n", ""), (command, said)
            assert not any(line.startswith("forged") for line in said.splitlines())
    finally:
        redis.stop()


def test_no_command_writes_a_line_past_what_makes_it_harmless() -> None:
    past = [
        f"{path.name}: {line.strip()}"
        for path in (PROJECT / "worker/commands").glob("*.py")
        if path.name not in ("saying.py", "lab.py", "fields_lab.py", "readers_lab.py")
        for line in path.read_text("utf-8").splitlines()
        if "click.echo(" in line and not re.search(r'json|harmless|_next_steps|\(""\)', line)
    ]
    assert past == []


def test_json_lines_still_hold_the_text_as_it_is(icr: Callable[..., str]) -> None:
    (page,) = map(json.loads, icr("export").splitlines())
    assert page["reference"] == f"{NASTY}{FORMULA}"


@pytest.mark.parametrize("kind", [("export", "--format", "csv"), ("export", "--wide"), ("results", "--format", "csv")])
def test_no_cell_of_a_table_is_a_formula_with_whatever_delimiter_it_is_opened(
    icr: Callable[..., str], kind: tuple[str, ...]
) -> None:
    said = icr(*kind).removeprefix("\ufeff")
    for delimiter in ",;\t":
        for row in csv.reader(io.StringIO(said), delimiter=delimiter):
            for cell in row:
                assert not cell.startswith(tuple("=+@\t\r\n\uff1d\uff0b\uff0d\uff20")), row


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1+2", "'-1+2"),
        ("-12.50", "-12.50"),
        ("@SUM(A1)", "'@SUM(A1)"),
        (" =1+1", "' =1+1"),
        ("\t=1", "\ufffd=1"),
        ("\uff1d1+1", "'\uff1d1+1"),
        ("\uff0d2", "'\uff0d2"),
        ("-", "'-"),
        ("a;=1+1", "a;'=1+1"),
        ("a,@x;-3", "a,'@x;-3"),
        ("2 - 1", "2 - 1"),
        ("a\x1b[0m", "a\ufffd[0m"),
        (-5, -5),
        (None, None),
        ([1, -2], "[1, -2]"),
    ],
)
def test_cells_that_a_spreadsheet_would_run_are_defused(cell: object, written: object) -> None:
    assert defuse(cell) == written
