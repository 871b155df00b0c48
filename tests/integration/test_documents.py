"""Scans with separator sheets, on both databases: proposed, accepted or changed, found by their references."""

from __future__ import annotations

import re
import shutil
import uuid
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import zxingcpp
from PIL import Image
from sqlalchemy import Engine

from tests.support.http import served
from tests.support.readings import claim, make_field, register
from tests.support.scan_files import drawing, tiff
from worker.bootstrap import Runtime, build_runtime
from worker.errors import InvalidReviewError, StaleReviewError
from worker.output.page_json import print_page
from worker.page_kinds import FreePage
from worker.queue import reading_job, tasks
from worker.queue.publishing import Publisher
from worker.reader import read_file
from worker.separators import draw_sheet
from worker.settings import Settings
from worker.store import webhooks
from worker.store.awaiting import count_awaiting
from worker.store.documents import accept_split, list_proposals, load_proposal
from worker.store.jobs import get_job, store_readings
from worker.store.page_work import list_waiting_pages
from worker.store.purge import plan_purge
from worker.store.results import (
    Selection,
    _page_query,
    iter_pages,
    list_low_confidence,
    list_page_review_queue,
    list_review_queue,
)
from worker.store.review_queue import Wanted, take_fields
from worker.store.reviews import correct_field, settle_page
from worker.system.local_token import read_local_token
from worker.values import FieldStatus, Page, PageReading, Separator


def pages(*sheets: tuple[int, str]) -> list[PageReading]:
    said = {number: Separator("petty-cash", reference) for number, reference in sheets}
    return [PageReading(page=n, width_px=10, height_px=10, separator=said.get(n)) for n in range(6)]


DOUBTED = make_field("sum", "17", FieldStatus.REVIEW, 0.6)
BATCH = pages((0, "A"), (3, "B"))
"""A sheet, two pages, a sheet, two pages."""


def store(engine: Engine, batch: list[PageReading], *, trusts: bool = False, reference: str | None = None) -> str:
    held = claim(engine, register(engine, reference=reference))
    assert held and store_readings(engine, held, held.scan, batch, trusts_sheets=trusts)
    return held.id


def found(engine: Engine, reference: str) -> list[int]:
    return [page.page for page in iter_pages(engine, Selection(reference=reference))]


def test_a_split_changes_nothing_before_somebody_agrees(engine: Engine) -> None:
    job = store(engine, BATCH)
    assert [(row.id, row.documents) for row in list_proposals(engine, limit=9)] == [(job, 2)]
    assert found(engine, "A") == found(engine, "B") == []
    assert count_awaiting(engine, job) == 1, (
        "a person has yet to look at it, so it is not complete, and no purge takes it"
    )
    assert plan_purge(engine, timedelta(0)).awaiting_jobs == 1
    accept_split(engine, job, {1: "A", 4: "B"}, who="mira")
    assert found(engine, "A") == [1, 2] and found(engine, "B") == [4, 5], "pages keep their numbers"
    assert {page.page: page.reference for page in iter_pages(engine, Selection(job=job))}[4] != "A"
    assert list_proposals(engine, limit=9) == [] and count_awaiting(engine, job) == 0
    assert plan_purge(engine, timedelta(0)).awaiting_jobs == 0
    with pytest.raises(StaleReviewError):
        accept_split(engine, job, {1: "C"}, who="noor")


def test_every_list_names_the_document_of_a_page(engine: Engine) -> None:
    """The reference of the scan stays in the views, beside that of the document: an index finds it."""
    webhooks.add_endpoint(engine, "https://example.org", [])
    batch = [replace(page, fields=() if page.separator else (DOUBTED,)) for page in BATCH]
    batch[2] = replace(batch[2], problem="no form was found")
    job = store(engine, batch, reference="box 3")
    said = {1: "box 3", 2: "box 3", 4: "box 3", 5: "box 3"}
    assert {row.page: row.reference for row in list_review_queue(engine, limit=9)} == said
    accept_split(engine, job, {1: "A", 4: "B"}, who="mira")
    said = {1: "A", 2: "A", 4: "B", 5: "B"}
    fields = list_review_queue(engine, limit=9)
    assert {row.page: row.reference for row in fields} == said
    assert {row.page: row.reference for row in list_low_confidence(engine, below=0.95, limit=99)} == said
    assert [row.reference for row in list_page_review_queue(engine, limit=9)] == ["A"]
    assert {row.number: row.reference for row in list_waiting_pages(engine, limit=9)} == said
    leased = take_fields(engine, Wanted(), who="anna", station="station-anna", count=8, lease_s=60)
    assert {each.field.number: each.field.reference for each in leased} == said
    with engine.connect() as connection:
        views = ("final_fields", "review_queue", "page_review_queue", "low_confidence_digits")
        for view in views:
            rows = connection.exec_driver_sql(f"SELECT DISTINCT page, reference, document FROM {view}").all()
            assert {row.page: row.document for row in rows}.items() <= said.items(), view
            assert {row.reference for row in rows} == {"box 3"}
    for row in fields:
        correct_field(engine, row.field_id, "11", who="anna")
    settle_page(engine, fields[1].page_id, who="anna")
    told = [each.payload["data"] for each in webhooks.take_due(engine, limit=20)]
    reviewed = {data["page"]: data["document"] for data in told if "action" in data}
    assert reviewed == said
    complete = next(data for data in told if data.get("documents"))
    assert complete["documents"] == [
        {"first_page": 1, "last_page": 2, "reference": "A"},
        {"first_page": 4, "last_page": 5, "reference": "B"},
    ]


def test_a_person_may_change_it(engine: Engine) -> None:
    job = store(engine, BATCH)
    accept_split(engine, job, {1: "A", 2: "A2"}, who="mira")
    assert found(engine, "A") == [1] and found(engine, "A2") == [2, 3, 4, 5] and found(engine, "B") == []


@pytest.mark.parametrize("cuts", [{}, {4: "B"}, {0: "A"}, {1: "A", 9: "B"}, {1: "x" * 201}])
def test_a_split_that_is_none_is_refused(engine: Engine, cuts: dict[int, str]) -> None:
    job = store(engine, BATCH)
    with pytest.raises(InvalidReviewError):
        accept_split(engine, job, cuts, who="mira")
    proposal = load_proposal(engine, job)
    assert proposal is not None and not proposal.is_accepted


def test_pages_of_a_reference_are_found_by_an_index(engine: Engine) -> None:
    if engine.dialect.name != "sqlite":
        pytest.skip("PostgreSQL plans by the size of tables")
    query = _page_query(Selection(reference="A")).compile(engine, compile_kwargs={"literal_binds": True})
    with engine.connect() as connection:
        plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}")]
    assert not [step for step in plan if step.startswith("SCAN pages")], plan


def test_trusted_sheets_split_at_once(engine: Engine) -> None:
    store(engine, BATCH, trusts=True)
    assert found(engine, "B") == [4, 5] and list_proposals(engine, limit=9) == []


def test_a_scan_without_sheets_is_one_document(engine: Engine) -> None:
    job = store(engine, pages())
    assert load_proposal(engine, job) is None
    with pytest.raises(InvalidReviewError):
        accept_split(engine, job, {0: "A"}, who="mira")


@pytest.fixture
def runtime(tmp_path: Path, sqlite_template: Path) -> Runtime:
    shutil.copy(sqlite_template, tmp_path / "icr.db")
    (tmp_path / "inbox").mkdir()
    runtime = build_runtime(Settings(home=tmp_path, separators="ask"))
    return replace(runtime, recognizers=lambda: None)  # type: ignore[arg-type,return-value]


def test_a_batch_from_its_sheets_to_the_references_of_its_documents(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scan is read page by page, each in a slice of its own, as a long batch is; then a person agrees."""
    scan = runtime.inbox / "batch.tif"
    first, second = (
        draw_sheet(Separator(*said)).convert("1") for said in (("meter-card", "Ward 7"), ("gone", "Ward 8"))
    )
    scan.write_bytes(tiff([first, drawing(1), drawing(2), second.rotate(180), drawing(3)]))
    kinds: dict[int, Any] = {}

    def read_page(page: Page, kind: Any, *_: object) -> PageReading:
        kinds[page.number] = kind
        return PageReading(page.number, 300, 200)

    monkeypatch.setattr("worker.pipeline.read_page", read_page)
    monkeypatch.setattr(reading_job, "SLICE", 0.0)
    job_id, engine = str(uuid.uuid4()), runtime.engine()
    message = {"id": job_id, "uri": str(scan), "template": "petty-cash", "reference": "box 3"}
    for _ in range(5):
        tasks.run_message(Publisher(runtime), [message], {}, message_id=job_id)
    record = get_job(engine, job_id)
    assert record is not None and record.state == "done", record
    assert {n: kind.pages[0].name for n, kind in kinds.items()} == {
        1: "meter-card",
        2: "meter-card",
        4: "petty-cash",
    }, "the sheets themselves are not read, and a template that nobody knows is passed over"
    headers = {"Authorization": f"Bearer {read_local_token(runtime.home)}"}
    with served(runtime) as address, httpx.Client(base_url=address, headers=headers, timeout=60) as client:
        assert f"/splits/{job_id}" in client.get("/splits").text
        shown = client.get(f"/splits/{job_id}").text
        assert shown.count("separator sheet<") == 2 and shown.count(" checked") == 2 and 'value="Ward 8"' in shown
        assert client.post(f"/splits/{job_id}", data={"begins-0": "1"}).status_code == 409
        assert client.post(f"/splits/{job_id}", data={"begins-one": "1"}).status_code == 422
        agreed = {
            "begins-1": "1",
            "reference-1": "Ward 7a ",
            "reference-2": "not ticked",
            "begins-4": "1",
            "reference-4": "Ward 8",
        }
        assert client.post(f"/splits/{job_id}", data=agreed).status_code == 303
        assert client.post(f"/splits/{job_id}", data=agreed).status_code == 409, "somebody was faster"
        assert "is split" in client.get(f"/splits/{job_id}").text and job_id not in client.get("/splits").text
        assert client.get("/splits/none").status_code == 404
        told = client.get(f"/v1/scans/{job_id}").json()["documents"]
        assert [(each["first_page"], each["template"], each["reference"]) for each in told] == [
            (1, "meter-card", "Ward 7a"),
            (4, "gone", "Ward 8"),
        ]
    assert found(engine, "Ward 7a") == [1, 2] and found(engine, "Ward 8") == [4]
    assert found(engine, "box 3") == [0, 1, 2, 3, 4], "the whole scan keeps its own"
    engine.dispose()


def test_a_file_that_is_read_alone_tells_of_sheets_and_barcodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("worker.pipeline.read_page", lambda page, *_: PageReading(page.number, 300, 200))
    made = build_runtime(Settings(home=tmp_path, separators="ask", barcodes=re.compile(r"ASN(\d+)")))
    label = zxingcpp.create_barcode("ASN0042", zxingcpp.BarcodeFormat.Code128).to_image(scale=3, add_quiet_zones=True)
    sheet = draw_sheet(Separator("meter-card", "Ward 7")).convert("1")
    path = tmp_path / "batch.tif"
    path.write_bytes(tiff([drawing(1), sheet, drawing(2), Image.fromarray(np.array(label)).convert("1"), drawing(3)]))
    outs = [out for *_, out in read_file(replace(made, recognizers=lambda: None), path, FreePage())]  # type: ignore[arg-type,return-value]
    assert [out.reference for out in outs] == [None, None, "Ward 7", "0042", "0042"]
    assert [out.separator and (out.separator.sheet, out.separator.reference) for out in outs] == [
        None,
        (True, "Ward 7"),
        None,
        (False, "0042"),
        None,
    ]
    print_page(outs[1])
    print_page(outs[2])
    said = capsys.readouterr().out
    assert "separator sheet" in said and "page 3, Ward 7" in said
