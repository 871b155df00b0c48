"""A job names objects under the allowed prefixes only; copies of the dead are deleted, and nothing else."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import time
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.bootstrap import read_settings
from worker.errors import InvalidJobError, SettingsError
from worker.inbox.removal import remove_own_scan
from worker.sources.buckets import BucketRoot, locate_object, parse_roots
from worker.sources.copies import COPY_LIFE_S, remove_left_copies
from worker.sources.places import Folders, Places
from worker.system.process_identity import name_process

ROOTS = (BucketRoot("scans", "in/today"), BucketRoot("whole", ""))


@pytest.mark.parametrize("name", ["scans/in/today/a.png", "scans/in/today/sub/a b%2e?#*.png", "whole/ü.png"])
def test_objects_under_a_root_are_found_by_their_key_as_it_stands(name: str) -> None:
    assert locate_object(f"s3://{name}", ROOTS) == name


@pytest.mark.parametrize(
    "uri",
    [
        "s3://scans/in/todayish/a.png",
        "s3://scans/in/today",
        "s3://scans/in/today/",
        "s3://scans/in/today/../secret.png",
        "s3://scans/in/today/./a.png",
        "s3://scans/in/today//a.png",
        "s3://scans//in/today/a.png",
        "s3://scans/a.png",
        "s3://scans",
        "s3://",
        "s3://other/in/today/a.png",
        "s3://whole.other/a.png",
        "s3://whole",
        "s3://whole/",
        "s3://whole/a\n.png",
        "s3://whole/a\0.png",
        "s3://whole/\u202egnp.a",
        "s3://whole/\udcff",
        "s3://user:password@whole/a.png",
        "S3://whole/a.png",
        "s3a://whole/a.png",
        "gs://whole/a.png",
        "zip://a.png::s3://whole/a.zip",
        "simplecache::s3://whole/a.png",
        "/whole/a.png",
        "http://whole/a.png",
    ],
)
def test_every_other_object_is_refused_in_one_line(uri: str) -> None:
    with pytest.raises(InvalidJobError) as caught:
        locate_object(uri, ROOTS)
    assert "\n" not in str(caught.value) and "secret" not in str(caught.value)
    with pytest.raises(InvalidJobError):
        Places(Folders(())).fetch(uri)


@given(st.lists(st.sampled_from(["/", "..", ".", "in", "today", "scans", "a", "%2e", "\0", ":"]), max_size=12))
def test_no_key_leads_out(parts: list[str]) -> None:
    try:
        name = locate_object("s3://" + "".join(parts), ROOTS[:1])
    except InvalidJobError:
        return
    assert os.path.normpath(name) == name and name.startswith("scans/in/today/")


def test_folders_and_buckets_stand_in_one_setting() -> None:
    folders, buckets = parse_roots("/a:s3://scans/in/today/:b::s3://whole:/c")
    assert folders == [Path("/a"), Path("b"), Path("/c")]
    assert buckets == list(ROOTS) and str(buckets[0]) == "s3://scans/in/today"


@pytest.mark.parametrize(
    "text",
    [
        "s3://",
        "s3:///in",
        "s3://a",
        "s3://Scans/in",
        "s3://scans/../in",
        "s3://scans//in",
        "http://host/in",
        "/a:gs://scans/in",
        "s3://u:p@scans/in",
    ],
)
def test_a_root_that_is_no_place_is_refused_at_the_start(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="ICR_SCAN_ROOTS"):
        parse_roots(text)
    monkeypatch.setenv("ICR_SCAN_ROOTS", text)
    with pytest.raises(SettingsError):
        read_settings()


def test_without_the_extra_a_bucket_is_refused_and_the_extra_named(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "s3fs" else find(name))
    with pytest.raises(SettingsError, match=r"extra 's3'.*pip install '\.\[s3\]'"):
        parse_roots("s3://scans/in")
    assert parse_roots("/a") == ([Path("/a")], [])


def test_copies_of_the_dead_are_deleted_and_those_of_the_living_are_not(tmp_path: Path) -> None:
    with subprocess.Popen(["true"]) as dead:
        of_the_dead = quote(name_process(dead.pid), safe="")
    living, foreign = quote(name_process(os.getpid()), safe=""), quote("elsewhere/1/1", safe="")
    for name in (of_the_dead, living, foreign):
        (tmp_path / f"{name}~abc").touch()
    (tmp_path / f"{foreign}~old").touch()
    long_ago = time.time() - COPY_LIFE_S - 1
    os.utime(tmp_path / f"{foreign}~old", (long_ago, long_ago))
    (tmp_path / "not ours").touch()
    assert remove_left_copies(tmp_path) == 2
    assert {path.name for path in tmp_path.iterdir()} == {f"{living}~abc", f"{foreign}~abc", "not ours"}
    assert remove_left_copies(tmp_path / "missing") == 0


def test_purging_the_rows_of_an_object_deletes_no_file_of_the_same_path(tmp_path: Path) -> None:
    scan = tmp_path / "done" / "a.png"
    scan.parent.mkdir()
    (tmp_path / ".working").mkdir()
    scan.touch()
    assert not remove_own_scan(f"s3://bucket{scan}", "inbox")
    assert not remove_own_scan(scan.as_uri(), "submit")
    assert scan.exists()
    assert remove_own_scan(scan.as_uri(), "inbox")
    assert not scan.exists()
