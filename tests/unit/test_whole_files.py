"""A file takes its name when it is whole; whatever fails before, the file that was there stays."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from worker.system.whole_files import written_whole


def test_what_fails_half_way_leaves_the_file_that_was_there(tmp_path: Path) -> None:
    file = tmp_path / "all.csv"
    file.write_text("yesterday")
    with pytest.raises(OSError, match="no room"), written_whole(file) as place:
        place.write_text("to")
        raise OSError("no room")
    assert file.read_text() == "yesterday"
    assert list(tmp_path.iterdir()) == [file]


def test_a_new_file_has_the_rights_of_every_new_file_and_an_old_one_keeps_its_own(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    for name in ("new.csv", "n" * 255):
        with written_whole(tmp_path / name) as place:
            place.write_text("today")
        assert (tmp_path / name).stat().st_mode == (tmp_path / "plain").stat().st_mode
    (tmp_path / "new.csv").chmod(0o640)
    with written_whole(tmp_path / "new.csv") as place:
        place.write_text("tomorrow")
    assert (tmp_path / "new.csv").read_text() == "tomorrow"
    assert stat.S_IMODE((tmp_path / "new.csv").stat().st_mode) == 0o640


def test_a_link_stays_a_link_and_a_pipe_a_pipe(tmp_path: Path) -> None:
    (tmp_path / "real.csv").write_text("yesterday")
    (tmp_path / "link.csv").symlink_to(tmp_path / "real.csv")
    with written_whole(tmp_path / "link.csv") as place:
        place.write_text("today")
    assert (tmp_path / "link.csv").is_symlink() and (tmp_path / "real.csv").read_text() == "today"
    os.mkfifo(tmp_path / "pipe")
    heard: list[str] = []
    reader = threading.Thread(target=lambda: heard.append((tmp_path / "pipe").read_text()))
    reader.start()
    with written_whole(tmp_path / "pipe") as place:
        place.write_text("today")
    reader.join(10)
    assert heard == ["today"] and (tmp_path / "pipe").is_fifo()


def test_a_folder_that_is_missing_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), written_whole(tmp_path / "no" / "all.csv"):
        pass
