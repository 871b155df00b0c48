"""The witness's training: what is drawn and cut, what it learns of it, the threshold and the export."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from tests.support.data import NEEDS_TRAIN

torch = pytest.importorskip("torch", reason=NEEDS_TRAIN)
torch.set_num_threads(1)

from worker.commands.readers_lab import train_alterations  # noqa: E402
from worker.digits.framing import FRAME  # noqa: E402
from worker.errors import SettingsError  # noqa: E402
from worker.models.runtime import load_recognizers  # noqa: E402
from worker.training.alterations import model, train  # noqa: E402
from worker.training.alterations.samples import (  # noqa: E402
    ALTERED,
    CLEAN,
    NOT_ASKED,
    Digits,
    ScannedDigits,
    ask_digit_model,
    cut_digits,
    draw_altered_field,
)
from worker.training.export import export_whole, run_onnx  # noqa: E402

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def digits() -> Digits:
    rng = np.random.default_rng(8)
    parts = [cut_digits(rng, *draw_altered_field(rng)) for _ in range(120)]
    return Digits(np.concatenate([p.images for p in parts]), np.concatenate([p.targets for p in parts]))


def test_each_digit_is_clean_as_itself_or_altered_as_what_it_was_and_became(digits: Digits) -> None:
    altered, clean = (digits.targets == ALTERED).sum(axis=1), (digits.targets == CLEAN).sum(axis=1)
    assert ((altered > 0) ^ (clean == 1)).all()
    assert set(altered.tolist()) == {0, 1, 2}
    assert digits.images.shape[1:] == (FRAME, FRAME)
    assert 0.1 < (altered > 0).mean() < 0.5


def test_most_clean_digits_that_stay_are_known_to_the_digit_model(digits: Digits) -> None:
    asked = ask_digit_model(digits, load_recognizers().classify_digits)
    assert 0.4 * len(digits.images) < len(asked.images) < len(digits.images)
    assert ((asked.targets != NOT_ASKED).sum(axis=1) >= 1).all()


def test_scanned_digits_are_cut_with_their_labels() -> None:
    zero, bar = np.zeros((28, 28), np.uint8), np.zeros((28, 28), np.uint8)
    zero[4:24, 6:22], zero[8:20, 10:18] = 255, 0
    bar[4:24, 12:16] = 255
    scans = ScannedDigits([zero, bar], np.array([0, 1]), np.array([7, 7]))
    rng = np.random.default_rng(2)
    found = [cut_digits(rng, *scans.draw(rng)) for _ in range(20)]
    targets = np.concatenate([one.targets for one in found])
    assert len(targets) > 40
    assert (targets[:, 2:] == NOT_ASKED).all()


def test_it_learns_and_ships_with_its_threshold_at_a_half(digits: Digits) -> None:
    said: list[str] = []
    net = train.train_alterations(train.AlterationPlan(epochs=6, batch=32), digits, report=said.append)
    first, *_, last = (float(line.split()[-1]) for line in said)
    assert last < 0.8 * first
    rows = np.flatnonzero((digits.targets == CLEAN).any(axis=1))
    images, read_as = digits.images[rows], (digits.targets[rows] == CLEAN).argmax(axis=1)
    threshold = model.choose_threshold(net, images, read_as)
    shipped = run_onnx(export_whole(model.Witness(net, threshold), side=FRAME, output="doubts"), images)
    doubted = shipped[np.arange(len(rows)), read_as] >= 0.5
    assert doubted.mean() <= model.FALSELY_DOUBTED + 1 / len(rows)


def test_a_folder_without_sets_is_said_in_one_line(tmp_path: Path) -> None:
    ran = CliRunner().invoke(train_alterations, ["--data-dir", str(tmp_path)])
    assert isinstance(ran.exception, SettingsError) and "holds no folder 'fields'" in str(ran.exception)
