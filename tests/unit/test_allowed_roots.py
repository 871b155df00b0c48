"""A job names files under the allowed folders only, after links are resolved; nothing else is told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.errors import InvalidJobError
from worker.sources.places import locate_scan


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return an allowed folder with a scan in it, and a folder beside it with a secret."""
    base = tmp_path_factory.mktemp("roots").resolve()
    root, outside = base / "inbox", base / "inbox-of-others"
    for folder in (root, outside):
        (folder / "sub").mkdir(parents=True)
        (folder / "scan.png").write_bytes(b"x")
    (root / "a b%20c.png").write_bytes(b"x")
    (root / "link.png").symlink_to(outside / "scan.png")
    (root / "inner.png").symlink_to(root / "scan.png")
    (root / "folder").symlink_to(outside)
    (root / "loop").symlink_to(root / "loop")
    os.mkfifo(root / "pipe.png")
    return root, outside


def test_files_under_a_root_are_found(folders: tuple[Path, Path]) -> None:
    root, _ = folders
    scan = root / "scan.png"
    paths = (str(scan), f"{root}/sub/../scan.png", f"{root}/inner.png")
    named = (*paths, scan.as_uri(), f"file://localhost{scan}")
    for uri in named:
        assert locate_scan(uri, (root,)) == scan
    odd = root / "a b%20c.png"
    assert locate_scan(odd.as_uri(), (root,)) == locate_scan(str(odd), (root,)) == odd


HOSTILE = [
    "{outside}/scan.png",
    "{root}/../inbox-of-others/scan.png",
    "file://{root}/%2e%2e/inbox-of-others/scan.png",
    "{root}/link.png",
    "{root}/folder/scan.png",
    "{root}/loop",
    "{root}/pipe.png",
    "{root}",
    "{root}/sub",
    "{root}/missing.png",
    "{root}/scan.png\0.png",
    "{root}/scan.png\n",
    "{root}/" + "a" * 300 + ".png",
    "{root}" + "/sub/.." * 600 + "/scan.png/x",
    "/etc/passwd",
    "/proc/self/environ",
    "scan.png",
    "../scan.png",
    "",
    "~/scan.png",
    "http://localhost{root}/scan.png",
    "s3://bucket/scan.png",
    "file://elsewhere{root}/scan.png",
    "FILE+x:{root}/scan.png",
    "file:///\udcff",
    "file://[bad",
    "\u202e{root}/scan.png",
]


@pytest.mark.parametrize("uri", HOSTILE)
def test_everything_else_is_refused_in_one_line(uri: str, folders: tuple[Path, Path]) -> None:
    root, outside = folders
    with pytest.raises(InvalidJobError) as caught:
        locate_scan(uri.format(root=root, outside=outside), (root,))
    assert "\n" not in str(caught.value)
    assert str(outside) not in str(caught.value)


PARTS = ["/", "..", ".", "sub", "scan.png", "link.png", "folder", "%2e", "\0", "a"]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(PARTS), max_size=12))
def test_no_path_leads_out(folders: tuple[Path, Path], parts: list[str]) -> None:
    root, _ = folders
    for uri in (f"{root}/" + "".join(parts), f"file://{root}/" + "/".join(parts)):
        try:
            found = locate_scan(uri, (root,))
        except InvalidJobError:
            continue
        assert found.resolve() == found
        assert found.is_relative_to(root)
