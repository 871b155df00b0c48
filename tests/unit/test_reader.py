"""The import API: ``worker.read`` and ``Reader``."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import worker
from tests.support.data import PROJECT
from worker.errors import UnknownTemplateError
from worker.reader import Reader
from worker.settings import Settings

CARD = PROJECT / "samples" / "meter-card" / "card-1.png"
PAGE = PROJECT / "docs" / "how-to" / "python.md"


def test_a_form_is_found_and_read() -> None:
    (page,) = worker.read(CARD)
    assert (page.template, page.error, page.source) == ("meter-card", None, str(CARD))
    assert {field.name: field.text for field in page.fields}["customer"] == "35898246"


def test_a_reader_reads_one_file_after_another_by_name_and_by_layout(tmp_path: Path) -> None:
    reader = Reader(Settings(home=tmp_path))
    (field,) = reader.read(str(PROJECT / "samples" / "field" / "375000.png"), layout="field")[0].fields
    (page,) = reader.read(CARD, template="meter-card")
    (same,) = reader.read(CARD, template=PROJECT / "schemas" / "templates" / "meter-card.json")
    assert field.text == "375000"
    assert page == same
    assert list(tmp_path.iterdir()) == [], "reading a file makes no database and no folder"


def test_every_page_of_a_file_is_returned() -> None:
    pages = worker.read(PROJECT / "samples" / "meter-card" / "cards-4-6.tiff")
    assert [page.page for page in pages] == [0, 1, 2]


@pytest.mark.parametrize("content", [b"", b"no picture", None])
def test_a_file_that_cannot_be_read_says_why(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "scan.png"
    if content is not None:
        path.write_bytes(content)
    (page,) = worker.read(path)
    assert page.error and page.fields == []


def test_a_folder_is_told_as_one(tmp_path: Path) -> None:
    (page,) = worker.read(tmp_path)
    assert page.error == "a folder: name the files in it"


def test_a_page_of_no_known_form_says_so(tmp_path: Path) -> None:
    path = tmp_path / "white.png"
    Image.new("L", (800, 600), 255).save(path)
    (page,) = worker.read(path)
    assert page.error and page.fields == []


def test_what_contradicts_itself_or_is_unknown_raises() -> None:
    with pytest.raises(ValueError, match="exclude"):
        worker.read(CARD, template="meter-card", layout="free")
    with pytest.raises(UnknownTemplateError):
        worker.read(CARD, template="no-such-form")


def test_importing_the_package_loads_nothing_heavy() -> None:
    program = (
        "import sys, worker; print(sorted({'numpy', 'cv2', 'onnxruntime', 'sqlalchemy', 'celery'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("program", re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL))
def test_the_programs_of_the_page_run(
    program: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(PROJECT)
    exec(compile(program, str(PAGE), "exec"), {})
    assert capsys.readouterr().out.strip()
