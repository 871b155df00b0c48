from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest

from tests.support.data import NEEDS_TRAIN

torch = pytest.importorskip("torch", reason=NEEDS_TRAIN)
torch.set_num_threads(1)  # as in training: threads that wait for each other starve on a busy machine

from worker.fields.line_reader.normalization import Line  # noqa: E402
from worker.synthesis.fields import FieldSample  # noqa: E402
from worker.training.fields.net import CLASSES  # noqa: E402
from worker.training.fields.samples import LineSample, find_shown  # noqa: E402
from worker.training.fields.train import SHARE_OF_LAST, TrainingState, _step, ctc_loss  # noqa: E402

pytestmark = pytest.mark.train


def _shift(state: TrainingState, by: float) -> None:
    with torch.no_grad():
        for weights in state.averaged.parameters():
            weights += by


def test_a_training_that_was_not_prolonged_ships_its_running_average() -> None:
    state = TrainingState.fresh(1e-3, 0, "cpu")
    _shift(state, 0.5)
    shipped, averaged = state.to_ship().state_dict(), state.averaged.state_dict()
    assert all(torch.equal(shipped[name], averaged[name]) for name in averaged)


def test_a_prolonged_training_ships_what_lies_between_its_ends_and_is_taken_up_from_its_file(tmp_path: Path) -> None:
    state = TrainingState.fresh(1e-3, 0, "cpu")
    first = state.averaged.head.weight.clone()
    state.ended = True
    state.save(tmp_path / "network.pt")

    later = TrainingState.fresh(1e-3, 1, "cpu")
    later.load(tmp_path / "network.pt")
    assert later.ended and later.former is None
    later.prolong()
    _shift(later, 0.3)
    later.save(tmp_path / "network.pt")

    again = TrainingState.fresh(1e-3, 2, "cpu")
    again.load(tmp_path / "network.pt")
    assert not again.ended
    assert torch.allclose(again.to_ship().head.weight, first + SHARE_OF_LAST * 0.3, atol=1e-6)


def test_a_checkpoint_of_before_trainings_could_be_prolonged_is_taken_up(tmp_path: Path) -> None:
    path = tmp_path / "network.pt"
    state = TrainingState.fresh(1e-3, 0, "cpu")
    state.lines = 7
    state.save(path)
    content = torch.load(path, weights_only=True)
    del content["ended"], content["former"]
    torch.save(content, path)
    taken_up = TrainingState.fresh(1e-3, 1, "cpu")
    taken_up.load(path)
    assert (taken_up.lines, taken_up.ended, taken_up.former) == (7, False, None)


def test_a_checkpoint_of_another_optimizer_gives_its_weights(tmp_path: Path) -> None:
    path = tmp_path / "network.pt"
    state = TrainingState.fresh(1e-3, 0, "cpu")
    state.save(path)
    content = torch.load(path, weights_only=True)
    content["optimizer"] = torch.optim.AdamW(state.net.parameters()).state_dict()
    torch.save(content, path)
    taken_up = TrainingState.fresh(1e-3, 1, "cpu")
    taken_up.load(path)
    assert torch.equal(taken_up.net.head.weight, state.net.head.weight)


def test_every_weight_of_a_network_is_trained_and_its_momentum_kept() -> None:
    def step(state: TrainingState) -> None:
        torch.manual_seed(0)
        state.net(torch.rand(2, 1, 40, 64)).square().mean().backward()
        state.optimizer.step()

    state = TrainingState.fresh(1e-3, 0, "cpu")
    before = {name: value.clone() for name, value in state.net.named_parameters()}
    step(state)
    assert [n for n, value in state.net.named_parameters() if torch.equal(value, before[n])] == []
    assert all(value.grad is None for value in state.net.parameters())

    again = TrainingState.fresh(1e-3, 0, "cpu")
    again.net.load_state_dict(state.net.state_dict())
    again.optimizer.load_state_dict(deepcopy(state.optimizer.state_dict()))
    step(state)
    step(again)
    assert torch.equal(state.net.head.weight, again.net.head.weight)


def test_training_learns_to_read_a_line() -> None:
    state = TrainingState.fresh(1e-3, 0, "cpu")
    image = np.zeros((40, 48), np.uint8)
    image[6:34, 20:24] = 255
    batch = [LineSample(image, np.array([1]))] * 4
    losses = [_step(state, batch, rate=2e-3, average=0.9) for _ in range(25)]
    assert losses[-1] < 0.1 * losses[0]


def test_the_dearest_lines_of_a_batch_do_not_train() -> None:
    torch.manual_seed(0)
    answers = torch.log_softmax(torch.randn(32, 12, CLASSES), dim=-1)
    image = np.zeros((40, 48), np.uint8)
    batch = [LineSample(image, np.array([i % 10, 10])) for i in range(32)]
    each = np.array([float(ctc_loss(answers[i : i + 1], batch[i : i + 1])) for i in range(32)])
    assert float(ctc_loss(answers, batch)) == pytest.approx(each.mean(), rel=1e-5)
    kept = np.sort(each)[:-1]
    assert kept.mean() < each.mean() - 0.05
    assert float(ctc_loss(answers, batch, left_out=1 / 32)) == pytest.approx(kept.mean(), rel=1e-5)


def test_an_empty_line_trains_however_dear_it_is() -> None:
    torch.manual_seed(0)
    answers = torch.log_softmax(torch.randn(32, 12, CLASSES), dim=-1)
    image = np.zeros((40, 48), np.uint8)
    batch = [LineSample(image, np.array([i % 10, 10])) for i in range(31)] + [LineSample(image, np.zeros(0, np.int64))]
    each = np.array([float(ctc_loss(answers[i : i + 1], batch[i : i + 1])) for i in range(32)])
    assert each.argmax() == 31
    kept = np.append(np.sort(each[:31])[:-1], each[31])
    assert float(ctc_loss(answers, batch, left_out=1 / 32)) == pytest.approx(kept.mean(), rel=1e-5)


def test_a_line_without_writing_costs_what_its_columns_leave_to_writing() -> None:
    answers = torch.log_softmax(torch.zeros(1, 5, CLASSES), dim=-1)
    empty = LineSample(np.zeros((40, 20), np.uint8), np.zeros(0, np.int64))
    assert float(ctc_loss(answers, [empty])) == pytest.approx(5 * np.log(CLASSES), rel=1e-5)


def test_a_mark_that_the_line_leaves_out_is_not_to_be_read_and_a_stub_of_one_is() -> None:
    boxes = np.array([[10, 5, 20, 28], [40, 5, 20, 28], [70, 28, 4, 4], [80, 15, 20, 2], [110, 15, 20, 2]], np.float32)
    sample = FieldSample(np.zeros((60, 140), np.uint8), "12.--", boxes)
    line = Line(np.zeros((40, 88), np.uint8), scale=1.0, x0=0.0, y0=0.0, ink=100)
    assert find_shown(line, sample).tolist() == [True, True, True, True, False]
    half_a_digit = Line(np.zeros((40, 88), np.uint8), scale=1.0, x0=0.0, y0=20.0, ink=100)
    assert find_shown(half_a_digit, sample).tolist() == [False, False, True, False, False]
