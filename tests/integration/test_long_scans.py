"""A scan of many pages lets others go first, and is read on where it stopped."""

from __future__ import annotations

import os
import pickle
import shutil
import uuid
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine, text

from tests.support.readings import CHECK, PAGE, claim, register
from tests.support.scan_files import drawing, encoded, pdf, tiff
from worker.bootstrap import build_runtime
from worker.errors import UnreadableScanError
from worker.queue import reading_job, tasks
from worker.queue.publishing import Publisher
from worker.rasterizer import RasterLimits, open_pages
from worker.settings import Settings
from worker.store import jobs
from worker.store.engine import make_engine, reading
from worker.store.parts import hand_back_part, load_parts, pack_pages, unpack_pages
from worker.store.tables import JobState
from worker.values import Page, PageReading

BYTES = "ab" * 32


def count(engine: Engine, table: str) -> int:
    with reading(engine) as connection:
        return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


def test_readings_come_back_as_they_were() -> None:
    (page, check) = unpack_pages(pack_pages([PAGE, CHECK]))
    assert check.fields[0].value == CHECK.fields[0].value and check.fields[0].grammar == CHECK.fields[0].grammar
    assert page.fields[1].doubts == PAGE.fields[1].doubts and check.fields[1].value == CHECK.fields[1].value
    assert all(
        np.array_equal(a.probabilities, b.probabilities)
        for a, b in zip(page.fields[0].digits, PAGE.fields[0].digits, strict=True)
    )


@pytest.mark.parametrize("called", [os.system, eval, Path.unlink, pickle.loads, __import__])
def test_a_part_that_calls_for_anything_else_is_refused(called: Any) -> None:
    class Planted:
        def __reduce__(self) -> tuple[Any, ...]:
            return called, ("true",)

    with pytest.raises(pickle.UnpicklingError, match="no part of a reading"):
        unpack_pages(zlib.compress(pickle.dumps([Planted()])))


def test_what_was_read_is_kept_for_the_same_bytes_and_goes_at_the_end(engine: Engine) -> None:
    job_id = register(engine, sha256=BYTES)
    first = claim(engine, job_id)
    assert first is not None and hand_back_part(engine, first, sha256=BYTES, first_page=0, pages=[PAGE])
    assert not hand_back_part(engine, first, sha256=BYTES, first_page=1, pages=[PAGE]), "the claim is over"
    second = claim(engine, job_id)
    assert second is not None and second.deliveries == 1, "it has come further, so the delivery does not count"
    assert hand_back_part(engine, second, sha256=BYTES, first_page=1, pages=[replace(PAGE, page=1)])
    assert [page.page for page in load_parts(engine, job_id, BYTES)] == [0, 1]
    assert load_parts(engine, job_id, "cd" * 32) == []
    third = claim(engine, job_id)
    assert third is not None and jobs.store_readings(engine, third, third.scan, [PAGE, replace(PAGE, page=1)])
    assert count(engine, "reading_parts") == 0 and count(engine, "pages") == 2


@pytest.fixture
def publisher(tmp_path: Path, sqlite_template: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Publisher]:
    """Yield a home whose slices of time end with every page; its queue is away."""
    shutil.copy(sqlite_template, tmp_path / "icr.db")
    (tmp_path / "inbox").mkdir()
    engine = make_engine(f"sqlite:///{tmp_path / 'icr.db'}")
    monkeypatch.setattr(reading_job, "SLICE", 0.0)
    runtime = build_runtime(Settings(home=tmp_path))
    yield Publisher(replace(runtime, engine=lambda: engine, recognizers=lambda: None))
    engine.dispose()


def test_a_long_scan_is_read_page_by_page_and_each_page_once(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, scan = publisher.runtime.engine(), publisher.runtime.inbox / "long.tif"
    scan.write_bytes(tiff([drawing(mark) for mark in range(4)]))
    seen: list[int] = []

    def read_page(page: Page, *_: object) -> PageReading:
        seen.append(page.number)
        return PageReading(page.number, 300, 200, problem="unregistered")

    monkeypatch.setattr("worker.pipeline.read_page", read_page)
    job_id = str(uuid.uuid4())
    for _ in range(4):
        record = jobs.get_job(engine, job_id)
        assert record is None or (record.state, record.deliveries) == (JobState.QUEUED, 0)
        tasks.run_message(publisher, [{"id": job_id, "uri": str(scan), "template": "field"}], {}, message_id=job_id)
    record = jobs.get_job(engine, job_id)
    assert record is not None and record.state is JobState.DONE
    assert seen == [0, 1, 2, 3] and count(engine, "pages") == 4


def test_a_scan_that_changed_meanwhile_begins_anew(publisher: Publisher, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, scan = publisher.runtime.engine(), publisher.runtime.inbox / "long.tif"
    seen: list[int] = []

    def read_page(page: Page, *_: object) -> PageReading:
        seen.append(page.number)
        return PageReading(page.number, 300, 200, problem="unregistered")

    monkeypatch.setattr("worker.pipeline.read_page", read_page)
    job_id = str(uuid.uuid4())
    for first in (0, 2):
        scan.write_bytes(tiff([drawing(first), drawing(first + 1)]))
        tasks.run_message(publisher, [{"id": job_id, "uri": str(scan), "template": "field"}], {}, message_id=job_id)
    assert seen == [0, 0] and count(engine, "reading_parts") == 1
    tasks.run_message(publisher, [{"id": job_id, "uri": str(scan), "template": "field"}], {}, message_id=job_id)
    assert seen == [0, 0, 1] and count(engine, "pages") == 2


@pytest.mark.parametrize("kind", ["tif", "pdf", "png"])
def test_pages_begin_where_they_are_asked_to(kind: str, tmp_path: Path) -> None:
    content = {
        "tif": tiff([drawing(mark) for mark in range(4)]),
        "pdf": pdf(4),
        "png": encoded(drawing(), "PNG"),
    }[kind]
    path = tmp_path / f"a.{kind}"
    path.write_bytes(content)
    pages = [page.number for page in open_pages(path, scan_id="a", limits=RasterLimits(), first=2)]
    assert pages == ([] if kind == "png" else [2, 3])
    with pytest.raises(UnreadableScanError):
        path.write_bytes(b"no scan")
        list(open_pages(path, scan_id="a", limits=RasterLimits(), first=2))
