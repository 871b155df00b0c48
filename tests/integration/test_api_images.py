"""Pictures off real files: the ink that was read, from the bytes that were read, cached by the asker alone."""

from __future__ import annotations

import hashlib
import io
import multiprocessing
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.support.http import client_of
from tests.support.readings import make_field, read
from tests.support.scan_files import differs, drawing, encoded, pdf
from tests.support.system import kill
from worker.bootstrap import Runtime, build_runtime
from worker.settings import Settings
from worker.values import Box, FieldStatus, PageReading


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Runtime:
    return build_runtime(Settings(home=tmp_path_factory.mktemp("images"), job_time_limit_s=20))


@pytest.fixture(scope="module")
def client(runtime: Runtime, sqlite_template: Path) -> Iterator[httpx.Client]:
    shutil.copy(sqlite_template, runtime.home / "icr.db")
    runtime.inbox.mkdir()
    with client_of(runtime) as client:
        yield client


def store(runtime: Runtime, name: str, content: bytes, size: tuple[int, int], pages: int = 1) -> tuple[Path, int, int]:
    """Store a file as one that was read; return it, and the ids of its last page and of the field on that."""
    path = runtime.inbox / name
    path.write_bytes(content)
    field = replace(make_field("bars", "17", FieldStatus.REVIEW), box_px=Box(196, 146, 40, 40))
    read_pages = [PageReading(n, *size, fields=(field,)) for n in range(pages)]
    read(runtime.engine(), *read_pages, uri=path.as_uri(), sha256=hashlib.sha256(content).hexdigest())
    with runtime.engine().connect() as connection:
        (page,) = connection.exec_driver_sql("SELECT max(id) FROM pages").one()
        (field_id,) = connection.exec_driver_sql("SELECT max(id) FROM fields").one()
    return path, page, field_id


def pixels(answer: httpx.Response) -> np.ndarray:
    assert answer.status_code == 200, answer.text
    return np.asarray(Image.open(io.BytesIO(answer.content)).convert("L"))


def test_a_page_and_a_field_are_the_ink_that_was_read(client: httpx.Client, runtime: Runtime) -> None:
    _, page, field = store(runtime, "a.png", encoded(drawing(1), "PNG"), (300, 200))
    whole = pixels(client.get(f"/v1/pages/{page}/image/full/max/0/default.png"))
    assert whole.shape == (200, 300) and differs(whole, 1) == 0
    info = client.get(f"/v1/fields/{field}/image", follow_redirects=True).json()
    assert (info["width"], info["height"]) == (260 - 172, 200 - 122), "its surroundings end with the page"
    cut = pixels(client.get(f"/v1/fields/{field}/image/full/max/0/gray.png"))
    assert np.array_equal(cut, whole[122:, 172:260])
    turned = pixels(client.get(f"/v1/fields/{field}/image/full/^200,/90/default.jpg"))
    assert turned.shape == (200, round(78 * 200 / 88))


def test_a_page_that_was_read_at_another_size_is_shown_where_its_boxes_are(
    client: httpx.Client, runtime: Runtime
) -> None:
    """As a page of a PDF whose resolution was set anew: it was read at twice the pixels that it has today."""
    _, page, field = store(runtime, "twice.png", encoded(drawing(1).resize((150, 100)), "PNG"), (300, 200))
    whole = pixels(client.get(f"/v1/pages/{page}/image/full/max/0/default.png"))
    assert whole.shape == (200, 300) and differs(whole, 1) < 5
    cut = pixels(client.get(f"/v1/fields/{field}/image/full/max/0/gray.png"))
    assert np.array_equal(cut, whole[122:, 172:260])


def test_it_is_cached_by_hash_and_by_nobody_between(client: httpx.Client, runtime: Runtime) -> None:
    path, page, _ = store(runtime, "b.png", encoded(drawing(2), "PNG"), (300, 200))
    address = f"/v1/pages/{page}/image/0,0,50,50/max/0/default.jpg"
    first = client.get(address)
    assert first.headers["content-type"] == "image/jpeg" and first.headers["cache-control"].startswith("private")
    path.unlink()
    again = client.get(address, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert httpx.get(str(client.base_url) + address).status_code == 401


def test_the_second_page_of_a_pdf(client: httpx.Client, runtime: Runtime) -> None:
    _, page, _ = store(runtime, "c.pdf", pdf(3), (600, 400), pages=3)
    shown = pixels(client.get(f"/v1/pages/{page}/image/full/300,/0/default.jpg"))
    assert shown.shape == (200, 300) and shown.min() < 50


def test_a_scan_that_has_changed_or_gone_is_not_shown(client: httpx.Client, runtime: Runtime) -> None:
    path, page, _ = store(runtime, "d.png", encoded(drawing(0), "PNG"), (300, 200))
    path.write_bytes(encoded(drawing(3), "PNG"))
    changed = client.get(f"/v1/pages/{page}/image/full/max/0/default.jpg")
    assert changed.status_code == 410 and "changed" in changed.json()["detail"]
    path.unlink()
    gone = client.get(f"/v1/pages/{page}/image/full/max/0/default.jpg")
    assert gone.status_code == 410 and str(runtime.home) not in gone.text


def test_a_decoder_that_dies_costs_one_picture_and_not_the_server(client: httpx.Client, runtime: Runtime) -> None:
    """The helper is killed between two pictures, as a hostile file may do it in the middle of one."""
    _, page, _ = store(runtime, "e.png", encoded(drawing(1), "PNG") + b"e", (300, 200))
    address = f"/v1/pages/{page}/image/full/max/0/default.png"
    assert client.get(address).status_code == 200
    helpers = multiprocessing.active_children()
    assert helpers
    kill(*(helper.pid for helper in helpers if helper.pid))
    after = [client.get(address).status_code for _ in range(3)]
    assert after[-1] == 200 and set(after) <= {200, 410}


def test_paths_that_ask_for_what_there_is_not(client: httpx.Client, runtime: Runtime) -> None:
    _, page, field = store(runtime, "f.png", encoded(drawing(1), "PNG") + b"f", (300, 200))
    for path in ("full/max/0/default.tif", "400,0,5,5/max/0/default.jpg", "full/^max,/0/default.jpg"):
        answer = client.get(f"/v1/fields/{field}/image/{path}")
        assert answer.status_code == 400 and answer.headers["content-type"] == "application/problem+json"
    assert client.get(f"/v1/pages/{page + 99}/image/full/max/0/default.jpg").status_code == 404
    assert client.get("/v1/pages/99999999999999999999/image/info.json").status_code == 422
