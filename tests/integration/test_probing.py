"""The watcher's helper process: what takes long or crashes it costs no other file its turn."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from tests.support.scan_files import drawing, encoded, pdf, tiff
from worker.bootstrap import read_settings
from worker.errors import SlowScanError, UnreadableScanError
from worker.inbox.probing import Prober
from worker.inbox.stability import StabilityWatch

PROBE_S = 0.3
SLOW = tiff([Image.new("RGB", (4000, 4000), "white")] * 6, compression="tiff_lzw")


@pytest.fixture
def prober(tmp_path: Path) -> Iterator[Prober]:
    with closing(Prober(read_settings(), tmp_path, probe_s=PROBE_S)) as prober:
        yield prober


def test_a_small_file_that_takes_long_is_left_to_a_worker_and_the_next_is_probed(
    prober: Prober, tmp_path: Path
) -> None:
    assert len(SLOW) < 2_000_000
    (tmp_path / "slow.tif").write_bytes(SLOW)
    (tmp_path / "good.png").write_bytes(encoded(drawing(), "PNG"))
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    for _ in range(2):
        with pytest.raises(SlowScanError, match=r"more than 0\.3 s"):
            prober.check(tmp_path / "slow.tif")
        prober.check(tmp_path / "good.png")
    with pytest.raises(UnreadableScanError) as damage:
        prober.check(tmp_path / "bad.png")
    assert not isinstance(damage.value, SlowScanError)


@pytest.mark.parametrize("takes_long", [False, True])
def test_a_pdf_whose_pages_poppler_does_not_count_soon_is_left_to_a_worker(
    takes_long: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Poppler's processor time is not the helper's: fifteen of these held the watcher up for 30 s each, twice."""
    counts = tmp_path / "bin" / "pdfinfo"
    counts.parent.mkdir()
    counts.write_text("#!/bin/sh\n" + ("exec sleep 60\n" if takes_long else "echo Pages: 1\n"))
    counts.chmod(0o755)
    monkeypatch.setenv("PATH", f"{counts.parent}:{os.environ['PATH']}")
    (tmp_path / "a.pdf").write_bytes(pdf(1))
    with closing(Prober(read_settings(), tmp_path, probe_s=1.0 if takes_long else 20.0)) as prober:
        if takes_long:
            with pytest.raises(SlowScanError, match="longer than 1 s"):
                prober.check(tmp_path / "a.pdf")
        else:
            prober.check(tmp_path / "a.pdf")


def test_slow_files_come_one_a_round_and_are_taken_without_another_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []
    began = time.time()
    clock = SimpleNamespace(monotonic=lambda: now[0], time=lambda: began + now[0])
    now = [1.0]
    monkeypatch.setattr("worker.inbox.stability.time", clock)

    def check(path: Path) -> None:
        tried.append(path.name)
        if path.name.startswith("slow"):
            raise SlowScanError("decoding takes more than 3 s")

    for name in ("slow1.tif", "slow2.tif", "slow3.tif", "z.png"):
        (tmp_path / name).write_bytes(b"x")
        os.utime(tmp_path / name, (began + 1, began + 1))
    watch = StabilityWatch(tmp_path, stable_s=0.01, capacity=9, check=check, incomplete_s=1.0)
    watch.look()
    now[0] += 0.05
    rounds, slow_ones = [], []
    for _ in range(4):
        before = len(tried) - tried.count("z.png")
        rounds.append([ready.name.name for ready in watch.ready()])
        slow_ones.append(len(tried) - tried.count("z.png") - before)
    assert rounds.count(["z.png"]) >= 1
    assert sorted(slow_ones) == [0, 1, 1, 1], "the watcher does its rounds between two that take long"
    now[0] += 1.1
    taken = {ready.name.name: ready.damage for ready in watch.ready()}
    assert {name for name in taken if name != "z.png"} == {"slow1.tif", "slow2.tif", "slow3.tif"}
    assert taken["slow1.tif"] == "decoding takes more than 3 s"
    assert len(tried) - tried.count("z.png") == 3
