"""A scan's URI and its path: one decoding, whatever the name holds, so that what was written down is found again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.sources.file_uris import display_name, path_of_uri

NAMES = st.binary(min_size=1, max_size=40).filter(
    lambda name: not {0, ord("/")} & set(name) and name not in (b".", b"..")
)


@given(NAMES)
def test_every_name_a_file_may_have_comes_back_from_its_uri_and_its_path(name: bytes) -> None:
    path = Path("/inbox/done") / os.fsdecode(name)
    assert path_of_uri(path.as_uri()) == path_of_uri(str(path)) == path
    assert os.fsencode(path_of_uri(path.as_uri()) or "") == b"/inbox/done/" + name


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("/a/100%25.png", "/a/100%25.png"),
        ("file:///a/100%25.png", "/a/100%.png"),
        ("file://localhost/a.png", "/a.png"),
        ("file://elsewhere/a.png", None),
        ("s3://bucket/done/a.png", None),
        ("https://host/a.png", None),
        ("a.png", None),
        ("file://[a", None),
        ("", None),
    ],
)
def test_only_a_uri_is_decoded_and_what_is_elsewhere_is_no_path(uri: str, path: str | None) -> None:
    assert path_of_uri(uri) == (None if path is None else Path(path))


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("file:///in/Z%C3%A4hler%20M%C3%A4rz.png", "Zähler März.png"),
        ("/in/100%25.png", "100%25.png"),
        ("s3://bucket/in/a%20b.png", "a%20b.png"),
        ("file:///in/caf%E9.png", "caf\ufffd.png"),
        ("file:///in/a%0A%1B%5B31mdone%E2%80%AE.png", "a\ufffd\ufffd[31mdone\ufffd.png"),
        (None, "?"),
    ],
)
def test_a_name_is_shown_as_people_wrote_it_and_forges_no_line(uri: str | None, shown: str) -> None:
    assert display_name(uri) == shown


@given(st.text())
def test_whatever_a_row_holds_can_be_shown_on_one_line(uri: str) -> None:
    shown = display_name(uri)
    assert shown.encode("utf-8").decode("utf-8").isprintable()


def test_text_that_is_no_bytes_names_no_file() -> None:
    for name in ("/scans/\ud800.png", "file:///scans/\ud800.png"):
        assert path_of_uri(name) is None
        assert display_name(name) == "\ufffd.png"
