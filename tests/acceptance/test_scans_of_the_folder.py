"""Scans as scanners and people really drop them: written page by page, in folders, again, beside what is no scan."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.scan_files import encoded, tiff
from tests.support.system import Home, draw_scan, processes_of, wait_until
from worker.rasterizer import find_poppler
from worker.synthesis.form_designs import draw_template
from worker.synthesis.forms import draw_form
from worker.synthesis.samples import draw_writer

pytestmark = [pytest.mark.timeout(240), pytest.mark.xdist_group("one_machine")]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path / "home")
    yield home
    home.stop()
    wait_until(lambda: not processes_of(home.folder), 20, "no process is left behind")


def pages(folder: Path, count: int) -> list[Image.Image]:
    return [Image.open(io.BytesIO(draw_scan(folder / f"p{i}.png", i).read_bytes())) for i in range(count)]


def test_a_tiff_that_grows_after_it_was_read_is_read_whole_once(home: Home, tmp_path: Path) -> None:
    """A fax server goes on in the same file, which lies in done/ by then."""
    images = pages(tmp_path, 3)
    target = home.inbox / "field" / "fax.tif"
    target.parent.mkdir()
    target.write_bytes(encoded(images[0], "TIFF"))
    home.start("up")
    home.wait_for_states(done=1)
    wait_until(lambda: home.listed("done") == ["fax.tif"], 30, home.said)
    (home.inbox / "done" / "field" / "fax.tif").write_bytes(tiff(images))
    wait_until(lambda: home.rows("SELECT count(*) FROM pages") == [(3,)], 60, home.said)
    wait_until(lambda: home.listed("done") == ["fax.tif"], 30, home.said)
    assert home.states() == {"done": 1}
    assert home.rows("SELECT count(*), count(DISTINCT number) FROM pages") == [(3, 3)]


@pytest.mark.skipif(find_poppler() is not None, reason="poppler is not installed")
def test_a_pdf_whose_writer_pauses_is_waited_for(home: Home, tmp_path: Path) -> None:
    home.env["ICR_INCOMPLETE_S"] = "60"
    content = encoded(pages(tmp_path, 1)[0].convert("RGB"), "PDF", resolution=100)
    target = home.inbox / "field" / "slow.pdf"
    target.parent.mkdir()
    home.start("up")
    with target.open("wb") as file:
        file.write(content[: len(content) * 6 // 10])
    time.sleep(7)
    assert target.exists() and home.states() == {}
    with target.open("ab") as file:
        file.write(content[len(content) * 6 // 10 :])
    home.wait_for_states(done=1)
    assert home.rows("SELECT count(*) FROM pages WHERE problem IS NULL") == [(1,)]


def test_what_is_no_scan_stops_nobody_and_what_is_left_is_said(home: Home) -> None:
    """A file of a terabyte, folders at any depth, links: one run, at once."""
    draw_scan(home.inbox / "field" / "north" / "2026" / "deep.png", 1)
    draw_scan(home.inbox / "2026" / "01" / "dated.png", 2)
    with (home.inbox / "huge.png").open("wb") as file:
        file.truncate(2**40)
    (home.inbox / "link.png").symlink_to(home.inbox / "field" / "north" / "2026" / "deep.png")
    started = time.monotonic()
    done = home.icr("up", "--once", timeout_s=120)
    assert time.monotonic() - started < 100
    assert done.returncode == 2
    assert home.states() == {"done": 2, "failed": 1}, done.stdout + home.said()
    assert "huge.png: a file of 1048576.0 MB; the limit is 100 (ICR_MAX_FILE_MB)" in done.stdout
    assert "left: 1 link, device or folder too deep is not taken: link.png" in done.stdout
    assert "link.png" in home.icr("status").stdout
    assert (home.inbox / "done" / "field" / "north" / "2026" / "deep.png").exists()
    assert (home.inbox / "done" / "2026" / "01" / "dated.png").exists()
    assert home.rows("SELECT template FROM jobs WHERE uri LIKE '%deep.png'") == [("field",)]


@pytest.mark.parametrize("again", ["dropped", "retried"])
def test_a_scan_that_found_no_form_is_read_once_its_template_is_there(home: Home, tmp_path: Path, again: str) -> None:
    rng = np.random.default_rng(11)
    template = draw_template(rng, "survey")
    values = {f.name: "".join(map(str, rng.integers(0, 10, f.cells or 4))) for f in template.fields}
    scan = encoded(
        Image.fromarray(draw_form(rng, template, values, writer=draw_writer(rng)).grey), "PNG", dpi=(200, 200)
    )
    (home.inbox / "survey.png").write_bytes(scan)
    templates = tmp_path / "templates"
    templates.mkdir()
    home.env["ICR_TEMPLATES"] = str(templates)
    assert home.icr("up", "--once", timeout_s=120).returncode == 0, home.said()
    assert home.rows("SELECT count(*) FROM page_review_queue") == [(1,)]
    ((first,),) = home.rows("SELECT id FROM jobs")
    (templates / "survey.json").write_text(template.model_dump_json(by_alias=True, exclude_defaults=True))
    if again == "dropped":
        (home.inbox / "survey.png").write_bytes(scan)
    else:
        assert home.icr("retry", first).returncode == 0
    done = home.icr("up", "--once", timeout_s=120)
    assert done.returncode == 0, done.stdout + home.said()
    assert home.rows("SELECT DISTINCT template FROM pages WHERE template IS NOT NULL") == [("survey",)]
    assert home.rows("SELECT count(*) FROM page_review_queue WHERE problem IS NOT NULL") == [(0,)]
    assert home.states() == {"done": 2 if again == "dropped" else 1}
    (home.inbox / "survey.png").write_bytes(scan)
    assert "1 duplicate" in home.icr("up", "--once", timeout_s=120).stdout
