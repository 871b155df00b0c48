"""`icr evaluate-fields`: what it says of labelled fields, as a table and as JSON lines."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from tests.support.data import NEEDS_TRAIN

pytest.importorskip("sklearn", reason=NEEDS_TRAIN)

from worker.cli import icr
from worker.synthesis.fields import draw_field
from worker.training.fields.measures import Scored, measure

pytestmark = pytest.mark.train


def test_a_half_is_measured_whole_accepted_wrong_and_with_an_interval() -> None:
    sure = [Scored("drawn", "12", "12", 0.999, is_accepted=True)] * 58
    wrong = [Scored("drawn", "12", "17", 0.998, is_accepted=True), Scored("drawn", "12", "1", 0.2)]
    found = measure("drawn", "development", sure + wrong)
    assert (found.half, found.fields, found.accepted, found.accepted_wrong) == ("development", 60, 59, 1)
    assert found.whole == pytest.approx(58 / 60)
    assert found.wrong_at_least < 0.005 < 1 / 59 < found.wrong_at_most < 0.1
    assert found.read_rates[-1] == pytest.approx(58 / 60)


def test_the_command_prints_a_line_for_each_source(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    for name in ("a", "b"):
        cv2.imwrite(str(tmp_path / f"{name}.png"), draw_field(rng, "4071", clean=True).grey)
    labels = tmp_path / "labels.csv"
    labels.write_text("file,digits,source\na.png,4071,clean\nb.png,4071,other\n", encoding="utf-8")
    lines = {}
    for output in ("jsonl", "table"):
        said = CliRunner().invoke(icr, ["evaluate-fields", "--truth", str(labels), "--format", output])
        assert said.exit_code == 0, said.output
        lines[output] = said.output.splitlines()
    clean, other = (json.loads(line) for line in lines["jsonl"])
    assert (clean["set"], other["set"], clean["half"], clean["fields"]) == ("clean", "other", "own", 1)
    assert {"whole", "read_at_1%", "accepted", "accepted_wrong", "wrong_at_least", "wrong_at_most"} <= clean.keys()
    titles, *rows = lines["table"]
    assert all(title in titles for title in ("whole", "read 1%", "accepted", "wrong"))
    assert [row.split()[:2] for row in rows] == [["clean", "own"], ["other", "own"]]
