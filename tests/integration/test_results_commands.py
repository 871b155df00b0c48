"""``icr results`` and its kin, as people and scripts call them."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine

from schemas.form_template import FieldGrammar
from schemas.scan_job import MAX_REFERENCE
from tests.support.commands import Run, lines, make_run
from tests.support.data import PROJECT
from tests.support.readings import CHECK, PAGE, make_field, make_page, read
from worker.doubts import Doubt, DoubtKind, describe_doubt
from worker.errors import DoubtfulReviewError, InvalidReviewError, StaleReviewError
from worker.output.csv_lines import defuse
from worker.store import rereading
from worker.store.registering import record_invalid_job
from worker.values import FieldStatus, PageReading


@pytest.fixture
def run(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    return make_run(engine, tmp_path, monkeypatch)


def test_results_are_one_line_a_field(engine: Engine, run: Run) -> None:
    job = read(engine, PAGE, PageReading(1, 10, 20, problem="does not register"), reference="order 7")
    found = lines(run("results", "--format", "jsonl"))
    assert [(f["name"], f["text"], f["final"], f["origin"], f["status"]) for f in found[:3]] == [
        ("sum", "701", "701", "machine", "accepted"),
        ("count", "38", None, None, "review"),
        ("rest", "", "", "machine", "blank"),
    ]
    assert found[3]["field_id"] is None
    assert found[3]["error"] == "does not register"
    assert {(f["job"], f["reference"]) for f in found} == {(job, "order 7")}
    assert lines(run("results", "--format", "jsonl", "--reference", "none of mine")) == []
    assert len(lines(run("results", "--format", "jsonl", "--limit", 2))) == 2


def test_the_table_shows_every_field_and_why(engine: Engine, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    read(engine, PAGE, PageReading(1, 10, 20, problem="does not register"))
    shown = run("results").stdout
    for part in ("701", "38", "confidence 0.700 is below the 0.980 needed", "does not register", "review", "accepted"):
        assert part in shown
    assert "nothing there" in run("results", "--job", "unknown").stdout


LONG_NUMBER = "12345678901234567890"


@pytest.mark.parametrize("columns", ["40", "80", None])
@pytest.mark.parametrize("options", [[], ["--review"]])
def test_numbers_fields_and_verdicts_are_whole_at_any_width(
    engine: Engine, run: Run, monkeypatch: pytest.MonkeyPatch, columns: str | None, options: list[str]
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns:
        monkeypatch.setenv("COLUMNS", columns)
    doubts = (Doubt(DoubtKind.LOW_CONFIDENCE, found=0.99657, needed=0.99686), Doubt(DoubtKind.UNREAD_INK))
    field = replace(make_field("meter_reading", LONG_NUMBER, FieldStatus.REVIEW, 0.99657), doubts=doubts)
    name = "a long name of a scan that came from somewhere far away 0017.png"
    read(engine, make_page(0, field), uri=f"file:///scans/{name}")
    head, row, *notes = run("results", *options).stdout.splitlines()
    for part in ("meter_reading", LONG_NUMBER, "0.99657", "review"):
        assert part in row
    assert head.split() == ["id", "scan", "page", "field", "number", "confidence", "verdict"]
    assert [note.strip() for note in notes] == list(map(describe_doubt, doubts)), "one line a doubt"
    assert (name in row) == (columns is None)
    if columns == "80":
        assert len(row) <= 80 and "0017.png" in row


def test_pages_count_from_1_in_tables_and_csv_and_from_0_for_programs(engine: Engine, run: Run) -> None:
    read(engine, make_page(0, make_field("sum", "701", FieldStatus.ACCEPTED)))
    assert run("results").stdout.splitlines()[1].split()[2] == "1"
    (row,) = csv.DictReader(io.StringIO(run("results", "--format", "csv").stdout))
    assert row["page"] == "1"
    assert lines(run("results", "--format", "jsonl"))[0]["page"] == 0


def test_what_a_person_decided_is_the_number_and_the_verdict(engine: Engine, run: Run) -> None:
    read(engine)
    (waiting,) = lines(run("results", "--review", "--format", "jsonl"))
    run("correct", waiting["field_id"], "39", "--by", "anna")
    shown = run("results").stdout
    assert "39" in shown and "corrected" in shown and "the machine read '38'" in shown
    run("correct", waiting["field_id"], "38", "--by", "anna")
    assert "confirmed" in run("results").stdout


def test_a_refused_job_is_shown_with_its_reason(engine: Engine, run: Run) -> None:
    record_invalid_job(engine, "bad", "template: no such name", job_id="own", reference="order 7")
    for option in (("--job", "own"), ("--reference", "order 7")):
        (line,) = lines(run("results", *option, "--format", "jsonl"))
        assert (line["status"], line["error"], line["job"]) == ("failed", "template: no such name", "own")
        shown = run("results", *option).stdout
        assert "failed" in shown and "template: no such name" in shown
    (row,) = csv.DictReader(io.StringIO(run("results", "--job", "own", "--format", "csv").stdout))
    assert row["error"] == "template: no such name"
    assert "nothing there" in run("results").stdout


@pytest.mark.parametrize("asked", [str.upper, lambda i: i.replace("-", ""), "{{{}}}".format, "urn:uuid:{}".format, str])
def test_a_job_is_found_however_its_id_is_written(engine: Engine, run: Run, asked: Callable[[str], str]) -> None:
    own = "07da9d84-0f3a-4a6e-9a53-5d2a8f1d7e11"
    record_invalid_job(engine, "bad", "template: no such name", job_id=own)
    (line,) = lines(run("results", "--job", asked(own), "--format", "jsonl"))
    assert line["job"] == own


def test_a_refused_message_is_found_by_what_stood_for_its_id_and_by_a_reference_too_long(
    engine: Engine, run: Run
) -> None:
    record_invalid_job(engine, "bad", "id: no UUID", job_id="own", reference="order-7")
    record_invalid_job(engine, "worse", "reference: too long", job_id="other", reference="x" * MAX_REFERENCE)
    read(engine, reference="order-7")
    (line,) = lines(run("results", "--job", "order-7", "--format", "jsonl"))
    assert line["error"] == "id: no UUID"
    (line,) = lines(run("results", "--reference", "x" * 600, "--format", "jsonl"))
    assert line["error"] == "reference: too long"


def test_csv_has_the_same_columns_for_pages_fields_and_jobs(engine: Engine, run: Run) -> None:
    read(engine, PAGE, PageReading(1, 10, 20, problem="does not register"), reference="order 7")
    record_invalid_job(engine, "bad", "template: no such name", job_id="own", reference="order 7")
    for options in (["--review"], ["--reference", "order 7"]):
        rows = list(csv.DictReader(io.StringIO(run("results", *options, "--format", "csv").stdout)))
        assert {None} & {key for row in rows for key in row} == set(), "no cell without a heading"
        by_error = {row["error"]: row for row in rows}
        assert by_error["does not register"]["page"] == "2"
        assert {row["name"] for row in rows if row["field_id"]} <= {"sum", "count", "rest"}
        assert all(row["source"].endswith(".png") for row in rows if row["page"])


def test_what_is_said_of_a_page_stands_once_above_its_fields(engine: Engine, run: Run) -> None:
    read(engine, replace(PAGE, doubts=(Doubt(DoubtKind.DAMAGED_FILE, explanation="it ends too early"),)))
    shown = run("results").stdout
    assert shown.count("it ends too early") == 1
    assert "is below the 0.980 needed" in shown


def test_a_long_table_says_that_there_is_more(engine: Engine, run: Run) -> None:
    read(engine)
    result = run("results", "--limit", 2)
    assert "the first 2 lines" in result.stderr
    assert "the first" not in run("results", "--limit", 3).stderr


def test_csv_opens_in_a_spreadsheet_without_running_anything(engine: Engine, run: Run) -> None:
    read(engine, reference='=HYPERLINK("http://example.org")')
    rows = list(csv.DictReader(io.StringIO(run("results", "--format", "csv").stdout)))
    assert [row["text"] for row in rows] == ["701", "38", ""]
    assert rows[0]["reference"] == '\'=HYPERLINK("http://example.org")'
    assert rows[1]["reasons"] == '["confidence 0.700 is below the 0.980 needed"]'


def test_a_hostile_name_gives_the_terminal_no_orders(engine: Engine, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    read(engine, uri="file:///scans/%1B%5B2J%0A%E2%80%AEgnp.[red]x.png", reference="\x1b[31m")
    shown = run("results").stdout
    assert "\x1b[2J" not in shown
    assert "\u202e" not in shown
    assert "[red]x.png" in shown
    assert "\x1b" not in run("results", "--format", "jsonl").stdout


@pytest.mark.parametrize("text", ["=1", "+1", "-1+2", "-A1", "@x"])
def test_formulas_are_defused(text: str) -> None:
    assert defuse(text) == "'" + text
    assert defuse("701") == "701"
    assert defuse(-0.5) == -0.5


def test_low_confidence_is_one_line_a_digit(engine: Engine, run: Run) -> None:
    read(
        engine,
        make_page(0, *(make_field(n, "12", FieldStatus.ACCEPTED, c) for n, c in (("a", 0.9), ("b", 0.97)))),
    )
    found = lines(run("low-confidence", "--below", "0.95", "--format", "jsonl"))
    assert [(d["name"], d["position"], d["digit"], d["confidence"]) for d in found] == [("a", 0, 1, 0.9)]
    assert len(lines(run("low-confidence", "--below", "0.99", "--format", "jsonl"))) == 2
    assert run("low-confidence", "--below", "0.999").exit_code == 2


def test_correct_takes_a_field_off_the_queue(engine: Engine, run: Run) -> None:
    read(engine)
    (waiting,) = lines(run("results", "--review", "--format", "jsonl"))
    assert waiting["text"] == "38"
    result = run("correct", waiting["field_id"], "39", "--by", "anna")
    assert result.stdout == f"field {waiting['field_id']} (count): was '38', is '39', by anna\n"
    assert lines(run("results", "--review", "--format", "jsonl")) == []
    with pytest.raises(StaleReviewError):  # which is said in one line: ben saw the machine's 38
        run("correct", waiting["field_id"], "--confirm", "--by", "ben")
    assert [f["final"] for f in lines(run("results", "--format", "jsonl"))] == ["701", "39", ""]


@pytest.mark.parametrize(
    ("answer", "said"), [("277,40", "was '276,40', is '277,40'"), ("--confirm", "confirmed '276,40'")]
)
def test_correct_says_what_stood_there_with_its_marks(engine: Engine, run: Run, answer: str, said: str) -> None:
    """`was '27640'` was said of a field that reads 276,40."""
    read(engine, make_page(0, replace(make_field("sum", "27640", FieldStatus.REVIEW), written="276,40")))
    (waiting,) = lines(run("results", "--review", "--format", "jsonl"))
    result = run("correct", waiting["field_id"], answer, "--overrule", "--by", "anna")
    assert result.stdout == f"field {waiting['field_id']} (sum): {said}, by anna\n"


@pytest.mark.parametrize("most", [1, 2])
def test_reread_says_when_it_could_not_take_all(
    engine: Engine, run: Run, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(rereading, "MOST_AT_ONCE", most)
    read(engine, PageReading(0, 10, 20, template="meter-card", template_version="1"))
    said = run("reread", "--template", "meter-card").stderr
    assert ("run this again for the others" in said) is (most == 1)


def test_a_blank_page_says_that_it_has_no_fields(engine: Engine, run: Run) -> None:
    """Its line was empty behind the page's number, as if something had been lost."""
    read(engine, PAGE, PageReading(1, 10, 20, blank=True))
    assert re.search(r"^page \d+ .* 2 +no fields$", run("results").stdout, re.MULTILINE)


def test_an_amount_and_a_date_say_what_they_mean(engine: Engine, run: Run) -> None:
    read(engine, CHECK)
    found = lines(run("results", "--format", "jsonl"))
    assert [(f["name"], f["final_value"], f["currency"]) for f in found] == [
        ("amount", 12345, "USD"),
        ("date", None, None),
        ("number", None, None),
    ]
    assert found[0]["validation_sources"] == ["reader", "grammar US"]
    (page,) = lines(run("export"))
    assert [f["value"] for f in page["fields"]] == [{"minor_units": 12345, "currency": "USD"}, "2026-11-21", None]
    ids = [f["field_id"] for f in found]
    run("correct", ids[0], "128.45", "--by", "anna")
    run("correct", ids[1], "--confirm", "--by", "anna")
    (head, *rows) = csv.reader(io.StringIO(run("export", "--format", "csv").stdout))
    at = head.index("final_value")
    assert [row[at] for row in rows] == ["12845", "2026-11-21", ""], "a person's answer is parsed by the field's kind"
    assert [row[head.index("written")] for row in rows] == ["123.45", "11/21/2026", "104"]
    with engine.connect() as connection:
        in_sql = connection.exec_driver_sql(
            "SELECT machine_value, final_value, currency, kind, machine_written FROM final_fields ORDER BY field_id"
        ).all()
    assert [tuple(row) for row in in_sql] == [
        ("12345", "12845", "USD", "amount", "123.45"),
        ("2026-11-21", "2026-11-21", None, "date", "11/21/2026"),
        (None, None, None, "code", ""),
    ]


def test_pages_that_gave_nothing_await_review_until_settled(
    engine: Engine, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job is done when it is read; what it could not make out must still be seen."""
    monkeypatch.setenv("COLUMNS", "200")
    read(
        engine,
        PageReading(0, 10, 20, problem="unregistered"),
        PageReading(1, 10, 20, doubts=(Doubt(DoubtKind.NO_WRITING_FOUND),)),
    )
    read(engine, make_page(0, make_field("sum", "701", FieldStatus.ACCEPTED)))
    status = json.loads(run("status", "--format", "json").stdout)
    assert status["jobs"]["done"] == 2 and status["review"] == {"fields": 0, "pages": 2}
    assert "2 pages, 0 fields: 'icr results --review'" in run("status").stdout
    waiting = lines(run("results", "--review", "--format", "jsonl"))
    assert [(w["error"], w["doubt"], w["page"]) for w in waiting] == [
        ("unregistered", None, 0),
        (None, "no handwritten digits were found on the page", 1),
    ]
    shown = run("results").stdout
    assert (
        "unregistered" in shown
        and "no handwritten digits were found on the page" in shown
        and f"page {waiting[0]['page_id']}" in shown
    )
    assert "unregistered" in run("settle", waiting[0]["page_id"], "--by", "anna").stdout
    assert [w["page"] for w in lines(run("results", "--review", "--format", "jsonl"))] == [1]
    with pytest.raises(InvalidReviewError, match="awaits no review"):
        run("settle", waiting[0]["page_id"], "--by", "anna")
    assert [p["settled_by"] for p in lines(run("export"))] == ["anna", None, None]


def test_an_answer_that_does_not_fit_its_field_is_taken_only_where_a_person_overrules(engine: Engine, run: Run) -> None:
    read(engine, CHECK)
    amount = lines(run("results", "--format", "jsonl"))[0]["field_id"]
    for answer, wrong in (("12845", "shows no decimals"), ("-128.45", "a mark that the field does not expect")):
        with pytest.raises(DoubtfulReviewError, match=wrong):
            run("correct", amount, answer, "--by", "anna")
    assert run("correct", amount, "-128.45", "--overrule", "--by", "anna").exit_code == 0
    with engine.connect() as connection:
        kept = connection.exec_driver_sql("SELECT before, after, overruled FROM reviews").all()
        held = connection.exec_driver_sql("SELECT final_text, final_value FROM final_fields ORDER BY field_id").first()
    assert [(r.before, r.after) for r in kept] == [("12345", "-128.45")] and "does not expect" in kept[0].overruled
    assert tuple(held) == ("-128.45", None)


def test_negative_numbers_and_units_are_answers(engine: Engine, run: Run) -> None:
    grammar = FieldGrammar(kind="number", decimals=1, signed=True, separator=",", unit="m3")
    field = replace(make_field("volume", "125", FieldStatus.REVIEW, 0.5), grammar=grammar)
    read(engine, make_page(0, field))
    (waiting,) = lines(run("results", "--review", "--format", "jsonl"))
    for answer, meant in (("-12,5", "-12.5"), ("12,5 m3", "12.5"), ("1.234,5", "1234.5")):
        assert run("correct", waiting["field_id"], answer, "--by", "anna").exit_code == 0, answer
        (found,) = lines(run("results", "--format", "jsonl"))
        assert (found["final"], found["final_value"], found["unit"]) == (answer, meant, "m3")


def test_correct_wants_a_number_or_a_confirmation(run: Run) -> None:
    assert run("correct", "1").exit_code == 2
    assert run("correct", "1", "7", "--confirm").exit_code == 2


def test_without_a_database_it_says_what_to_do(tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ICR_")} | {"ICR_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "worker", "results"]
    result = subprocess.run(command, env=environment, cwd=PROJECT, capture_output=True, text=True)
    assert result.returncode == 1
    assert "icr: there is no database" in result.stderr
    assert "icr up" in result.stderr
    assert list(tmp_path.iterdir()) == []
